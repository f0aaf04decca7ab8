from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.voice.cohorts import make_cohort, tabled

from evensong.errors import DataError, IntegrityError
from evensong.voice.account import count_table, describe, dropped_rows, notes, summarise_tables
from evensong.voice.splits import Splits, as_table, make_splits
from evensong.voice.tables import join_lists, member_tables


@pytest.mark.fault("E17", "E21", "E22", "E23", "E24")
def test_given_rows_that_cannot_be_joined_are_listed_with_a_reason(labels):
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    more = as_table([(0, "nobody", "train"), (1, "blank", "train"), (2, "silent", "train")])
    train = pd.concat([splits.train[5], more])
    given = Splits(splits.common, {5: train}, splits.control, splits.file_names)
    surveyed = labels | {"blank": None, "silent": 1, "extra": 0}
    quarantine = pd.DataFrame(
        [("a.m4a", "quarantined", "Q_TRUNCATED"), (".DS_Store", "ignored", "hidden")],
        columns=["path", "outcome", "reason"],
    )
    cohort = make_cohort(
        dict.fromkeys(labels, 2) | {"blank": 1, "nobody": 1, "extra": 1},
        surveyed,
        duplicates={("p03", 1)},
        quarantine=quarantine,
    )
    _, dropped = tabled(given, cohort)
    found = dropped[["source", "healthCode", "path", "split_list", "fold", "reason", "detail"]]
    assert [tuple(value for value in row if value) for row in found.itertuples(index=False)] == [
        ("patient", "blank", "unlabelled"),
        ("patient", "extra", "not_in_split"),
        ("patient", "silent", "no_image"),
        ("recording", ".DS_Store", "ignored", "hidden"),
        ("recording", "a.m4a", "quarantined", "Q_TRUNCATED"),
        ("recording", "blank", "blank/0.m4a", "unlabelled"),
        ("recording", "extra", "extra/0.m4a", "not_in_split"),
        ("recording", "nobody", "nobody/0.m4a", "no_label"),
        ("recording", "p03", "p03/1.m4a", "duplicate"),
        ("split", "blank", "subdb5", "1", "unlabelled"),
        ("split", "nobody", "subdb5", "0", "no_label"),
        ("split", "silent", "subdb5", "2", "no_image"),
    ]


def test_a_lost_row_breaks_the_accounts(labels):
    cohort = make_cohort(dict.fromkeys(labels, 2), labels)
    joined = join_lists(make_splits(labels, [5], n_folds=3, seed=1), cohort)
    members = member_tables(joined)
    short = {name: table[table["healthCode"] != "p00"] for name, table in members.items()}
    with pytest.raises(IntegrityError, match=r"rows of its \w+ list, but"):
        dropped_rows(joined, short, cohort)
    torn = {name: table.drop(table.index[0]) for name, table in members.items()}
    with pytest.raises(IntegrityError, match="not repeated over all of their images"):
        dropped_rows(joined, torn, cohort)
    unknown = cohort.recordings.iloc[:1].assign(path="more.m4a", status="odd")
    more = replace(cohort, recordings=pd.concat([cohort.recordings, unknown]))
    with pytest.raises(IntegrityError, match="recording rows: 41 listed, but 40 in a table and 0 dropped"):
        dropped_rows(joined, members, more)


def summarise(labels, *, subdbs, n_folds, n_recordings=2, surveyed=None):
    surveyed = surveyed or labels
    cohort = make_cohort(dict.fromkeys(surveyed, n_recordings), surveyed)
    members, dropped = tabled(make_splits(labels, subdbs, n_folds=n_folds, seed=1), cohort)
    return summarise_tables(members, dropped, cohort), count_table(members)


def test_summaries_hold_counts_and_hide_few_patients(labels):
    found, counts = summarise(labels, subdbs=[5], n_folds=3, surveyed=labels | {"u": None})
    assert found["folds"] == 3
    assert found["patients"] == {
        "surveyed": 21,
        "in_tables": 20,
        "positive_in_tables": 6,
        "unlabelled": "withheld",  # one of them is 21 - 20
        "no_image": "withheld",
        "not_in_split": "withheld",
    }
    assert found["recordings"] == {
        **{"listed": 42, "in_tables": 40, "quarantined": 0, "ignored": 0, "duplicate": 0},
        **dict.fromkeys(("no_label", "unlabelled", "not_in_split", "max_recordings"), "withheld"),
    }
    assert found["split_patients_not_used"] == {"no_label": 0, "unlabelled": 0, "no_image": 0}
    assert set(found["train"]["subdb5"].values()) == {"<5"}  # 2 positives and 2 others in each fold
    assert list(counts.columns) == ["subdb", "fold", "subset", "patients", "positives", "recordings"]
    assert set(counts[["patients", "positives", "recordings"]].to_numpy().ravel()) == {"withheld"}


def test_counts_of_large_cells_are_those_of_the_tables():
    labels = {f"p{number:02d}": int(number < 18) for number in range(60)}
    _, counts = summarise(labels, subdbs=[5], n_folds=3)
    cells = counts.set_index(["subdb", "fold", "subset"])
    assert len(cells) == 2 * 3 * 3
    assert tuple(cells.loc[("control", 0, "train")]) == (20, 6, 40)
    assert tuple(cells.loc[("subdb5", 2, "train")]) == (12, 6, 24)
    assert tuple(cells.loc[("subdb5", 1, "test")]) == (20, 6, 40)


def test_positives_are_withheld_everywhere_where_a_cell_would_tell_few():
    # twenty positives and ten folds: two in each test fold would follow from sixteen in training and twenty in all
    labels = {f"p{number:02d}": int(number < 20) for number in range(80)}
    _, counts = summarise(labels, subdbs=[5], n_folds=10, n_recordings=1)
    assert set(counts["positives"]) == {"withheld"}
    assert set(counts.loc[counts["subset"] == "test", "patients"]) == {8}
    assert counts.loc[counts["subdb"] == "control", "recordings"].sum() == 10 * 80


def test_few_of_the_other_class_withhold_the_positives_too():
    labels = {f"p{number:02d}": int(number < 60) for number in range(66)}  # in each test fold 20 of 22
    assert set(summarise(labels, subdbs=[9], n_folds=3)[1]["positives"]) == {"withheld"}


def test_the_control_arm_s_patients_count_as_left_out(labels):
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    extra = as_table([(fold, "extra", "train") for fold in range(3)])
    given = Splits(splits.common, splits.train, pd.concat([splits.control, extra]), splits.file_names)
    surveyed = labels | {"extra": 0}
    _, dropped = tabled(given, make_cohort(dict.fromkeys(surveyed, 1), surveyed))
    assert dropped[["source", "healthCode", "reason"]].to_numpy().tolist() == [
        ["patient", "extra", "not_in_split"],
        ["recording", "extra", "not_in_split"],
    ]


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(4, 60), st.integers(4, 60), st.integers(3, 12), st.integers(0, 6))
def test_no_count_of_few_patients_is_told_or_follows(n_positive, n_negative, n_folds, n_unlabelled):
    labels = {f"p{number:03d}": int(number < n_positive) for number in range(n_positive + n_negative)}
    assume(min(n_positive, n_negative) >= n_folds)
    surveyed = labels | {f"u{number}": None for number in range(n_unlabelled)}
    found, counts = summarise(labels, subdbs=[1, 9], n_folds=n_folds, n_recordings=1, surveyed=surveyed)
    told = counts.replace("withheld", np.nan).astype({"patients": float, "positives": float})
    negatives = told["patients"] - told["positives"]
    for cells in (told["patients"], told["positives"], negatives):
        assert not cells.between(1, 4).any()
        whole = cells.to_numpy().reshape(-1, n_folds, 3).sum(axis=2)  # train, val and test of a fold together
        assert not ((whole >= 1) & (whole <= 4)).any()
    for column in ("patients", "positives", "recordings"):  # a column is told as a whole or not at all
        assert told[column].isna().all() or told[column].notna().all()
    assert (found["patients"]["unlabelled"] == "withheld") == (0 < n_unlabelled < 5)


def test_patients_of_the_lists_that_cannot_be_used_are_counted_and_told(labels):
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    strangers = as_table([(fold, f"nobody{number}", "train") for fold in (0, 2) for number in range(6)])
    given = Splits(splits.common, {5: pd.concat([splits.train[5], strangers])}, splits.control, splits.file_names)
    cohort = make_cohort(dict.fromkeys(labels, 1), labels)
    members, dropped = tabled(given, cohort)
    counts = summarise_tables(members, dropped, cohort)
    assert counts["split_patients_not_used"] == {"no_label": 6, "unlabelled": 0, "no_image": 0}
    assert describe(counts) == [
        "20 of 20 recordings and 20 of 20 patients (6 positive) are in the tables",
        "left out, one by one in combined/dropped.csv: recordings none; patients none",
        "NOTE: patients of the split lists that cannot be used: no_label 6",
    ]


def test_means_are_told_only_where_every_cell_they_average_is_told():
    labels = {f"p{number:02d}": int(number < 18) for number in range(60)}
    found, _ = summarise(labels, subdbs=[1, 5], n_folds=3, surveyed=labels | {"blank": None})
    assert found["train"]["subdb5"] == {"patients_mean": 12, "recordings_mean": 24, "positive_share_mean": 0.5}
    subdb1 = found["train"]["subdb1"]  # 14 others and 2 positives, whom the share would tell
    assert subdb1 == {"patients_mean": 16, "recordings_mean": 32, "positive_share_mean": "<5"}


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 24), st.integers(2, 12))
def test_a_small_cohort_is_tabled_or_refused_with_the_number_that_would_do(n_positive, n_negative, n_folds):
    labels = {f"p{number:02d}": int(number < n_positive) for number in range(n_positive + n_negative)}
    smaller = min(n_positive, n_negative)
    if n_folds < 3:
        reason = "n_folds is 2, but .* set it to 3 or more"
    elif smaller < 4:
        reason = "one of the two classes has fewer than four; training needs two, validation and test one each"
    elif smaller < n_folds:
        reason = rf"set voice.splits.n_folds to {smaller} or less \(at least 3\)"
    else:
        found, counts = summarise(labels, subdbs=[1, 9], n_folds=n_folds)
        assert found["recordings"]["in_tables"] == 2 * len(labels)
        assert len(counts) == 3 * n_folds * 3
        return
    with pytest.raises(DataError, match=reason):
        make_splits(labels, [1, 9], n_folds=n_folds, seed=1)


def member(counts, labels, n_folds=3):
    """Training rows of every patient in every fold, so many recordings each."""
    rows = [
        (patient, f"r{place}", "audio", labels[patient], fold, "train")
        for fold in range(n_folds)
        for patient, count in counts.items()
        for place in range(count)
    ]
    return pd.DataFrame(rows, columns=["healthCode", "record_id", "column_id", "label", "fold", "subset"])


def recordings_of(table, kind_of):
    used = table.drop_duplicates(["healthCode", "record_id"])[["healthCode", "record_id", "column_id"]]
    return used.assign(kind=[kind_of(patient) for patient in used["healthCode"]])


LABELS = {f"p{number}": int(number < 5) for number in range(10)}


def test_equal_numbers_of_recordings_of_one_kind_say_nothing():
    table = member(dict.fromkeys(LABELS, 2), LABELS)
    assert notes({"subdb5": table, "control": table}, recordings_of(table, lambda _: "audio")) == []
    assert notes({"subdb5": table}, recordings_of(table, lambda _: "image")) == []


def test_a_patient_with_many_recordings_moves_the_share_that_the_network_sees():
    even, uneven = member(dict.fromkeys(LABELS, 2), LABELS), member({**dict.fromkeys(LABELS, 2), "p0": 12}, LABELS)
    found = notes({"subdb3": even, "subdb5": uneven}, recordings_of(uneven, lambda _: "audio"))
    assert len(found) == 2  # 20 of 30 recordings and 5 of 10 patients; 12 of 20 of class 1
    assert "in subdb5 the share of class 1" in found[0]
    assert found[1].startswith("NOTE: in subdb5 one patient has over 20 % of a class's training recordings")
    assert all("voice.tables.max_recordings" in note and "p0" not in note for note in found)


@pytest.mark.parametrize(
    ("counts", "is_told"),
    [
        ({"p0": 500, "p1": 1, "p2": 1}, True),
        ({"p0": 500, "p1": 1}, True),
        ({"p0": 2, "p1": 2, "p2": 2}, False),  # a third of the class each, as of three people
        ({"p0": 4, "p1": 2, "p2": 2}, False),  # half of it, but only twice as many as most
        ({"p0": 5, "p1": 2, "p2": 2}, True),
        ({f"p{place}": 2 for place in range(20)} | {"p0": 9}, False),  # 9 of 47
        ({f"p{place}": 2 for place in range(20)} | {"p0": 10}, True),  # 10 of 48
    ],
)
def test_one_patient_with_a_large_part_of_a_class_is_told_without_a_number(counts, is_told):
    others = {f"q{place}": 2 for place in range(20)}
    table = member(counts | others, {patient: int(patient[0] == "p") for patient in counts | others})
    found = [
        note for note in notes({"subdb5": table}, recordings_of(table, lambda _: "audio")) if "one patient" in note
    ]
    assert len(found) == is_told
    assert "500" not in "".join(found)


def test_recordings_over_the_cap_are_tested_and_not_trained_on_and_counted(labels):
    cohort = make_cohort(dict.fromkeys(labels, 2) | {"p00": 9}, labels, max_recordings=2)
    members, dropped = tabled(make_splits(labels, [5], n_folds=3, seed=1), cohort)
    assert dropped.empty  # p00 is tested with all nine
    counts = summarise_tables(members, dropped, cohort)
    assert counts["not_trained_on"] == {"patients": "<5", "recordings": "withheld"}
    assert "not trained on, over voice.tables.max_recordings: recordings withheld, of <5 patients" in describe(counts)
    many = make_cohort(dict.fromkeys(labels, 3), labels, max_recordings=2)
    members, dropped = tabled(make_splits(labels, [5], n_folds=3, seed=1), many)
    assert summarise_tables(members, dropped, many)["not_trained_on"] == {"patients": 20, "recordings": 20}


def test_recordings_over_the_cap_that_no_list_tests_are_listed_with_a_reason(labels):
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    train = pd.concat([splits.train[5], as_table([(fold, "more", "train") for fold in range(3)])])
    given = Splits(splits.common, {5: train}, splits.control, splits.file_names)
    cohort = make_cohort(dict.fromkeys(labels, 2) | {"more": 5}, labels | {"more": 1}, max_recordings=3)
    members, dropped = tabled(given, cohort)
    assert (
        dropped[["source", "healthCode", "reason"]].to_numpy().tolist() == [["recording", "more", "max_recordings"]] * 2
    )
    counts = summarise_tables(members, dropped, cohort)["recordings"]
    assert (counts["listed"], counts["in_tables"], counts["max_recordings"]) == (45, 43, "withheld")


def test_a_small_difference_of_the_shares_says_nothing():
    table = member({**dict.fromkeys(LABELS, 2), "p0": 4}, LABELS)  # 12 of 22: 4.5 points
    assert notes({"subdb5": table}, recordings_of(table, lambda _: "audio")) == []


def test_images_that_give_the_class_away_are_told():
    table = member(dict.fromkeys(LABELS, 2), LABELS)
    found = notes({"subdb5": table}, recordings_of(table, lambda patient: "image" if LABELS[patient] else "audio"))
    assert len(found) == 1
    assert "ready-made images" in found[0]
    mixed = recordings_of(table, lambda patient: "image" if patient in ("p0", "p5") else "audio")  # one of each class
    assert notes({"subdb5": table}, mixed) == []
