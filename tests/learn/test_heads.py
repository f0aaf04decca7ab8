"""Heads: as scikit-learn has them, in matrices that can be stored; which is taken, and an arm read back."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as save_tensors
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from tests.learn.graphs import octaves, settings_of
from tests.learn.synthetic import fold_table

from evensong.errors import DataError, IntegrityError, ParamsError
from evensong.keys import derive_seed
from evensong.learn import heads
from evensong.learn.arms import read_arm
from evensong.learn.card import card_digest
from evensong.learn.head_choice import Choice, auroc_in_folds, mean_macro_f1, run_arm
from evensong.learn.heads import Head, fit_head, head_from

KINDS = st.sampled_from(["logistic", "mlp"])


def items(n_classes=3, n=40, n_features=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    values = rng.normal(size=(n, n_features)) + labels[:, None] * np.arange(n_features)
    return values.astype(np.float32), labels


@given(st.integers(2, 4), KINDS)
@settings(max_examples=8, deadline=None)
@pytest.mark.slow
def test_a_head_says_the_same_after_it_was_stored_and_its_shares_add_up(n_classes, kind):
    values, labels = items(n_classes)
    head = fit_head(kind, values, labels, "")
    found = head.probabilities(values)
    assert found.shape == (40, n_classes)
    assert found.sum(axis=1) == pytest.approx(1)
    assert head_from(head.tensors(), n_classes).probabilities(values).tolist() == found.tolist()
    assert fit_head(kind, values, labels, "").probabilities(values).tolist() == found.tolist()


def test_a_head_by_hand():
    layers = ((np.array([[1.0], [-1]]), np.array([0.5])), (np.array([[0.0, 2]]), np.array([0.0, 1])))
    head = Head(np.array([1.0, 2]), np.array([2.0, 1]), layers)
    # standardised (1, 0), (0, -2) and (0, 2): behind the first layer 1.5, 2.5 and -1.5, of which the rectifier leaves 0
    found = head.probabilities(np.array([[3, 2], [1, 0], [1, 4]], np.float32))
    assert found[:, 1] == pytest.approx(1 / (1 + np.exp([-4, -6, -1])))


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")  # the steps are fixed
@pytest.mark.parametrize("n_classes", [2, 3])
def test_heads_are_scikit_learns(n_classes):
    values, labels = items(n_classes)
    labels = np.where(np.arange(40) < 20, 0, labels)  # the first class has most, and is weighed
    standard = StandardScaler().fit_transform(values.astype(np.float64))
    counts = np.bincount(labels)
    weights = (len(labels) / (n_classes * counts))[labels]
    linear = LogisticRegression(C=0.01, tol=1e-8, max_iter=1000).fit(standard, labels, sample_weight=weights)
    expected = linear.predict_proba(standard)
    assert fit_head("logistic", values, labels, "").probabilities(values) == pytest.approx(expected, abs=1e-5)
    hidden = MLPClassifier((64,), solver="lbfgs", alpha=1.0, max_iter=200, random_state=derive_seed("mlp"))
    expected = hidden.fit(standard, labels, sample_weight=weights).predict_proba(standard)
    assert fit_head("mlp", values, labels, "").probabilities(values) == pytest.approx(expected, abs=1e-6)


def test_measures_by_hand():
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    labels, folds = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])
    assert mean_macro_f1(labels, shares, folds) == 0.5  # all right in the first fold, all wrong in the second
    assert auroc_in_folds(labels, shares, folds) == 0.5  # a pair in each
    assert np.isnan(auroc_in_folds(labels, shares, np.array([0, 1, 1, 0]) * 0 + np.arange(4)))


def ring(table, *, bent):
    """Features that a line can tell apart, or only a bend."""
    rng = np.random.default_rng(1)
    labels = table.drop_duplicates("row").sort_values("row")["label"].to_numpy()
    side = rng.choice([-1, 1], size=len(labels)) if bent else 1
    return np.stack([labels * side * 3 + rng.normal(0, 0.3, len(labels)), rng.normal(size=len(labels))], 1).astype("f4")


def write(tmp_path, *, wanted="best", bent=True, table=None, measure=mean_macro_f1):
    table = fold_table(n_groups=36) if table is None else table
    facts = settings_of(octaves(), tmp_path / "tiny.onnx").model_dump() | {"opset": 17, "warnings": []}
    choice = Choice(wanted, "night.embed.head", measure)
    return run_arm(table, ring(table, bent=bent), ["a", "b"], "all", tmp_path / "arm", 1, choice, facts)


@pytest.mark.slow
def test_the_mlp_is_taken_where_it_wins_in_validation_and_the_line_where_it_does_not(tmp_path):
    (note,) = write(tmp_path)
    card = read_arm(tmp_path / "arm").card
    assert card["head"] == "mlp"
    assert card["validation"]["scores"]["mlp"] > card["validation"]["scores"]["logistic"] + 0.2
    assert note.startswith("the head is mlp; mean_macro_f1 in validation: logistic 0.")
    (tmp_path / "even").mkdir()
    (note,) = write(tmp_path / "even", bent=False)
    card = read_arm(tmp_path / "even/arm").card
    assert card["validation"]["scores"] == {"logistic": 1.0, "mlp": 1.0}
    assert card["head"] == "logistic"


@pytest.mark.slow
def test_the_choice_is_blind_to_test_items_and_to_copies(tmp_path):
    table = fold_table(n_groups=36)
    write(tmp_path, table=table)
    kept = read_arm(tmp_path / "arm").card["validation"]
    silent = (table["subset"] == "test") | ((table["subset"] == "val") & ~table["is_original"])
    (tmp_path / "b").mkdir()
    write(tmp_path / "b", table=table[~silent | ((table["subset"] == "test") & (table["is_original"]))])
    assert read_arm(tmp_path / "b/arm").card["validation"] == kept


@pytest.mark.slow
def test_best_needs_something_to_choose_by(tmp_path):
    table = fold_table(n_groups=36)
    with pytest.raises(
        ParamsError, match=r"night\.embed\.head: best chooses by validation items, and the folds have none"
    ):
        write(tmp_path, table=table[table["subset"] != "val"])
    assert not (tmp_path / "arm").exists()
    one_class = table[(table["subset"] != "val") | (table["label"] == 1)]
    with pytest.raises(ParamsError, match="no fold has both classes"):
        write(tmp_path, table=one_class, measure=auroc_in_folds)
    assert write(tmp_path, wanted="mlp", table=table[table["subset"] != "val"]) == []
    assert read_arm(tmp_path / "arm").card["validation"] is None


@pytest.mark.parametrize("wanted", ["logistic", "mlp"])
def test_a_stored_arm_gives_its_predictions_again(tmp_path, wanted):
    write(tmp_path, wanted=wanted)
    table, arm = fold_table(n_groups=36), read_arm(tmp_path / "arm")
    vectors = ring(table, bent=True)
    found = pd.read_csv(tmp_path / "arm/predictions.csv").merge(
        table[["item_id", "row"]].drop_duplicates(), on="item_id"
    )
    for fold, rows in found.groupby("fold"):
        said = arm.probabilities(fold, vectors[rows["row"]])
        assert said == pytest.approx(rows[["p0", "p1"]].to_numpy(), rel=1e-5)
    with pytest.raises(DataError, match="takes vectors of 2 values, got 3"):
        arm.probabilities(0, np.zeros((1, 3), np.float32))


def test_an_arm_hears_sound_by_the_models_file_and_refuses_a_lower_rate(tmp_path):
    write(tmp_path)
    arm = read_arm(tmp_path / "arm")
    assert arm.hear(np.zeros(800, np.float32), 8_000).shape == (8,)
    with pytest.raises(DataError, match="hears 8000 Hz and the lowest rate of the recordings is 4000 Hz"):
        arm.hear(np.zeros(800, np.float32), 4_000)
    (tmp_path / "tiny.onnx").write_bytes(b"another")
    heads_are_there = read_arm(tmp_path / "arm")
    with pytest.raises(IntegrityError):
        type(heads_are_there)(tmp_path, arm.card, arm.classes, arm.model, arm.heads).hear(
            np.zeros(800, np.float32), 8_000
        )


def reseal(folder, **changes):
    card = json.loads((folder / "card.json").read_text()) | changes
    (folder / "card.json").write_text(json.dumps({**card, "card_sha256": card_digest(card)}))


@pytest.mark.fault("M05")
def test_a_damaged_arm_is_refused(tmp_path):
    write(tmp_path, wanted="logistic")
    folder = tmp_path / "arm"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    def refused(match):
        with pytest.raises(IntegrityError, match=match) as caught:
            read_arm(folder)
        assert caught.value.exit_code == 4
        for name, raw in files.items():
            (folder / name).write_bytes(raw)

    (folder / "head_01.safetensors").write_bytes(files["head_01.safetensors"][:-1] + b"\x01")
    refused(r"head_01\.safetensors: not the file its card was written for")
    (folder / "card.json").write_bytes(files["card.json"].replace(b"CC0-1.0", b"CC0-1.1"))
    refused("changed since it was written")
    for raw in (b"[]", b"\xff", b"{", b'{"heads": {"a": ""}}', b'{"heads": 3}'):
        (folder / "card.json").write_bytes(raw)
        refused("no readable arm")
    (folder / "head_00.safetensors").unlink()
    refused("no readable arm")
    reseal(folder, licence="")
    refused("an arm of another version")
    reseal(folder, classes=["a", "b", "c"])
    refused("the shapes do not fit")


def test_tensors_that_are_no_head_are_refused():
    tensors = fit_head("mlp", *items(), "").tensors()
    for changed in (
        {name: values for name, values in tensors.items() if name != "mean"},
        {name: values for name, values in tensors.items() if name != "biases_1"},
        tensors | {"more": tensors["mean"]},
        tensors | {"scale": tensors["scale"][:-1]},
        tensors | {"mean": tensors["mean"] * np.nan},
        tensors | {"mean": tensors["mean"].astype(np.float32)},
        {},
    ):
        with pytest.raises(ValueError, match=r"missing|shapes|finite"):
            head_from(changed, 3)
    assert save_tensors(tensors) == save_tensors(dict(reversed(tensors.items())))


def test_a_feature_that_never_changes_is_no_fault():
    values, labels = items()
    values[:, 2] = 4
    assert np.isfinite(fit_head("mlp", values, labels, "").probabilities(values + 1)).all()
    assert heads.fit_head("logistic", values, labels, "").scale[2] == 1
