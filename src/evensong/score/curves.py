"""Scores in, small tables of curves out: ROC, precision-recall and calibration, thin enough for git.

Every row holds what its figure says and shows of the curve: a label with the area, and a colour. Chance is a curve too.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from evensong.score import palette
from evensong.score.predictions import HISTORY_COLUMNS
from evensong.score.probability_scores import auroc, average_precision, calibration
from evensong.score.scores import Bools, Floats, Ints

MAX_POINTS = 100  # of one curve in a plot table
_DIGITS = 5

Points = tuple[Floats, Floats]


class Ranking(NamedTuple):
    """What a curve is drawn of: the truth, the scores that rank the items, and the curve's colour."""

    positive: Bools
    scores: Floats
    colour: str


def roc_points(positive: Bools, scores: Floats) -> Points:
    """False and true positive rates at each distinct score, ascending from (0, 0) to (1, 1)."""
    from sklearn.metrics import roc_curve  # most of a second, for those who draw

    false_rate, true_rate, _ = roc_curve(positive, scores, drop_intermediate=False)
    return false_rate, true_rate


def pr_points(positive: Bools, scores: Floats) -> Points:
    """Recall, ascending, and precision at each distinct score, without the end at recall 0 that has no items."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(positive, scores)
    return recall[-2::-1], precision[-2::-1]


def roc_table(rankings: Mapping[str, Ranking], min_class: int = 1, others: Collection[str] = ()) -> pd.DataFrame:
    """ROC curves and the diagonal as rows curve, label, colour, point, fpr, tpr.

    Args:
        min_class: curves with fewer items of the rarer class are left out.
        others: curves that are drawn as one, their mean.
    """
    kept = {name: one for name, one in rankings.items() if _rarer(one.positive) >= min_class}
    return _curve_table(kept, others, roc_points, auroc, ("fpr", "tpr"), ((0, 1), (0, 1), 0.5))


def pr_table(rankings: Mapping[str, Ranking], min_class: int = 1, others: Collection[str] = ()) -> pd.DataFrame:
    """Precision-recall curves and the mean prevalence as rows curve, label, ..., recall, precision; as `roc_table`."""
    kept = {name: one for name, one in rankings.items() if _rarer(one.positive) >= min_class}
    prevalence = float(np.mean([one.positive.mean() for one in kept.values()])) if kept else 0.0
    chance = ((0, 1), (prevalence, prevalence), prevalence)
    return _curve_table(kept, others, pr_points, average_precision, ("recall", "precision"), chance)


def calibration_table(sources: Mapping[str, tuple[Ints, Floats, str]], min_items: int = 1) -> pd.DataFrame:
    """Reliability as rows curve, label, colour, bin_from, predicted, observed, n.

    Args:
        sources: labels (n_items,), probabilities (n_items, n_classes) and colour by name of the curve.
        min_items: bins with fewer are left out.
    """
    parts = []
    for name, (labels, probabilities, colour) in sources.items():
        bins = calibration(labels, probabilities)
        part = pd.DataFrame({"bin_from": bins.low, "predicted": bins.predicted, "observed": bins.observed})
        part = part.round(_DIGITS).assign(n=bins.n_items)[bins.n_items >= min_items]
        parts.append(_named(part, name, name, colour))
    return pd.concat(parts, ignore_index=True)


def training_table(history: pd.DataFrame, max_epochs: int = 60) -> pd.DataFrame:
    """The columns of a history that are compared, sorted by fold and epoch; of too many epochs, evenly spread ones."""
    curves = history[HISTORY_COLUMNS].sort_values(["fold", "epoch"], ignore_index=True)
    last = int(curves["epoch"].max())
    kept = np.unique(np.linspace(1, last, min(max_epochs, last)).round())
    return curves[curves["epoch"].isin(kept)].reset_index(drop=True)


def thin(x: Floats, y: Floats) -> Ints:
    """Indices of at most `MAX_POINTS` points that keep the curve's shape and both its ends.

    Points inside a straight run go first; if too many corners remain, those nearest to equal steps along the
    curve are kept. Of a point that is repeated one is left.
    """
    moved = np.flatnonzero(np.concatenate([[True], (np.diff(x) != 0) | (np.diff(y) != 0)])[: len(x)])
    x, y = x[moved], y[moved]
    turns = np.abs(np.diff(x)[:-1] * np.diff(y)[1:] - np.diff(x)[1:] * np.diff(y)[:-1]) > 1e-15
    corners = np.flatnonzero(np.concatenate([[True], turns, [True]])[: len(x)])
    if len(corners) <= MAX_POINTS:
        return moved[corners]
    along = np.cumsum(np.abs(np.diff(x[corners], prepend=x[0])) + np.abs(np.diff(y[corners], prepend=y[0])))
    wanted = np.linspace(along[0], along[-1], MAX_POINTS)
    nearest = np.clip(np.searchsorted(along, wanted), 0, len(corners) - 1)
    kept: Ints = moved[corners[np.unique(np.concatenate([[0], nearest[1:-1], [len(corners) - 1]]))]]
    return kept


def _curve_table(
    rankings: Mapping[str, Ranking],
    others: Collection[str],
    points_of: Callable[[Bools, Floats], Points],
    area_of: Callable[[Bools, Floats], Floats],
    axes: tuple[str, str],
    chance: tuple[tuple[float, float], tuple[float, float], float],
) -> pd.DataFrame:
    """The curves, the mean of the others, and chance, each with its area in its label."""
    parts, rest, areas = [], [], []
    for name, (positive, scores, colour) in rankings.items():
        points, area = points_of(positive, scores), float(area_of(positive, scores))
        if name in others:
            rest.append(points)
            areas.append(area)
        else:
            parts.append(_curve(name, area, colour, points, axes))
    if rest:
        parts.append(_curve(others_name(len(rest)), float(np.mean(areas)), palette.BLACK, _mean(rest), axes))
    if not parts:
        return pd.DataFrame(columns=["curve", "label", "colour", "point", *axes])
    x, y, area = chance
    parts.append(_curve("chance", area, palette.GREY, (np.asarray(x, float), np.asarray(y, float)), axes))
    return pd.concat(parts, ignore_index=True)


def others_name(n_others: int) -> str:
    """What the classes that are not named are called together."""
    return f"{n_others} others (mean)"


def _curve(name: str, area: float, colour: str, points: Points, axes: tuple[str, str]) -> pd.DataFrame:
    kept = thin(*points)
    table = pd.DataFrame(
        {"point": np.arange(len(kept))} | {axis: at[kept] for axis, at in zip(axes, points, strict=True)}
    )
    return _named(table.round(_DIGITS), name, f"{name}, {area:.3f}", colour)


def _named(table: pd.DataFrame, name: str, label: str, colour: str) -> pd.DataFrame:
    return pd.DataFrame({"curve": name, "label": label, "colour": colour}, index=table.index).join(table)


def _mean(curves: list[Points]) -> Points:
    """Mean height of curves over a grid."""
    grid = np.linspace(0, 1, MAX_POINTS + 1)
    return grid, np.mean([np.interp(grid, x, y) for x, y in curves], axis=0)


def _rarer(positive: Bools) -> int:
    """Items of the class that has fewer."""
    return int(min(positive.sum(), (~positive).sum()))
