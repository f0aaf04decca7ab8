"""evensong export mels: the packed mel arrays as one .npy a clip in split/class folders."""

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from evensong.errors import IntegrityError, ParamsError
from evensong.learn.store import ArrayStore
from evensong.listen.new_folder import new_folder, refuse_existing
from evensong.night.index import read_array_names, read_fold_table, read_pool_sha256
from evensong.night.mel_settings import read_mel_settings


def export_mels(index: Path, mels: Path, out: Path, fold: int | None) -> int:
    """Write ``out/{train,val,test}/{class}/{clip}.npy``, each (n_mels, n_frames) float32, dB re power 1.0.

    Args:
        index: the SQLite index.
        mels: folder of its packed arrays.
        out: folder to create; it appears when it is complete.
        fold: whose split to write; None where there is one fold only.

    Returns:
        Number of files written.

    Raises:
        ParamsError: out is there already, or the fold is not in the index.
        IntegrityError: index and arrays do not fit together, or are of two pools.
        ResourceError: the disk is too full.
    """
    refuse_existing(out)
    table, _ = read_fold_table(index)
    items = _of_fold(table, fold)
    read_mel_settings(mels, read_pool_sha256(index))
    store = ArrayStore([mels / f"{name}.npy" for name in read_array_names(index)])
    if (n_clips := int(items["row"].max()) + 1) > store.shape[0]:
        raise IntegrityError(
            f"{mels}: {store.shape[0]} mels for {n_clips} clips of the index; run dvc repro night_mels"
        )
    with new_folder(out, len(items) * (int(np.prod(store.shape[1:])) * 4 + 4_096)) as part:
        for item_id, subset, row in zip(items["item_id"], items["subset"], items["row"], strict=True):
            path = part / subset / PurePosixPath(item_id).with_suffix(".npy")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, store.read(np.array([row]))[0])
    return len(items)


def _of_fold(table: pd.DataFrame, fold: int | None) -> pd.DataFrame:
    """The rows of one fold: every clip of the index once."""
    folds = sorted(table["fold"].unique().tolist())
    if fold is None and len(folds) > 1:
        raise ParamsError(f"the index has folds {folds[0]} to {folds[-1]}; say whose split to write with --fold")
    chosen = folds[0] if fold is None else fold
    if chosen not in folds:
        raise ParamsError(f"--fold {fold}: the index has {', '.join(map(str, folds))}")
    return table[table["fold"] == chosen]
