from dataclasses import replace
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.voice.cohorts import patients

from evensong.errors import DataError
from evensong.voice.splits import (
    as_table,
    assign_folds,
    choose_counts,
    describe,
    few_trained,
    make_splits,
    refuse_lone,
    undersample,
    uneven_shares,
    uneven_tests,
)

SUBDBS = [1, 3, 5, 9]
SIZES = st.integers(4, 14).flatmap(lambda low: st.tuples(st.integers(low, 40), st.integers(low, 40), st.just(low)))


@pytest.mark.slow
@settings(max_examples=60)
@given(SIZES, st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_make_splits_keeps_every_promise(sizes, seed, random):
    n_positive, n_negative, low = sizes
    labels, n_folds = patients(n_positive, n_negative), min(low, 10)
    splits = make_splits(labels, SUBDBS, n_folds=n_folds, seed=seed)
    tested, validated = [], []
    for fold in range(n_folds):
        here = splits.common[splits.common["fold_iteration"] == fold]
        test = set(here.loc[here["subset"] == "test", "healthCode"])
        val = set(here.loc[here["subset"] == "val", "healthCode"])
        rest = set(splits.control.loc[splits.control["fold_iteration"] == fold, "healthCode"])
        assert len(test) + len(val) == len(here)
        assert test | val | rest == set(labels)
        assert len(test) + len(val) + len(rest) == len(labels)
        assert {labels[patient] for patient in test} == {labels[patient] for patient in val} == {0, 1}
        for k in SUBDBS:
            train = list(splits.train[k].loc[splits.train[k]["fold_iteration"] == fold, "healthCode"])
            assert len(set(train)) == len(train)
            assert set(train) <= rest
            kept = (sum(labels[patient] for patient in train), sum(1 - labels[patient] for patient in train))
            assert kept == choose_counts(sum(labels[patient] for patient in rest), sum(1 - labels[p] for p in rest), k)
        tested.append(test)
        validated.append(val)
    assert sorted(patient for test in tested for patient in test) == sorted(labels)
    assert validated == [tested[(fold + 1) % n_folds] for fold in range(n_folds)]
    sizes_by_fold = [len(test) for test in tested]
    positives_by_fold = [sum(labels[patient] for patient in test) for test in tested]
    assert max(sizes_by_fold) - min(sizes_by_fold) <= 1
    assert max(positives_by_fold) - min(positives_by_fold) <= 1
    shuffled = list(labels)
    random.shuffle(shuffled)
    again = make_splits({patient: labels[patient] for patient in shuffled}, SUBDBS, n_folds=n_folds, seed=seed)
    assert again.common.equals(splits.common)
    assert all(again.train[k].equals(splits.train[k]) for k in SUBDBS)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 9))
def test_choose_counts_is_the_nearest_share_with_one_class_whole(n_positive, n_negative, k):
    kept = choose_counts(n_positive, n_negative, k)

    def key(counts):
        return abs(Fraction(counts[0], sum(counts)) - Fraction(k, 10)), -sum(counts)

    if Fraction(n_positive, n_positive + n_negative) > Fraction(k, 10):
        others = [(count, n_negative) for count in range(1, n_positive + 1)]
    else:
        others = [(n_positive, count) for count in range(1, n_negative + 1)]
    assert key(kept) == min(map(key, others))


@pytest.mark.parametrize(
    ("n_positive", "n_negative", "k", "kept"),
    [
        (16, 48, 1, (5, 48)),  # 5/53 = 9.4 %, 6/54 = 11.1 %
        (16, 48, 3, (16, 37)),  # 16/53 = 30.2 %
        (16, 48, 5, (16, 16)),
        (16, 48, 9, (16, 2)),  # 16/18 = 88.9 %
        (25, 75, 2, (19, 75)),  # 19/94 = 20.2 %, 18/93 = 19.4 %
        (10, 90, 1, (10, 90)),
        (2, 60, 9, (2, 1)),
        (1, 1, 1, (1, 1)),
    ],
)
def test_choose_counts_worked_by_hand(n_positive, n_negative, k, kept):
    assert choose_counts(n_positive, n_negative, k) == kept


def test_sub_databases_do_not_depend_on_which_others_are_made():
    labels = patients(12, 30)
    alone = make_splits(labels, [5], n_folds=6, seed=1).train[5]
    assert make_splits(labels, [9, 5, 1], n_folds=6, seed=1).train[5].equals(alone)


def test_draws_differ_between_seeds_folds_and_sub_databases():
    labels = patients(5, 60)
    draws = {
        tuple(undersample(labels, k, fold=fold, seed=seed))
        for k, fold, seed in [(5, 0, 1), (5, 1, 1), (5, 0, 2), (4, 0, 1)]
    }
    assert len(draws) == 4
    folds = [assign_folds(labels, n_folds=5, seed=seed) for seed in range(3)]
    assert folds[0] != folds[1] != folds[2]


def spread(folds, n_folds):
    sizes = [folds.count(fold) for fold in range(n_folds)]
    return max(sizes) - min(sizes)


@given(st.integers(0, 70), st.integers(0, 70), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_folds_differ_by_one_patient_at_most_and_by_one_of_each_class(n_positive, n_negative, n_folds, seed):
    labels = patients(n_positive, n_negative)
    folds = assign_folds(labels, n_folds=n_folds, seed=seed)
    assert set(folds) == set(labels)
    assert spread(list(folds.values()), n_folds) <= 1
    for label in (0, 1):
        assert spread([fold for patient, fold in folds.items() if labels[patient] == label], n_folds) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("n_patients", "most"), [(36, 0.08), (400, 0.015)])
def test_one_patient_more_leaves_nearly_all_others_in_their_fold(n_patients, most):
    moved = []
    for seed in range(40):
        labels = patients(n_patients // 3 + seed % 5, n_patients - n_patients // 3 - seed % 5)
        before = assign_folds(labels, n_folds=10, seed=seed)
        after = assign_folds(labels | {"one more": seed % 2}, n_folds=10, seed=seed)
        moved.append(sum(after[patient] != fold for patient, fold in before.items()))
    assert sum(moved) / len(moved) < most * n_patients  # dealt like cards, half of them moved


@given(st.integers(4, 12), st.integers(4, 12), st.integers(3, 20))
def test_make_splits_says_which_number_of_folds_would_work(n_positive, n_negative, n_folds):
    smaller = min(n_positive, n_negative)
    assume(smaller < n_folds)
    with pytest.raises(DataError, match=f"set voice.splits.n_folds to {smaller} or less"):
        make_splits(patients(n_positive, n_negative), [1], n_folds=n_folds, seed=1)
    make_splits(patients(n_positive, n_negative), [1], n_folds=smaller, seed=1)


def test_make_splits_refuses_a_class_of_three_and_asks_for_the_ids_only_where_few_have_a_recording():
    with pytest.raises(DataError, match=r"fewer than four.*the same people"):
        make_splits(patients(3, 30), [1], n_folds=3, seed=1, n_diagnosed=67)
    with pytest.raises(DataError, match=r"fewer than four.*nearly all of one class") as caught:
        make_splits(patients(3, 30), [1], n_folds=3, seed=1, n_diagnosed=40)
    assert "people" not in str(caught.value)


def test_a_training_list_s_name_gives_the_shares_of_both_labels():
    assert make_splits(patients(4, 4), [1, 3, 9], n_folds=3, seed=1).file_names == {
        1: "subdb1_train_90_10.csv",
        3: "subdb3_train_70_30.csv",
        9: "subdb9_train_10_90.csv",
    }


ID = "00000000-0000-4000"


def test_uneven_tests_says_who_is_tested_twice_or_never():
    splits = make_splits(patients(9, 9), [5], n_folds=3, seed=1)
    assert uneven_tests(splits) == []
    tested = splits.common[splits.common["subset"] == "test"]
    once = tested[tested["fold_iteration"] == 0]
    common = pd.concat([once, once.assign(fold_iteration=1)])
    assert uneven_tests(replace(splits, common=common)) == ["6 patients are tested in several folds, 12 in none"]


def test_a_list_with_another_share_than_its_name_is_told():
    labels = patients(60, 60)
    splits = make_splits(labels, [3, 5], n_folds=4, seed=1)
    assert describe(splits, labels, is_given=False) == ["made: 4 folds of 120 patients for 2 sub-databases"]
    swapped = replace(splits, train={3: splits.train[5], 5: splits.train[5]})
    _, note = describe(swapped, labels, is_given=True)
    assert note == "NOTE: sub-database 3 trains on 50.0% positives, subdb3_train_70_30.csv says 30%"
    assert ID not in note


def test_a_share_that_few_positives_cannot_reach_is_told():
    # four folds of one positive and three others, two of them for training: 2 and 6, of whom 1 and 6 are kept
    labels = patients(4, 12)
    notes = uneven_shares(make_splits(labels, [1, 5], n_folds=4, seed=1), labels)
    assert notes == ["sub-database 1 trains on 14.3% positives, subdb1_train_90_10.csv says 10%"]


def test_sub_databases_with_few_training_patients_of_a_class_are_told_without_their_number():
    # ten folds of 2 positives and 6 others: 16 and 48 train; kept are (5, 48), (16, 16), (16, 7), (16, 2)
    labels = patients(20, 60)
    splits = make_splits(labels, [1, 5, 7, 9], n_folds=10, seed=1)
    (note,) = few_trained(splits, labels)
    assert note.startswith("sub-database(s) 1, 7, 9: fewer than ten patients of a class train in a fold")
    refuse_lone(splits, labels)
    assert few_trained(make_splits(patients(60, 60), [5], n_folds=10, seed=1), patients(60, 60)) == []


def test_a_single_training_patient_of_a_class_is_refused_with_what_would_help():
    # in three folds of 2, 1 and 1 positives, one fold trains on a single one; in four of one each, every fold on two
    labels = patients(4, 30)
    splits = make_splits(labels, [1, 5], n_folds=3, seed=1)
    with pytest.raises(DataError, match=r"sub-database\(s\) 1, 5: .*raise voice.splits.n_folds") as caught:
        refuse_lone(splits, labels)
    assert ID not in str(caught.value)
    refuse_lone(make_splits(labels, [1, 5], n_folds=4, seed=1), labels)
    for known in (dict.fromkeys(labels, 1), {}):  # one class only, and lists of strangers
        with pytest.raises(DataError, match="fewer than two"):
            refuse_lone(splits, known)


@pytest.mark.parametrize("name", ["subdb3_train_50_50.csv", "subdb3_train_1_1.csv"])
def test_the_name_s_shares_count_relative_to_each_other(name):
    labels = patients(4, 4) | {"unlabelled": None}
    rows = [(fold, patient, "train") for fold in range(3) for patient in labels]
    splits = replace(
        make_splits(patients(4, 4), [3], n_folds=3, seed=1), train={3: as_table(rows)}, file_names={3: name}
    )
    assert uneven_shares(splits, labels) == []


@pytest.mark.slow
@given(st.integers(10, 40), st.integers(10, 40), st.integers(3, 9))
def test_made_lists_are_told_only_where_few_patients_make_the_share_coarse(n_positive, n_negative, n_folds):
    labels = patients(n_positive, n_negative)
    splits = make_splits(labels, list(range(1, 10)), n_folds=n_folds, seed=1)
    told = {int(note.split()[1]) for note in uneven_shares(splits, labels)}
    for k, table in splits.train.items():
        smallest = table["healthCode"].map(labels).groupby(table["fold_iteration"]).agg(lambda own: len(own)).min()
        if 0.5 / smallest < 0.02:  # one patient more or less moves the share by under two points
            assert k not in told
