"""Cluster bootstrap: intervals that know that clips of one source, or recordings of one patient, belong together.

Whole groups are drawn with replacement, as many as there are. Every score and every method evaluated with one
`Bootstrap` sees the same draws, so the difference of two scores, draw by draw, is a paired difference.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from evensong.learn.scores import Floats
from evensong.schemas import Evaluate

_MAX_CHUNK = 1 << 20  # weights held at once, draws times items
_MIN_DEFINED = 0.9  # share of draws in which a score must be defined for it to have an interval

Statistic = Callable[[Floats], Mapping[str, Floats]]


class Interval(NamedTuple):
    """A percentile interval; both ends None, and the reason, where there is none."""

    low: float | None
    high: float | None
    reason: str | None = None


class Bootstrap:
    """Draws of whole groups for one set of items.

    Args:
        groups: group of each item; the draws depend on the number of groups and the item weights on these.
        settings: seed, n_bootstrap and confidence.
        label: what is drawn, such as 'voice'; with the seed and the number of groups it fixes the draws.
            It must not hold the name of a score or method, so that all of them share their draws.
    """

    def __init__(self, groups: Sequence[str], settings: Evaluate, label: str) -> None:
        names, self._group_of_item = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
        self.n_groups = len(names)
        self._confidence = settings.confidence
        self._counts = _draw_counts(self.n_groups, settings.n_bootstrap, f"{settings.seed}/{label}")

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

    def interval(self, draws: Floats) -> Interval:
        """Percentile interval of one score's draws at the confidence of the settings."""
        if self.n_groups < 2:
            return Interval(None, None, "fewer than two groups to draw from")
        defined = draws[np.isfinite(draws)]
        if len(defined) < _MIN_DEFINED * len(draws):
            return Interval(None, None, f"undefined in {len(draws) - len(defined)} of {len(draws)} draws")
        tail = (1 - self._confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return Interval(float(low), float(high))


def _draw_counts(n_groups: int, n_draws: int, key: str) -> "np.ndarray[tuple[int, int], np.dtype[np.int32]]":
    """(n_draws, n_groups) how often each group is drawn; rows sum to n_groups."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    rng = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
    counts = np.empty((n_draws, n_groups), dtype=np.int32)
    for row in counts:
        row[:] = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)
    return counts
