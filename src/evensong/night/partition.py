"""Groups that may span classes -> parts near their shares, by greedy filling, moves and swaps from several starts."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evensong.keys import keyed_hash
from evensong.night.subset_sum import Budget

_STARTS = 8
MAX_CELLS = 50_000_000  # of the tables that one start may evaluate: a few seconds
_CELLS_AT_ONCE = 200_000  # what fits into a core's cache
_TOLERANCE = 1e-9
_MISSING = 1e3  # a part without a class weighs more than any deviation


@dataclass(frozen=True)
class Problem:
    """Groups to assign, all classes at once.

    Attributes:
        files: (n_groups, n_classes) int64.
        originals: (n_groups, n_classes) int64, above 0 exactly where files is.
        shares: (n_parts,) float64, summing to 1.
        keys: (n_groups,) identities that depend on neither names nor order.
    """

    files: np.ndarray
    originals: np.ndarray
    shares: np.ndarray
    keys: tuple[str, ...]


def relative_gap(counts: np.ndarray, shares: np.ndarray) -> float:
    """Sum over parts and classes of the distance between a part's share of the class and the wanted one.

    Args:
        counts: (n_parts, n_classes).
        shares: (n_parts,).
    """
    totals = counts.sum(axis=0)
    return float(np.abs(counts / totals - shares[:, None]).sum())


def part_counts(sizes: np.ndarray, parts: np.ndarray, n_parts: int) -> np.ndarray:
    """(n_parts, n_classes) sums of the (n_groups, n_classes) sizes of the groups in each part."""
    counts = np.zeros((n_parts, sizes.shape[1]), sizes.dtype)
    np.add.at(counts, parts, sizes)
    return counts


def search(problem: Problem, *, seed: int, starts: int = _STARTS) -> np.ndarray:
    """Assign groups to parts; the best of several greedy starts, each improved until no move or swap helps.

    The work is counted, not timed. Where a start would take more than MAX_CELLS, it is left as good as it has become,
    and two starts, one of each kind, have to do.

    Args:
        seed: decides the order in which groups of one size are placed.
        starts: how many orders are tried.

    Returns:
        (n_groups,) int64 part of each group. A part may lack a class where no start could give it one.
    """
    found = []
    for start in range(starts):
        budget = Budget(MAX_CELLS)
        climber = _Climber(problem, seed, start, budget)
        climber.climb()
        found.append((*climber.cost(), start, climber.parts))
        is_perfect = climber.cost()[0] < _TOLERANCE and climber.cost()[1] < _TOLERANCE
        if is_perfect or (start % 2 and budget.left < 0):
            break
    return min(found, key=lambda result: result[:3])[3]


class _Climber:
    """One start: its assignment and the counts that follow from it."""

    def __init__(self, problem: Problem, seed: int, start: int, budget: Budget) -> None:
        self.budget = budget
        self.shares = problem.shares[:, None]
        self.n_parts = len(problem.shares)
        # Two layers: shares of files decide, shares of originals break ties; presence is the class's groups.
        self.layers = [sizes / sizes.sum(axis=0) for sizes in (problem.files, problem.originals)]
        self.presence = (problem.files > 0).astype(np.int64)
        self.order = np.array([keyed_hash(seed, start, key) for key in problem.keys], np.uint64)
        _, self.kinds = np.unique(np.hstack([problem.files, problem.originals]), axis=0, return_inverse=True)
        self.parts = np.full(len(problem.keys), -1, np.int64)
        shape = (self.n_parts, self.presence.shape[1])
        self.sums = [np.zeros(shape), np.zeros(shape)]
        self.members = np.zeros(shape, np.int64)
        if start % 2:
            self._fill_evenly(problem.files)
        else:
            self._fill()

    def _fill(self) -> None:
        """Greedy start: the largest group first, each to the part where the total cost is least after it."""
        for group in np.lexsort((self.order, -self.layers[0].sum(axis=1))):
            add = [self._change(layer, group) for layer in (0, 1)]
            part = np.lexsort((np.round(add[1], 9), np.round(add[0], 9)))[0]
            self._put(group, int(part))

    def _fill_evenly(self, files: np.ndarray) -> None:
        """Greedy start as scikit-learn's: the most one-sided group first, each to where the parts differ least."""
        each_part = np.eye(self.n_parts)[:, :, None]
        self.budget.spend(len(files) * self.n_parts * self.sums[0].size)
        for group in np.lexsort((self.order, -files.std(axis=1))):
            sums = self.sums[0] + each_part * self.layers[0][group]  # (n_parts tried, n_parts, n_classes)
            spread = (sums / self.shares).std(axis=1).mean(axis=1)
            fullness = self.sums[0].sum(axis=1) / self.shares[:, 0]
            self._put(group, int(np.lexsort((np.round(fullness, 9), np.round(spread, 9)))[0]))

    def _change(self, layer: int, group: int) -> np.ndarray:
        """(n_parts,) change of the cost when a group not yet placed goes to each part."""
        size = self.layers[layer][group]
        gap = np.abs(self.sums[layer] + size - self.shares) - np.abs(self.sums[layer] - self.shares)
        change = np.asarray(gap.sum(axis=1))
        if layer == 0:
            change = change - _MISSING * ((self.members == 0) & (self.presence[group] > 0)).sum(axis=1)
        return change

    def _put(self, group: int, part: int) -> None:
        for sign, place in ((-1, int(self.parts[group])), (1, part)):
            if place >= 0:
                for layer in (0, 1):
                    self.sums[layer][place] += sign * self.layers[layer][group]
                self.members[place] += sign * self.presence[group]
        self.parts[group] = part

    def cost(self) -> tuple[float, float]:
        """Relative gaps of files (with a large penalty for each class a part lacks) and of originals."""
        gaps = [float(np.abs(self.sums[layer] - self.shares).sum()) for layer in (0, 1)]
        return round(gaps[0] + _MISSING * int((self.members == 0).sum()), 9), round(gaps[1], 9)

    def climb(self) -> None:
        """Take the best move, or else the first swap found, until neither helps or the budget is used up."""
        while self._move() or any(self._swap(*pair) for pair in combinations(range(self.n_parts), 2)):
            pass

    def _representatives(self, part: int) -> np.ndarray:
        """One group of every kind in a part, in the order of their keys: equal groups are interchangeable."""
        members = np.flatnonzero(self.parts == part)
        members = members[np.argsort(self.order[members], kind="stable")]
        _, at = np.unique(self.kinds[members], return_index=True)
        return np.asarray(members[np.sort(at)])

    def _move(self) -> bool:
        best: tuple[float, float, int, int] | None = None
        for source in range(self.n_parts):
            groups = self._representatives(source)
            for target in range(self.n_parts):
                if target != source and len(groups) and self.budget.spend(len(groups) * self.presence.shape[1]):
                    change = self._pair_change(source, target, groups, None)
                    at = int(np.lexsort((change[1], change[0]))[0])
                    option = (float(change[0][at]), float(change[1][at]), int(groups[at]), target)
                    best = option if best is None or option[:2] < best[:2] else best
        if best is None or not _improves(best[0], best[1]):
            return False
        self._put(best[2], best[3])
        return True

    def _swap(self, left: int, right: int) -> bool:
        ours, theirs = self._representatives(left), self._representatives(right)
        room = max(1, int((_CELLS_AT_ONCE / self.presence.shape[1]) ** 0.5))
        for first, second in _blocks(ours, theirs, room):
            if not self.budget.spend(len(first) * len(second) * self.presence.shape[1]):
                return False
            change = self._pair_change(left, right, first, second)
            at = int(np.lexsort((change[1].ravel(), change[0].ravel()))[0])
            if _improves(float(change[0].ravel()[at]), float(change[1].ravel()[at])):
                row, column = divmod(at, len(second))
                self._put(int(first[row]), right)
                self._put(int(second[column]), left)
                return True
        return False

    def _pair_change(
        self, source: int, target: int, out: np.ndarray, back: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cost changes of both layers when each of `out` goes from source to target (and each of `back` returns)."""
        changes = []
        for layer in (0, 1):
            net = _net(self.layers[layer], out, back)
            change = np.zeros(net.shape[:-1])
            for part, sign in ((source, -1), (target, 1)):
                gap = self.sums[layer][part] - self.shares[part]
                change += (np.abs(gap + sign * net) - np.abs(gap)).sum(axis=-1)
            changes.append(change)
        net_members = _net(self.presence, out, back)
        for part, sign in ((source, -1), (target, 1)):
            lacks = (self.members[part] + sign * net_members == 0).sum(axis=-1) - (self.members[part] == 0).sum()
            changes[0] = changes[0] + _MISSING * lacks
        return np.round(changes[0], 9), np.round(changes[1], 9)


def _improves(file_change: float, original_change: float) -> bool:
    return file_change < -_TOLERANCE or (file_change <= _TOLERANCE / 2 and original_change < -_TOLERANCE)


def _net(sizes: np.ndarray, out: np.ndarray, back: np.ndarray | None) -> np.ndarray:
    """(n_out, n_classes), or (n_out, n_back, n_classes): what leaves a part on balance."""
    return sizes[out] if back is None else np.asarray(sizes[out][:, None] - sizes[back][None])


def _blocks(left: np.ndarray, right: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for row in range(0, len(left), size):
        for column in range(0, len(right), size):
            yield left[row : row + size], right[column : column + size]
