"""What a clinical table says of decisions and probabilities: rates, likelihood ratios, calibration, net benefit.

Every interval is about one decision a patient: items are taken to be independent.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtri

from evensong.score.estimates import Estimate
from evensong.score.intervals import wilson
from evensong.score.scores import Bools, Floats

_SMALLEST = 1e-6  # a probability is kept this far from 0 and 1 before its log-odds are taken
_STEPS, _CONVERGED = 50, 1e-10
_LARGEST = 30.0  # of a coefficient of log-odds: beyond it the classes are separated


class Counts(NamedTuple):
    """Patients by truth and decision."""

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int


def count_decisions(positive: Bools, decided: Bools) -> Counts:
    """The 2 x 2 table of (n_items,) truths and decisions."""
    cells = ((positive, decided), (positive, ~decided), (~positive, decided), (~positive, ~decided))
    return Counts(*(int((truth & choice).sum()) for truth, choice in cells))


def decision_scores(counts: Counts, confidence: float) -> dict[str, Estimate]:
    """Sensitivity, specificity, predictive values and likelihood ratios.

    Shares have Wilson's interval (1927). Likelihood ratios have the log method's (Simel, Samsa and Matchar, J Clin
    Epidemiol 44, 1991). Predictive values hold at the prevalence of these very items.

    Args:
        confidence: of the intervals, such as 0.95.
    """
    hit, missed, false, rejected = counts
    z = _z(confidence)
    return {
        "sensitivity": _share(hit, hit + missed, z, "no positive patient"),
        "specificity": _share(rejected, false + rejected, z, "no negative patient"),
        "ppv": _share(hit, hit + false, z, "nobody was called positive"),
        "npv": _share(rejected, missed + rejected, z, "nobody was called negative"),
        "lr_positive": _ratio((hit, hit + missed), (false, false + rejected), z),
        "lr_negative": _ratio((missed, hit + missed), (rejected, false + rejected), z),
    }


def _z(confidence: float) -> float:
    return float(ndtri((1 + confidence) / 2))


def _share(part: int, whole: int, z: float, reason: str) -> Estimate:
    return Estimate(part / whole, *wilson(part / whole, whole, z)) if whole else Estimate(None, None, None, reason)


def _ratio(ours: tuple[int, int], theirs: tuple[int, int], z: float) -> Estimate:
    """One share divided by another of other items."""
    (part, whole), (other_part, other_whole) = ours, theirs
    if not whole or not other_whole:
        return Estimate(None, None, None, "one class in the truth")
    if not other_part:
        return Estimate(None, None, None, "a cell of the table is empty")
    value = part / whole / (other_part / other_whole)
    if not part:
        return Estimate(value, None, None, "a cell of the table is empty")
    half = z * float(np.sqrt(1 / part - 1 / whole + 1 / other_part - 1 / other_whole))
    return Estimate(value, value * float(np.exp(-half)), value * float(np.exp(half)))


def specificity_threshold(positive: Bools, scores: Floats, specificity: float) -> float | None:
    """The lowest threshold at which at least this share of the negatives lies below; None without a negative.

    It lies in the middle between two neighbouring scores, or between the highest one and 1.

    Args:
        positive: (n_items,) bool, the truth of a validation set.
        scores: (n_items,) probability of the positive class.
        specificity: above 0, at most 1.
    """
    negatives = np.sort(scores[~positive])
    if not len(negatives):
        return None
    last = negatives[int(np.ceil(specificity * len(negatives) - 1e-9)) - 1]
    above = scores[scores > last]
    return float((last + (above.min() if len(above) else 1.0)) / 2)


def calibration_line(positive: Bools, probabilities: Floats, confidence: float) -> dict[str, Estimate]:
    """Calibration slope, and intercept at slope 1 (in the large), of the log-odds: Cox, Biometrika 45 (1958).

    A slope under 1 is of probabilities that are too extreme; an intercept above 0 of ones that are too low. Intervals
    are Wald's.

    Args:
        positive: (n_items,) bool.
        probabilities: (n_items,) of the positive class.
    """
    odds = logit(np.clip(probabilities, _SMALLEST, 1 - _SMALLEST))
    ones = np.ones((len(odds), 1))
    z = _z(confidence)
    unit = float(odds.std()) if np.ptp(odds) else 1.0  # of scores close together the slope is large, in this unit not
    scaled = np.column_stack([(odds - odds.mean()) / unit, ones])
    return {
        "calibration_slope": _fitted(scaled, np.zeros(len(odds)), positive, z, unit),
        "calibration_intercept": _fitted(ones, odds, positive, z),
    }


def _fitted(design: Floats, offset: Floats, positive: Bools, z: float, unit: float = 1.0) -> Estimate:
    """The first coefficient of a logistic regression without penalty, by Newton's method; unit: of its column."""
    if positive.all() or not positive.any():
        return Estimate(None, None, None, "one class in the truth")
    if not design.any(axis=0).all():
        return Estimate(None, None, None, "one probability for all")
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        expected = expit(design @ found + offset)
        information = design.T @ (design * (expected * (1 - expected))[:, None])
        if np.linalg.cond(information) > 1 / _CONVERGED:
            break
        step = np.linalg.solve(information, design.T @ (positive - expected))
        found = found + step
        if np.abs(step).max() < _CONVERGED:
            value, half = float(found[0]) / unit, z * float(np.sqrt(np.linalg.inv(information)[0, 0])) / unit
            return Estimate(value, value - half, value + half)
        if np.abs(found).max() > _LARGEST:
            break
    return Estimate(None, None, None, "the probabilities separate the classes")


def net_benefit(positive: Bools, probabilities: Floats, thresholds: Floats) -> Floats:
    """Net benefit of treating whoever is at or above each threshold probability: Vickers and Elkin (MDM 26, 2006).

    Args:
        positive: (n_items,) bool.
        probabilities: (n_items,) of the positive class; of ones above each threshold, all are treated.
        thresholds: (n_thresholds,) above 0 and below 1.

    Returns:
        (n_thresholds,) true positives an item, less false positives an item times threshold / (1 - threshold).
    """
    treated = probabilities[None, :] >= thresholds[:, None]
    hits, false = (treated & positive).mean(axis=1), (treated & ~positive).mean(axis=1)
    benefit: Floats = hits - false * thresholds / (1 - thresholds)
    return benefit
