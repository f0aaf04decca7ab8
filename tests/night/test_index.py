import hashlib
import sqlite3

import numpy as np
import pandas as pd
import pytest
from tests.night.indexes import HOSTILE, POOL, tables_of

from evensong.errors import IntegrityError
from evensong.night.audit import audit_leakage, few_tested, refuse_leakage
from evensong.night.index import build_index, index_tables, logical_sha256, read_array_names, read_fold_table
from evensong.score.shortcuts import audit_shortcuts, draw_clips


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "index of owls?#.db"
    build_index(path, tables_of()[2])
    return path


def test_build_index_equal_rows_give_equal_bytes_and_leave_one_file(tmp_path, index):
    pool, folds, tables = tables_of()
    shuffled = index_tables(
        pool.sample(frac=1, random_state=1),
        folds.sample(frac=1, random_state=2),
        folds.set_index("source_id")["subset"],
        POOL,
    )
    build_index(tmp_path / "other.db", shuffled)
    assert (tmp_path / "other.db").read_bytes() == index.read_bytes()
    assert logical_sha256(shuffled) == logical_sha256(tables)
    assert len(list(tmp_path.iterdir())) == 2


def test_build_index_keeps_the_columns_of_the_source_document(index):
    with sqlite3.connect(index) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(audio_samples)")]
        assert columns[:7] == [
            "id",
            "file_path",
            "class_name",
            "is_augmented",
            "original_file",
            "augmentation_type",
            "split",
        ]
        assert connection.execute("SELECT count(*) FROM audio_samples WHERE split = 'train'").fetchone() == (4,)
        assert connection.execute("SELECT class_name FROM classes ORDER BY label").fetchall() == [("crow",), (HOSTILE,)]


def test_build_index_refuses_two_files_on_one_mel_row(tmp_path):
    _, _, tables = tables_of()
    tables["audio_samples"].loc[1, "mel_row"] = 0
    with pytest.raises(IntegrityError, match="UNIQUE"):
        build_index(tmp_path / "x.db", tables)


def test_read_fold_table_rows_follow_label_and_mel_row(index):
    items, classes = read_fold_table(index)
    assert classes == ["crow", HOSTILE]
    assert items["row"].tolist() == list(range(12))
    assert items["label"].tolist() == [0] * 6 + [1] * 6
    assert items["is_original"].tolist() == [True, False] * 6
    assert items["item_id"].iloc[7] == "b/0_1.wav"
    assert items["group"].iloc[7] == "b0"
    assert items.dtypes[["row", "label", "fold"]].eq(np.int64).all()
    assert items["is_original"].dtype == bool
    assert items.columns.tolist() == ["row", "item_id", "group", "label", "is_original", "fold", "subset"]
    assert read_array_names(index) == ["a", "b"]


def test_read_fold_table_repeats_items_per_fold(tmp_path):
    pool, folds, _ = tables_of()
    many = pd.concat([folds, folds.assign(fold=1)])
    build_index(tmp_path / "x.db", index_tables(pool, many, folds.set_index("source_id")["subset"], POOL))
    items, _ = read_fold_table(tmp_path / "x.db")
    assert items.groupby("fold").size().tolist() == [12, 12]
    assert items["row"].tolist() == [*range(12), *range(12)]


def test_read_fold_table_does_not_change_the_file(index):
    before = index.read_bytes()
    index.chmod(0o444)
    read_fold_table(index)
    assert index.read_bytes() == before
    assert [path.name for path in index.parent.iterdir()] == [index.name]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "not a readable index"),
        (lambda path: path.write_bytes(b"not a database at all" * 99), "not a readable index"),
        (lambda path: path.write_bytes(b""), "schema version 0"),
        (lambda path: path.write_bytes(path.read_bytes()[:8192]), "index|damaged"),
        (lambda path: change(path, "PRAGMA user_version = 99"), "schema version 99"),
        (lambda path: change(path, "DELETE FROM folds WHERE source_id = 'a1'"), "lacks a row in the fold table"),
        (lambda path: change(path, "DELETE FROM audio_samples WHERE mel_row = 2"), "mel rows are not"),
        (lambda path: change(path, "DELETE FROM audio_samples WHERE class_slug = 'b'"), "a class has no rows"),
        (lambda path: change(path, "DELETE FROM classes WHERE label = 1"), "a class has no rows"),
    ],
)
def test_read_fold_table_refuses_what_does_not_fit_together(index, damage, message):
    damage(index)
    with pytest.raises(IntegrityError, match=message):
        read_fold_table(index)


def change(path, statement):
    """Change rows and their digest with them, as another program that writes such an index might."""
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
        tables = {
            name: pd.read_sql_query(f"SELECT * FROM {name} ORDER BY rowid", connection)
            for name in ("audio_samples", "classes", "folds", "pool")
        }
        connection.execute("UPDATE content SET sha256 = ?", (logical_sha256(tables),))


def test_changed_value_without_its_digest_is_damage(index):
    with sqlite3.connect(index) as connection:
        connection.execute("UPDATE audio_samples SET class_name = 'a' WHERE id = 12")
    with pytest.raises(IntegrityError, match="damaged"):
        read_fold_table(index)


def test_audit_leakage_of_a_sound_index_is_all_zero():
    pool, folds, _ = tables_of()
    counts = audit_leakage(pool, folds)
    assert set(counts.values()) == {0}
    refuse_leakage(counts)


def plant(kind):
    pool, folds, _ = tables_of()
    if kind == "sources_in_two_subsets":
        folds = pd.concat([folds, pd.DataFrame([{"fold": 0, "source_id": "a0", "subset": "test"}])])
    elif kind == "originals_in_two_subsets":
        pool.loc[1, "source_id"] = "a1"  # the copy of a0's original is filed under another source
    elif kind == "sounds_in_two_subsets":
        pool.loc[pool["source_id"] == "a1", "pcm_sha256"] = pool["pcm_sha256"].iloc[0]
    elif kind == "sounds_in_two_classes":
        pool.loc[pool["source_id"] == "b0", "pcm_sha256"] = pool["pcm_sha256"].iloc[0]
    else:
        folds = folds[folds["source_id"] != "b2"]
    return pool, folds


@pytest.mark.parametrize(
    "kind",
    [
        "sources_in_two_subsets",
        "originals_in_two_subsets",
        "sounds_in_two_subsets",
        "sounds_in_two_classes",
        "files_in_no_subset",
    ],
)
def test_audit_leakage_finds_every_planted_leak(kind):
    counts = audit_leakage(*plant(kind))
    assert counts[kind] > 0
    with pytest.raises(IntegrityError, match=kind.replace("_", " ")):
        refuse_leakage(counts)


def note_of(**originals):
    counts = pd.DataFrame(
        [
            {"class": name, "split": split, "originals": n if split == "test" else 3}
            for name, n in originals.items()
            for split in ("train", "val", "test")
        ]
    )
    return few_tested(counts, pd.DataFrame({"n_sources": [30, 4]}))


def test_few_tested_names_the_classes_with_the_fewest_first_and_as_many_folds_as_sources_allow():
    assert note_of(a=10, b=300) is None
    assert note_of(a=9, b=2, c=10) == (
        "NOTE: 2 of 3 classes have under 10 originals in the test split (b 2, a 9), too few to score a class; "
        "use n_folds: 4, which tests every source once: dvc exp run -S night.index.n_folds=4"
    )
    assert "(e 1, a 5, b 5, ...)" in note_of(a=5, b=5, c=5, e=1)


def clips_of(n=30, **traits):
    base = {
        "container": "wav",
        "codec": "pcm16",
        "sample_rate_hz": 22050,
        "n_channels": 1,
        "bandwidth_hz": 9000.0,
        "rms_dbfs": -20.0,
        "peak_dbfs": -3.0,
        "clipped_share": 0.0,
        "silence_share": 0.0,
        "duration_s": 2.0,
    }
    rows = []
    for k in range(n):
        label = k % 2
        row = base | {"class_name": f"class{label}", "source_id": str(k // 4 * 2 + label)}
        rows.append(row | {"pcm_sha256": hashlib.sha256(str(k).encode()).hexdigest()})
    clips = pd.DataFrame(rows)
    for trait, by_label in traits.items():
        clips[trait] = [by_label[k % 2] for k in range(n)]
    return clips


def test_audit_shortcuts_finds_the_trait_that_gives_the_class_away():
    scores = audit_shortcuts(clips_of(container=("wav", "mp3")))
    assert scores["chance"] == 0.5
    assert scores["container"] == 1.0
    assert scores["all_traits"] > 0.9
    assert scores["bandwidth"] == scores["level"] == scores["silence"] == 0.5


def test_audit_shortcuts_does_not_depend_on_row_order():
    clips = clips_of(bandwidth_hz=(9000.0, 4000.0)).assign(rms_dbfs=np.random.default_rng(0).normal(-20, 3, 30))
    assert audit_shortcuts(clips) == audit_shortcuts(clips.sample(frac=1, random_state=3))


def test_audit_shortcuts_with_one_source_a_class_says_nothing():
    scores = audit_shortcuts(clips_of(6).assign(source_id=lambda rows: rows["class_name"]))
    assert scores["all_traits"] is None


def test_draw_clips_of_a_small_pool_are_all():
    clips = clips_of(30)
    assert draw_clips(clips).equals(clips.sort_values("pcm_sha256", ignore_index=True))


def test_draw_clips_of_a_large_pool_are_few_of_every_class_and_of_as_many_sources_as_there_are():
    clips = clips_of(6000)
    clips = clips.assign(source_id=[str(k % 2 if k > 200 else k) for k in range(6000)])
    drawn = draw_clips(clips.sample(frac=1, random_state=1))
    assert drawn.groupby("class_name").size().tolist() == [2500, 2500]
    assert set(drawn["source_id"]) == set(clips["source_id"])
    assert drawn["pcm_sha256"].is_monotonic_increasing
    many = draw_clips(clips_of(600).assign(class_name=[str(k % 300) for k in range(600)]))
    assert many.groupby("class_name").size().tolist() == [2] * 100
