"""One class's groups -> parts as close to their shares as whole groups allow, found exactly."""

from dataclasses import dataclass

import numpy as np

from evensong.keys import keyed_hash

SCALE = 10**9  # shares as integers, so that deviations compare exactly
MAX_STATES = 2_000_000  # summed over the groups: a second or two


@dataclass
class Budget:
    """Work that may still be done, counted and not timed: the same answer on a slower machine."""

    left: int = MAX_STATES

    def spend(self, work: int) -> bool:
        """Whether there was enough left."""
        self.left -= work
        return self.left >= 0


@dataclass(frozen=True)
class Sizes:
    """Groups of one class.

    Attributes:
        files: (n_groups,) int64, pool files of each group, at least its originals.
        originals: (n_groups,) int64, at least 1.
    """

    files: np.ndarray
    originals: np.ndarray


@dataclass(frozen=True)
class Targets:
    """What each part should hold.

    Attributes:
        files: (n_parts,) int64, wanted files times SCALE.
        originals: (n_parts,) int64, wanted originals times SCALE.
    """

    files: np.ndarray
    originals: np.ndarray


@dataclass(frozen=True)
class _Code:
    """How (originals, files beyond base x originals) of every part but the last are packed in one integer."""

    base: int
    n_extra: int
    radix: int

    def weights(self, sizes: Sizes) -> np.ndarray:
        extra = sizes.files - self.base * sizes.originals
        return np.asarray(sizes.originals * self.n_extra + extra)

    def counts(self, codes: np.ndarray, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Files and originals that a state puts into a part."""
        value = codes // self.radix**part % self.radix
        originals = value // self.n_extra
        return self.base * originals + value % self.n_extra, originals


def split_exactly(sizes: Sizes, targets: Targets, *, key: str, budget: Budget) -> np.ndarray | None:
    """Assign groups to parts with the least summed deviation of files, then of originals.

    Dynamic programming over the reachable (files, originals) of all parts but the last. Every part gets a group.

    Args:
        sizes: groups in an order that does not depend on their names.
        targets: wanted counts, any total.
        key: decides among equally good assignments.
        budget: states that may be visited; what is visited is taken from it.

    Returns:
        (n_groups,) int64 part of each group, or None where the budget does not last.
    """
    base = int((sizes.files // sizes.originals).min())
    n_extra = int((sizes.files - base * sizes.originals).sum()) + 1
    code = _Code(base, n_extra, (int(sizes.originals.sum()) + 1) * n_extra)
    n_free = len(targets.files) - 1
    if len(sizes.files) < n_free + 1 or code.radix**n_free >= 2**62:
        return None
    reached = _reach(sizes, targets, code, budget)
    if reached is None:
        return None
    codes, first = reached
    best = _best_state(codes, sizes, targets, code, key)
    return None if best is None else _walk_back(best, codes, first, code.weights(sizes), code.radix, n_free, key)


def _caps(sizes: Sizes, targets: Targets) -> np.ndarray:
    """Most files a part of a best assignment can hold: one group above its share.

    A group of a fuller part would be better placed in a part that is below its share.
    """
    excess = max(int(sizes.files.sum()) * SCALE - int(targets.files.sum()), 0)
    return np.asarray((targets.files + excess) // SCALE + 1 + int(sizes.files.max()))


def _reach(sizes: Sizes, targets: Targets, code: _Code, budget: Budget) -> tuple[np.ndarray, np.ndarray] | None:
    """Every reachable state (sorted) that may lead to a best one, and the group that first reached it."""
    caps, weights, seen = _caps(sizes, targets), code.weights(sizes), np.cumsum(sizes.files)
    codes, first = np.zeros(1, np.int64), np.full(1, -1, np.int64)
    left_behind = []
    for group, weight in enumerate(weights.tolist()):
        grown = []
        for part in range(len(targets.files) - 1):
            moved = codes + weight * code.radix**part
            grown.append(moved[code.counts(moved, part)[0] <= caps[part]])
        merged = np.sort(np.concatenate(grown), kind="stable")  # sorted pieces, which this sort merges
        found = merged[np.diff(merged, prepend=-1) > 0]
        at = np.searchsorted(codes, found)
        is_new = codes[np.minimum(at, len(codes) - 1)] != found
        codes = np.insert(codes, at[is_new], found[is_new])
        first = np.insert(first, at[is_new], group)
        if not budget.spend(len(codes)):
            return None
        # What is not placed by now is the last part's for good: a state that overfills it leads nowhere.
        placed = sum(code.counts(codes, part)[0] for part in range(len(targets.files) - 1))
        is_open = np.asarray(seen[group] - placed <= caps[-1])
        left_behind.append((codes[~is_open], first[~is_open]))
        codes, first = codes[is_open], first[is_open]
    codes, first = (np.concatenate(arrays) for arrays in zip(*left_behind, (codes, first), strict=True))
    order = np.argsort(codes)
    return codes[order], first[order]


def _best_state(codes: np.ndarray, sizes: Sizes, targets: Targets, code: _Code, key: str) -> int | None:
    n_parts = len(targets.files)
    counts = [code.counts(codes, part) for part in range(n_parts - 1)]
    placed_files = np.asarray(sum(files for files, _ in counts))
    placed_originals = np.asarray(sum(originals for _, originals in counts))
    counts.append((int(sizes.files.sum()) - placed_files, int(sizes.originals.sum()) - placed_originals))
    full = np.logical_and.reduce([originals > 0 for _, originals in counts])
    if not full.any():
        return None
    file_gap = sum(np.abs(files * SCALE - targets.files[part]) for part, (files, _) in enumerate(counts))
    original_gap = sum(np.abs(found * SCALE - targets.originals[part]) for part, (_, found) in enumerate(counts))
    mixed = (codes.astype(np.uint64) + np.uint64(1)) * np.uint64(keyed_hash(key, "state") | 1)
    chosen = np.lexsort((mixed[full], np.asarray(original_gap)[full], np.asarray(file_gap)[full]))[0]
    return int(codes[full][chosen])


def _walk_back(
    state: int, codes: np.ndarray, first: np.ndarray, weights: np.ndarray, radix: int, n_free: int, key: str
) -> np.ndarray:
    """Follow the groups that first reached each state back to the empty one; the rest is the last part's."""
    parts = np.full(len(weights), n_free, np.int64)
    while state:
        group = int(first[np.searchsorted(codes, state)])
        turn = keyed_hash(key, "turn", group)
        for step in range(n_free):
            part = (turn + step) % n_free
            before = state - int(weights[group]) * radix**part
            at = int(np.searchsorted(codes, before)) if before >= 0 else len(codes)
            if at < len(codes) and codes[at] == before and first[at] < group:
                parts[group], state = part, before
                break
        else:
            raise AssertionError("a reached state has no predecessor")
    return parts
