"""The baseline arm: how far statistics of the stored mels and a linear classifier come, on the network's own folds.

What a network scores above it is what training a network was worth.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evensong.errors import ResourceError
from evensong.learn.fold_table import check_fold_table, choose_folds, items_of
from evensong.learn.store import ArrayStore
from evensong.run.parallel import map_tasks
from evensong.run.text import write_csv, write_json
from evensong.schemas import Folds

_QUANTILES = (0.1, 0.5, 0.9)
_INVERSE_PENALTY = 0.01  # scikit-learn's C; on ESC-10 none from 0.001 to 1 is told from another
_MAX_ITERATIONS = 1000
_CHUNK_ROWS = 256
_PROBABILITY = "%.6g"  # of the digits that the optimiser settles, so that no CPU shows

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


@dataclass(frozen=True)
class _Chunk:
    arrays: tuple[Path, ...]
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class _Task:
    """One fold for a worker, without ids."""

    fold: int
    fitted_on: tuple[Floats, NDArray[np.int64]]
    asked: Floats
    n_classes: int


def run_baseline(
    table: pd.DataFrame, arrays: Sequence[Path], classes: Sequence[str], folds: Folds, out: Path, workers: int
) -> None:
    """Fit and predict the chosen folds by `mel_statistics`, see `run_head`.

    Args:
        arrays: .npy files whose concatenation the table's rows point into.
        workers: processes; no result depends on it.

    Raises:
        EvensongError: as `run_head`, or arrays are not what they should be.
    """
    check_fold_table(table, len(classes), ArrayStore(arrays).shape[0])
    run_head(table, statistics_of(arrays, workers), classes, folds, out, workers)


def statistics_of(arrays: Sequence[Path], workers: int) -> NDArray[np.float32]:
    """The `mel_statistics` of all items, in the order of the arrays.

    Raises:
        IntegrityError: arrays are not what they should be.
    """
    n_rows = ArrayStore(arrays).shape[0]
    starts = range(0, n_rows, _CHUNK_ROWS)
    chunks = [_Chunk(tuple(arrays), np.arange(start, min(start + _CHUNK_ROWS, n_rows))) for start in starts]
    return np.concatenate(list(map_tasks(_statistics, chunks, workers=workers, label="mels", unit="part")))


def run_head(
    table: pd.DataFrame,
    features: NDArray[np.float32],
    classes: Sequence[str],
    folds: Folds,
    out: Path,
    workers: int,
) -> None:
    """Fit and predict the chosen folds; writes predictions.csv, folds.csv and classes.json as a training does.

    Multinomial logistic regression with an L2 penalty on standardised features, the classes weighed alike.

    Args:
        table: fold table, see `evensong.learn.fold_table`.
        features: (n_rows, n_features), which the table's rows point into.
        classes: names in label order.
        folds: those to fit, or ``all``.
        out: the folder to write; it must not exist yet.
        workers: processes; no result depends on it.

    Raises:
        DataError: the fold table leaks or lacks something.
        ParamsError: unknown fold.
        ResourceError: the optimiser did not settle.
    """
    check_fold_table(table, len(classes), len(features))
    numbers = choose_folds(table, folds)
    parts = {fold: _parts(table, fold) for fold in numbers}
    tasks = [_task(fold, *parts[fold], features, len(classes)) for fold in numbers]
    probabilities = list(map_tasks(_fit_fold, tasks, workers=workers, label="folds", unit="fold"))
    out.mkdir(parents=True)
    rows = [_named(parts[fold][1], probs) for fold, probs in zip(numbers, probabilities, strict=True)]
    write_csv(out / "predictions.csv", pd.concat(rows), float_format=_PROBABILITY)
    write_csv(out / "folds.csv", pd.DataFrame([_counts(table, fold, *parts[fold]) for fold in numbers]))
    write_json(out / "classes.json", {"classes": list(classes)})


def _statistics(chunk: _Chunk) -> NDArray[np.float32]:
    return mel_statistics(ArrayStore(chunk.arrays).read(chunk.rows)).astype(np.float32)


def _parts(table: pd.DataFrame, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Items of a fold to fit on, and those to predict, as training predicts them."""
    asked = pd.concat([items_of(table, fold, "val"), items_of(table, fold, "test")], ignore_index=True)
    return items_of(table, fold, "train"), asked


def _task(fold: int, fitted_on: pd.DataFrame, asked: pd.DataFrame, statistics: NDArray[Any], n_classes: int) -> _Task:
    labels = fitted_on["label"].to_numpy(np.int64)
    return _Task(fold, (statistics[fitted_on["row"]], labels), statistics[asked["row"]], n_classes)


def _fit_fold(task: _Task) -> Floats:
    return fit_linear(*task.fitted_on, task.asked, f"fold {task.fold}")


def fit_linear(values: NDArray[Any], labels: NDArray[np.int64], asked: NDArray[Any], where: str) -> Floats:
    """The probabilities of a linear classifier, see `run_head`.

    Args:
        values: (n_items, n_features) to fit on.
        labels: (n_items,), every class among them.
        asked: (n_asked, n_features).
        where: for the message.

    Returns:
        (n_asked, n_classes).

    Raises:
        ResourceError: the optimiser did not settle.
    """
    fitted = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=_INVERSE_PENALTY, class_weight="balanced", tol=1e-8, max_iter=_MAX_ITERATIONS),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            fitted.fit(values.astype(np.float64), labels)
        except ConvergenceWarning:
            raise ResourceError(f"{where}: the linear classifier did not settle in {_MAX_ITERATIONS} steps") from None
    probabilities: Floats = fitted.predict_proba(asked.astype(np.float64))
    return probabilities


def _named(asked: pd.DataFrame, probabilities: Floats) -> pd.DataFrame:
    named = asked[["fold", "subset", "item_id", "group", "is_original", "label"]].astype({"is_original": int})
    return named.assign(**{f"p{label}": probabilities[:, label] for label in range(probabilities.shape[1])})


def _counts(table: pd.DataFrame, fold: int, fitted_on: pd.DataFrame, asked: pd.DataFrame) -> dict[str, int]:
    counts = {f"n_{name}": int((asked["subset"] == name).sum()) for name in ("val", "test")}
    return {"fold": fold, "n_train": len(fitted_on), **counts, "n_folds": int(table["fold"].nunique())}
