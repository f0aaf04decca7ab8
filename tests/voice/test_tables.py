from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.voice.cohorts import make_cohort, tabled

from evensong.errors import DataError, IntegrityError
from evensong.voice.splits import Splits, make_splits
from evensong.voice.tables import COMBINED_COLUMNS, draw_trainable, read_combined, read_fold_table


@pytest.mark.slow
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
    members, dropped = tabled(splits, make_cohort(n_recordings, surveyed))
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


@given(st.lists(st.integers(1, 9), min_size=12, max_size=12), st.integers(1, 6), st.integers(0, 9))
def test_a_cap_keeps_so_many_recordings_of_each_patient_whoever_else_is_there(counts, most, seed):
    n_recordings = {f"p{number:02d}": count for number, count in enumerate(counts)}
    images = make_cohort(n_recordings, {}).images
    drawn = draw_trainable(images, most, seed)
    assert drawn.groupby("healthCode").size().to_dict() == {one: min(n, most) for one, n in n_recordings.items()}
    assert drawn.equals(images.loc[drawn.index.sort_values()])
    fewer = images[images["healthCode"] > "p05"]
    assert draw_trainable(fewer, most, seed).equals(drawn[drawn["healthCode"] > "p05"])
    assert draw_trainable(images, None, seed).equals(images)


def test_a_cap_draws_by_the_seed_and_holds_in_training_alone(labels):
    draws = {tuple(draw_trainable(make_cohort({"p": 20}, {}).images, 3, seed)["record_id"]) for seed in range(5)}
    assert len(draws) == 5
    cohort = make_cohort(dict.fromkeys(labels, 4), labels, max_recordings=3)
    members, _ = tabled(make_splits(labels, [5], n_folds=3, seed=1), cohort)
    for name in ("subdb5", "control"):
        sizes = members[name].groupby(["subset", "fold", "healthCode"]).size()
        assert {subset: set(sizes[subset]) for subset in ("train", "val", "test")} == {
            "train": {3},
            "val": {4},
            "test": {4},
        }


def test_rows_are_sorted_by_fold_then_train_val_test_then_ids(labels):
    members, _ = tabled(make_splits(labels, [5], n_folds=3, seed=1), make_cohort(dict.fromkeys(labels, 2), labels))
    table = members["subdb5"]
    place = table["subset"].map({"train": 0, "val": 1, "test": 2})
    keys = list(zip(table["fold"], place, table["healthCode"], table["record_id"], strict=True))
    assert keys == sorted(keys)


@pytest.mark.fault("E30")
def test_a_fold_that_lost_its_patients_stops_without_an_id(labels):
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    tested = splits.common[(splits.common["fold_iteration"] == 1) & (splits.common["subset"] == "test")]
    recorded = dict.fromkeys(set(labels) - set(tested["healthCode"]), 1)
    with pytest.raises(
        DataError, match="no val patient is left in fold 0; no test patient is left in fold 1"
    ) as caught:
        tabled(splits, make_cohort(recorded, labels))
    assert "p0" not in str(caught.value)
    one_class = dict.fromkeys([patient for patient in labels if not labels[patient]], 1)
    with pytest.raises(DataError, match="only one class is left to train on in fold 0-2"):
        tabled(splits, make_cohort(one_class, labels))


@pytest.mark.fault("E31")
@pytest.mark.parametrize("subset", ["test", "val"])
def test_one_class_in_all_test_or_validation_rows_is_refused(labels, subset):
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    is_lost = (splits.common["subset"] == subset) & (splits.common["healthCode"].map(labels) == 1)
    given = Splits(splits.common[~is_lost], splits.train, splits.control, splits.file_names)
    with pytest.raises(DataError, match=f"only one class is left in {subset}, over all folds.*Complete the cohort"):
        tabled(given, make_cohort(dict.fromkeys(labels, 1), labels))


def test_images_of_another_scan_are_refused(labels):
    cohort = make_cohort(dict.fromkeys(labels, 1), labels)
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    with pytest.raises(IntegrityError, match="20 recordings are used and 19 have an image"):
        tabled(splits, replace(cohort, images=cohort.images[1:]))


def test_a_leak_stops_where_the_table_is_made_too(labels):
    splits = make_splits(labels, [5], n_folds=3, seed=1)
    leaking = Splits(splits.common, {5: pd.concat([splits.train[5], splits.common])}, splits.control, splits.file_names)
    with pytest.raises(IntegrityError, match=r"the combined table of subdb5: .*images repeated in one fold"):
        tabled(leaking, make_cohort(dict.fromkeys(labels, 1), labels))


@pytest.mark.fault("E32")
def test_all_members_validate_and_test_on_the_same_rows(labels):
    members, _ = tabled(
        make_splits(labels, [1, 5, 9], n_folds=3, seed=1), make_cohort(dict.fromkeys(labels, 2), labels)
    )
    common = [table[table["subset"] != "train"].reset_index(drop=True) for table in members.values()]
    assert len(common) == 4
    assert all(rows.equals(common[0]) for rows in common)


CANARY = "00000000-0000-4000-8000-00000000cafe"


@pytest.fixture
def tables(tmp_path):
    patients = [("0012", 1), ("NA", 0), (CANARY, 1)]
    subsets = ["train", "val", "test"]
    rows = [
        (
            patient,
            patient,
            record,
            "audio_m4a",
            f"melSpec/{patient}_{record}_audio_m4a.jpg",
            label,
            fold,
            subsets[(place + fold) % 3],
        )
        for fold in range(3)
        for place, (patient, label) in enumerate(patients)
        for record in ("1e5", "r2")
    ]
    columns = ["healthCode", "health_code", "record_id", "column_id", "image_rel_path", "label", "fold", "subset"]
    combined = pd.DataFrame(rows, columns=columns)
    item_ids = sorted({f"{row[0]}_{row[2]}_{row[3]}" for row in rows})
    images = pd.DataFrame({"row": range(len(item_ids)), "item_id": item_ids})
    return tmp_path, combined, images


def read(tables):
    folder, combined, images = tables
    combined.to_csv(folder / "combined.csv", index=False)
    images.to_csv(folder / "mels.csv", index=False)
    return read_fold_table(folder / "combined.csv", folder / "mels.csv")


def test_read_fold_table_joins_rows_on_ids_and_keeps_them_text(tables):
    table = read(tables)
    assert list(table.columns) == ["row", "item_id", "group", "label", "is_original", "fold", "subset"]
    assert [str(table[name].dtype) for name in ("row", "label", "is_original", "fold")] == [
        "int64",
        "int64",
        "bool",
        "int64",
    ]
    assert len(table) == 18
    ids = tables[2].set_index("row")["item_id"]
    assert (table["row"].map(ids) == table["item_id"]).all()
    assert set(table["group"]) == {"0012", "NA", CANARY}
    assert table["is_original"].all()


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("subset", 0, "val", "1 patients in two subsets of one fold"),
        ("subset", 0, "dev", "1 rows with an unknown subset"),
        ("label", 0, 2, "1 rows with a label other than 0 and 1"),
        ("label", 0, 0, "1 patients with two labels"),
        ("health_code", 0, "x", "1 rows whose healthCode and health_code differ"),
        ("record_id", 0, "r2", "1 images repeated in one fold"),
        ("record_id", 0, "r9", "1 rows have no image"),
    ],
)
def test_read_fold_table_refuses_a_broken_table_without_an_id(tables, column, row, value, message):
    tables[1].loc[row, column] = value
    with pytest.raises(IntegrityError, match=message) as caught:
        read(tables)
    assert "cafe" not in str(caught.value)


@pytest.mark.fault("E29")
def test_a_table_whose_folds_are_put_together_is_refused(tables):
    tables[1]["fold"] = 0  # as a trainer would see it that ignores the column: each patient in all three subsets
    with pytest.raises(IntegrityError, match="3 patients in two subsets of one fold; 12 images repeated in one fold"):
        read(tables)


@pytest.mark.fault("E29")
def test_a_table_without_folds_or_with_other_columns_is_refused(tables):
    folder, combined, images = tables
    for other in (combined.drop(columns="fold"), combined.rename(columns={"subset": "split"})):
        with pytest.raises(IntegrityError, match="its columns are not"):
            read((folder, other, images))


@pytest.mark.parametrize("text", [None, "healthCode,label\n0012,\n", ""])
def test_a_table_that_cannot_be_read_is_refused(tmp_path, text):
    path = tmp_path / "combined.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match="not a readable table"):
        read_combined(path)
