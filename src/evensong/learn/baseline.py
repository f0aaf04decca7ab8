"""The baseline arm: how far statistics of the stored mels and a linear classifier come, on the network's own folds.

What a network scores above it is what training a network was worth.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evensong.learn.head_folds import fit_folds, write_folds
from evensong.learn.store import ArrayStore
from evensong.run.parallel import map_tasks
from evensong.schemas import Folds

_QUANTILES = (0.1, 0.5, 0.9)
_CHUNK_ROWS = 256

Floats = NDArray[np.float64]


def mel_statistics(mels: NDArray[np.float32]) -> Floats:
    """Mean, standard deviation and quantiles (10, 50, 90 %) of each band, and of its change from frame to frame.

    Args:
        mels: (n_items, n_bands, n_frames), in any unit.

    Returns:
        (n_items, 10 * n_bands); of a single frame the change is 0.
    """
    mels = mels.astype(np.float64)
    changes = np.diff(mels, axis=2) if mels.shape[2] > 1 else np.zeros_like(mels)
    parts: list[Floats] = []
    for values in (mels, changes):
        parts += [values.mean(axis=2), values.std(axis=2), *np.quantile(values, _QUANTILES, axis=2)]
    return np.concatenate(parts, axis=1)


def run_baseline(
    table: pd.DataFrame, arrays: Sequence[Path], classes: Sequence[str], folds: Folds, out: Path, workers: int
) -> None:
    """Fit and predict the chosen folds by `mel_statistics` and logistic regression, see `fit_folds`.

    Args:
        arrays: .npy files whose concatenation the table's rows point into.
        workers: processes; no result depends on it.

    Raises:
        EvensongError: as `fit_folds`, or arrays are not what they should be.
    """
    fitted = fit_folds("logistic", table, statistics_of(arrays, workers), len(classes), folds, workers)
    write_folds(out, table, fitted, classes)


def statistics_of(arrays: Sequence[Path], workers: int) -> NDArray[np.float32]:
    """The `mel_statistics` of all items, in the order of the arrays.

    Raises:
        IntegrityError: arrays are not what they should be.
    """
    n_rows = ArrayStore(arrays).shape[0]
    starts = range(0, n_rows, _CHUNK_ROWS)
    chunks = [np.arange(start, min(start + _CHUNK_ROWS, n_rows)) for start in starts]
    function = functools.partial(_statistics, arrays)
    return np.concatenate(list(map_tasks(function, chunks, workers=workers, label="mels", unit="part")))


def _statistics(arrays: Sequence[Path], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    return mel_statistics(ArrayStore(arrays).read(rows)).astype(np.float32)
