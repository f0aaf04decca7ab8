"""The fold table: which item is trained on, validated on and tested on in which fold. Checked here, cut up here.

One row an item and fold: row (index into the array store), item_id, group (what must not straddle two subsets:
a source recording, a patient), label, is_original, fold, subset.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evensong.errors import DataError, ParamsError

COLUMNS = ("row", "item_id", "group", "label", "is_original", "fold", "subset")
SUBSETS = ("train", "val", "test")


@dataclass(frozen=True)
class Subset:
    """The items of one subset of one fold, in the order of their ids.

    Args:
        rows: (n_items,) int64, index into the array store.
        labels: (n_items,) int64.
        originals: (n_items,) bool, false for augmented copies.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    originals: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)


def check_fold_table(table: pd.DataFrame, n_classes: int, n_rows: int) -> None:
    """Refuse a table that would leak, or that cannot be trained on.

    Messages hold counts and fold numbers only: groups can be patients.

    Args:
        table: the columns of this module's docstring, any row order.
        n_classes: labels are 0 to n_classes - 1.
        n_rows: rows in the array store.

    Raises:
        DataError: the first rule that is broken, and in which folds.
    """
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise DataError(f"fold table: missing columns {', '.join(missing)}")
    if table.empty or table[list(COLUMNS)].isna().any(axis=None):
        raise DataError("fold table: it is empty, or has empty cells")
    _check_values(table, n_classes, n_rows)
    _check_items(table)
    _check_disjoint(table)
    _check_subsets(table, n_classes)


def _check_values(table: pd.DataFrame, n_classes: int, n_rows: int) -> None:
    if n_classes < 2:
        raise DataError(f"fold table: {n_classes} class; a classifier needs at least two")
    _refuse(table, ~table["subset"].isin(SUBSETS), f"with a subset other than {', '.join(SUBSETS)}")
    _refuse(table, ~table["label"].between(0, n_classes - 1), f"with a label outside 0 to {n_classes - 1}")
    _refuse(table, ~table["row"].between(0, n_rows - 1), f"pointing outside the {n_rows} stored arrays")
    folds = {int(fold) for fold in table["fold"].unique()}
    absent = sorted(set(range(max(folds) + 1)) - folds)
    if absent or min(folds) < 0:
        raise DataError(f"fold table: folds must be 0 to {max(folds)} without a gap; missing {absent}")


def _check_items(table: pd.DataFrame) -> None:
    """An item is one array with one label and one group, in every fold."""
    facts = table[["item_id", "row", "label", "group", "is_original"]].drop_duplicates()
    if facts["item_id"].duplicated().any() or facts["row"].duplicated().any():
        n_bad = int((facts["item_id"].duplicated() | facts["row"].duplicated()).sum())
        raise DataError(
            f"fold table: {n_bad} items change array, label or group between rows; each item has one of each, for good"
        )


def _check_disjoint(table: pd.DataFrame) -> None:
    for what in ("item_id", "group"):
        homes = table[["fold", what, "subset"]].drop_duplicates()
        _refuse(homes, homes.duplicated(["fold", what]), f"({what}) in two subsets of one fold: that leaks")
    _refuse(table, table.duplicated(["fold", "item_id"]), "listed twice in one fold")


def _check_subsets(table: pd.DataFrame, n_classes: int) -> None:
    sizes = pd.crosstab(table["fold"], table["subset"]).reindex(columns=list(SUBSETS), fill_value=0)
    for subset in ("train", "test"):
        empty = sizes.index[sizes[subset] == 0].tolist()
        if empty:
            raise DataError(f"fold table: folds {empty} have no {subset} items")
    training = table[table["subset"] == "train"]
    present = training.groupby("fold")["label"].nunique()
    lacking = present.index[present < n_classes].tolist()
    if lacking:
        raise DataError(
            f"fold table: the training sets of folds {lacking} lack a class "
            f"({int(present.min())} of {n_classes} present); every class needs a group to train on"
        )
    originals = table[(table["subset"] == "val") & table["is_original"].astype(bool)].groupby("fold").size()
    without = [int(fold) for fold in sizes.index if fold not in originals.index]
    if without and sizes["val"].any():
        raise DataError(
            f"fold table: folds {without} have no original item to validate on, but other items or folds do"
        )


def _refuse(table: pd.DataFrame, bad: "pd.Series[bool]", what: str) -> None:
    if bad.any():
        folds = sorted({int(fold) for fold in table.loc[bad, "fold"]})
        raise DataError(f"fold table: {int(bad.sum())} rows {what} (folds {folds})")


def choose_folds(table: pd.DataFrame, folds: Literal["all"] | Sequence[int]) -> list[int]:
    """The folds to train, in order.

    Raises:
        ParamsError: a listed fold is not in the table.
    """
    known = sorted(int(fold) for fold in table["fold"].unique())
    if folds == "all":
        return known
    unknown = sorted(set(folds) - set(known))
    if unknown:
        raise ParamsError(
            f"folds in night.train or voice.train: {unknown} are not in the table, which has {known[0]} to {known[-1]}"
        )
    return sorted(folds)


def items_of(table: pd.DataFrame, fold: int, subset: str) -> pd.DataFrame:
    """The items of one subset of one fold, sorted by id, so that the table's row order decides nothing."""
    chosen = table[(table["fold"] == fold) & (table["subset"] == subset)]
    return chosen.sort_values("item_id", kind="stable").reset_index(drop=True)


def predicted(items: pd.DataFrame, probabilities: NDArray[np.float64]) -> pd.DataFrame:
    """Rows of predictions.csv: items with one probability column a class; (n_items, n_classes) in the items' order."""
    named = items[["fold", "subset", "item_id", "group", "is_original", "label"]].astype({"is_original": int})
    return named.assign(**{f"p{label}": probabilities[:, label] for label in range(probabilities.shape[1])})


def subset_of(items: pd.DataFrame) -> Subset:
    """The arrays a trainer needs of the items; ids stay behind."""
    return Subset(
        rows=items["row"].to_numpy(np.int64),
        labels=items["label"].to_numpy(np.int64),
        originals=items["is_original"].to_numpy(np.bool_),
    )
