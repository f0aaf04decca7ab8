from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.errors import DataError, IntegrityError
from evensong.learn.store import ArrayStore, digest_of


def _files(folder: Path, *arrays: np.ndarray) -> list[Path]:
    paths = [folder / f"part{index}.npy" for index in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return paths


@given(st.lists(st.integers(0, 8), max_size=20))
def test_read_equals_indexing_the_concatenation(tmp_path_factory: pytest.TempPathFactory, rows: list[int]) -> None:
    whole = np.arange(9 * 6, dtype=np.float32).reshape(9, 2, 3)
    paths = _files(tmp_path_factory.mktemp("store"), whole[:4], whole[4:4], whole[4:5], whole[5:])
    store = ArrayStore(paths)
    assert store.shape == (9, 2, 3)
    assert np.array_equal(store.read(np.array(rows, np.int64)), whole[np.array(rows, np.int64)])


def test_images_are_scaled_to_one(tmp_path: Path) -> None:
    [path] = _files(tmp_path, np.array([[[0, 51, 255]]], np.uint8))
    assert ArrayStore([path]).read(np.array([0])).ravel().tolist() == pytest.approx([0, 0.2, 1])


def test_statistics_of_chosen_rows_only_in_any_order(tmp_path: Path) -> None:
    values = np.zeros((3, 1, 2), np.float32)
    values[0], values[1], values[2] = [1, 3], [5, 7], [1e6, 1e6]
    store = ArrayStore(_files(tmp_path, values))
    assert store.statistics(np.array([1, 0])) == (4.0, 2.23606798)  # of 1, 3, 5, 7: sqrt((9 + 1 + 1 + 9) / 4)
    assert store.statistics(np.array([0, 1])) == store.statistics(np.array([1, 0]))


def test_constant_training_values_are_refused(tmp_path: Path) -> None:
    store = ArrayStore(_files(tmp_path, np.full((3, 2, 2), -80, np.float32)))
    with pytest.raises(DataError, match="all values of 2 training items are equal"):
        store.statistics(np.array([0, 2]))


@pytest.mark.fault("G02")
@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf]])
def test_values_that_are_not_finite_are_refused_by_row(tmp_path: Path, bad: list[float]) -> None:
    values = np.zeros((3, 2, 2), np.float32)
    values[1, 0, : len(bad)] = bad
    store = ArrayStore(_files(tmp_path, values))
    store.read(np.array([0, 2]))
    with pytest.raises(DataError, match=r"first rows \[1\]"):
        store.read(np.array([0, 1]))


def test_finite_values_whose_sum_is_not_are_read(tmp_path: Path) -> None:
    values = np.full((1, 2, 2), np.finfo(np.float32).max)
    assert (ArrayStore(_files(tmp_path, values)).read(np.array([0])) == values).all()


@pytest.mark.fault("D24")
@pytest.mark.parametrize(
    "second", [np.zeros((1, 2, 4), np.float32), np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2, 3)), np.zeros((2, 3))]
)
def test_arrays_that_do_not_belong_together_are_refused(tmp_path: Path, second: np.ndarray) -> None:
    with pytest.raises(IntegrityError):
        ArrayStore(_files(tmp_path, np.zeros((1, 2, 3), np.float32), second))


def test_pickled_or_missing_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for name in ("objects.npy", "absent.npy"):
        with pytest.raises(IntegrityError, match="not a readable"):
            ArrayStore([tmp_path / name])


def test_digest_depends_on_bytes_and_their_order(tmp_path: Path) -> None:
    one, two = _files(tmp_path, np.zeros(3), np.ones(3))
    assert digest_of([one, two]) == digest_of([one, two])
    assert digest_of([one, two]) != digest_of([two, one])
