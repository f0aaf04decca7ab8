"""Macro-F1 against training clips: what is drawn, what is scored, and where it is written."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.learn.synthetic import fold_table, labels_of

from evensong.learn.head_folds import fit_folds, write_folds
from evensong.report import learning_curve as module
from evensong.report.learning_curve import describe_curve, drawn, learning_curve, sizes_up_to
from evensong.score import scores
from evensong.score.predictions import BASELINE, read_predictions

N_GROUPS = 36


def test_sizes_double_up_to_the_most():
    assert sizes_up_to(40) == (4, 8, 16, 32, 40)
    assert sizes_up_to(32) == (4, 8, 16, 32)
    assert sizes_up_to(3) == (3,)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(0, 5), st.randoms(use_true_random=False))
def test_sources_are_whole_but_the_last_and_draws_are_nested(at_most, draw, chance):
    items = fold_table(n_groups=8, n_classes=2, n_folds=1, copies=2)
    found = drawn(items, at_most, draw)
    assert (found.groupby("label").size() == min(at_most, 12)).all()
    sizes = found.groupby(["label", "group"]).size()
    assert ((sizes < 3).groupby("label").sum() <= 1).all()  # one source a class is cut
    assert set(found["item_id"]) <= set(drawn(items, at_most + 1, draw)["item_id"])
    mixed = items.sample(frac=1, random_state=chance.randint(0, 99))
    assert set(drawn(mixed, at_most, draw)["item_id"]) == set(found["item_id"])


def test_another_draw_is_another_choice():
    items = fold_table(n_groups=24, n_classes=2, n_folds=1, copies=0)
    assert len({tuple(sorted(drawn(items, 4, draw)["item_id"])) for draw in range(10)}) > 5


@pytest.fixture
def arms(monkeypatch):
    """A baseline that hears a hint of the class, and an embedding that hears it well, of originals alone."""
    table = fold_table(n_groups=N_GROUPS, copies=0)
    rng, labels = np.random.default_rng(0), labels_of(table)
    features = {
        name: (rng.normal(size=(N_GROUPS, 6)) + hint * labels[:, None]).astype(np.float32)
        for name, hint in ((BASELINE, 0.5), ("perch", 2.0))
    }
    found = {name: (table, values) for name, values in features.items()}
    monkeypatch.setattr(module, "read_fold_table", lambda _: (table, ["a", "b"]))
    monkeypatch.setattr(module, "_arms", lambda *_: found)
    return found


@pytest.mark.slow
def test_with_all_clips_it_is_the_score_of_the_arm(arms, tmp_path):
    curve = learning_curve(tmp_path, tmp_path / "out/curve.csv", draws=3, workers=1)
    assert curve.columns.tolist() == ["arm", "at_most", "clips", "macro_f1", "draws", "low", "high"]
    assert curve["draws"].tolist() == [3, 1] * 2
    assert curve["at_most"].tolist() == [4, 6] * 2  # of 18 groups a class a third tests and a third validates
    for arm, (table, features) in arms.items():
        write_folds(tmp_path / arm, table, fit_folds("logistic", table, features, 2, "all", 1), ["a", "b"])
        test = read_predictions(tmp_path / arm / "predictions.csv", 2).subset("test")
        expected = scores.macro_f1(test.labels, test.probabilities.argmax(axis=1), 2)
        last = curve[curve["arm"] == arm].iloc[-1]
        assert last[["macro_f1", "low", "high"]].tolist() == pytest.approx([expected] * 3)
    first = curve[curve["at_most"] == 4]
    assert (first["low"] <= first["macro_f1"]).all()
    assert (first["low"] < first["high"]).any()
    assert (first["macro_f1"] <= first["high"]).all()
    assert curve.set_index(["arm", "at_most"])["macro_f1"]["perch", 4] > 0.8


@pytest.mark.slow
def test_files_are_the_same_for_any_number_of_workers(arms, tmp_path):
    for workers in (1, 2):
        learning_curve(tmp_path, tmp_path / f"{workers}/curve.csv", draws=3, workers=workers)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "12")
    assert one == two
    assert set(one) == {"curve.csv", "curve.png"}


def test_the_table_for_people_has_a_line_a_point(arms, tmp_path):
    curve = learning_curve(tmp_path, tmp_path / "curve.csv", draws=2, workers=1)
    lines = describe_curve(curve).splitlines()
    assert len(lines) == 1 + len(curve)
    assert lines[-1].split()[0] == "perch"
    assert pd.read_csv(tmp_path / "curve.csv")["macro_f1"].round(3).tolist()[-1] == float(lines[-1].split()[2])
