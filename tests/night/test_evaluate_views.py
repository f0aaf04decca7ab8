"""Copies of test clips must not move what is reported of originals."""

import numpy as np
import pandas as pd
import pytest

from evensong.night import evaluate
from evensong.schemas import Evaluate
from evensong.score.predictions import Predictions

SETTINGS = Evaluate(seed=1, n_bootstrap=100, confidence=0.95)


def predictions_of(n_copies):
    """Eight sources of two classes, one original each, and as many copies, all of them right; originals are not."""
    rows, probabilities = [], []
    for source in range(8):
        label = source % 2
        for item in range(1 + n_copies):
            is_right = item > 0 or source > 2
            rows.append((0, "test", f"clip{source}_{item}", f"source{source}", item == 0, label))
            probabilities.append(np.eye(2)[label if is_right else 1 - label] * 0.6 + 0.2)
    table = pd.DataFrame(rows, columns=["fold", "subset", "item_id", "group", "is_original", "label"])
    return Predictions(table, np.array(probabilities))


def scores_of(n_copies):
    test = predictions_of(n_copies)
    return evaluate.evaluate_views({"network": test, "baseline": test}, SETTINGS)


def estimates_of(n_copies):
    return {key: by_arm["network"].estimates() for key, by_arm in scores_of(n_copies).items()}


@pytest.mark.fault("G12")
def test_copies_move_the_scores_of_all_files_and_never_those_of_originals():
    bare, padded = (estimates_of(n_copies) for n_copies in (0, 5))
    for level in evaluate.LEVELS:
        assert padded["originals", level] == bare["originals", level]
    assert padded["originals", "clip"]["accuracy"].value == 5 / 8
    assert padded["all", "clip"]["accuracy"].value == (5 + 8 * 5) / 48


def test_an_arm_that_predicts_the_same_is_not_told_from_the_network():
    found = scores_of(n_copies=2)
    for level in evaluate.LEVELS:
        by_arm = found["originals", level]
        difference = by_arm["network"].minus(by_arm["baseline"], "macro_f1")
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
