"""One class's own groups -> parts as near the wanted counts as whole groups allow."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evensong.keys import joined_key, keyed_hash

SCALE = 10**9  # shares as integers, so that deviations compare exactly
MAX_WORK = 400_000  # for one class, in states summed over its groups: a tenth of a second
_WORK_A_GROUP = 100  # what one group costs besides its states, in states
_PARTS_AT_ONCE = 3


@dataclass
class Budget:
    """Work that may still be done, counted and not timed: the same answer on a slower machine."""

    left: int = MAX_WORK

    def spend(self, work: int) -> bool:
        """Whether there was enough left."""
        self.left -= work
        return self.left >= 0


@dataclass(frozen=True)
class OwnGroups:
    """The groups that one class has to itself, to be divided among the parts.

    Attributes:
        sizes: (n_groups, 2) int64 files and originals, at least 1 each, in an order that no name decides.
        targets: (n_parts, 2) int64 files and originals that each part still wants, times SCALE.
        lacks: (n_parts,) bool, the parts that must get a group.
        key: decides among equally good assignments.
    """

    sizes: np.ndarray
    targets: np.ndarray
    lacks: np.ndarray
    key: str

    def solve(self, least: np.ndarray) -> tuple[np.ndarray, bool, int]:
        """Divide by filling; where more can be had, two parts at a time, then three. Up to three parts that is exact.

        Args:
            least: (2,) gaps of files and originals that nothing goes below.

        Returns:
            (n_groups,) int64 parts, whether no others are nearer, and the states visited.
        """
        parts, work, n_parts = self.fill(), 0, len(self.targets)
        is_exact = self._is_least(parts, least)
        for n_at_once in range(2, min(_PARTS_AT_ONCE, n_parts) + 1):
            if not is_exact:
                budget = Budget()
                parts = self._improve(n_at_once, parts, least, budget)
                work += MAX_WORK - budget.left
                is_exact = self._is_least(parts, least) or (n_at_once == n_parts and budget.left >= 0)
        return parts, is_exact, work

    def fill(self) -> np.ndarray:
        """The largest group first, each to the part that still wants most; the last ones to parts without any."""
        wants = self.targets.tolist()
        lacking = set(np.flatnonzero(self.lacks).tolist())
        parts = np.zeros(len(self.sizes), np.int64)
        order = np.lexsort((-self.sizes[:, 1], -self.sizes[:, 0])).tolist()
        for n_left, group in zip(range(len(order), 0, -1), order, strict=True):
            part = max(sorted(lacking) if n_left <= len(lacking) else range(len(wants)), key=wants.__getitem__)
            files, originals = self.sizes[group].tolist()
            wants[part] = [wants[part][0] - SCALE * files, wants[part][1] - SCALE * originals]
            lacking.discard(part)
            parts[group] = part
        return parts

    def gaps(self, parts: np.ndarray) -> tuple[int, int]:
        """Distances of files and originals from the targets, summed over the parts, times SCALE."""
        files, originals = np.abs(self._excess(parts)).sum(axis=0).tolist()
        return files, originals

    def _excess(self, parts: np.ndarray) -> np.ndarray:
        excess = -self.targets
        np.add.at(excess, parts, self.sizes * SCALE)
        return excess

    def _is_least(self, parts: np.ndarray, least: np.ndarray) -> bool:
        is_full = set(np.flatnonzero(self.lacks).tolist()) <= set(parts.tolist())
        return is_full and bool((np.array(self.gaps(parts)) / SCALE <= least + 1e-6).all())

    def _improve(self, n_at_once: int, parts: np.ndarray, least: np.ndarray, budget: Budget) -> np.ndarray:
        """Divide the groups of a few parts anew, the furthest apart first, until no choice of parts gets nearer."""
        choices = set(combinations(range(len(self.targets)), n_at_once))
        untried = choices.copy()
        while untried and budget.left >= 0 and not self._is_least(parts, least):
            excess = self._excess(parts)
            some = max(sorted(untried), key=lambda some: np.ptp(excess[list(some)], axis=0).tolist())
            untried.remove(some)
            members = np.flatnonzero(np.isin(parts, some))
            few, key = list(some), joined_key(self.key, *some)
            part_of_it = OwnGroups(self.sizes[members], self.targets[few], self.lacks[few], key)
            trial = parts.copy()
            trial[members] = np.array(some)[part_of_it.divide(np.searchsorted(some, parts[members]), budget)]
            if self.gaps(trial) < self.gaps(parts):
                parts = trial
                untried |= {others for others in choices - {some} if set(others) & set(some)}
        return parts

    def divide(self, parts: np.ndarray, budget: Budget) -> np.ndarray:
        """The parts with the least summed distance of files, then of originals, from the targets.

        Dynamic programming over the reachable (files, originals) of all parts but the last.

        Args:
            parts: (n_groups,) parts to better, which come back where the budget does not last.
            budget: states that may be visited; what is visited is taken from it.
        """
        n_files, n_originals = (int(total) + 1 for total in self.sizes.sum(axis=0))
        powers = [(n_files * n_originals) ** part for part in range(len(self.targets))]
        if powers[-1] >= 2**62 or not np.isin(np.flatnonzero(self.lacks), parts).all():
            budget.spend(MAX_WORK + 1)
            return parts
        # Nothing nearer is fuller anywhere: what one part has too much, others have too little.
        caps = (self.targets[:, 0] + (self._excess(parts)[:, 0].sum() + self.gaps(parts)[0]) // 2) // SCALE + 1
        steps = self.sizes[:, 1] * n_files + self.sizes[:, 0]
        order, seen = np.argsort(-self.sizes[:, 0], kind="stable"), 0
        layers = [np.zeros(1, np.int64)]
        for group in order:
            seen += int(self.sizes[group, 0])
            states = np.concatenate([layers[-1], *(layers[-1] + steps[group] * power for power in powers[:-1])])
            files = [states // power % n_files for power in powers[:-1]]
            fits = [held <= cap for held, cap in zip([*files, seen - sum(files)], caps, strict=True)]
            states = np.sort(states[np.logical_and.reduce(fits)], kind="stable")  # merges sorted pieces
            layers.append(states[np.diff(states, prepend=-1) > 0])
            if not budget.spend(_WORK_A_GROUP + len(layers[-1])):
                return parts
        best = self._best_state(layers[-1], powers[:-1], n_files, n_originals)
        return self._walk_back(best, layers, order, steps, powers[:-1])

    def _best_state(self, states: np.ndarray, powers: list[int], n_files: int, n_originals: int) -> int:
        held = [np.stack([states // power % n_files, states // power // n_files % n_originals]) for power in powers]
        held.append(self.sizes.sum(axis=0)[:, None] - sum(held))
        full = np.logical_and.reduce(
            [(originals > 0) | ~lacks for (_, originals), lacks in zip(held, self.lacks, strict=True)]
        )
        gaps = np.abs(np.stack(held)[..., full] * SCALE - self.targets[..., None]).sum(axis=0)
        mixed = (states[full].astype(np.uint64) + np.uint64(1)) * np.uint64(keyed_hash(self.key, "state") | 1)
        return int(states[full][np.lexsort((mixed, gaps[1], gaps[0]))[0]])

    def _walk_back(
        self, state: int, layers: list[np.ndarray], order: np.ndarray, steps: np.ndarray, powers: list[int]
    ) -> np.ndarray:
        """From the best state to the empty one, through what was reachable before each group."""
        parts = np.zeros(len(order), np.int64)
        weights = [*powers, 0]  # a group of the last part leaves the state as it is
        for before, group in zip(reversed(layers[:-1]), reversed(order.tolist()), strict=True):
            turn = keyed_hash(self.key, "turn", group)
            for part in (*range(turn % len(weights), len(weights)), *range(turn % len(weights))):
                earlier = state - int(steps[group]) * weights[part]
                at = int(np.searchsorted(before, earlier))
                if at < len(before) and before[at] == earlier:
                    parts[group], state = part, earlier
                    break
        return parts
