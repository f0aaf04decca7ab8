from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.voice.split_notes import describe, uneven_shares, uneven_tests
from evensong.voice.splits import as_table, make_splits

ID = "00000000-0000-4000"


def patients(n_positive, n_negative):
    return {f"{ID}-8000-{number:012d}": int(number < n_positive) for number in range(n_positive + n_negative)}


def test_uneven_tests_says_who_is_tested_twice_or_never():
    splits = make_splits(patients(9, 9), [5], n_folds=3, seed=1)
    assert uneven_tests(splits) == ""
    tested = splits.common[splits.common["subset"] == "test"]
    once = tested[tested["fold_iteration"] == 0]
    common = pd.concat([once, once.assign(fold_iteration=1)])
    assert uneven_tests(replace(splits, common=common)) == "6 patients are tested in several folds, 12 in none"


def test_a_list_with_another_share_than_its_name_is_told():
    labels = patients(20, 20)
    splits = make_splits(labels, [3, 5], n_folds=4, seed=1)
    assert describe(splits, labels, is_given=False) == ["made: 4 folds of 40 patients for 2 sub-databases"]
    swapped = replace(splits, train={3: splits.train[5], 5: splits.train[5]})
    _, note = describe(swapped, labels, is_given=True)
    assert note == "NOTE: sub-database 3 trains on 50.0% positives, subdb3_train_70_30.csv says 30%"
    assert ID not in note


def test_a_share_that_few_positives_cannot_reach_is_told():
    # three folds of one positive and 6, 5, 5 others; training in one: 1 of 6, 1 of 6, 1 of 7
    labels = patients(3, 16)
    notes = uneven_shares(make_splits(labels, [1, 5], n_folds=3, seed=1), labels)
    assert notes == ["sub-database 1 trains on 15.9% positives, subdb1_train_90_10.csv says 10%"]


@pytest.mark.parametrize(("name", "is_told"), [("subdb3_train_50_50.csv", False), ("subdb3_train_1_1.csv", False)])
def test_the_name_s_shares_count_relative_to_each_other(name, is_told):
    labels = patients(4, 4) | {"unlabelled": None}
    rows = [(fold, patient, "train") for fold in range(3) for patient in labels]
    splits = replace(
        make_splits(patients(4, 4), [3], n_folds=3, seed=1), train={3: as_table(rows)}, file_names={3: name}
    )
    assert bool(uneven_shares(splits, labels)) == is_told


@given(st.integers(10, 40), st.integers(10, 40), st.integers(3, 9))
def test_made_lists_are_told_only_where_few_patients_make_the_share_coarse(n_positive, n_negative, n_folds):
    labels = patients(n_positive, n_negative)
    splits = make_splits(labels, list(range(1, 10)), n_folds=n_folds, seed=1)
    told = {int(note.split()[1]) for note in uneven_shares(splits, labels)}
    for k, table in splits.train.items():
        smallest = table["healthCode"].map(labels).groupby(table["fold_iteration"]).agg(lambda own: len(own)).min()
        if 0.5 / smallest < 0.02:  # one patient more or less moves the share by under two points
            assert k not in told
