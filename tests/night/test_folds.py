import hashlib

import numpy as np
import pandas as pd
import pytest
from tests.night.pools import pool_of, private

from evensong.errors import DataError, ParamsError
from evensong.night.folds import (
    SUBSETS,
    assign_parts,
    enough_sources,
    fold_names,
    fold_table,
    place_recordings,
    preset_values,
)
from evensong.schemas import NightIndex

SETTINGS = {
    "seed": 42,
    "train": 0.6,
    "val": 0.2,
    "test": 0.2,
    "n_folds": 1,
    "fold_pattern": None,
    "min_sources": 1,
    "validation": "next_fold",
}


def settings(**changes):
    return NightIndex.model_validate(SETTINGS | changes)


def esc_pool(folds="123", sources=2):
    """Two classes; names as in ESC: {fold}-{source}-{take}.ogg, two takes and one copy of each."""
    rows = []
    for name in ("rain", "rooster"):
        for fold in folds:
            for source in range(sources):
                for take in "AB":
                    path = f"{name}/{fold}-{name}{fold}{source}-{take}.ogg"
                    rows += [
                        {
                            "class_name": name,
                            "source_id": f"{name}{fold}{source}",
                            "original_file": path,
                            "is_augmented": copy,
                            "pcm_sha256": hashlib.sha256(path.encode()).hexdigest(),
                        }
                        for copy in (0, 1)
                    ]
    return pd.DataFrame(rows)


def test_assign_parts_single_split_has_one_fold():
    split, names, shares = assign_parts(esc_pool(), settings())
    table = fold_table(split, names, validation="next_fold")
    assert names == list(SUBSETS)
    assert shares.tolist() == [0.6, 0.2, 0.2]
    assert table["fold"].unique().tolist() == [0]
    assert table.groupby("subset").size().sum() == 12


def test_assign_parts_single_split_with_validation_none_keeps_its_validation_set():
    split, names, _ = assign_parts(esc_pool(), settings(validation="none"))
    assert "val" in set(fold_table(split, names, validation="none")["subset"])


@pytest.mark.parametrize("validation", ["next_fold", "none"])
def test_fold_table_tests_every_source_once(validation):
    split, names, _ = assign_parts(esc_pool(sources=3), settings(n_folds=3, validation=validation))
    table = fold_table(split, names, validation=validation)
    tested = table[table["subset"] == "test"]
    assert sorted(tested["source_id"]) == sorted(split.parts)
    assert not table.duplicated(["fold", "source_id"]).any()
    validated = table[table["subset"] == "val"]
    assert sorted(validated["source_id"]) == (sorted(split.parts) if validation == "next_fold" else [])
    for row in validated.itertuples():
        assert split.parts[row.source_id] == (row.fold + 1) % 3


def test_assign_parts_preset_folds_are_those_of_the_names():
    split, names, shares = assign_parts(esc_pool(), settings(fold_pattern=r"^(\d)-"))
    assert names == ["fold_0", "fold_1", "fold_2"]
    assert np.allclose(shares, 1 / 3)
    assert {source: int(source[-2]) - 1 for source in split.parts} == split.parts
    assert split.quality["gap_files"].tolist() == [0, 0]


def test_assign_parts_preset_folds_sort_as_numbers():
    pool = esc_pool("28")
    pool["original_file"] = pool["original_file"].str.replace("/8-", "/10-")
    split, _, _ = assign_parts(pool, settings(fold_pattern=r"^(\d+)-", validation="none"))
    assert {split.parts[source] for source in split.parts if source[-2] == "8"} == {1}


def test_assign_parts_preset_folds_accept_their_own_number_only():
    assign_parts(esc_pool(), settings(fold_pattern=r"^(\d)-", n_folds=3))
    with pytest.raises(
        ParamsError, match=r"n_folds is 5 and fold_pattern finds 3 folds .*\(1, 2, 3\); set n_folds to 3"
    ):
        assign_parts(esc_pool(), settings(fold_pattern=r"^(\d)-", n_folds=5))


def test_assign_parts_two_preset_folds_need_no_validation():
    assign_parts(esc_pool("12"), settings(fold_pattern=r"^(\d)-", validation="none"))
    with pytest.raises(ParamsError, match="two preset folds leave no training fold"):
        assign_parts(esc_pool("12"), settings(fold_pattern=r"^(\d)-"))


def test_assign_parts_one_preset_fold_is_refused():
    with pytest.raises(DataError, match="the one fold '1'"):
        assign_parts(esc_pool("1"), settings(fold_pattern=r"^(\d)-"))


def test_assign_parts_class_that_a_preset_fold_cannot_train_on_is_named():
    pool = esc_pool()
    pool = pool[(pool["class_name"] == "rain") | ~pool["original_file"].str.contains("/[23]-")]
    with pytest.raises(DataError, match="class rooster: its sources lie in so few preset folds"):
        assign_parts(pool, settings(fold_pattern=r"^(\d)-"))


def test_preset_values_without_a_match_are_named():
    with pytest.raises(DataError, match=r"finds no fold in 1 file names \(owl/x.wav\)"):
        preset_values(["owl/x.wav", "owl/1-x.wav"], r"^(\d)-")


def recordings_of(*rows):
    table = pd.DataFrame(rows, columns=["source_id", "exhaustive"])
    return table.assign(sha256=[f"{n:064x}" for n in range(len(table))])


def test_recordings_without_clips_are_tested_and_validated_in_turns_and_never_train():
    folds = pd.DataFrame({"fold": [0, 0, 0], "source_id": ["a", "b", "c"], "subset": ["train", "val", "test"]})
    found = recordings_of(("a", True), ("x", False), ("y", True), ("z", True), ("z", True), ("w", False))
    placed = place_recordings(folds, found, SUBSETS, settings())
    assert placed.head(3).equals(folds)
    subsets = placed.iloc[3:].set_index("source_id")["subset"]
    assert sorted(subsets.index) == ["w", "x", "y", "z"]
    assert {subsets["y"], subsets["z"]} == {subsets["w"], subsets["x"]} == {"test", "val"}
    shuffled = place_recordings(folds, found.sample(frac=1, random_state=1), SUBSETS, settings())
    assert shuffled.equals(placed)


def test_recordings_without_clips_are_tested_once_in_folds():
    folds = pd.DataFrame({"fold": [0], "source_id": ["a"], "subset": ["test"]})
    found = recordings_of(*((name, True) for name in "uvwxyz"))
    placed = place_recordings(folds, found, fold_names(3), settings()).iloc[1:]
    assert len(placed) == 3 * 6
    by_source = placed.groupby("source_id")["subset"].agg(lambda one: sorted(one))
    assert by_source.tolist() == [["test", "train", "val"]] * 6
    assert placed[placed["subset"] == "test"].groupby("fold").size().tolist() == [2, 2, 2]


def test_classes_of_few_sources_are_left_out_and_named():
    pool = pool_of([*private([1, 1, 1]), *private([2], "wren"), *private([1, 1, 1], "fox")])
    kept, few = enough_sources(pool, 3)
    assert few == {"wren": 1}
    assert set(kept["class_name"]) == {"owl", "fox"}
    assert enough_sources(pool, 1)[1] == {}
    with pytest.raises(DataError, match=r"night\.index\.min_sources 4 leaves 0 of 3 classes"):
        enough_sources(pool, 4)
    with pytest.raises(DataError, match=r"as fox has 3, owl has 3, wren has 1; .* correct night\.scan\.group_pattern"):
        enough_sources(pool, 4)
