import pandas as pd
import pytest

from evensong.errors import IntegrityError
from evensong.voice.tables import read_fold_table

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
def test_a_table_without_folds_is_refused(tables):
    folder, combined, images = tables
    with pytest.raises(IntegrityError, match="its columns are not"):
        read((folder, combined.drop(columns="fold"), images))


def test_read_fold_table_refuses_other_columns(tables):
    folder, combined, images = tables
    with pytest.raises(IntegrityError, match="its columns are not"):
        read((folder, combined.rename(columns={"subset": "split"}), images))
