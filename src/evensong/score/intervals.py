"""Cluster bootstrap: intervals that know that clips of one source, or recordings of one patient, belong together.

Whole groups are drawn with replacement, as many as there are. Every score and every method evaluated with one
`Bootstrap` sees the same draws, so the difference of two scores, draw by draw, is a paired difference.

The draws give a standard error; the interval is built on it. Percentiles of the draws would be simpler, and are too
narrow for few groups and for scores near 0 or 1: bench/interval_coverage.py shows both.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from evensong.keys import keyed_generator
from evensong.score.scores import Floats, Ints
from evensong.schemas import Evaluate

# What the results say of their intervals.
INTERVAL = (
    "Wilson interval with Student's t, for the effective number of items that the bootstrap variance implies; whole "
    "groups are drawn with replacement; it is about these trained models, training anew would add variation"
)
DIFFERENCE = "paired: Student's t times the bootstrap standard error to either side, both sides on the same draws"

BY_FOLD = (
    "DeLong's variance with the pairs of all folds taken together and patients as groups, in Wilson's interval with "
    "Student's t"
)
_TOO_FEW = "fewer than two groups of a class"
_MAX_CHUNK = 1 << 20  # weights held at once, draws times items
_MIN_DEFINED = 0.9  # share of draws in which a score must be defined for it to have an interval
_NO_VARIANCE = 1e-18  # rounding alone stays below this

Statistic = Callable[[Floats], Mapping[str, Floats]]


class Interval(NamedTuple):
    """Both ends None, and the reason, where there is none."""

    low: float | None
    high: float | None
    reason: str | None = None


class Bootstrap:
    """Draws of whole groups for one set of items, and the intervals they lead to.

    Args:
        groups: group of each item; the draws depend on the number of groups and the item weights on these.
        labels: class of each item; only the interval of a score without an error depends on them.
        settings: seed, n_bootstrap and confidence.
        label: what is drawn, such as 'voice'; with the seed and the number of groups it fixes the draws.
            It must not hold the name of a score or method, so that all of them share their draws.
    """

    def __init__(self, groups: Sequence[str], labels: Ints, settings: Evaluate, label: str) -> None:
        self._labels = np.asarray(labels)
        names, self._group_of_item = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
        self.n_groups = len(names)
        self._n_if_certain = _n_if_certain(_groups_by_class(self._group_of_item, labels))
        self._t = float(stdtrit(max(self.n_groups - 1, 1), (1 + settings.confidence) / 2))
        self._counts = _draw_counts(self.n_groups, settings, label)

    def draws(self, statistic: Statistic) -> dict[str, Floats]:
        """Evaluate scores on every draw.

        Args:
            statistic: maps weights (n_draws, n_items) to named scores (n_draws,), NaN where undefined.

        Returns:
            Named scores, (n_bootstrap,) float64 each.
        """
        size = max(1, _MAX_CHUNK // max(1, len(self._group_of_item)))
        parts = [
            statistic(self._counts[start : start + size, self._group_of_item].astype(np.float64))
            for start in range(0, len(self._counts), size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def interval(self, value: float, draws: Floats, bounds: tuple[float, float] = (0.0, 1.0)) -> Interval:
        """Interval of a bounded score: Wilson's, for as many items as the bootstrap variance says there are in effect.

        This is how Korn and Graubard (Survey Methodology 24, 1998) treat proportions from clustered surveys, with
        Wilson's interval (1927) in the place of Clopper and Pearson's. It stays within the bounds, widens towards them
        and does not collapse where a model makes no error: there the number of groups stands in for the variance.

        Args:
            value: the score of all items.
            draws: (n_bootstrap,) the score of each draw, NaN where undefined.
            bounds: smallest and largest value the score can take.
        """
        reason = self._refusal(draws)
        return Interval(None, None, reason) if reason else self._wilson(value, self._variance(draws), bounds)

    def interval_by_influence(self, value: float, influence: Floats) -> Interval:
        """The same interval of a score from 0 to 1, from what each item moves it by instead of from draws.

        Args:
            value: the score of all items.
            influence: (n_items,) as `within_folds.auroc_within` gives it; items of one group move it together.
        """
        variance = self._influence_variance(influence)
        return self._wilson(value, variance, (0.0, 1.0)) if variance is not None else Interval(None, None, _TOO_FEW)

    def difference_by_influence(self, value: float, influence: Floats) -> Interval:
        """The interval of a paired difference, from the difference of both sides' influences."""
        variance = self._influence_variance(influence)
        return self._student(value, variance) if variance is not None else Interval(None, None, _TOO_FEW)

    def _wilson(self, value: float, variance: float, bounds: tuple[float, float]) -> Interval:
        bottom, span = bounds[0], bounds[1] - bounds[0]
        share, variance = (value - bottom) / span, variance / span**2
        has_variance = variance > _NO_VARIANCE and 0 < share < 1
        low, high = wilson(share, share * (1 - share) / variance if has_variance else self._n_if_certain, self._t)
        return Interval(bottom + span * low, bottom + span * high)

    def difference_interval(self, value: float, draws: Floats) -> Interval:
        """Interval of a paired difference: Student's t times the bootstrap standard error to either side.

        Args:
            value: the difference over all items.
            draws: (n_bootstrap,) the difference in each draw, NaN where undefined.
        """
        reason = self._refusal(draws)
        return Interval(None, None, reason) if reason else self._student(value, self._variance(draws))

    def _student(self, value: float, variance: float) -> Interval:
        half = self._t * float(np.sqrt(variance))
        return Interval(value - half, value + half)

    def _influence_variance(self, influence: Floats) -> float | None:
        """Sum over groups of the squared influence, class by class; None where a class has one group."""
        total = 0.0
        for label in np.unique(self._labels):
            rows = self._labels == label
            members, of_item = np.unique(self._group_of_item[rows], return_inverse=True)
            if len(members) < 2:
                return None
            moved = np.bincount(of_item, influence[rows])
            total += float(np.square(moved).sum()) * len(members) / (len(members) - 1)
        return total

    def _refusal(self, draws: Floats) -> str | None:
        if self.n_groups < 2:
            return "fewer than two groups to draw from"
        n_defined = int(np.isfinite(draws).sum())
        if n_defined < _MIN_DEFINED * len(draws):
            return f"undefined in {len(draws) - n_defined} of {len(draws)} draws"
        return None

    def _variance(self, draws: Floats) -> float:
        """Variance over the defined draws; drawing from n groups understates it by (n - 1) / n."""
        return float(draws[np.isfinite(draws)].var(ddof=1)) * self.n_groups / (self.n_groups - 1)


def wilson(share: float, n_items: float, t: float) -> tuple[float, float]:
    """Wilson's interval of a share: all true shares that lie within t standard errors, theirs, of the observed one.

    Args:
        share: 0 to 1.
        n_items: above 0, not necessarily whole.
        t: number of standard errors.

    Returns:
        Two ends within 0 and 1, on either side of the share.
    """
    centre = (share + t**2 / (2 * n_items)) / (1 + t**2 / n_items)
    half = t / (1 + t**2 / n_items) * np.sqrt(share * (1 - share) / n_items + t**2 / (4 * n_items**2))
    return max(0.0, min(share, float(centre - half))), min(1.0, max(share, float(centre + half)))


def _n_if_certain(in_class: Ints) -> int:
    """Items in effect behind a score without an error.

    Two classes: the groups of the rarer one, since sensitivity or specificity rest on nothing else and AUROC on little
    more. More classes: every score is a mean over all of them, each counted as the rarest.
    """
    rarest = int(in_class.min())
    return rarest if len(in_class) <= 2 else rarest * len(in_class)


def _groups_by_class(group_of_item: Ints, labels: Ints) -> Ints:
    """(n_classes,) number of distinct groups that hold each class that is present."""
    pairs = np.unique(np.column_stack([labels, group_of_item]), axis=0)
    counts: Ints = np.unique(pairs[:, 0], return_counts=True)[1]
    return counts


def _draw_counts(n_groups: int, settings: Evaluate, label: str) -> "np.ndarray[tuple[int, int], np.dtype[np.int32]]":
    """(n_draws, n_groups) how often each group is drawn; rows sum to n_groups."""
    rng = keyed_generator(settings.seed, label)
    counts = np.empty((settings.n_bootstrap, n_groups), dtype=np.int32)
    for row in counts:
        row[:] = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)
    return counts
