"""Scores of chosen classes: labels and choices in, numbers out.

Every score takes optional bootstrap weights (one row a draw) and then returns one value a draw. A score that is
undefined is NaN in here; `evensong.score.estimates` turns it into null with a reason before anything is written.

Macro means run over the classes that are present in the truth. Fewer than two such classes: undefined.
Training imports this file, so a change here trains everything again; what only evaluation needs is in
`evensong.score.probability_scores`.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


def macro_f1(labels: Ints, predicted: Ints, n_classes: int) -> float:
    """Mean F1 over the classes present in ``labels``; a single present class is its own mean.

    Args:
        labels: (n_items,) int, 0 to n_classes - 1, at least one item.
        predicted: (n_items,) int, the class the model chose.

    Raises:
        ValueError: no items, or arrays of different length.
    """
    table = confusion(_checked(labels, predicted), predicted, n_classes)
    return float(np.nanmean(np.where(table.sum(axis=1) > 0, class_f1(table), np.nan)))


def balanced_accuracy(labels: Ints, predicted: Ints, n_classes: int) -> float:
    """Mean recall over the classes present in ``labels``; a single present class is its own mean.

    Args:
        labels: (n_items,) int, 0 to n_classes - 1, at least one item.
        predicted: (n_items,) int, the class the model chose.

    Raises:
        ValueError: no items, or arrays of different length.
    """
    return float(np.nanmean(class_recall(confusion(_checked(labels, predicted), predicted, n_classes))))


def confusion(labels: Ints, predicted: Ints, n_classes: int, weights: Floats | None = None) -> Floats:
    """Count items by true class (rows) and chosen class (columns), with fixed labels.

    Args:
        labels: (n_items,) int, 0 to n_classes - 1.
        predicted: (n_items,) int, 0 to n_classes - 1.
        weights: (n_draws, n_items) how often each item stands in each draw; None counts each once.

    Returns:
        (n_classes, n_classes) float64, or (n_draws, n_classes, n_classes) with weights.
    """
    cells = np.asarray(labels, dtype=np.int64) * n_classes + predicted
    if weights is None:
        return np.bincount(cells, minlength=n_classes**2).astype(np.float64).reshape(n_classes, n_classes)
    tables = np.zeros((len(weights), n_classes**2))
    order = np.argsort(cells, kind="stable")
    found, starts = np.unique(cells[order], return_index=True)
    if len(found):
        tables[:, found] = np.add.reduceat(weights[:, order], starts, axis=1)
    return tables.reshape(-1, n_classes, n_classes)


def class_recall(table: Floats) -> Floats:
    """(..., n_classes) recall of each class; NaN where the class is absent from the truth."""
    return ratio(_diagonal(table), table.sum(axis=-1))


def class_precision(table: Floats) -> Floats:
    """(..., n_classes) precision of each class; NaN where the class was never chosen."""
    return ratio(_diagonal(table), table.sum(axis=-2))


def class_f1(table: Floats) -> Floats:
    """(..., n_classes) F1 of each class; NaN where it is neither in the truth nor chosen, 0 where never right."""
    return ratio(2 * _diagonal(table), table.sum(axis=-1) + table.sum(axis=-2))


def accuracy_from(table: Floats) -> Floats:
    """(...) share of items on the diagonal of confusion tables (..., n_classes, n_classes)."""
    return ratio(_diagonal(table).sum(axis=-1), table.sum(axis=(-2, -1)))


def balanced_accuracy_from(table: Floats) -> Floats:
    """(...) mean recall over the classes present in the truth; NaN with fewer than two of them."""
    return _mean_over_present(class_recall(table), table)


def macro_f1_from(table: Floats) -> Floats:
    """(...) mean F1 over the classes present in the truth; NaN with fewer than two of them."""
    return _mean_over_present(class_f1(table), table)


def mcc_from(table: Floats) -> Floats:
    """(...) Matthews correlation (Gorodkin's for many classes).

    NaN with one class in the truth; 0 where the model chose one class for everything, as in scikit-learn.
    """
    truth, chosen, n_items = table.sum(axis=-1), table.sum(axis=-2), table.sum(axis=(-2, -1))
    covariance = _diagonal(table).sum(axis=-1) * n_items - (truth * chosen).sum(axis=-1)
    spread = (n_items**2 - (truth**2).sum(axis=-1)) * (n_items**2 - (chosen**2).sum(axis=-1))
    values = np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)
    return np.where((truth > 0).sum(axis=-1) >= 2, values, np.nan)


def ratio(part: Floats, whole: Floats) -> Floats:
    """Divide element by element; NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    quotient: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return quotient


def _checked(labels: Ints, predicted: Ints) -> Ints:
    if not len(labels) or len(labels) != len(predicted):
        raise ValueError(f"need one prediction for each of at least one label, got {len(labels)} and {len(predicted)}")
    return labels


def _diagonal(table: Floats) -> Floats:
    diagonal: Floats = np.einsum("...ii->...i", table)
    return diagonal


def _mean_over_present(values: Floats, table: Floats) -> Floats:
    present = table.sum(axis=-1) > 0
    n_present = present.sum(axis=-1)
    means = ratio(np.where(present, values, 0.0).sum(axis=-1), n_present)
    return np.where(n_present >= 2, means, np.nan)
