"""A set of scored items in, every score with its interval out; undefined ones as null with a reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from evensong.score import probability_scores as ranks
from evensong.score import scores
from evensong.score.intervals import Bootstrap
from evensong.score.scores import Floats, Ints
from evensong.score.within_folds import WithinFolds, auroc_within
from evensong.schemas import Evaluate

DIGITS = 6  # of every number written to metrics and summaries
# In simulation every interval of this one lies beside the true value: bins of few items raise the score, and
# resampling raises it once more.
NO_INTERVAL = {"calibration_error": "no interval: resampling biases it upwards"}
BOUNDS = {"mcc": (-1.0, 1.0), "brier": (0.0, 2.0)}  # of the scores that can leave 0 to 1


@dataclass(frozen=True)
class Units:
    """What is scored: clips, sources, images or patients.

    Attributes:
        labels: (n_units,) int64 true class.
        probabilities: (n_units, n_classes) float64.
        predicted: (n_units,) int64 chosen class.
        groups: (n_units,) str, what the bootstrap draws.
        folds: (n_units,) int, whose model scored the unit; None where ranks are compared over all units.
    """

    labels: Ints
    probabilities: Floats
    predicted: Ints
    groups: list[str]
    folds: Ints | None = None


ScoreSet: TypeAlias = Callable[[Units, Floats | None], dict[str, Floats]]


class Estimate(NamedTuple):
    """One score with its interval; ``reason`` says why a part is None."""

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None

    def numbers(self) -> dict[str, float | None]:
        """Value, low and high, rounded."""
        return {"value": rounded(self.value), "low": rounded(self.low), "high": rounded(self.high)}

    def tree(self) -> dict[str, Any]:
        """For JSON: `numbers`, and the reason where one is None."""
        return self.numbers() | ({"reason": self.reason} if self.reason else {})

    def row(self) -> dict[str, Any]:
        """For a table: `numbers`, and the reason, blank where there is none."""
        return self.numbers() | {"reason": self.reason or ""}

    def text(self, sign: str = "") -> str:
        """For people: 0.837 (0.675 to 0.927); with ``+`` every number has its sign."""
        if self.value is None:
            return f"undefined ({self.reason})"
        if self.low is None or self.high is None:
            return f"{self.value:{sign}.3f} (no interval: {self.reason})"
        return f"{self.value:{sign}.3f} ({self.low:{sign}.3f} to {self.high:{sign}.3f})"

    def value_tree(self) -> dict[str, Any]:
        """For JSON: the value alone, and the reason where it is None."""
        return {"value": rounded(self.value)} | ({"reason": self.reason} if self.value is None else {})


@dataclass(frozen=True)
class Scored:
    """Every score of one set of units, as it is and in every draw.

    Attributes:
        points: score by name; NaN where undefined.
        draws: (n_bootstrap,) by name; empty when there are no units.
        influences: (n_units,) by name, of the scores whose variance is known without draws.
        bootstrap: where the draws come from; None when there are no units.
        reason: why rank and class-mean scores are undefined, where they are.
    """

    points: dict[str, float]
    draws: dict[str, Floats]
    influences: dict[str, Floats]
    bootstrap: Bootstrap | None
    reason: str

    def estimate(self, name: str) -> Estimate:
        """One score with its interval."""
        value = self.points[name]
        if self.bootstrap is None or np.isnan(value):
            return Estimate(None, None, None, self.reason)
        if name in NO_INTERVAL:
            return Estimate(value, None, None, NO_INTERVAL[name])
        if name in self.influences:
            return Estimate(value, *self.bootstrap.interval_by_influence(value, self.influences[name]))
        return Estimate(value, *self.bootstrap.interval(value, self.draws[name], BOUNDS.get(name, (0.0, 1.0))))

    def estimates(self) -> dict[str, Estimate]:
        """Every score with its interval."""
        return {name: self.estimate(name) for name in self.points}

    def minus(self, other: "Scored", name: str) -> Estimate:
        """The difference of one score, paired: both sides see the same draws of the same groups.

        Raises:
            ValueError: the two were scored with different bootstraps.
        """
        if self.bootstrap is not other.bootstrap:
            raise ValueError("a paired difference needs both sides scored with one Bootstrap")
        value = self.points[name] - other.points[name]
        if self.bootstrap is None or np.isnan(value):
            return Estimate(None, None, None, self.reason if np.isnan(self.points[name]) else other.reason)
        if name in NO_INTERVAL:
            return Estimate(value, None, None, NO_INTERVAL[name])
        if name in self.influences:
            influence = self.influences[name] - other.influences[name]
            return Estimate(value, *self.bootstrap.difference_by_influence(value, influence))
        return Estimate(value, *self.bootstrap.difference_interval(value, self.draws[name] - other.draws[name]))

    def between(self, name: str, other: str) -> Estimate:
        """One score minus another of the same units, paired; both must be known without draws."""
        value = self.points[name] - self.points[other]
        if self.bootstrap is None or np.isnan(value):
            return Estimate(None, None, None, self.reason)
        influence = self.influences[name] - self.influences[other]
        return Estimate(value, *self.bootstrap.difference_by_influence(value, influence))


def multiclass_scores(units: Units, weights: Floats | None = None) -> dict[str, Floats]:
    """The night track's scores; means over classes run over those present in the truth (of each draw)."""
    labels, probabilities = units.labels, units.probabilities
    return _label_scores(units, weights) | {
        "auroc": ranks.macro_auroc(labels, probabilities, weights),
        "auprc": ranks.macro_average_precision(labels, probabilities, weights),
        "brier": ranks.brier(labels, probabilities, weights),
        "calibration_error": ranks.calibration_error(labels, probabilities, weights),
    }


def binary_scores(units: Units, weights: Floats | None = None) -> dict[str, Floats]:
    """The voice track's scores; class 1 is positive. The two of `aurocs_of` have no draws."""
    labels, probabilities = units.labels, units.probabilities
    recall = scores.class_recall(scores.confusion(labels, units.predicted, 2, weights))
    ranked = {} if weights is not None else {name: np.asarray(one.value) for name, one in aurocs_of(units).items()}
    return (
        ranked
        | _label_scores(units, weights)
        | {
            "auprc": ranks.average_precision(labels == 1, probabilities[:, 1], weights),
            "sensitivity": recall[..., 1],
            "specificity": recall[..., 0],
            "brier": ranks.brier(labels, probabilities, weights),
            "calibration_error": ranks.calibration_error(labels, probabilities, weights),
        }
    )


def aurocs_of(units: Units) -> dict[str, WithinFolds]:
    """AUROC within folds, and pooled over them; none where the units have no folds."""
    if units.folds is None:
        return {}
    positive, scored = units.labels == 1, units.probabilities[:, 1]
    return {
        "auroc": auroc_within(positive, scored, units.folds),
        "auroc_pooled": auroc_within(positive, scored, np.zeros(len(scored), np.int64)),
    }


def make_bootstrap(units: Units, settings: Evaluate, label: str) -> Bootstrap | None:
    """The draws for a set of units; None when there are none."""
    return Bootstrap(units.groups, units.labels, settings, label) if len(units.labels) else None


def score(units: Units, score_set: ScoreSet, bootstrap: Bootstrap | None) -> Scored:
    """Evaluate a score set on units and on every draw.

    Args:
        bootstrap: made from the groups of these very units, in their order.
    """
    if bootstrap is None:
        names = score_set(_one_unit(units), None)
        return Scored({name: float("nan") for name in names}, {}, {}, None, "no items")
    points = {name: float(value) for name, value in score_set(units, None).items()}
    draws = bootstrap.draws(lambda weights: score_set(units, weights))
    reason = "one class in the truth" if len(np.unique(units.labels)) < 2 else "no fold holds both classes"
    influences = {name: one.influence for name, one in aurocs_of(units).items()}
    return Scored(points, draws, influences, bootstrap, reason)


def points_of(units: Units, score_set: ScoreSet) -> dict[str, float | None]:
    """Scores without intervals, None where undefined (no items, or one class in the truth)."""
    if not len(units.labels):
        return dict.fromkeys(score_set(_one_unit(units), None))
    return {name: None if np.isnan(value) else float(value) for name, value in score_set(units, None).items()}


def rounded(value: float | None) -> float | None:
    """Six digits after the point, so that an ulp does not show; None stays None."""
    return None if value is None else round(float(value), DIGITS) + 0.0


def trees(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
    """`Estimate.tree` of each."""
    return {name: estimate.tree() for name, estimate in estimates.items()}


def _label_scores(units: Units, weights: Floats | None) -> dict[str, Floats]:
    table = scores.confusion(units.labels, units.predicted, units.probabilities.shape[1], weights)
    return {
        "accuracy": scores.accuracy_from(table),
        "balanced_accuracy": scores.balanced_accuracy_from(table),
        "macro_f1": scores.macro_f1_from(table),
        "mcc": scores.mcc_from(table),
    }


def _one_unit(units: Units) -> Units:
    """A made-up unit, to learn the names of a score set."""
    n_classes = units.probabilities.shape[1]
    folds = None if units.folds is None else np.zeros(1, int)
    return Units(np.zeros(1, int), np.full((1, n_classes), 1 / n_classes), np.zeros(1, int), ["-"], folds)
