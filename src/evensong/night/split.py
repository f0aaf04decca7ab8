"""Pool files -> a part (split or fold) for every source, whole groups only, as near the shares as can be reached."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from evensong.errors import DataError
from evensong.night.exact import prove
from evensong.keys import digest_of, joined_key, keyed_hash
from evensong.intake.names import counted
from evensong.night.partition import Problem, part_counts, search
from evensong.night.subset_sum import SCALE, Budget, Sizes, Targets, split_exactly

_PARTS_AT_ONCE = 3
_STATES_A_GROUP = 100  # what one group costs besides its states, in states


@dataclass(frozen=True)
class Split:
    """Where every source goes, and how near the wanted shares that is.

    Attributes:
        parts: part number by source id.
        quality: one row a class: class_name, n_sources, gap_files (summed over parts, files away from the wanted
            number), least_gap_files (no assignment of whole groups can be nearer), is_optimal.
    """

    parts: dict[str, int]
    quality: pd.DataFrame


def split_groups(
    pool: pd.DataFrame, shares: Sequence[float] | np.ndarray, *, part_names: Sequence[str], seed: int
) -> Split:
    """Assign whole groups to parts.

    Classes that share no group are solved apart, so adding a class changes no other. Nothing depends on names or on
    the order of the rows: groups are known by the hashes of their originals.

    Args:
        pool: one row a pool file: class_name, source_id, is_augmented, pcm_sha256.
        shares: wanted share of each part, summing to 1.
        part_names: for messages, such as train, val, test.
        seed: decides among equally good assignments.

    Raises:
        DataError: a class cannot be in every part; names it and what would help.
    """
    table = group_table(pool)
    _refuse_small_classes(table, part_names)
    parts: dict[str, int] = {}
    quality: list[pd.DataFrame] = []
    for component in _components(table):
        problem, classes, sources = _problem(component, shares, seed)
        found, is_proved = _solve(problem, seed, Budget())
        _refuse_missing(problem, found, classes, part_names)
        parts |= dict(zip(sources, found.tolist(), strict=True))
        quality.append(_quality(problem, found, classes, is_proved=is_proved))
    return Split(parts, pd.concat(quality, ignore_index=True).sort_values("class_name", ignore_index=True))


def preset_split(pool: pd.DataFrame, values: Mapping[str, str], *, n_parts: int, order: Sequence[str]) -> Split:
    """Take the parts that file names give.

    Args:
        pool: as in `split_groups`, with original_file.
        values: preset fold by original file.
        n_parts: number of distinct values.
        order: the distinct values in fold order.

    Raises:
        DataError: one source has clips in two preset folds.
    """
    fold_of = {value: fold for fold, value in enumerate(order)}
    folds = pool["original_file"].map(values).map(fold_of)
    spread = folds.groupby(pool["source_id"]).nunique()
    if (spread > 1).any():
        torn = sorted(spread.index[spread > 1])
        raise DataError(
            f"{counted(len(torn), 'source')} with clips in two preset folds (such as {torn[0]!r}): a source must "
            "lie in one; correct night.index.fold_pattern or night.scan.group_pattern, or set fold_pattern: null"
        )
    parts = {str(source): int(fold) for source, fold in folds.groupby(pool["source_id"]).first().items()}
    table = group_table(pool)
    shares = np.full(n_parts, 1 / n_parts)
    rows = []
    for class_name, groups in table.groupby("class_name", sort=True):
        problem = Problem(
            groups[["files"]].to_numpy(), groups[["originals"]].to_numpy(), shares, tuple(groups["group_key"])
        )
        found = groups["source_id"].map(parts).to_numpy()
        rows.append(_quality(problem, found, [str(class_name)], is_proved=False))
    return Split(parts, pd.concat(rows, ignore_index=True))


def group_table(pool: pd.DataFrame) -> pd.DataFrame:
    """One row a source and class: source_id, class_name, files, originals, group_key; sorted by group_key."""
    is_original = pool["is_augmented"] == 0
    counted = (
        pool.assign(originals=is_original.astype(np.int64))
        .groupby(["source_id", "class_name"], sort=True)
        .agg(files=("originals", "size"), originals=("originals", "sum"))
        .reset_index()
    )
    keys = pool[is_original].groupby("source_id")["pcm_sha256"].agg(digest_of)
    return counted.assign(group_key=counted["source_id"].map(keys)).sort_values("group_key", ignore_index=True)


def _refuse_small_classes(table: pd.DataFrame, part_names: Sequence[str]) -> None:
    n_sources = table.groupby("class_name", sort=True).size()
    small = n_sources[n_sources < len(part_names)]
    if len(small):
        named = "; ".join(f"class {name}: {counted(n, 'source')}" for name, n in small.items())
        raise DataError(
            f"{named}; {len(part_names)} parts ({', '.join(part_names)}) need one source of every class each, and a "
            "source is never divided: add clips of other sources, ask for fewer parts (night.index.n_folds: 2 with "
            "validation: none needs two sources), take the class out of data/night, or, where clips are grouped too "
            "widely, correct night.scan.group_pattern"
        )


def _components(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows of the table by connected component: classes that share a group, directly or through others."""
    root = {name: name for name in table["class_name"].unique()}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for _, classes in table.groupby("source_id")["class_name"]:
        first, *others = classes
        for other in others:
            root[find(other)] = find(first)
    component = table["class_name"].map({name: find(name) for name in root})
    return [rows for _, rows in table.groupby(component)]


def _problem(
    rows: pd.DataFrame, shares: Sequence[float] | np.ndarray, seed: int
) -> tuple[Problem, list[str], list[str]]:
    """One component in an order that only the seed and the samples decide: its problem, classes and sources."""
    files = rows.pivot(index="group_key", columns="class_name", values="files").fillna(0).astype(np.int64)
    originals = rows.pivot(index="group_key", columns="class_name", values="originals").fillna(0).astype(np.int64)
    class_keys = {str(name): digest_of(members) for name, members in rows.groupby("class_name")["group_key"]}
    classes = sorted(files.columns, key=lambda name: (class_keys[name], tuple(files[name])))
    keys = sorted(files.index, key=lambda key: (keyed_hash(seed, "group", key), key))
    source_of = dict(zip(rows["group_key"], rows["source_id"], strict=True))
    problem = Problem(
        files.loc[keys, classes].to_numpy(),
        originals.loc[keys, classes].to_numpy(),
        np.asarray(shares, np.float64),
        tuple(keys),
    )
    return problem, [str(name) for name in classes], [str(source_of[key]) for key in keys]


def _solve(problem: Problem, seed: int, budget: Budget) -> tuple[np.ndarray, bool]:
    """Parts of the groups, and whether the file counts are proved to be as near as whole groups allow."""
    key = joined_key(seed, digest_of(problem.keys))
    if problem.files.shape[1] > 1:
        return prove(problem, search(problem, seed=seed))
    found = search(problem, seed=seed, starts=1)
    if np.allclose(_gaps(problem, found), _least_gaps(problem)):
        return found, True  # nothing can be nearer, so the exact search is spared
    if len(problem.shares) > _PARTS_AT_ONCE:
        return _improve(problem, found, key, budget), False
    exact = _resolve(problem, np.arange(len(problem.keys)), range(len(problem.shares)), key, budget)
    return (search(problem, seed=seed), False) if exact is None else (exact, True)


def _improve(problem: Problem, parts: np.ndarray, key: str, budget: Budget) -> np.ndarray:
    """Solve two parts at a time exactly, then three, until none can be improved or the budget is used up."""
    parts, least = parts.copy(), _least_gaps(problem)
    for n_parts in (2, _PARTS_AT_ONCE):
        untried = set(combinations(range(len(problem.shares)), n_parts))
        while untried and not np.allclose(_gaps(problem, parts), least):
            some = _furthest_apart(problem, parts, untried)
            members = np.flatnonzero(np.isin(parts, some))
            if not budget.spend(_STATES_A_GROUP * len(members) + len(untried)):
                return parts
            untried.remove(some)
            found = _resolve(problem, members, some, joined_key(key, str(some)), budget)
            trial = parts.copy()
            if found is not None:
                trial[members] = np.asarray(some)[found]
            if _gaps(problem, trial) < _gaps(problem, parts):
                parts = trial
                changed = (others for others in combinations(range(len(problem.shares)), n_parts) if others != some)
                untried |= {others for others in changed if not set(some).isdisjoint(others)}
    return parts


def _furthest_apart(problem: Problem, parts: np.ndarray, choices: Collection[tuple[int, ...]]) -> tuple[int, ...]:
    """The choice of parts with the largest distance between one too full and one too empty."""
    files, originals = (
        (part_counts(sizes, parts, len(problem.shares)) - problem.shares[:, None] * sizes.sum(axis=0))[:, 0].round(6)
        for sizes in (problem.files, problem.originals)
    )
    some = np.array(sorted(choices))
    spread = [np.ptp(excess[some], axis=1).round(6) for excess in (originals, files)]
    return tuple(some[np.lexsort(spread)[-1]].tolist())


def _resolve(problem: Problem, members: np.ndarray, some: Sequence[int], key: str, budget: Budget) -> np.ndarray | None:
    sizes = Sizes(problem.files[members, 0], problem.originals[members, 0])
    shares = np.rint(problem.shares[list(some)] * SCALE).astype(np.int64)
    targets = Targets(shares * int(problem.files.sum()), shares * int(problem.originals.sum()))
    return split_exactly(sizes, targets, key=key, budget=budget)


def _gaps(problem: Problem, parts: np.ndarray) -> tuple[float, float]:
    """Summed distances of files and of originals from the wanted counts, one class."""
    gaps = []
    for sizes in (problem.files, problem.originals):
        counts = part_counts(sizes, parts, len(problem.shares))
        gaps.append(round(float(np.abs(counts - problem.shares[:, None] * sizes.sum(axis=0)).sum()), 6))
    return gaps[0], gaps[1]


def _least_gaps(problem: Problem) -> tuple[float, float]:
    files, originals = problem.files[:, 0], problem.originals[:, 0]
    return (
        least_gap(int(files.sum()), problem.shares, step=int(np.gcd.reduce(files))),
        least_gap(int(originals.sum()), problem.shares, step=int(np.gcd.reduce(originals))),
    )


def least_gap(total: int, shares: np.ndarray, *, step: int) -> float:
    """The least summed distance from the wanted counts when every part holds a multiple of a step.

    A lower bound for whole groups whose sizes all are multiples of the step.

    Args:
        total: sum of the parts, a multiple of step.
        shares: (n_parts,) summing to 1.
    """
    wanted = shares * total / step
    whole = np.floor(np.round(wanted, 9))
    ups = round(total / step - whole.sum())
    part = wanted - whole
    rounded_up = np.argsort(-part, kind="stable")[:ups]
    whole[rounded_up] += 1
    return round(float(np.abs(whole - wanted).sum()) * step, 6)


def _quality(problem: Problem, parts: np.ndarray, classes: Sequence[str], *, is_proved: bool) -> pd.DataFrame:
    counts = part_counts(problem.files, parts, len(problem.shares))
    totals = problem.files.sum(axis=0)
    gaps = np.abs(counts - problem.shares[:, None] * totals).sum(axis=0).round(6)
    least = np.array(
        [
            least_gap(int(totals[column]), problem.shares, step=int(np.gcd.reduce(problem.files[:, column])))
            for column in range(len(classes))
        ]
    )
    return pd.DataFrame(
        {
            "class_name": classes,
            "n_sources": (problem.files > 0).sum(axis=0),
            "gap_files": gaps,
            "least_gap_files": gaps if is_proved else least,
            "is_optimal": is_proved | (gaps <= least + 1e-6),
        }
    )


def _refuse_missing(problem: Problem, parts: np.ndarray, classes: Sequence[str], names: Sequence[str]) -> None:
    present = part_counts((problem.files > 0).astype(np.int64), parts, len(problem.shares))
    if (present == 0).any():
        part, column = np.argwhere(present == 0)[0]
        raise DataError(
            f"class {classes[column]}: no assignment was found that gives {names[part]} a source of it; its sources "
            "are shared with other classes, and a source goes to one part as a whole: add clips of other sources, ask "
            "for fewer folds (night.index.n_folds), or divide the sources more finely (night.scan.group_pattern)"
        )
