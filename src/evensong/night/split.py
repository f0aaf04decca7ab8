"""Pool files -> a part (split or fold) for every source, whole groups only, as near the shares as can be reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from evensong.errors import DataError
from evensong.intake.names import counted
from evensong.keys import digest_of, joined_key, keyed_hash
from evensong.night.partition import Problem, assign


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
        found, is_proved = assign(problem)
        _refuse_missing(problem, found, classes, part_names)
        parts |= dict(zip(sources, found.tolist(), strict=True))
        quality.append(_quality(problem, found, classes, is_proved=is_proved))
    return Split(parts, pd.concat(quality, ignore_index=True).sort_values("class_name", ignore_index=True))


def preset_split(pool: pd.DataFrame, values: Mapping[str, str], *, order: Sequence[str]) -> Split:
    """Take the parts that file names give.

    Args:
        pool: as in `split_groups`, with original_file.
        values: preset fold by original file.
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
    shares = np.full(len(order), 1 / len(order))
    rows = []
    for class_name, groups in table.groupby("class_name"):
        problem, _, sources = _problem(groups, shares, 0)
        found = np.array([parts[source] for source in sources])
        rows.append(_quality(problem, found, [str(class_name)], is_proved=False))
    return Split(parts, pd.concat(rows, ignore_index=True))


def group_table(pool: pd.DataFrame) -> pd.DataFrame:
    """One row a source and class: source_id, class_name, files, originals, group_key; sorted by group_key."""
    is_original = pool["is_augmented"] == 0
    counted = (
        pool.assign(originals=is_original.astype(np.int64))
        .groupby(["source_id", "class_name"])
        .agg(files=("originals", "size"), originals=("originals", "sum"))
        .reset_index()
    )
    keys = pool[is_original].groupby("source_id")["pcm_sha256"].agg(digest_of)
    return counted.assign(group_key=counted["source_id"].map(keys)).sort_values("group_key")


def _refuse_small_classes(table: pd.DataFrame, part_names: Sequence[str]) -> None:
    n_sources = table.groupby("class_name").size()
    small = n_sources[n_sources < len(part_names)]
    if len(small):
        named = "; ".join(f"class {name}: {counted(n, 'source')}" for name, n in small.items())
        raise DataError(
            f"{named}; {len(part_names)} parts ({', '.join(part_names)}) need one source of every class each, and a "
            "source is never divided: add clips of other sources, ask for fewer parts (night.index.n_folds: 2 with "
            f"validation: none needs two sources), leave such classes out (night.index.min_sources: {len(part_names)}) "
            "or, where clips are grouped too widely, correct night.scan.group_pattern"
        )


def _components(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows of the table by connected component: classes that share a group, directly or through others."""
    groups, _ = pd.factorize(table["source_id"])
    classes, names = pd.factorize(table["class_name"])
    linked = coo_array((np.ones(len(table)), (classes, len(names) + groups)), shape=(len(names) + len(table),) * 2)
    _, component = connected_components(linked)
    return [rows for _, rows in table.groupby(component[classes])]


def _problem(
    rows: pd.DataFrame, shares: Sequence[float] | np.ndarray, seed: int
) -> tuple[Problem, list[str], list[str]]:
    """One component in an order that only the seed and the samples decide: its problem, classes and sources."""
    drawn = {key: (keyed_hash(seed, "group", key), key) for key in rows["group_key"].unique()}
    rows = rows.assign(
        group=rows["group_key"].map({key: n for n, key in enumerate(sorted(drawn, key=drawn.__getitem__))})
    )
    by_class = {
        str(name): (digest_of(members["group_key"]), members.sort_values("group")["files"].tolist())
        for name, members in rows.groupby("class_name")
    }
    classes = sorted(by_class, key=by_class.__getitem__)
    rows = rows.assign(label=rows["class_name"].map({name: n for n, name in enumerate(classes)}))
    rows = rows.sort_values(["group", "label"])
    problem = Problem(
        rows["group"].to_numpy(),
        rows["label"].to_numpy(),
        rows[["files", "originals"]].to_numpy(),
        np.asarray(shares, np.float64),
        joined_key(seed, digest_of(drawn)),
    )
    return problem, classes, rows["source_id"].drop_duplicates().tolist()


def _quality(problem: Problem, parts: np.ndarray, classes: Sequence[str], *, is_proved: bool) -> pd.DataFrame:
    gaps = problem.gaps(problem.counts(parts))[:, 0]
    least = problem.least_gaps()[:, 0]
    return pd.DataFrame(
        {
            "class_name": classes,
            "n_sources": np.bincount(problem.classes),
            "gap_files": gaps,
            "least_gap_files": gaps if is_proved else least,
            "is_optimal": is_proved | (gaps <= least + 1e-6),
        }
    )


def _refuse_missing(problem: Problem, parts: np.ndarray, classes: Sequence[str], names: Sequence[str]) -> None:
    lacks = ~problem.counts(parts).any(axis=-1)
    if lacks.any():
        column, part = min(np.argwhere(lacks).tolist())
        raise DataError(
            f"class {classes[column]}: no assignment was found that gives {names[part]} a source of it; its sources "
            "are shared with other classes, and a source goes to one part as a whole: add clips of other sources, ask "
            "for fewer folds (night.index.n_folds), or divide the sources more finely (night.scan.group_pattern)"
        )
