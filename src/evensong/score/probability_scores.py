"""Scores of probabilities: ranking, squared error, calibration, and the threshold that validation chooses.

Every score takes optional bootstrap weights (one row a draw) and then returns one value a draw, so that an
interval costs one pass over the sorted scores and not one pass a draw. A score that is undefined is NaN.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from evensong.score.scores import Bools, Floats, Ints, ratio

RankScore: TypeAlias = Callable[[Bools, Floats, Floats | None], Floats]

N_CALIBRATION_BINS = 10
_BINS = np.arange(N_CALIBRATION_BINS) / N_CALIBRATION_BINS  # their lower edges


def auroc(positive: Bools, scores: Floats, weights: Floats | None = None) -> Floats:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties counting one half.

    Args:
        positive: (n_items,) bool, the truth.
        scores: (n_items,) finite, larger = more positive.
        weights: (n_draws, n_items) or None.

    Returns:
        () or (n_draws,) float64 in [0, 1]; NaN where one of the two classes is absent.
    """
    positives, negatives = _by_level(positive, scores, weights)
    below = np.cumsum(negatives, axis=-1) - negatives
    wins = (positives * (below + negatives / 2)).sum(axis=-1)
    return ratio(wins, positives.sum(axis=-1) * negatives.sum(axis=-1))


def average_precision(positive: Bools, scores: Floats, weights: Floats | None = None) -> Floats:
    """Area under the precision-recall curve as the step sum that scikit-learn calls average precision.

    Args:
        positive: (n_items,) bool, the truth.
        scores: (n_items,) finite, larger = more positive.
        weights: (n_draws, n_items) or None.

    Returns:
        () or (n_draws,) float64 in [0, 1]; NaN where one of the two classes is absent.
    """
    positives, negatives = (side[..., ::-1] for side in _by_level(positive, scores, weights))
    found = np.cumsum(positives, axis=-1)
    chosen = found + np.cumsum(negatives, axis=-1)
    steps = positives * np.divide(found, chosen, out=np.zeros_like(found), where=chosen > 0)
    return np.where(negatives.sum(axis=-1) > 0, ratio(steps.sum(axis=-1), positives.sum(axis=-1)), np.nan)


def macro_auroc(labels: Ints, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Mean one-against-rest AUROC over the classes present in the truth (of each draw)."""
    return _mean_one_vs_rest(auroc, labels, probabilities, weights)


def macro_average_precision(labels: Ints, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Mean one-against-rest average precision over the classes present in the truth (of each draw)."""
    return _mean_one_vs_rest(average_precision, labels, probabilities, weights)


def brier(labels: Ints, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Mean squared distance of the probabilities from the truth, as scikit-learn scales it.

    Two classes: (p1 - label) squared, 0 to 1. More classes: the sum over all classes, 0 to 2.

    Args:
        labels: (n_items,) int.
        probabilities: (n_items, n_classes), rows sum to 1.
        weights: (n_draws, n_items) or None.
    """
    n_classes = probabilities.shape[1]
    misses = ((probabilities - np.eye(n_classes)[labels]) ** 2).sum(axis=1) / (2 if n_classes == 2 else 1)
    return _weighted_mean(misses, weights)


class Calibration(NamedTuple):
    """Reliability by bin of predicted probability; bins without items are left out."""

    low: Floats  # (n_bins,) lower edge
    predicted: Floats  # (n_bins,) mean predicted probability
    observed: Floats  # (n_bins,) share of items that were right
    n_items: Ints  # (n_bins,)


def confidence_and_truth(labels: Ints, probabilities: Floats) -> tuple[Floats, Bools]:
    """What calibration compares: two classes, p1 with 'is class 1'; more, the top probability with 'is right'."""
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], np.asarray(labels == 1)
    return probabilities.max(axis=1), np.asarray(probabilities.argmax(axis=1) == labels)


def calibration(labels: Ints, probabilities: Floats) -> Calibration:
    """Compare predicted with observed frequencies in ten equal bins [0, 0.1), [0.1, 0.2), ..., the last one closed."""
    predicted, truth = confidence_and_truth(labels, probabilities)
    bins = _bin_of(predicted)
    used, n_items = np.unique(bins, return_counts=True)
    return Calibration(
        _BINS[used],
        np.bincount(bins, predicted)[used] / n_items,
        np.bincount(bins, truth)[used] / n_items,
        n_items,
    )


def calibration_error(labels: Ints, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Expected calibration error: |predicted - observed| of each bin of `calibration`, weighted by its items."""
    predicted, truth = confidence_and_truth(labels, probabilities)
    rows = np.ones((1, len(labels))) if weights is None else weights
    bins = _bin_of(predicted)
    order = np.argsort(bins, kind="stable")
    starts = np.unique(bins[order], return_index=True)[1]
    gaps = np.add.reduceat((rows * (predicted - truth))[:, order], starts, axis=1)
    values = ratio(np.abs(gaps).sum(axis=1), rows.sum(axis=1))
    return np.asarray(values[0]) if weights is None else values


class Threshold(NamedTuple):
    """A decision threshold: an item is positive when its probability is at or above ``value``."""

    value: float
    reason: str | None  # why it is 0.5 and not chosen on validation; None when it was chosen


def youden_threshold(positive: Bools, scores: Floats) -> Threshold:
    """Threshold with the largest sensitivity + specificity - 1.

    Candidates are the middles between neighbouring distinct scores. Of equally good ones the middle one is taken
    (the lower of two middle ones). No items, one class, or one distinct score: 0.5, and the reason.

    Args:
        positive: (n_items,) bool, the truth of the validation set.
        scores: (n_items,) probability of the positive class.
    """
    if not len(scores):
        return Threshold(0.5, "no validation set")
    if positive.all() or not positive.any():
        return Threshold(0.5, "one class in the validation set")
    levels = np.unique(scores)
    if len(levels) == 1:
        return Threshold(0.5, "one score for the whole validation set")
    positives, negatives = _by_level(positive, scores, None)
    n_missed, n_rejected = np.cumsum(positives)[:-1], np.cumsum(negatives)[:-1]
    # Integers, so that ties are exact: J * n_positive * n_negative without its constant.
    gain = n_rejected * positives.sum() - n_missed * negatives.sum()
    best = np.flatnonzero(gain == gain.max())
    cut = best[(len(best) - 1) // 2]
    return Threshold(float((levels[cut] + levels[cut + 1]) / 2), None)


def _by_level(positive: Bools, scores: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """Weight of positives and of negatives at each distinct score, ascending: two of (..., n_levels)."""
    order = np.argsort(scores, kind="stable")
    rows = np.ones(len(scores)) if weights is None else weights[:, order]
    truth, ranked = positive[order], scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]])) if len(ranked) else np.array([], int)
    positives, negatives = rows * truth, rows * ~truth
    if len(starts) == len(ranked):
        return positives, negatives
    return np.add.reduceat(positives, starts, axis=-1), np.add.reduceat(negatives, starts, axis=-1)


def _mean_one_vs_rest(score: RankScore, labels: Ints, probabilities: Floats, weights: Floats | None) -> Floats:
    """Mean over classes, each against the rest; NaN values (class absent in the draw) are left out."""
    classes = np.unique(labels)
    total = np.zeros(() if weights is None else len(weights))
    n_defined = np.zeros_like(total)
    for label in classes:
        values = score(labels == label, probabilities[:, label], weights)
        n_defined += np.isfinite(values)
        total += np.nan_to_num(values, nan=0.0)
    return ratio(total, n_defined)


def _bin_of(predicted: Floats) -> Ints:
    """(n_items,) the last bin whose lower edge is not above the item; ``predicted * 10`` can round up to it."""
    return np.searchsorted(_BINS, predicted, side="right") - 1


def _weighted_mean(values: Floats, weights: Floats | None) -> Floats:
    if weights is None:
        return np.asarray(values.mean()) if len(values) else np.asarray(np.nan)
    return ratio(weights @ values, weights.sum(axis=1))
