import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from evensong.score import palette
from evensong.score import probability_scores as ranks
from evensong.score.curves import (
    Ranking,
    calibration_table,
    pr_points,
    pr_table,
    roc_points,
    roc_table,
    thin,
    training_table,
)

POSITIVE = np.array([True, False, True, False])
SCORES = np.array([0.9, 0.8, 0.8, 0.1])


def test_roc_points_by_hand():
    # 0.9: one of two positives; 0.8: the other, and one of two negatives; 0.1: the rest
    false_rate, true_rate = roc_points(POSITIVE, SCORES)
    assert false_rate.tolist() == [0, 0, 0.5, 1]
    assert true_rate.tolist() == [0, 0.5, 1, 1]


def test_precision_recall_points_by_hand():
    recall, precision = pr_points(POSITIVE, SCORES)
    assert recall.tolist() == [0.5, 1, 1]
    assert precision == pytest.approx([1, 2 / 3, 2 / 4])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30))
def test_area_under_the_points_is_the_score(items):
    positive = np.array([truth for truth, _ in items])
    values = np.array([value / 6 for _, value in items])
    if positive.all() or not positive.any():
        return
    assert sk.auc(*roc_points(positive, values)) == pytest.approx(ranks.auroc(positive, values))
    recall, precision = pr_points(positive, values)
    assert np.sum(np.diff(recall, prepend=0) * precision) == pytest.approx(ranks.average_precision(positive, values))


@given(st.integers(2, 3000), st.integers(0, 99))
def test_thinned_curve_keeps_its_ends_and_its_area(n_items, seed):
    rng = np.random.default_rng(seed)
    positive = rng.random(n_items) < 0.3
    positive[:2] = [True, False]
    x, y = roc_points(positive, positive * 0.5 + rng.random(n_items))
    kept = thin(x, y)
    assert len(kept) <= 100
    assert (kept[0], kept[-1]) == (0, len(x) - 1)
    assert sk.auc(x[kept], y[kept]) == pytest.approx(sk.auc(x, y), abs=0.02)


def test_a_thinned_curve_that_stands_still_keeps_its_corners():
    # recall and precision over thresholds, which often change nothing
    x, y = np.array([0.5, 0.5, 1, 1, 1, 1]), np.array([1, 1, 1, 1, 0.5, 0.5])
    kept = thin(x, y)
    assert list(zip(x[kept], y[kept], strict=True)) == [(0.5, 1), (1, 1), (1, 0.5)]


def test_curves_of_one_class_are_left_out_of_the_tables():
    one = Ranking(np.array([True, True]), np.array([0.1, 0.2]), "#aaaaaa")
    rankings = {"both": Ranking(POSITIVE, SCORES, "#bbbbbb"), "one": one}
    assert set(roc_table(rankings)["curve"]) == {"both", "chance"}
    assert set(pr_table(rankings)["curve"]) == {"both", "chance"}
    assert list(roc_table({"one": one}).columns) == ["curve", "label", "colour", "point", "fpr", "tpr"]
    assert roc_table({"one": one}).empty


def test_labels_hold_the_area_and_chance_is_grey():
    # 0.9 wins both pairs, 0.8 ties one and wins one: AUROC (2 + 1.5) / 4. Precision 1 at the first of two positives,
    # 2/3 at the second: average precision 5/6. Half of the items are positive.
    rankings = {"owl": Ranking(POSITIVE, SCORES, "#bbbbbb")}
    roc, pr = roc_table(rankings), pr_table(rankings)
    assert roc[["label", "colour"]].drop_duplicates().values.tolist() == [
        ["owl, 0.875", "#bbbbbb"],
        ["chance, 0.500", palette.GREY],
    ]
    assert pr["label"].unique().tolist() == ["owl, 0.833", "chance, 0.500"]
    chance = pr[pr["curve"] == "chance"]
    assert chance[["recall", "precision"]].values.tolist() == [[0, 0.5], [1, 0.5]]


def test_other_curves_are_drawn_as_their_mean():
    # One is perfect, the other the wrong way round: their mean is one half between the ends.
    rankings = {
        "good": Ranking(np.array([True, False]), np.array([0.9, 0.1]), "#aaaaaa"),
        "bad": Ranking(np.array([True, False]), np.array([0.1, 0.9]), "#bbbbbb"),
        "named": Ranking(POSITIVE, SCORES, "#cccccc"),
    }
    roc = roc_table(rankings, others={"good", "bad"})
    assert roc["label"].unique().tolist() == ["named, 0.875", "2 others (mean), 0.500", "chance, 0.500"]
    mean = roc[roc["curve"] == "2 others (mean)"]
    assert mean["tpr"].iloc[len(mean) // 2] == 0.5


def test_calibration_table_leaves_out_small_bins():
    positive = np.array([0.05, 0.12, 0.13, 0.14])
    source = {"x": (np.array([0, 0, 1, 0]), np.column_stack([1 - positive, positive]), "#aaaaaa")}
    assert calibration_table(source)["n"].tolist() == [1, 3]
    small = calibration_table(source, min_items=3)
    assert small[["bin_from", "predicted", "observed", "n"]].values.tolist() == [[0.1, 0.13, 0.33333, 3]]


def test_training_table_keeps_few_epochs_with_both_ends():
    epochs = np.arange(1, 501)
    history = pd.DataFrame({"fold": 0, "epoch": epochs, "learning_rate": 0.1, "train_loss": 1.0, "val_loss": 1.0})
    table = training_table(history.assign(val_macro_f1=0.5, val_balanced_accuracy=0.5).iloc[::-1])
    assert len(table) <= 60
    assert (table["epoch"].iloc[0], table["epoch"].iloc[-1]) == (1, 500)
    assert len(training_table(history.assign(val_macro_f1=0.5)[:12])) == 12
