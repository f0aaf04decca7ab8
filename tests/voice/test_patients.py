"""Predictions by patient and by image, and a fold whose test patients are all of one class."""

import numpy as np
import pandas as pd
import pytest

from evensong.errors import DataError
from evensong.schemas import Evaluate
from evensong.score.estimates import binary_scores, make_bootstrap, points_of, rounded, score
from evensong.score.predictions import Predictions, TrainingRun
from evensong.voice.patients import levels_of, units_of

SETTINGS = Evaluate(seed=1, n_bootstrap=100, confidence=0.95)
TESTED = {0: (0, 0, 1, 1), 1: (0, 1, 0, 1), 2: (0, 0, 0, 0)}  # labels of each fold's test patients


def training_run():
    """Three folds; the probability of class 1 is 0.9 for positives and 0.1 for others, two recordings a patient."""
    rows = []
    for fold, labels in TESTED.items():
        for subset, own in (("test", labels), ("val", (0, 1, 0, 1))):
            rows += [
                (fold, subset, f"{subset}{fold}{place}{part}", f"{subset}{fold}{place}", True, label)
                for place, label in enumerate(own)
                for part in "ab"
            ]
    columns = ["fold", "subset", "item_id", "group", "is_original", "label"]
    table = pd.DataFrame(rows, columns=columns).sort_values(["fold", "subset", "item_id"]).reset_index(drop=True)
    positive = np.where(table["label"] == 1, 0.9, 0.1)
    folds = pd.DataFrame({"fold": list(TESTED)})
    history = pd.DataFrame({"fold": [0], "epoch": [1]})
    return TrainingRun(["0", "1"], Predictions(table, np.column_stack([1 - positive, positive])), folds, history)


@pytest.mark.fault("E31")
@pytest.mark.parametrize("name", ["patient", "image"])
def test_a_test_fold_of_one_class_has_no_score_that_needs_two(name):
    level = levels_of(training_run())[name]
    by_fold = [units_of(level.test.where(level.test.table["fold"] == fold), level.thresholds) for fold in TESTED]
    whole, mixed, one_class = (points_of(units, binary_scores) for units in by_fold)
    for what in ("auroc", "balanced_accuracy", "sensitivity"):
        assert (whole[what], mixed[what]) == (1, 1)
        assert rounded(one_class[what]) is None
    assert one_class["accuracy"] == one_class["specificity"] == 1
    pooled = score_of_all(level)
    assert (pooled.value, pooled.reason) == (1, None)


@pytest.mark.fault("E20")
def test_a_patient_with_two_labels_is_refused_by_count():
    run = training_run()
    run.predictions.table.loc[0, "label"] ^= 1  # of one of the patient's two recordings
    with pytest.raises(DataError, match="1 patients have two labels"):
        levels_of(run)


def score_of_all(level):
    units = units_of(level.test, level.thresholds)
    return score(units, binary_scores, make_bootstrap(units, SETTINGS, "voice")).estimate("auroc")


def test_a_patient_s_probability_is_the_mean_of_their_recordings():
    run = training_run()
    level = levels_of(run)["patient"]
    assert len(level.test.table) == sum(len(labels) for labels in TESTED.values())
    assert set(level.test.probabilities[:, 1]) == {0.9, 0.1}
    assert {cut.value for cut in level.thresholds.values()} == {0.5}
