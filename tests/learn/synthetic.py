"""Small packed arrays and fold tables, made to be learnable: each class lights its own bands."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evensong.learn.cv import Training
from evensong.schemas import SpecAugment, TrackTrain, Train

MODEL = "test_efficientnet"
NO_AUGMENT = SpecAugment(n_freq_masks=0, max_freq_share=0, n_time_masks=0, max_time_share=0, max_shift_share=0)
SOME_AUGMENT = SpecAugment(n_freq_masks=1, max_freq_share=0.2, n_time_masks=1, max_time_share=0.2, max_shift_share=0.2)


def train_settings(**changes: Any) -> Train:
    values: dict[str, Any] = {
        "epochs": 2, "learning_rate": 0.003, "weight_decay": 0.05, "warmup_epochs": 0.5, "label_smoothing": 0.1,
        "mixup_alpha": 0.2, "spec_augment": SOME_AUGMENT, "ema_decay": 0.0, "test_shifts": 1, "select": "best",
        "device": "cpu", "threads": 1, "accumulate_batches": 1, "precision": "float32", "instruction_set": "native",
        "seed": 42,
    }  # fmt: skip
    return Train(**{**values, **changes})


def track_settings(**changes: Any) -> TrackTrain:
    values: dict[str, Any] = {"model": MODEL, "batch_size": 8, "pretrained": None, "folds": "all"}
    return TrackTrain(**{**values, **changes})


def write_arrays(path: Path, labels: np.ndarray, *, size: tuple[int, int] = (32, 24), seed: int = 0) -> Path:
    """One (n, height, width) float32 file; an item of class c is loud in band 6c to 6c + 5."""
    arrays = np.random.default_rng(seed).normal(-40, 6, (len(labels), *size)).astype(np.float32)
    for array, label in zip(arrays, labels, strict=True):
        array[6 * label : 6 * label + 6] += 25
    np.save(path, arrays)
    return path


def fold_table(n_groups: int = 12, n_classes: int = 2, n_folds: int = 3, copies: int = 1) -> pd.DataFrame:
    """Group g has label g % n_classes, one original and its copies; fold (g // n_classes) % n_folds tests it."""
    rows = []
    for fold in range(n_folds):
        for row in range(n_groups * (1 + copies)):
            group, copy = divmod(row, 1 + copies)
            turn = (group // n_classes - fold) % n_folds
            subset = {0: "test", 1: "val"}.get(turn, "train")
            rows.append((row, f"item{row:03d}", f"group{group:03d}", group % n_classes, copy == 0, fold, subset))
    return pd.DataFrame(rows, columns=["row", "item_id", "group", "label", "is_original", "fold", "subset"])


def labels_of(table: pd.DataFrame) -> np.ndarray:
    """Labels in array order."""
    return table.drop_duplicates("row").sort_values("row")["label"].to_numpy()


def training(folder: Path, *, track: TrackTrain | None = None, train: Train | None = None) -> Training:
    table = fold_table()
    arrays = write_arrays(folder / "arrays.npy", labels_of(table))
    return Training(
        table, [arrays], ["quiet", "loud"], track or track_settings(), train or train_settings(), {"n_mels": 32}
    )


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
