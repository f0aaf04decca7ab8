"""Split settings and the pool -> which sources train, validate and test in every fold."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from evensong.errors import DataError, ParamsError
from evensong.intake.names import some_of
from evensong.keys import digest_of, keyed_hash
from evensong.night.patterns import find_in_names
from evensong.night.split import Split, preset_split, split_groups
from evensong.schemas import NightIndex

SUBSETS = ("train", "val", "test")


class Division(NamedTuple):
    """The whole division of a pool and of the field recordings.

    Attributes:
        split: of the pool's sources.
        part_names: as from `assign_parts`, and shares with them.
        splits: name of its part by source.
        folds: from `fold_table`, with the recordings.
    """

    split: Split
    part_names: list[str]
    shares: np.ndarray
    splits: pd.Series
    folds: pd.DataFrame


def divide(
    pool: pd.DataFrame, recordings: pd.DataFrame, settings: NightIndex, reviewed: Collection[str] = ()
) -> Division:
    """Divide the pool by the settings, and give every recording that no clip comes from a place in the folds.

    Args:
        reviewed: originals that a model chose and a person reviewed. They decide nothing, and where a source has no
            others it trains in every fold.

    Raises:
        DataError: as `assign_parts`, which may raise ParamsError too.
    """
    is_reviewed = pool["original_file"].isin(reviewed)
    split, part_names, shares = assign_parts(pool[~is_reviewed].reset_index(drop=True), settings)
    trained = sorted(set(pool.loc[is_reviewed, "source_id"]) - set(split.parts))
    places = {source: part_names[part] for source, part in split.parts.items()} | dict.fromkeys(trained, "train")
    splits = pd.Series(places)
    folds = fold_table(split, part_names, validation=settings.validation)
    more = [pd.DataFrame({"fold": n, "source_id": trained, "subset": "train"}) for n in folds["fold"].unique()]
    folds = pd.concat([folds, *more], ignore_index=True) if trained else folds
    return Division(split, part_names, shares, splits, place_recordings(folds, recordings, part_names, settings))


def assign_parts(pool: pd.DataFrame, settings: NightIndex) -> tuple[Split, list[str], np.ndarray]:
    """Divide the pool as the settings say: train, val and test, made folds, or preset folds.

    Args:
        pool: one row a pool file.

    Returns:
        The split; the parts' names, SUBSETS for a single split and fold_0, fold_1, ... else; and their wanted shares.

    Raises:
        DataError: the sources cannot be divided so.
        ParamsError: n_folds or validation does not go with the preset folds.
    """
    if settings.fold_pattern is not None:
        return _preset(pool, settings)
    if settings.n_folds == 1:
        shares = np.array([settings.train, settings.val, settings.test])
        return split_groups(pool, shares, part_names=SUBSETS, seed=settings.seed), list(SUBSETS), shares
    names = fold_names(settings.n_folds)
    shares = np.full(settings.n_folds, 1 / settings.n_folds)
    return split_groups(pool, shares, part_names=names, seed=settings.seed), names, shares


def fold_names(n_folds: int) -> list[str]:
    """fold_0, fold_1, ..."""
    return [f"fold_{fold}" for fold in range(n_folds)]


def _preset(pool: pd.DataFrame, settings: NightIndex) -> tuple[Split, list[str], np.ndarray]:
    values = preset_values(sorted(pool["original_file"].unique()), str(settings.fold_pattern))
    order = sorted(set(values.values()), key=lambda value: (int(value) if value.isdecimal() else -1, value))
    n_folds = len(order)
    if n_folds < 2:
        raise DataError(f"night.index.fold_pattern finds the one fold {order[0]!r} in all file names; folds are two")
    if settings.n_folds not in (1, n_folds):
        raise ParamsError(
            f"night.index.n_folds is {settings.n_folds} and fold_pattern finds {n_folds} folds in the file names "
            f"({', '.join(order)}); set n_folds to {n_folds} or 1"
        )
    if n_folds == 2 and settings.validation == "next_fold":
        raise ParamsError("two preset folds leave no training fold with validation: next_fold; use validation: none")
    split = preset_split(pool, values, order=order)
    _refuse_untrained(pool, fold_table(split, fold_names(n_folds), validation=settings.validation))
    return split, fold_names(n_folds), np.full(n_folds, 1 / n_folds)


def _refuse_untrained(pool: pd.DataFrame, folds: pd.DataFrame) -> None:
    """Every class must be in every training set; a test set may lack one, which the balance report shows."""
    trained = folds[folds["subset"] == "train"].merge(pool[["source_id", "class_name"]].drop_duplicates())
    n_folds_of_class = trained.groupby("class_name")["fold"].nunique()
    n_folds = folds["fold"].nunique()
    lacking = [name for name in sorted(pool["class_name"].unique()) if n_folds_of_class.get(name, 0) < n_folds]
    if lacking:
        raise DataError(
            f"class {lacking[0]}: its sources lie in so few preset folds that a fold has none of them to train on; add "
            "clips in other folds, use validation: none, or set night.index.fold_pattern: null"
        )


def preset_values(original_files: Sequence[str], pattern: str) -> dict[str, str]:
    """The preset fold in every original's file name (without its extension).

    Raises:
        DataError: the pattern does not find one in a name.
        ParamsError: the pattern takes too long.
    """
    found = find_in_names("night.index.fold_pattern", pattern, original_files)
    missing = [path for path, value in found.items() if value is None]
    if missing:
        raise DataError(
            f"night.index.fold_pattern {pattern!r} finds no fold in {len(missing)} file names ({some_of(missing)}); "
            "correct the pattern, rename the files, or set fold_pattern: null"
        )
    return {path: value for path, value in found.items() if value is not None}


def enough_sources(
    pool: pd.DataFrame, min_sources: int, reviewed: Collection[str] = ()
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The pool without the classes of fewer sources, and how many sources each of these has.

    Args:
        reviewed: originals that can never be tested, so that their sources do not count.

    Raises:
        DataError: fewer than two classes are left.
    """
    own = pool["source_id"].mask(pool["original_file"].isin(reviewed))
    n_sources = own.groupby(pool["class_name"]).nunique()
    few = {str(name): int(n) for name, n in n_sources[n_sources < min_sources].items()}
    if few and len(n_sources) - len(few) < 2:
        nearest = sorted(few, key=lambda name: (-few[name], name))
        counts = some_of([f"{name} has {few[name]}" for name in nearest])
        raise DataError(
            f"night.index.min_sources {min_sources} leaves {len(n_sources) - len(few)} of {len(n_sources)} classes, as "
            f"{counts}; a classifier needs two: add recordings of other sources, lower it, or, where clips are grouped "
            "too widely, correct night.scan.group_pattern"
        )
    return pool[~pool["class_name"].isin(few)].reset_index(drop=True), few


def place_recordings(
    folds: pd.DataFrame, recordings: pd.DataFrame, part_names: Sequence[str], settings: NightIndex
) -> pd.DataFrame:
    """The fold table with a row a fold for every field recording's source that no clip comes from.

    None of them trains, for there is nothing to train on. In a single split they go to test and val in turns, in folds
    each is tested once; exhaustive ones first, and in an order that their samples decide.

    Args:
        folds: from `fold_table`.
        recordings: source_id, sha256, exhaustive.
    """
    rest = recordings[~recordings["source_id"].isin(folds["source_id"])]
    if rest.empty:
        return folds
    sources = rest.groupby("source_id").agg(sha256=("sha256", digest_of), exhaustive=("exhaustive", "any"))
    keys = {
        str(source): (not row.exhaustive, keyed_hash(settings.seed, "recording", str(row.sha256)), row.sha256)
        for source, row in zip(sources.index, sources.itertuples(), strict=True)
    }
    parts = (2, 1) if tuple(part_names) == SUBSETS else tuple(range(len(part_names)))
    placed = {source: parts[n % len(parts)] for n, source in enumerate(sorted(keys, key=keys.__getitem__))}
    more = fold_table(Split(placed, pd.DataFrame()), part_names, validation=settings.validation)
    return pd.concat([folds, more], ignore_index=True)


def fold_table(split: Split, part_names: Sequence[str], *, validation: str) -> pd.DataFrame:
    """One row a fold and source: fold, source_id, subset (train, val or test), sorted.

    Args:
        part_names: SUBSETS for a single split; else every part is the test set of its own fold.
        validation: ``next_fold`` makes the following fold's sources the validation set, ``none`` makes none.
    """
    sources = sorted(split.parts)
    parts = np.array([split.parts[source] for source in sources])
    if tuple(part_names) == SUBSETS:
        return pd.DataFrame({"fold": 0, "source_id": sources, "subset": np.array(SUBSETS)[parts]})
    n_folds = len(part_names)
    folds = []
    for fold in range(n_folds):
        subset = np.full(len(parts), "train", dtype=object)
        if validation == "next_fold":
            subset[parts == (fold + 1) % n_folds] = "val"
        subset[parts == fold] = "test"
        folds.append(pd.DataFrame({"fold": fold, "source_id": sources, "subset": subset}))
    return pd.concat(folds, ignore_index=True)
