"""A head for every fold: fitted on its training items, asked about what it validates and tests, as a training is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evensong.learn.fold_table import check_fold_table, choose_folds, items_of, predicted
from evensong.learn.heads import Floats, Head, Ints, Kind, fit_head
from evensong.run.parallel import map_tasks
from evensong.run.text import write_csv, write_json
from evensong.schemas import Folds

_PROBABILITY = "%.6g"  # of the digits that the optimiser settles, so that no CPU shows


@dataclass(frozen=True)
class FoldHead:
    """What came of one fold.

    Attributes:
        n_train: items that it was fitted on.
        asked: validation and test items, rows of the fold table.
        probabilities: (n_asked, n_classes).
    """

    fold: int
    head: Head
    n_train: int
    asked: pd.DataFrame
    probabilities: Floats


@dataclass(frozen=True)
class _Task:
    """One fold for a worker, without ids."""

    kind: Kind
    fold: int
    features: NDArray[Any]
    labels: Ints


def fit_folds(
    kind: Kind, table: pd.DataFrame, features: NDArray[np.float32], n_classes: int, folds: Folds, workers: int
) -> list[FoldHead]:
    """Fit and ask the chosen folds, in order.

    Args:
        table: fold table, see `evensong.learn.fold_table`.
        features: (n_rows, n_features), which the table's rows point into.
        folds: those to fit, or ``all``.
        workers: processes; no result depends on it.

    Raises:
        DataError: the fold table leaks or lacks something.
        ParamsError: unknown fold.
        ResourceError: an optimiser did not settle.
    """
    check_fold_table(table, n_classes, len(features))
    numbers = choose_folds(table, folds)
    tasks = [_task(kind, fold, items_of(table, fold, "train"), features) for fold in numbers]
    heads = map_tasks(_fit, tasks, workers=workers, label="folds", unit="fold")
    fitted = []
    for task, head in zip(tasks, heads, strict=True):
        asked = pd.concat([items_of(table, task.fold, subset) for subset in ("val", "test")], ignore_index=True)
        fitted.append(FoldHead(task.fold, head, len(task.labels), asked, head.probabilities(features[asked["row"]])))
    return fitted


def write_folds(out: Path, table: pd.DataFrame, fitted: Sequence[FoldHead], classes: Sequence[str]) -> None:
    """Write predictions.csv, folds.csv and classes.json as a training does.

    Args:
        out: the folder to write; it must not exist yet.
        table: the fold table.
        classes: names in label order.
    """
    out.mkdir(parents=True)
    predictions = pd.concat([predicted(one.asked, one.probabilities) for one in fitted])
    write_csv(out / "predictions.csv", predictions, float_format=_PROBABILITY)
    write_csv(out / "folds.csv", pd.DataFrame([_counts(table, one) for one in fitted]))
    write_json(out / "classes.json", {"classes": list(classes)})


def _task(kind: Kind, fold: int, fitted_on: pd.DataFrame, features: NDArray[Any]) -> _Task:
    return _Task(kind, fold, features[fitted_on["row"]], fitted_on["label"].to_numpy(np.int64))


def _fit(task: _Task) -> Head:
    return fit_head(task.kind, task.features, task.labels, f"fold {task.fold}")


def _counts(table: pd.DataFrame, one: FoldHead) -> dict[str, int]:
    counts = {f"n_{name}": int((one.asked["subset"] == name).sum()) for name in ("val", "test")}
    return {"fold": one.fold, "n_train": one.n_train, **counts, "n_folds": int(table["fold"].nunique())}
