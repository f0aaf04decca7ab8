import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evensong.errors import DataError, IntegrityError
from evensong.voice.combine import Cohort, join_lists, member_tables
from evensong.voice.dropped import dropped_rows
from evensong.voice.splits import Splits, as_table, make_splits
from evensong.voice.table_counts import count_table, summarise_tables
from evensong.voice.tables import COMBINED_COLUMNS

EMPTY_QUARANTINE = pd.DataFrame({"path": [], "outcome": [], "reason": []}, dtype=str)


def make_cohort(n_recordings, labels, *, duplicates=(), quarantine=EMPTY_QUARANTINE):
    rows = [
        (
            f"{patient}/{place}.m4a",
            patient,
            f"r{place}",
            "audio_m4a",
            "duplicate" if (patient, place) in duplicates else "used",
        )
        for patient, count in sorted(n_recordings.items())
        for place in range(count)
    ]
    recordings = pd.DataFrame(rows, columns=["path", "healthCode", "record_id", "column_id", "status"])
    used = recordings[recordings["status"] == "used"].reset_index(drop=True)
    images = used[["healthCode", "record_id", "column_id"]].copy()
    images["image_rel_path"] = "artifacts/voice/melSpec/" + used["healthCode"] + "_" + used["record_id"] + ".jpg"
    return Cohort(labels, recordings, quarantine, images)


def run(splits, cohort):
    joined = join_lists(splits, cohort)
    members = member_tables(joined)
    return members, dropped_rows(joined, members, cohort)


@pytest.fixture
def labels():
    return {f"p{number:02d}": int(number < 6) for number in range(20)}


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 3), min_size=20, max_size=20),
    st.sets(st.integers(0, 19), max_size=3),
    st.integers(0, 3),
    st.integers(0, 9),
)
def test_every_patient_is_repeated_over_all_images_in_every_fold(counts, no_image, n_unlabelled, seed):
    labels = {f"p{number:02d}": int(number < 9) for number in range(20)}
    n_recordings = {patient: count for place, (patient, count) in enumerate(zip(labels, counts, strict=True))}
    surveyed = labels | {f"u{number}": None for number in range(n_unlabelled)} | {f"n{n}": 1 for n in no_image}
    n_recordings |= {f"u{number}": 2 for number in range(n_unlabelled)}
    splits = make_splits(labels, [2, 8], n_folds=4, seed=seed)
    members, dropped = run(splits, make_cohort(n_recordings, surveyed))
    for name in ("subdb2", "subdb8", "control"):
        table = members[name]
        assert list(table.columns) == COMBINED_COLUMNS
        train = splits.control if name == "control" else splits.train[int(name[-1])]
        expected = {
            (fold, patient, subset): n_recordings[patient]
            for fold, patient, subset in pd.concat([train, splits.common]).itertuples(index=False)
        }
        assert table.groupby(["fold", "healthCode", "subset"]).size().to_dict() == expected
        assert (table["label"] == table["healthCode"].map(labels)).all()
        assert (table["healthCode"] == table["health_code"]).all()
    assert dropped["reason"].value_counts().to_dict() == {
        key: count for key, count in {"unlabelled": 3 * n_unlabelled, "no_image": len(no_image)}.items() if count
    }


def test_rows_are_sorted_by_fold_then_train_val_test_then_ids(labels):
    table = run(make_splits(labels, [5], n_folds=3, seed=1), make_cohort(dict.fromkeys(labels, 2), labels))[0]["subdb5"]
    place = table["subset"].map({"train": 0, "val": 1, "test": 2})
    keys = list(zip(table["fold"], place, table["healthCode"], table["record_id"], strict=True))
    assert keys == sorted(keys)


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
    _, dropped = run(given, cohort)
    found = dropped[["source", "healthCode", "path", "split_list", "fold", "reason", "detail"]]
    assert [tuple(value for value in row if value) for row in found.itertuples(index=False)] == [
        ("patient", "blank", "unlabelled"),
        ("patient", "extra", "not_in_split"),
        ("patient", "silent", "no_image"),  # E21
        ("recording", ".DS_Store", "ignored", "hidden"),
        ("recording", "a.m4a", "quarantined", "Q_TRUNCATED"),
        ("recording", "blank", "blank/0.m4a", "unlabelled"),
        ("recording", "extra", "extra/0.m4a", "not_in_split"),  # E24
        ("recording", "nobody", "nobody/0.m4a", "no_label"),  # E22
        ("recording", "p03", "p03/1.m4a", "duplicate"),
        ("split", "blank", "subdb5", "1", "unlabelled"),
        ("split", "nobody", "subdb5", "0", "no_label"),
        ("split", "silent", "subdb5", "2", "no_image"),  # E23
    ]


def test_a_fold_that_lost_its_patients_stops_without_an_id(labels):
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    tested = splits.common[(splits.common["fold_iteration"] == 1) & (splits.common["subset"] == "test")]
    recorded = dict.fromkeys(set(labels) - set(tested["healthCode"]), 1)
    with pytest.raises(
        DataError, match="no val patient is left in fold 0; no test patient is left in fold 1"
    ) as caught:
        run(splits, make_cohort(recorded, labels))
    assert "p0" not in str(caught.value)
    one_class = dict.fromkeys([patient for patient in labels if not labels[patient]], 1)
    with pytest.raises(DataError, match="only one class is left to train on in fold 0-2"):
        run(splits, make_cohort(one_class, labels))


@pytest.mark.parametrize("subset", ["test", "val"])
def test_one_class_in_all_test_or_validation_rows_is_refused(labels, subset):
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    is_lost = (splits.common["subset"] == subset) & (splits.common["healthCode"].map(labels) == 1)
    given = Splits(splits.common[~is_lost], splits.train, splits.control, splits.file_names)
    with pytest.raises(DataError, match=f"only one class is left in {subset}, over all folds.*Complete the cohort"):
        run(given, make_cohort(dict.fromkeys(labels, 1), labels))


def test_images_of_another_scan_are_refused(labels):
    cohort = make_cohort(dict.fromkeys(labels, 1), labels)
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    with pytest.raises(IntegrityError, match="20 recordings are used and 19 have an image"):
        run(splits, Cohort(labels, cohort.recordings, cohort.quarantine, cohort.images[1:]))


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


def test_summaries_hold_counts_and_hide_few_patients(labels):
    members, dropped = run(
        make_splits(labels, [5], n_folds=3, seed=1),
        cohort := make_cohort(dict.fromkeys(labels, 2), labels | {"u": None}),
    )
    found = summarise_tables(members, dropped, cohort)
    assert found["folds"] == 3
    assert found["patients"] == {
        "surveyed": 21,
        "in_tables": 20,
        "positive_in_tables": 6,
        "unlabelled": "<5",
        "no_image": 0,
        "not_in_split": 0,
    }
    assert found["recordings"]["in_tables"] == found["recordings"]["listed"] == 40
    assert found["recordings"]["unlabelled"] == 0
    assert set(found["train"]["subdb5"].values()) == {"<5"}  # 2 positives and 2 others in each fold
    counts = count_table(members)
    assert list(counts.columns) == ["subdb", "fold", "subset", "patients", "positives", "recordings"]
    cells = counts[counts["subdb"] == "subdb5"].set_index(["fold", "subset"]).drop(columns="subdb")
    assert tuple(cells.loc[(0, "train")]) == ("<5", "<5", "<5")
    assert tuple(cells.loc[(0, "test")]) == (7, "<5", 14)


def test_means_are_told_only_where_every_cell_they_average_is_told():
    labels = {f"p{number:02d}": int(number < 18) for number in range(60)}
    surveyed = labels | {"blank": None}
    cohort = make_cohort(dict.fromkeys(surveyed, 2), surveyed)
    members, dropped = run(make_splits(labels, [1, 5], n_folds=3, seed=1), cohort)
    found = summarise_tables(members, dropped, cohort)
    assert found["train"]["subdb5"] == {"patients_mean": 12, "recordings_mean": 24, "positive_share_mean": 0.5}
    subdb1 = found["train"]["subdb1"]  # 14 others and 2 positives, whom the share would tell
    assert subdb1 == {"patients_mean": 16, "recordings_mean": 32, "positive_share_mean": "<5"}
    assert found["recordings"]["unlabelled"] == "<5"  # two recordings of one patient
