"""Clinical tables: exact in the cache, without small cells in git; the rows for statistics agree with both."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.voice.cohorts import patients

from evensong.score.predictions import Predictions
from evensong.voice import clinical
from evensong.voice.patients import HALF, Level, two_columns

CANARY = "00000000-0000-4000"


def level(*cells, n_folds=1):
    """Test patients with (n, label, probability of class 1), at a threshold of one half; validation the same."""
    rows = [(label, p) for n, label, p in cells for _ in range(n)]
    table = pd.DataFrame({"group": list(patients(0, len(rows))), "label": [label for label, _ in rows]})
    table = table.assign(fold=np.arange(len(rows)) % n_folds, subset="test", is_original=True, item_id=table["group"])
    test = Predictions(table, two_columns(np.array([p for _, p in rows])))
    val = Predictions(table.assign(subset="val"), test.probabilities)
    return Level(val, test, dict.fromkeys(range(n_folds), HALF))


def method(one, **options):
    return clinical.clinical_tree({"soft_mean": one}, 0.95, **options)["methods"]["soft_mean"]


def test_a_table_by_hand():
    found = method(level((12, 1, 0.9), (8, 1, 0.2), (10, 0, 0.6), (30, 0, 0.1)))
    assert found["counts"] == {"true_positive": 12, "false_negative": 8, "false_positive": 10, "true_negative": 30}
    values = {name: found[name]["value"] for name in ("sensitivity", "specificity", "ppv", "npv")}
    assert values == pytest.approx({"sensitivity": 0.6, "specificity": 0.75, "ppv": 12 / 22, "npv": 30 / 38}, abs=1e-6)
    assert found["lr_positive"]["value"] == pytest.approx(2.4)
    fixed = found["at_specificity"]["0.9"]  # 36 of 40 negatives: above those of 0.6
    assert (fixed["sensitivity"]["value"], fixed["specificity"]["value"]) == (0.6, 1.0)
    assert fixed["n_folds_too_small"] == 0


@pytest.mark.parametrize("n_missed", [1, 2, 3, 4])
def test_small_cells_and_what_they_follow_from_are_hidden_in_git_alone(n_missed):
    one = level((20 - n_missed, 1, 0.9), (n_missed, 1, 0.2), (10, 0, 0.6), (30, 0, 0.1))
    assert method(one)["counts"] == {
        **dict.fromkeys(("true_positive", "false_negative"), "withheld"),
        **{"false_positive": 10, "true_negative": 30},
    }
    assert method(one, exact=True)["counts"]["false_negative"] == n_missed


def test_a_class_of_few_patients_tells_nothing():
    one = level((2, 1, 0.9), (2, 1, 0.2), (30, 0, 0.1))
    tree = clinical.clinical_tree({"soft_mean": one}, 0.95)
    assert tree["methods"]["soft_mean"] == {"reason": "a class has fewer than five patients"}
    assert (tree["n_positive"], tree["prevalence"]) == ("<5", None)
    assert all(table.empty for table in clinical.curve_tables({"soft_mean": one}).values())
    assert method(one, exact=True)["counts"]["true_positive"] == 2


def test_votes_are_no_probabilities_and_repeated_patients_give_no_interval():
    one = level((10, 1, 0.9), (10, 1, 0.2), (10, 0, 0.6), (30, 0, 0.1))
    votes = clinical.clinical_tree({"majority": one}, 0.95)["methods"]["majority"]
    assert votes["calibration_slope"]["reason"] == "a share of votes is no probability"
    twice = Predictions(
        pd.concat([one.test.table, one.test.table.assign(fold=1)]), np.tile(one.test.probabilities, (2, 1))
    )
    found = method(Level(one.val, twice, {0: HALF, 1: HALF}), exact=True)
    assert found["sensitivity"]["value"] == 0.5
    assert (found["sensitivity"]["low"], found["sensitivity"]["reason"]) == (None, clinical._REPEATED)


def test_too_few_validation_negatives_for_a_specificity_are_counted():
    one = level((10, 1, 0.9), (10, 1, 0.2), (45, 0, 0.1), n_folds=3)
    found = method(one)["at_specificity"]
    assert (found["0.9"]["n_folds_too_small"], found["0.95"]["n_folds_too_small"]) == (0, 3)
    no_negative = one._replace(val=one.val.where(one.val.labels == 1))
    assert method(no_negative)["at_specificity"]["0.9"]["reason"] == "a fold has no negative validation patient"


def test_curves_by_hand():
    one = level((10, 1, 0.9), (10, 1, 0.3), (10, 0, 0.6), (30, 0, 0.1))
    found = clinical.curve_tables({"soft_mean": one, "majority": one})
    benefit = found["decision"].pivot(index="threshold", columns="label", values="net_benefit").loc[0.5]
    assert benefit["soft mean"] == pytest.approx(10 / 60 - 10 / 60)
    assert (benefit["treat all"], benefit["treat none"]) == (pytest.approx(20 / 60 - 40 / 60, abs=1e-5), 0)
    rates = found["thresholds"].set_index("threshold").loc[0.5]
    assert rates[["fpr", "tpr", "ppv", "npv"]].tolist() == [0.25, 0.5, 0.5, 0.75]
    assert set(found["thresholds"]["curve"]) == {"soft_mean"}


def test_the_rows_for_statistics_give_the_same_table():
    one = level((12, 1, 0.9), (8, 1, 0.2), (10, 0, 0.6), (30, 0, 0.1), n_folds=2)
    table = clinical.patient_table({"soft_mean": one, "baseline": one})
    assert len(table) == 120
    rows = table[table["method"] == "soft_mean"]
    assert (rows["decision"] == (rows["score"] >= rows["threshold"])).all()
    assert rows.groupby(["label", "decision"]).size().to_dict() == {(0, 0): 30, (0, 1): 10, (1, 0): 8, (1, 1): 12}
    assert not rows["threshold_is_from_validation"].any()


def test_thresholds_are_those_of_the_fusion_and_nobody_is_named():
    one = level((12, 1, 0.9), (8, 1, 0.2), (10, 0, 0.6), (30, 0, 0.1))
    keys = ["fold", "subset", "group", "label"]
    both = pd.concat([part.table[keys].assign(soft_mean=part.probabilities[:, 1]) for part in (one.val, one.test)])
    both = both.assign(majority=both["soft_mean"]).sort_values(keys[:3], ignore_index=True)
    found = clinical.levels_of_table(both)
    assert found["soft_mean"].thresholds[0].value == pytest.approx(0.15)  # all 20 and 30 of 40
    assert found["majority"].thresholds == {0: HALF}
    assert CANARY not in json.dumps(clinical.clinical_tree(found, 0.95), allow_nan=False)
