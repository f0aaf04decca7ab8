"""evensong export mels and export pool: the packed mels and the pool's sounds as a file each, in a new folder."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from evensong.errors import IntegrityError, ParamsError, ResourceError
from evensong.intake.names import some_of
from evensong.intake.tables import read_pool
from evensong.learn.store import ArrayStore
from evensong.night.index import read_array_names, read_fold_table, read_pool_sha256
from evensong.night.mel_settings import read_mel_settings
from evensong.night.pool_files import pool_files

_NAMES = ["class_name", "class_slug", "file_path"]
_ROOM = 4_096  # bytes that a file takes beyond its own, at most, on common file systems


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
    _refuse_existing(out)
    table, _ = read_fold_table(index)
    items = _of_fold(table, fold)
    read_mel_settings(mels, read_pool_sha256(index))
    store = ArrayStore([mels / f"{name}.npy" for name in read_array_names(index)])
    if (n_clips := int(items["row"].max()) + 1) > store.shape[0]:
        raise IntegrityError(
            f"{mels}: {store.shape[0]} mels for {n_clips} clips of the index; run dvc repro night_mels"
        )
    with _new_folder(out, len(items) * (int(np.prod(store.shape[1:])) * 4 + _ROOM)) as part:
        for item_id, subset, row in zip(items["item_id"], items["subset"], items["row"], strict=True):
            path = part / subset / PurePosixPath(item_id).with_suffix(".npy")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, store.read(np.array([row]))[0])
    return len(items)


def export_pool(table: Path, pool_folder: Path, names: Sequence[str], out: Path) -> int:
    """Write ``out/{class_slug}/{file}.wav``, the very bytes that pool.csv has the digests of.

    Args:
        table: pool.csv.
        pool_folder: of its files, whatever their layout.
        names: classes, their folders, or files, as in the table; none for all.
        out: folder to create; it appears when it is complete.

    Returns:
        Number of files written.

    Raises:
        ParamsError: a name is not in the table, or out is there already.
        IntegrityError: a file is not the one in the table.
        ResourceError: the disk is too full.
    """
    _refuse_existing(out)
    pool = read_pool(table)
    pool = pool.assign(file=pool_files(pool, pool_folder))
    if names:
        pool = pool[pool[_NAMES].isin(names).any(axis=1)]
    if strange := sorted(set(names).difference(*(pool[column] for column in _NAMES))):
        raise ParamsError(f"{some_of(strange)}: neither a class nor a file of {table}")
    with _new_folder(out, int(2 * pool["n_samples"].sum()) + len(pool) * _ROOM) as part:
        for class_slug in pool["class_slug"].unique():
            (part / class_slug).mkdir()
        for file in pool["file"]:
            (part / file.name).write_bytes(file.content())
    return len(pool)


def _of_fold(table: pd.DataFrame, fold: int | None) -> pd.DataFrame:
    """The rows of one fold: every clip of the index once."""
    folds = sorted(table["fold"].unique().tolist())
    if fold is None and len(folds) > 1:
        raise ParamsError(f"the index has folds {folds[0]} to {folds[-1]}; say whose split to write with --fold")
    chosen = folds[0] if fold is None else fold
    if chosen not in folds:
        raise ParamsError(f"--fold {fold}: the index has {', '.join(map(str, folds))}")
    return table[table["fold"] == chosen]


def _refuse_existing(out: Path) -> None:
    """Before any work for it."""
    if out.exists():
        raise ParamsError(f"--out {out}: is there already; choose a new folder")


@contextmanager
def _new_folder(out: Path, n_bytes: int) -> Iterator[Path]:
    """Hand out a folder to fill; it takes its name when the block ends well, and is gone when it does not.

    Args:
        n_bytes: that it will take on the disk, about.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    if n_bytes > (free := shutil.disk_usage(out.parent).free):
        needed = f"{out} needs about {n_bytes / 1e9:.1f} GB"
        raise ResourceError(f"{needed} and {free / 1e9:.1f} GB are free in {out.parent}")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        yield part
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
