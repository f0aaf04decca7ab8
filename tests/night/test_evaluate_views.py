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


@pytest.mark.fault("G12")
def test_copies_move_the_scores_of_all_files_and_never_those_of_originals():
    bare, padded = (evaluate.evaluate_views(predictions_of(n_copies), SETTINGS) for n_copies in (0, 5))
    for level in evaluate.LEVELS:
        assert padded["originals", level] == bare["originals", level]
    assert padded["originals", "clip"]["accuracy"].value == 5 / 8
    assert padded["all", "clip"]["accuracy"].value == (5 + 8 * 5) / 48
