"""Test predictions of the night track in; the metrics file and the plot tables out."""

from typing import Any

import numpy as np
import pandas as pd

from evensong.score import scores
from evensong.score.curves import calibration_table, pr_table, roc_table
from evensong.score.estimates import (
    DIGITS,
    Estimate,
    Units,
    make_bootstrap,
    multiclass_scores,
    points_of,
    rounded,
    score,
)
from evensong.score.predictions import Predictions, TrainingRun
from evensong.schemas import Evaluate

LEVELS = ("clip", "source")
HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")

Estimates = dict[tuple[str, str], dict[str, Estimate]]


def evaluate_views(test: Predictions, settings: Evaluate) -> Estimates:
    """Score originals and all files, by clip and by source recording.

    A source's probability is the mean over its clips. Intervals draw whole sources, also for clips.

    Returns:
        Estimates by score, for each of ('originals' or 'all', 'clip' or 'source').
    """
    views = {"originals": test.where(test.table["is_original"]), "all": test}
    found: Estimates = {}
    for name, view in views.items():
        for level, predictions in zip(LEVELS, (view, view.by_group()), strict=True):
            units = units_of(predictions)
            bootstrap = make_bootstrap(units, settings, "night")
            found[name, level] = score(units, multiclass_scores, bootstrap).estimates()
    return found


def units_of(predictions: Predictions) -> Units:
    """Predictions as scored units: the chosen class is the most probable one (the first of equals)."""
    chosen = predictions.probabilities.argmax(axis=1) if len(predictions.labels) else np.zeros(0, dtype=np.int64)
    return Units(predictions.labels, predictions.probabilities, chosen, predictions.table["group"].tolist())


def metrics_tree(run: TrainingRun, found: Estimates) -> dict[str, Any]:
    """What metrics/night/test.json holds; its keys do not depend on the model.

    Intervals stand at the headline scores of originals; those of every score are in `scores_table`.
    """
    test = run.predictions.subset("test")
    tree: dict[str, Any] = {"n_classes": len(run.classes), "n_folds": len(run.folds)}
    for (view, level), estimates in found.items():
        branch: dict[str, Any] = {"n": _n_units(test, view, level)}
        for name, estimate in estimates.items():
            has_interval = view == "originals" and name in HEADLINE
            branch[name] = estimate.tree() if has_interval else estimate.value_tree()
        tree.setdefault(view, {})[level] = branch
    tree["validation"] = {"clip": _validation_tree(run)}
    return tree


def scores_table(run: TrainingRun, found: Estimates) -> pd.DataFrame:
    """Every score with its interval as rows of, files, level, score, value, low, high, n."""
    test = run.predictions.subset("test")
    rows = [
        {
            "of": f"{view} by {level}",
            "files": view,
            "level": level,
            "score": name,
            **_numbers(estimate),
            "n": _n_units(test, view, level),
        }
        for (view, level), estimates in found.items()
        for name, estimate in estimates.items()
    ]
    return pd.DataFrame(rows)


def confusion_pairs(run: TrainingRun) -> pd.DataFrame:
    """One row an original test clip: actual and predicted class name, sorted, no file names."""
    units = units_of(_test_originals(run))
    names = np.asarray(run.classes, dtype=object)
    pairs = pd.DataFrame({"actual": names[units.labels], "predicted": names[units.predicted]})
    return pairs.sort_values(["actual", "predicted"], ignore_index=True)


def class_table(run: TrainingRun) -> pd.DataFrame:
    """Rows class, precision, recall, f1, support over original test clips; blank where undefined."""
    units = units_of(_test_originals(run))
    table = scores.confusion(units.labels, units.predicted, len(run.classes))
    return pd.DataFrame(
        {
            "class": run.classes,
            "precision": scores.class_precision(table),
            "recall": scores.class_recall(table),
            "f1": scores.class_f1(table),
            "support": table.sum(axis=1).astype(np.int64),
        }
    ).round(DIGITS)


def curve_tables(run: TrainingRun) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """ROC and precision-recall of each class against the rest, and calibration of the chosen class; originals."""
    units = units_of(_test_originals(run))
    rankings = {name: (units.labels == label, units.probabilities[:, label]) for label, name in enumerate(run.classes)}
    calibration = calibration_table({"originals": (units.labels, units.probabilities)})
    return roc_table(rankings), pr_table(rankings), calibration


def _validation_tree(run: TrainingRun) -> dict[str, Any]:
    """Scores of validation originals, named as such: epochs were chosen on them, they are no test."""
    validation = run.predictions.subset("val")
    originals = validation.where(validation.table["is_original"])
    points = points_of(units_of(originals), multiclass_scores)
    reason = "one class in the truth" if len(originals.labels) else "no validation set"
    tree: dict[str, Any] = {"n": len(originals.labels)}
    for name in ("macro_f1", "balanced_accuracy"):
        tree[name] = Estimate(points[name], None, None, reason).value_tree()
    return tree


def _test_originals(run: TrainingRun) -> Predictions:
    test = run.predictions.subset("test")
    return test.where(test.table["is_original"])


def _n_units(test: Predictions, view: str, level: str) -> int:
    chosen = test if view == "all" else test.where(test.table["is_original"])
    return len((chosen if level == "clip" else chosen.by_group()).table)


def _numbers(estimate: Estimate) -> dict[str, float | None]:
    return {name: rounded(getattr(estimate, name)) for name in ("value", "low", "high")}
