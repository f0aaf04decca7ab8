"""Groups -> parts near their shares: a class's own groups by subset sums, groups that span classes by a search."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evensong.keys import joined_key, keyed_hash
from evensong.night.subset_sum import SCALE, Budget, OwnGroups

_MAX_STARTS = 16
_LEAST_WORK, _WORK_AN_ENTRY = 300_000, 100  # of all starts, in entries and states looked at: little, and linear
_WORK_A_LOOK = 200  # what one look costs besides its entries
_TIE = 1e-6  # weight of the originals beside the files
_MISSING = 1e3  # a part without a class weighs more than any deviation
_TOLERANCE = 1e-11


@dataclass(frozen=True)
class Problem:
    """Groups to assign, and the classes they have files of: one entry a group and class, sorted by group.

    Attributes:
        groups: (n_entries,) int64, 0, 1, ... in an order that no name decides.
        classes: (n_entries,) int64, 0, 1, ... likewise.
        sizes: (n_entries, 2) int64, files and originals, at least 1 each.
        shares: (n_parts,) float64, summing to 1.
        key: decides among equally good assignments.
    """

    groups: np.ndarray
    classes: np.ndarray
    sizes: np.ndarray
    shares: np.ndarray
    key: str

    def counts(self, parts: np.ndarray) -> np.ndarray:
        """(n_classes, n_parts, 2) files and originals that an assignment, (n_groups,) parts, gives."""
        counts = np.zeros((int(self.classes.max()) + 1, len(self.shares), 2), np.int64)
        np.add.at(counts, (self.classes, parts[self.groups]), self.sizes)
        return counts

    def gaps(self, counts: np.ndarray) -> np.ndarray:
        """(n_classes, 2) distances of files and originals from the wanted counts, summed over the parts."""
        wanted = self.shares[:, None] * counts.sum(axis=1, keepdims=True)
        return np.asarray(np.abs(counts - wanted).sum(axis=1).round(6))

    def least_gaps(self) -> np.ndarray:
        """(n_classes, 2) gaps that no assignment of whole groups can go below."""
        return np.array(
            [
                [least_gap(int(size.sum()), self.shares, step=int(np.gcd.reduce(size))) for size in self.sizes[at].T]
                for at in self.entries_by_class()
            ]
        )

    def entries_by_class(self) -> list[np.ndarray]:
        """Positions of the entries of every class."""
        order = np.argsort(self.classes, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.classes[order])) + 1)


def least_gap(total: int, shares: np.ndarray, *, step: int) -> float:
    """The least summed distance from the wanted counts when every part holds a multiple of a step.

    A lower bound for whole groups whose sizes all are multiples of the step.

    Args:
        total: sum of the parts, a multiple of step.
        shares: (n_parts,) summing to 1.
    """
    wanted = shares * total / step
    whole = np.floor(np.round(wanted, 9))
    rounded_up = np.argsort(whole - wanted, kind="stable")[: round(total / step - whole.sum())]
    whole[rounded_up] += 1
    return round(float(np.abs(whole - wanted).sum()) * step, 6)


def assign(problem: Problem) -> tuple[np.ndarray, bool]:
    """Assign every group to a part, all classes as near their shares as is found, in work linear in the entries.

    Groups that span classes are placed first and moved by a search, from several starts where that is little work;
    the groups that a class has to itself then fill up what those leave, by subset sums.

    Returns:
        (n_groups,) int64 part of each group; a part may lack a class where no way was found to give it one. And
        whether nothing is nearer in files, which is known where no group spans classes.
    """
    search = _Search(problem)
    best, least_cost = search.parts, np.inf
    work = Budget(search.work)
    for start in range(_MAX_STARTS if len(search.spanning) else 1):
        spent = search.run(start)
        if search.cost() < least_cost - _TOLERANCE:
            best, least_cost = search.parts.copy(), search.cost()
        if not work.spend(spent) or not search.is_open().any():
            break
    return best, search.is_exact


class _Search:
    """An assignment, and the counts that follow from it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.first = np.append(np.flatnonzero(np.diff(problem.groups, prepend=-1)), len(problem.groups))
        n_classes = np.diff(self.first)
        self.spanning = np.flatnonzero(n_classes > 1)
        self.work = max(_LEAST_WORK, _WORK_AN_ENTRY * len(problem.groups))
        self.parts = np.full(len(n_classes), -1, np.int64)
        self.totals = problem.counts(self.parts)[:, -1]  # all in the last part
        self.least = problem.least_gaps()
        entries = problem.entries_by_class()
        self.members = [problem.groups[at] for at in entries]
        self.own = [at[n_classes[problem.groups[at]] == 1] for at in entries]
        self.is_exact = False

    def run(self, start: int) -> int:
        """Make a new assignment, every start in another order; returns the work it took."""
        self.parts[:], self.counts = -1, np.zeros((len(self.totals), len(self.problem.shares), 2), np.int64)
        budget = Budget(self.work)
        self._place(start)
        work = self._settle(range(len(self.totals)))
        while len(self.spanning) and self._climb(start, budget):
            work += self._settle(np.flatnonzero(self.is_open()).tolist())
        return work + self.work - budget.left

    def cost(self) -> float:
        """Distance from the shares over all classes and parts, with a large penalty for each class a part lacks."""
        classes, parts = np.indices(self.counts.shape[:2]).reshape(2, -1)
        return float(self._costs(self.counts[classes, parts], classes, parts).sum())

    def is_open(self) -> np.ndarray:
        """(n_classes,) whether an assignment nearer to the wanted counts may exist."""
        lacks = (self.counts[..., 0] == 0).any(axis=1)
        return np.asarray(lacks | (self.problem.gaps(self.counts) > self.least + 1e-6).any(axis=1))

    def _entries(self, group: int) -> slice:
        return slice(self.first[group], self.first[group + 1])

    def _put(self, group: int, part: int) -> None:
        classes, sizes = self.problem.classes[self._entries(group)], self.problem.sizes[self._entries(group)]
        if self.parts[group] >= 0:
            self.counts[classes, self.parts[group]] -= sizes
        self.counts[classes, part] += sizes
        self.parts[group] = part

    def _place(self, start: int) -> None:
        """Put the groups that span classes, the largest first, each where its classes are emptiest."""
        share = self.problem.sizes[:, 0] / self.totals[self.problem.classes, 0]
        weight = np.add.reduceat(share, self.first[:-1])[self.spanning]
        if start:
            weight *= 1 + self._draws("place", start) / 2.0**64
        for group in self.spanning[np.argsort(-weight, kind="stable")].tolist():
            classes, size = self.problem.classes[self._entries(group)], share[self._entries(group), None]
            held = self.counts[classes, :, 0]
            fullness = (2 * held / self.totals[classes, :1] + size) * size / self.problem.shares
            lacking = (held == 0).sum(axis=0)
            self._put(group, int(np.argmin((fullness.sum(axis=0) - _MISSING * lacking).round(9))))

    def _draws(self, purpose: str, start: int) -> np.ndarray:
        return np.array([keyed_hash(self.problem.key, purpose, start, int(group)) for group in self.spanning])

    def _settle(self, classes: Iterable[int]) -> int:
        """Divide the groups that a class has to itself, given those that span classes; returns the states visited."""
        wanted = np.rint(self.problem.shares * SCALE).astype(np.int64)[:, None]
        work = 0
        for label in classes:
            groups, sizes = self.problem.groups[self.own[label]], self.problem.sizes[self.own[label]]
            if len(groups):
                placed = self.parts[groups] >= 0
                np.subtract.at(self.counts[label], self.parts[groups[placed]], sizes[placed])
                targets = wanted * self.totals[label] - SCALE * self.counts[label]
                key = joined_key(self.problem.key, str(label))
                own = OwnGroups(sizes, targets, self.counts[label, :, 0] == 0, key)
                self.parts[groups], is_exact, states = own.solve(self.least[label])
                np.add.at(self.counts[label], self.parts[groups], sizes)
                self.is_exact = is_exact and not len(self.spanning)
                work += states
        return work

    def _climb(self, start: int, budget: Budget) -> bool:
        """Move groups that span classes, alone or against another, until nothing helps; whether anything did."""
        order = self.spanning[np.argsort(self._draws("climb", start))].tolist()
        helped, n_idle = False, 0
        while n_idle < len(order):
            is_open = self.is_open()
            for group in order:
                if budget.left < 0:
                    return helped
                n_idle += 1
                if is_open[self.problem.classes[self._entries(group)]].any() and self._improve(group, budget):
                    helped, n_idle = True, 0
        return helped

    def _improve(self, group: int, budget: Budget) -> bool:
        """Give a group to another part, if that helps alone or with a group that shares a class coming back."""
        here = int(self.parts[group])
        others = np.delete(np.arange(len(self.problem.shares)), here)
        changes = self._changes(np.full(len(others), group), others, budget)
        if changes.min() < -_TOLERANCE:
            self._put(group, int(others[changes.argmin()]))
            return True
        near = np.unique(np.concatenate([self.members[label] for label in self.problem.classes[self._entries(group)]]))
        for at in np.argsort(changes, kind="stable"):
            partners = near[self.parts[near] == others[at]]
            self._put(group, int(others[at]))
            back = self._changes(partners, np.full(len(partners), here), budget)
            if len(back) and changes[at] + back.min() < -_TOLERANCE:
                self._put(int(partners[back.argmin()]), here)
                return True
            self._put(group, here)
        return False

    def _changes(self, groups: np.ndarray, targets: np.ndarray, budget: Budget) -> np.ndarray:
        """(n,) changes of the cost if each of the groups alone went to its target, which is another part."""
        n_entries = self.first[groups + 1] - self.first[groups]
        owner = np.repeat(np.arange(len(groups)), n_entries)
        entries = np.arange(len(owner)) + np.repeat(self.first[groups] - np.cumsum(n_entries) + n_entries, n_entries)
        budget.spend(_WORK_A_LOOK + len(entries))
        classes, sizes = self.problem.classes[entries], self.problem.sizes[entries]
        change = np.zeros(len(entries))
        for parts, added in ((self.parts[groups][owner], -sizes), (targets[owner], sizes)):
            held = self.counts[classes, parts]
            change += self._costs(held + added, classes, parts) - self._costs(held, classes, parts)
        return np.asarray(np.bincount(owner, change, len(groups)).round(12))

    def _costs(self, counts: np.ndarray, classes: np.ndarray, parts: np.ndarray) -> np.ndarray:
        gaps = np.abs(counts / self.totals[classes] - self.problem.shares[parts][:, None])
        return np.asarray(gaps[:, 0] + _TIE * gaps[:, 1] + _MISSING * (counts[:, 0] == 0))
