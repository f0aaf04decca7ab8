from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tests.night.indexes import POOL, tables_of

from evensong.errors import IntegrityError, ParamsError, ResourceError
from evensong.listen.folders import export_mels
from evensong.night.index import build_index, index_tables
from evensong.night.mel_settings import write_mel_settings


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Two classes (slugs a and b) of three sources with a copy each; source n is in train, val, test."""
    build_index(tmp_path / "index.db", tables_of()[2])
    return tmp_path / "index.db"


@pytest.fixture
def mels(tmp_path: Path) -> Path:
    """Row r of class a is filled with r, of class b with 10 + r."""
    (tmp_path / "mels").mkdir()
    for first, slug in ((0, "a"), (10, "b")):
        rows = first + np.arange(6, dtype=np.float32)[:, None, None]
        np.save(tmp_path / f"mels/{slug}.npy", np.broadcast_to(rows, (6, 2, 3)).copy())
    write_mel_settings(tmp_path / "mels", {}, POOL)
    return tmp_path / "mels"


def test_every_clip_is_one_file_below_its_split_and_class(index: Path, mels: Path, tmp_path: Path) -> None:
    assert export_mels(index, mels, tmp_path / "out", None) == 12
    found = {path.relative_to(tmp_path / "out").as_posix(): np.load(path) for path in (tmp_path / "out").rglob("*.npy")}
    expected = {
        f"{split}/{slug}/{source}_{copy}.npy": first + 2 * source + copy
        for slug, first in (("a", 0), ("b", 10))
        for source, split in enumerate(("train", "val", "test"))
        for copy in range(2)
    }
    assert found.keys() == expected.keys()
    for name, mel in found.items():
        np.testing.assert_array_equal(mel, np.full((2, 3), expected[name], np.float32))


def test_an_existing_folder_is_left_alone(index: Path, mels: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="is there already"):
        export_mels(index, mels, mels, None)
    assert len(list(mels.iterdir())) == 3


def test_arrays_of_another_index_are_refused_and_nothing_is_left(index: Path, mels: Path, tmp_path: Path) -> None:
    np.save(mels / "a.npy", np.zeros((5, 2, 3), np.float32))
    with pytest.raises(IntegrityError, match="11 mels for 12 clips"):
        export_mels(index, mels, tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


@pytest.mark.fault("D28")
def test_arrays_of_another_pool_are_refused(index: Path, mels: Path, tmp_path: Path) -> None:
    write_mel_settings(mels, {}, "1" * 64)
    with pytest.raises(IntegrityError, match="are of two pools and do not belong together"):
        export_mels(index, mels, tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_known_before(index: Path, mels: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=12 * 4_096))
    with pytest.raises(ResourceError, match="are free in"):
        export_mels(index, mels, tmp_path / "out", None)


def test_a_fold_must_be_named_where_there_are_several_and_must_exist(mels: Path, tmp_path: Path) -> None:
    pool, folds, _ = tables_of()
    both = pd.concat([folds, folds.assign(fold=1)])
    build_index(tmp_path / "two.db", index_tables(pool, both, folds.set_index("source_id")["subset"], POOL))
    with pytest.raises(ParamsError, match="folds 0 to 1; say whose split to write with --fold"):
        export_mels(tmp_path / "two.db", mels, tmp_path / "out", None)
    with pytest.raises(ParamsError, match="--fold 2: the index has 0, 1"):
        export_mels(tmp_path / "two.db", mels, tmp_path / "out", 2)
    assert export_mels(tmp_path / "two.db", mels, tmp_path / "out", 1) == 12
