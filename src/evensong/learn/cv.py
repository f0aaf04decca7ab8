"""All folds of one training: independent jobs over processes; predictions, curves, models and cards out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from evensong.learn.device import pin_instruction_set
from evensong.learn.fit import EVALUATED, Epoch, Fitted, Fold, fit_fold
from evensong.learn.models import check_model_name, input_size
from evensong.learn.resume import Facts, FoldState, JobState, job_key
from evensong.learn.saved import write_model, write_run
from evensong.score.scores import Floats, balanced_accuracy_from, confusion, macro_f1_from
from evensong.learn.store import ArrayStore, digest_of
from evensong.learn.fold_table import SUBSETS, Subset, check_fold_table, choose_folds, items_of, predicted, subset_of
from evensong.run.parallel import map_tasks
from evensong.run.text import write_csv, write_json
from evensong.schemas import TrackTrain, Train

_PROBABILITY = "%.9g"


@dataclass(frozen=True)
class Training:
    """One training: a fold table over stored arrays, and how to fit it.

    Args:
        table: fold table, see `evensong.learn.fold_table`.
        arrays: .npy files whose concatenation the table's rows point into.
        classes: names in label order.
        track: model, batch size, folds, pretrained weights.
        train: what both tracks share.
        mels: settings the arrays were made with, for the model card.
        background: names that may be among the classes, and are no answer of the model.
    """

    table: pd.DataFrame
    arrays: Sequence[Path]
    classes: Sequence[str]
    track: TrackTrain
    train: Train
    mels: dict[str, Any]
    background: Sequence[str] = ()


@dataclass(frozen=True)
class _Task:
    """One fold for a worker: no ids, only array rows, labels and where to write."""

    fold: Fold
    arrays: tuple[Path, ...]
    state: FoldState
    folder: Path
    card: Facts
    shows_epochs: bool


def run_folds(training: Training, out: Path, workers: int) -> JobState:
    """Train the chosen folds and write the training folder; finished folds of a killed run are not redone.

    Writes predictions.csv, history.csv, folds.csv, classes.json and fold_NN/ (model, card, curves).

    Args:
        out: the folder to write; it must not exist yet.
        workers: processes; no result depends on it.

    Returns:
        The job's state, to be pruned once the outputs are in place.

    Raises:
        DataError: the fold table leaks or lacks something.
        ParamsError: unknown model or fold, or a device that is not there.
        IntegrityError: arrays or pretrained weights are not what they should be.
        ResourceError: a loss was not finite, memory ran out, or a worker died.
    """
    pin_instruction_set(training.train.instruction_set)
    store = ArrayStore(training.arrays)
    check_fold_table(training.table, len(training.classes), store.shape[0])
    numbers = choose_folds(training.table, training.track.folds)
    check_model_name(training.track.model)
    state = JobState(_key(training))
    out.mkdir(parents=True)
    tasks = [_task(training, number, out, state, single=len(numbers) == 1) for number in numbers]
    # Forking must find no thread pool here: a child would wait for its threads for ever.
    torch.set_num_threads(1)
    fitted = list(
        map_tasks(
            _run_fold, tasks, workers=workers, label="folds", unit="fold", needs_gpu=training.train.device == "cuda"
        )
    )
    for task, result in zip(tasks, fitted, strict=True):
        scores = {name: _scores(task.fold.subsets[name], result.probs[name]) for name in EVALUATED}
        write_run(task.folder / "live", result.history, result.selected_epoch, scores)
    _write_tables(training, out, [task.fold for task in tasks], fitted)
    return state


def _key(training: Training) -> str:
    settings = {"track": training.track.model_dump(), "train": training.train.model_dump(), "n": len(training.classes)}
    return job_key(training.table, digest_of(training.arrays), settings)


def _task(training: Training, number: int, out: Path, state: JobState, *, single: bool) -> _Task:
    train_set, val_set, test_set = (subset_of(items_of(training.table, number, subset)) for subset in SUBSETS)
    background = [name for name in training.background if name in training.classes]
    fold = Fold(number, train_set, val_set, test_set, len(training.classes), training.track, training.train)
    return _Task(
        fold=fold,
        arrays=tuple(training.arrays),
        state=state.fold(number),
        folder=out / f"fold_{number:02d}",
        card={
            "classes": list(training.classes),
            "mels": training.mels,
            **({"background": background} if background else {}),
        },
        shows_epochs=single,
    )


def _run_fold(task: _Task) -> Fitted:
    """Fit one fold, or take its finished result from the state, and write its model; the weights stay there."""
    fold, store = task.fold, ArrayStore(task.arrays)
    stored = task.state.load_result()
    if stored:
        fitted = Fitted.from_state(*stored)
    else:
        hidden = None if task.shows_epochs else True  # None: on a terminal only; many folds are a bar of their own
        with tqdm(total=fold.train.epochs, desc=f"fold {fold.number}", unit="epoch", disable=hidden) as bar:
            fitted = fit_fold(fold, store, task.state, lambda row: _show(bar, row))
        task.state.save_result(*fitted.to_state())
    task.folder.mkdir()
    write_model(task.folder, fitted.weights, _card(task, fitted, store))
    return replace(fitted, weights={})


def _scores(items: Subset, probs: Floats) -> dict[str, float | int | None]:
    """Scores of a subset's originals from the probabilities as they are saved; None with fewer than two classes."""
    saved = np.char.mod(_PROBABILITY, probs[items.originals]).astype(np.float64)
    table = confusion(items.labels[items.originals], saved.argmax(axis=1), saved.shape[1])
    values = {"macro_f1": macro_f1_from(table), "balanced_accuracy": balanced_accuracy_from(table)}
    defined = {name: None if np.isnan(value) else float(value) for name, value in values.items()}
    return {"n": len(saved), **defined}


def _show(bar: Any, row: Epoch) -> None:
    """An epoch on its bar, which a continued training enters in the middle."""
    shown = {name: getattr(row, name) for name in ("train_loss", "val_loss", "val_macro_f1")}
    bar.set_postfix({name: value for name, value in shown.items() if value is not None}, refresh=False)
    bar.update(row.epoch - bar.n)


def _card(task: _Task, fitted: Fitted, store: ArrayStore) -> Facts:
    fold, (_, height, width) = task.fold, store.shape
    fed = input_size(fold.track.model, height, width)
    return {
        **task.card,
        "model": fold.track.model,
        "fold": fold.number,
        "selected_epoch": fitted.selected_epoch,
        "stored_input": {"height": height, "width": width, "dtype": str(store.dtype), "uint8_scale": 1 / 255},
        "normalisation": {"mean": fitted.mean, "std": fitted.std},
        "network_input": {"channels": 1, "height": fed.height, "width": fed.width},
        "output": {"n_classes": fold.n_classes, "form": "logits"},
        "params": {"track": fold.track.model_dump(), "train": fold.train.model_dump()},
        "pretrained_left_out": fitted.left_out,
    }


def _write_tables(training: Training, out: Path, folds: list[Fold], fitted: list[Fitted]) -> None:
    each = list(zip(folds, fitted, strict=True))
    predictions = [
        predicted(items_of(training.table, fold.number, subset), result.probs[subset])
        for fold, result in each
        for subset in EVALUATED
    ]
    write_csv(out / "predictions.csv", pd.concat(predictions), float_format=_PROBABILITY)
    history = [{"fold": fold.number, **row._asdict()} for fold, result in each for row in result.history]
    write_csv(out / "history.csv", pd.DataFrame(history), float_format="%.6g")
    n_folds = training.table["fold"].nunique()
    rows = [_fold_row(*pair) | {"n_folds": n_folds} for pair in each]
    write_csv(out / "folds.csv", pd.DataFrame(rows), float_format="%.9g")
    write_json(out / "classes.json", {"classes": list(training.classes)})


def _fold_row(fold: Fold, fitted: Fitted) -> Facts:
    chosen_by = "best" if fold.selects_best else "last" if fold.train.select == "last" else "last_no_val"
    counts = {f"n_{name}": len(part) for name, part in fold.subsets.items()}
    originals = {f"n_{name}_originals": int(part.originals.sum()) for name, part in fold.subsets.items()}
    epochs = {"fold": fold.number, "epochs": len(fitted.history), "selected_epoch": fitted.selected_epoch}
    seen = np.bincount(fold.train_set.labels, minlength=fold.n_classes) / len(fold.train_set)
    shares = {f"train_share_{label}": float(share) for label, share in enumerate(seen)}
    return {**epochs, "selected_by": chosen_by, **counts, **originals, **shares}
