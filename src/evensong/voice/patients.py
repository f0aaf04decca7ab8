"""Predictions of one cohort's folds -> decisions and scored units, by image and by patient."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from evensong.errors import DataError
from evensong.score.curves import Ranking, calibration_table, pr_table, roc_table
from evensong.score.estimates import Units
from evensong.score.intervals import BY_FOLD
from evensong.score.predictions import Predictions, TrainingRun
from evensong.score.probability_scores import Threshold, youden_threshold
from evensong.score.scores import Floats, Ints
from evensong.voice.disclosure import SMALLEST_COUNT

LEVELS = ("patient", "image")
HEADLINE = ("auroc", "balanced_accuracy")
TOLD = (*HEADLINE, "auroc_pooled")  # what metrics/voice/ holds of every arm
CHANCE = dict.fromkeys(TOLD, 0.5)
WITHIN = "folds are different models, so AUROC compares a positive with the negatives of its own fold only"
AUROC_RULES = {
    "auroc": WITHIN,
    "auroc_interval": BY_FOLD,
    "auroc_pooled": "AUROC over the test patients of all folds together, although their scores are not on one scale",
}
HALF = Threshold(0.5, "fixed")

Thresholds = dict[int, Threshold]


class Level(NamedTuple):
    """Validation and test predictions at one level, with the threshold that validation chose for each fold."""

    val: Predictions
    test: Predictions
    thresholds: Thresholds


def levels_of(run: TrainingRun) -> dict[str, Level]:
    """Both levels of a training run; a patient's probability is the mean over the recordings in that subset.

    Raises:
        DataError: the run does not have two classes, or a patient has two labels.
    """
    if len(run.classes) != 2:
        raise DataError(f"the voice track needs two classes, the training has {len(run.classes)}")
    check_one_label(run.predictions)
    return {"patient": level_of(run.predictions.by_group()), "image": level_of(run.predictions)}


def level_of(predictions: Predictions) -> Level:
    """Split by subset and choose each fold's threshold on its own validation rows (Youden's J, else 0.5)."""
    val, test = predictions.subset("val"), predictions.subset("test")
    return Level(val, test, {fold: _threshold(val, fold) for fold in predictions.folds})


def check_one_label(predictions: Predictions) -> None:
    """Refuse predictions in which one patient has two labels.

    Raises:
        DataError: says how many patients, never which.
    """
    n_labels = predictions.table.groupby("group")["label"].nunique()
    n_bad = int((n_labels > 1).sum())
    if n_bad:
        raise DataError(f"predictions: {n_bad} patients have two labels; run voice_tables and the training again")


def units_of(predictions: Predictions, thresholds: Thresholds) -> Units:
    """Predictions as scored units: class 1 where its probability is at or above the fold's threshold."""
    return Units(
        predictions.labels,
        predictions.probabilities,
        decide(predictions, thresholds),
        predictions.table["group"].tolist(),
        predictions.table["fold"].to_numpy(np.int64),
    )


def decide(predictions: Predictions, thresholds: Thresholds) -> Ints:
    """(n_rows,) int64 chosen class, with each row's fold threshold."""
    cuts = predictions.table["fold"].map({fold: cut.value for fold, cut in thresholds.items()})
    return (predictions.probabilities[:, 1] >= cuts.to_numpy(dtype=np.float64)).astype(np.int64)


def counts_of(predictions: Predictions) -> tuple[int, int]:
    """Items, and items of class 1; one that several folds predict counts once."""
    items = predictions.table.drop_duplicates("item_id")
    return len(items), int(items["label"].sum())


def curve_tables(drawn: Mapping[str, tuple[Ints, Floats, str]]) -> dict[str, pd.DataFrame]:
    """ROC, precision-recall and calibration, by file name; no curve of a class and no bin of few patients.

    Args:
        drawn: labels (n,), probabilities (n, 2) and colour by name of the curve.
    """
    rankings = {name: Ranking(labels == 1, given[:, 1], colour) for name, (labels, given, colour) in drawn.items()}
    return {
        "roc": roc_table(rankings, SMALLEST_COUNT),
        "pr": pr_table(rankings, SMALLEST_COUNT),
        "calibration": calibration_table(drawn, min_items=SMALLEST_COUNT),
    }


def not_the_cohort(part: str) -> str:
    """What a reader of scores of a part of the folds should know."""
    return f"{part} were trained (voice.train.folds): these scores describe their test patients and not the cohort"


def two_columns(positive: Floats) -> Floats:
    """(n, 2) probabilities of both classes from (n,) probabilities of class 1."""
    return np.column_stack([1 - positive, positive])


def _threshold(val: Predictions, fold: int) -> Threshold:
    rows = val.where(val.table["fold"] == fold)
    return youden_threshold(rows.labels == 1, rows.probabilities[:, 1])
