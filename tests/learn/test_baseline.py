"""The baseline arm: its statistics by hand, its classifier as scikit-learn has it, and its rows as a training's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tests.learn.synthetic import fold_table, labels_of, write_arrays

from evensong.errors import DataError, IntegrityError, ParamsError, ResourceError
from evensong.learn import baseline, heads
from evensong.learn.baseline import mel_statistics, run_baseline
from evensong.score.predictions import read_predictions

CLASSES = ["quiet", "loud"]
MELS = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-90, 20, width=32))
)


def test_statistics_by_hand():
    # Band 0: 0, 4, 8; its changes 4, 4. Band 1: 1, 1, 7; its changes 0, 6. Quantiles interpolate between values.
    mels = np.array([[[0, 4, 8], [1, 1, 7]]], np.float32)
    mean, std, low, median, high = [4, 3], [np.sqrt(32 / 3), np.sqrt(8)], [0.8, 1], [4, 1], [7.2, 5.8]
    changes = [4, 3, 0, 3, 4, 0.6, 4, 3, 4, 5.4]  # mean, deviation, then 10, 50 and 90 % of each band in turn
    expected = [*mean, *std, *low, *median, *high, *changes]
    assert mel_statistics(mels)[0] == pytest.approx(expected, abs=1e-6)


def test_a_single_frame_has_no_change():
    found = mel_statistics(np.array([[[3], [-5]]], np.float32))
    assert found.tolist() == [[3, -5, 0, 0, 3, -5, 3, -5, 3, -5, *[0] * 10]]


@given(MELS, st.randoms(use_true_random=False))
def test_each_item_is_described_by_itself_alone(mels, chance):
    order = list(range(len(mels)))
    chance.shuffle(order)
    found = mel_statistics(mels)
    assert found.shape == (len(mels), 10 * mels.shape[1])
    assert np.array_equal(mel_statistics(mels[order]), found[order])
    assert np.isfinite(found).all()
    assert (found[:, 2 * mels.shape[1] : 3 * mels.shape[1]] >= mels.min(axis=2) - 1e-4).all()  # a tenth from below


def write_faint(folder: Path, table: pd.DataFrame, *, seed: int = 0) -> Path:
    """Arrays in which one band only hints at the class."""
    mels = np.random.default_rng(seed).normal(-40, 6, (table["row"].nunique(), 4, 5)).astype(np.float32)
    mels[:, 0] += 3 * labels_of(table)[:, None]
    np.save(folder / "faint.npy", mels)
    return folder / "faint.npy"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def predictions_of(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "predictions.csv")
    return table.sort_values(["fold", "subset", "item_id"], ignore_index=True)


@pytest.mark.slow
def test_workers_chunks_and_order_of_the_table_do_not_show(tmp_path, monkeypatch):
    table = fold_table()
    path = write_faint(tmp_path, table)
    run_baseline(table, [path], CLASSES, "all", tmp_path / "one", 1)
    run_baseline(table.sample(frac=1, random_state=3), [path], CLASSES, "all", tmp_path / "two", 2)
    monkeypatch.setattr(baseline, "_CHUNK_ROWS", 5)
    run_baseline(table, [path], CLASSES, "all", tmp_path / "parts", 2)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two") == bytes_of(tmp_path / "parts")
    assert set(bytes_of(tmp_path / "one")) == {"predictions.csv", "folds.csv", "classes.json"}


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(2, 4), st.integers(3, 5), st.integers(0, 2), st.lists(st.integers(0, 4), min_size=1, unique=True))
def test_each_item_that_a_chosen_fold_validates_or_tests_is_predicted_once(
    tmp_path_factory, n_classes, n_folds, copies, asked
):
    folder = tmp_path_factory.mktemp("baseline")
    table = fold_table(n_groups=n_classes * n_folds, n_classes=n_classes, n_folds=n_folds, copies=copies)
    folds = [fold for fold in asked if fold < n_folds] or "all"
    run_baseline(table, [write_faint(folder, table)], list("abcd")[:n_classes], folds, folder / "out", 1)
    found = read_predictions(folder / "out/predictions.csv", n_classes).table
    chosen = table[
        table["subset"].isin(["val", "test"]) & table["fold"].isin(range(n_folds) if folds == "all" else folds)
    ]
    columns = ["fold", "subset", "item_id", "group", "is_original", "label"]
    expected = chosen[columns].sort_values(columns[:3], ignore_index=True)
    pd.testing.assert_frame_equal(found[columns], expected, check_dtype=False)
    counts = pd.read_csv(folder / "out/folds.csv").set_index("fold")
    assert counts["n_test"].to_dict() == expected[expected["subset"] == "test"].groupby("fold").size().to_dict()
    assert (counts["n_train"] == table["row"].nunique() - counts["n_val"] - counts["n_test"]).all()


def test_probabilities_are_those_of_scikit_learn_fitted_on_training_items_only(tmp_path):
    table = fold_table(n_groups=18)
    table["label"] = (table["row"] // 2 % 4 > 0).astype(int)  # every fourth group: classes of 2 to 1, to be weighed
    path = write_faint(tmp_path, table)
    run_baseline(table, [path], CLASSES, [1], tmp_path / "out", 1)
    values = mel_statistics(np.load(path)).astype(np.float32).astype(np.float64)
    train, test = (table[(table["fold"] == 1) & (table["subset"] == name)] for name in ("train", "test"))
    scaler = StandardScaler().fit(values[train["row"]])
    weights = (len(train) / (2 * train["label"].map(train["label"].value_counts()))).to_numpy()
    model = LogisticRegression(C=0.01, solver="newton-cholesky", tol=1e-10)
    model.fit(scaler.transform(values[train["row"]]), train["label"], sample_weight=weights)
    expected = pd.Series(model.predict_proba(scaler.transform(values[test["row"]]))[:, 1], test["item_id"])
    found = predictions_of(tmp_path / "out").query("subset == 'test'").set_index("item_id")["p1"]
    assert found.to_dict() == pytest.approx(expected.to_dict(), abs=2e-6)
    assert found.std() > 0.02  # it says something


def test_what_can_be_told_apart_is_told_apart(tmp_path):
    table = fold_table(n_groups=18, n_classes=3)
    path = write_arrays(tmp_path / "arrays.npy", labels_of(table))
    run_baseline(table, [path], list("abc"), "all", tmp_path / "out", 1)
    found = predictions_of(tmp_path / "out")
    chosen = found[["p0", "p1", "p2"]].to_numpy().argmax(axis=1)
    assert (chosen == found["label"]).all()


def test_silent_bands_and_images_of_bytes_are_no_fault(tmp_path):
    table = fold_table()
    mels = np.zeros((table["row"].nunique(), 4, 5), np.uint8)
    mels[:, 1] = 100 * labels_of(table)[:, None]
    np.save(tmp_path / "images.npy", mels)
    run_baseline(table, [tmp_path / "images.npy"], CLASSES, "all", tmp_path / "out", 1)
    found = predictions_of(tmp_path / "out")
    assert ((found["p1"] > 0.5) == found["label"]).all()


def test_what_would_leak_or_is_not_there_is_refused_before_anything_is_written(tmp_path):
    table, out = fold_table(), tmp_path / "out"
    path = write_faint(tmp_path, table)
    leaking = table.assign(group=table["group"].replace("group002", "group000"))
    with pytest.raises(DataError, match="in two subsets of one fold: that leaks"):
        run_baseline(leaking, [path], CLASSES, "all", out, 1)
    with pytest.raises(ParamsError, match=r"\[3\] are not in the table"):
        run_baseline(table, [path], CLASSES, [0, 3], out, 1)
    with pytest.raises(IntegrityError, match="not a readable"):
        run_baseline(table, [tmp_path / "none.npy"], CLASSES, "all", out, 1)
    np.save(path, np.where(np.arange(5) == 2, np.nan, np.load(path)).astype(np.float32))
    with pytest.raises(DataError, match="not finite"):
        run_baseline(table, [path], CLASSES, "all", out, 1)
    assert not out.exists()


def test_an_optimiser_that_does_not_settle_is_said_with_its_fold(tmp_path, monkeypatch):
    table = fold_table()
    path = write_faint(tmp_path, table)
    monkeypatch.setattr(heads, "_MAX_ITERATIONS", 1)
    with pytest.raises(ResourceError, match="fold 2: the linear classifier did not settle in 1 steps"):
        run_baseline(table, [path], CLASSES, [2], tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()
