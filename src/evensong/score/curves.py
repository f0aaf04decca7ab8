"""Scores in, small tables of curves out: ROC, precision-recall and calibration, thin enough for git."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from evensong.score.predictions import HISTORY_COLUMNS
from evensong.score.probability_scores import calibration
from evensong.score.scores import Bools, Floats, Ints

MAX_POINTS = 100  # of one curve in a plot table
_DIGITS = 5

Ranking = tuple[Bools, Floats]  # the truth, and the score that ranks the items


def roc_points(positive: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Corners of the ROC curve, from (0, 0) to (1, 1).

    Args:
        positive: (n_items,) bool, at least one true and one false.
        scores: (n_items,) finite; equal scores make one step.

    Returns:
        False and true positive rates, (n_points,) each, ascending.
    """
    found, chosen = _ranked_counts(positive, scores)
    rejected = chosen - found
    return rejected / rejected[-1], found / found[-1]


def pr_points(positive: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Points of the precision-recall curve, one for each distinct score, from the highest score down.

    Args:
        positive: (n_items,) bool, at least one true.
        scores: (n_items,) finite.

    Returns:
        Recall, ascending, and precision, (n_points,) each.
    """
    found, chosen = _ranked_counts(positive, scores)
    return found[1:] / found[-1], found[1:] / chosen[1:]


def roc_table(rankings: Mapping[str, Ranking], min_class: int = 1) -> pd.DataFrame:
    """ROC curves as rows curve, point, fpr, tpr; a curve with one class in its truth is left out.

    Args:
        min_class: curves with fewer items of the rarer class are left out too.
    """
    curves = {name: roc_points(*ranking) for name, ranking in rankings.items() if _rarer(ranking[0]) >= min_class}
    return _curve_table(curves, "fpr", "tpr")


def pr_table(rankings: Mapping[str, Ranking], min_class: int = 1) -> pd.DataFrame:
    """Precision-recall curves as rows curve, point, recall, precision; as `roc_table`."""
    curves = {name: pr_points(*ranking) for name, ranking in rankings.items() if _rarer(ranking[0]) >= min_class}
    return _curve_table(curves, "recall", "precision")


def calibration_table(sources: Mapping[str, tuple[Ints, Floats]], min_items: int = 1) -> pd.DataFrame:
    """Reliability as rows curve, bin_from, predicted, observed, n.

    Args:
        sources: labels (n_items,) and probabilities (n_items, n_classes) by name of the curve.
        min_items: bins with fewer are left out.
    """
    parts = []
    for name, (labels, probabilities) in sources.items():
        bins = calibration(labels, probabilities)
        part = pd.DataFrame(
            {"curve": name, "bin_from": bins.low, "predicted": bins.predicted, "observed": bins.observed}
        )
        parts.append(part.round(_DIGITS).assign(n=bins.n_items)[bins.n_items >= min_items])
    return pd.concat(parts, ignore_index=True)


def training_table(history: pd.DataFrame, max_epochs: int = 60) -> pd.DataFrame:
    """The columns of a history that are compared, sorted by fold and epoch; of too many epochs, evenly spread ones."""
    curves = history[HISTORY_COLUMNS].sort_values(["fold", "epoch"], ignore_index=True)
    last = int(curves["epoch"].max())
    kept = np.unique(np.linspace(1, last, min(max_epochs, last)).round())
    return curves[curves["epoch"].isin(kept)].reset_index(drop=True)


def thin(x: Floats, y: Floats, n_points: int = MAX_POINTS) -> Ints:
    """Indices of at most ``n_points`` points that keep the curve's shape and both its ends.

    Points inside a straight run go first; if too many corners remain, those nearest to equal steps along the
    curve are kept.
    """
    corners = np.flatnonzero(_is_corner(x, y))
    if len(corners) <= n_points:
        return corners
    along = np.cumsum(np.abs(np.diff(x[corners], prepend=x[0])) + np.abs(np.diff(y[corners], prepend=y[0])))
    wanted = np.linspace(along[0], along[-1], n_points)
    nearest = np.clip(np.searchsorted(along, wanted), 0, len(corners) - 1)
    kept: Ints = corners[np.unique(np.concatenate([[0], nearest[1:-1], [len(corners) - 1]]))]
    return kept


def _curve_table(curves: Mapping[str, tuple[Floats, Floats]], x_name: str, y_name: str) -> pd.DataFrame:
    parts = []
    for name, (x, y) in curves.items():
        kept = thin(x, y)
        part = pd.DataFrame({"curve": name, "point": np.arange(len(kept)), x_name: x[kept], y_name: y[kept]})
        parts.append(part.round(_DIGITS))
    if not parts:
        return pd.DataFrame(columns=["curve", "point", x_name, y_name])
    return pd.concat(parts, ignore_index=True)


def _ranked_counts(positive: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Positives found and items chosen at each distinct score from the highest down, with a leading 0."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    found = np.cumsum(positive[order])[ends]
    return np.concatenate([[0.0], found]), np.concatenate([[0.0], ends + 1.0])


def _rarer(positive: Bools) -> int:
    """Items of the class that has fewer."""
    return int(min(positive.sum(), (~positive).sum()))


def _is_corner(x: Floats, y: Floats) -> Bools:
    if len(x) < 3:
        return np.ones(len(x), dtype=bool)
    dx, dy = np.diff(x), np.diff(y)
    turns = np.abs(dx[:-1] * dy[1:] - dx[1:] * dy[:-1]) > 1e-15
    return np.concatenate([[True], turns, [True]])
