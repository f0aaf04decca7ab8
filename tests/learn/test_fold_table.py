from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from tests.learn.synthetic import fold_table

from evensong.errors import DataError, ParamsError
from evensong.learn.fold_table import check_fold_table, choose_folds, items_of, subset_of

N_ROWS = 24


def _set(table: pd.DataFrame, where: pd.Series, **values: object) -> pd.DataFrame:
    table = table.copy()
    for column, value in values.items():
        table.loc[where, column] = value
    return table


def _item_in_two_subsets(table: pd.DataFrame) -> pd.DataFrame:
    tested = table[(table["fold"] == 1) & (table["subset"] == "test")].head(1)
    return pd.concat([table, tested.assign(subset="train")])


def _group_in_two_subsets(table: pd.DataFrame) -> pd.DataFrame:
    copy = (table["fold"] == 1) & (table["subset"] == "test") & ~table["is_original"]
    return _set(table, copy & (table["row"] == table.loc[copy, "row"].min()), subset="train")


def _repeated(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.head(1)])


def _label_changes(table: pd.DataFrame) -> pd.DataFrame:
    return _set(table, (table["row"] == 0) & (table["fold"] == 2), label=1)


BROKEN: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "item straddles": (_item_in_two_subsets, r"\(item_id\) in two subsets of one fold.*folds \[1\]"),
    "group straddles": (_group_in_two_subsets, r"\(group\) in two subsets of one fold.*folds \[1\]"),
    "item repeated": (_repeated, r"listed twice in one fold \(folds \[0\]\)"),
    "label changes": (_label_changes, "1 items change array, label or group"),
    "no test": (lambda t: t[(t["fold"] != 1) | (t["subset"] != "test")], r"folds \[1\] have no test items"),
    "no train": (lambda t: t[(t["fold"] != 0) | (t["subset"] != "train")], r"folds \[0\] have no train items"),
    "fold missing": (lambda t: t[t["fold"] != 1], r"folds must be 0 to 2 without a gap; missing \[1\]"),
    "label too high": (lambda t: _set(t, t["row"] == 0, label=2), "label outside 0 to 1"),
    "row too high": (lambda t: _set(t, t["row"] == 23, row=24), "outside the 24 stored arrays"),
    "unknown subset": (lambda t: _set(t, t["row"] == 0, subset="valid"), "subset other than train, val, test"),
    "class absent": (
        lambda t: t[(t["fold"] != 2) | (t["subset"] != "train") | (t["label"] == 0)],
        r"training sets of folds \[2\] lack a class \(1 of 2 present\)",
    ),
    "val without originals": (
        lambda t: t[(t["fold"] != 2) | (t["subset"] != "val") | ~t["is_original"]],
        r"folds \[2\] have no original item to validate on",
    ),
    "empty cell": (lambda t: _set(t, t["row"] == 0, group=None), "empty cells"),
    "no column": (lambda t: t.drop(columns="group"), "missing columns group"),
    "nothing": (lambda t: t.head(0), "empty"),
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_fold_table_refused_with_counts_and_without_names(fault: str) -> None:
    breaking, message = BROKEN[fault]
    with pytest.raises(DataError, match=message) as refusal:
        check_fold_table(breaking(fold_table()), 2, N_ROWS)
    assert "item0" not in str(refusal.value)
    assert "group0" not in str(refusal.value)


def test_fold_table_accepted_in_any_row_order() -> None:
    check_fold_table(fold_table().sample(frac=1, random_state=3), 2, N_ROWS)


def test_fold_table_accepted_without_any_validation_set() -> None:
    table = fold_table()
    check_fold_table(table[table["subset"] != "val"], 2, N_ROWS)


def test_one_class_is_refused() -> None:
    table = fold_table()
    with pytest.raises(DataError, match="at least two"):
        check_fold_table(table[table["label"] == 0], 1, N_ROWS)


def test_folds_chosen_from_the_table() -> None:
    assert choose_folds(fold_table(), "all") == [0, 1, 2]
    assert choose_folds(fold_table(), [2, 0]) == [0, 2]
    with pytest.raises(ParamsError, match=r"\[7\] are not in the table, which has 0 to 2"):
        choose_folds(fold_table(), [1, 7])


def test_subset_does_not_depend_on_row_order() -> None:
    table = fold_table()
    one = subset_of(items_of(table, 1, "train"))
    other = subset_of(items_of(table.sample(frac=1, random_state=5), 1, "train"))
    assert one.rows.tolist() == other.rows.tolist()
    assert len(one) == 8  # 12 groups, a third each tested and validated on: 4 groups of 2
    assert one.originals.sum() == 4
    assert np.array_equal(one.labels, other.labels)
