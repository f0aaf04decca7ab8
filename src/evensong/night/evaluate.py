"""Test predictions of the night track in; the metrics files and the plot tables out."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evensong.score import palette, scores
from evensong.score.curves import Ranking, calibration_table, others_name, pr_table, roc_table, training_table
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
from evensong.score.scores import Floats
from evensong.schemas import Evaluate

LEVELS = ("clip", "source")
VIEWS = ("originals", "all")
HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")
MOST_NAMED = 30  # classes in a figure; of more, the others are one row, cell or curve

Estimates = dict[tuple[str, str], dict[str, Estimate]]


class Shown(NamedTuple):
    """Labels of the classes that figures name, and of the others."""

    named: list[int]
    others: list[int]


def evaluate_views(test: Predictions, settings: Evaluate) -> Estimates:
    """Score originals and all files, by clip and by source recording.

    A source's probability is the mean over its clips. Intervals draw whole sources, also for clips.

    Returns:
        Estimates by score, for each of ('originals' or 'all', 'clip' or 'source').
    """
    found: Estimates = {}
    for view in VIEWS:
        for level in LEVELS:
            units = units_of(_part(test, view, level))
            bootstrap = make_bootstrap(units, settings, "night")
            found[view, level] = score(units, multiclass_scores, bootstrap).estimates()
    return found


def units_of(predictions: Predictions) -> Units:
    """Predictions as scored units: the chosen class is the most probable one (the first of equals)."""
    chosen = predictions.probabilities.argmax(axis=1) if len(predictions.labels) else np.zeros(0, dtype=np.int64)
    return Units(predictions.labels, predictions.probabilities, chosen, predictions.table["group"].tolist())


def headline_tree(run: TrainingRun, found: Estimates) -> dict[str, Any]:
    """What metrics/night/test.json holds: macro-F1 of original test clips, and how many these are."""
    f1 = found["originals", "clip"]["macro_f1"].numbers()
    n = len(_part(run.predictions.subset("test"), "originals", "clip").labels)
    return {"night_f1": f1["value"], "night_f1_low": f1["low"], "night_f1_high": f1["high"], "night_n": n}


def details_tree(run: TrainingRun, found: Estimates) -> dict[str, Any]:
    """What metrics/night/details.json holds; its keys depend on the classes and never on the model.

    Intervals stand at the headline scores of originals; those of every score are in the table of scores.
    """
    test = run.predictions.subset("test")
    tree: dict[str, Any] = {"n_classes": len(run.classes), "n_folds": len(run.folds)}
    for (view, level), estimates in found.items():
        branch: dict[str, Any] = {"n": len(_part(test, view, level).labels)}
        for name, estimate in estimates.items():
            has_interval = view == "originals" and name in HEADLINE
            branch[name] = estimate.tree() if has_interval else estimate.value_tree()
        tree.setdefault(view, {})[level] = branch
    tree["classes"] = _classes_tree(run)
    tree["validation"] = {"clip": _validation_tree(run)}
    return tree


def plot_tables(run: TrainingRun, found: Estimates) -> dict[str, pd.DataFrame]:
    """The plot tables by file name without its suffix, of original test clips but for the scores; no file names."""
    units = units_of(_part(run.predictions.subset("test"), "originals", "clip"))
    table = scores.confusion(units.labels, units.predicted, len(run.classes))
    shown = shown_classes(table)
    colours = dict(zip([*shown.named, *shown.others], map(palette.series, range(len(run.classes))), strict=True))
    rankings = {
        run.classes[label]: Ranking(units.labels == label, units.probabilities[:, label], colours[label])
        for label in colours
    }
    others = {run.classes[label] for label in shown.others}
    return {
        "training": training_table(run.history),
        "scores": _scores_table(run, found),
        "confusion": _confusion_table(run.classes, table, shown),
        "per_class": _class_table(run.classes, table, shown),
        "roc": roc_table(rankings, others=others),
        "pr": pr_table(rankings, others=others),
        "calibration": calibration_table({"originals": (units.labels, units.probabilities, palette.series(0))}),
    }


def shown_classes(table: Floats) -> Shown:
    """All classes of a confusion table in their order; of more than `MOST_NAMED`, the tested ones of the lowest F1."""
    if len(table) <= MOST_NAMED:
        return Shown(list(range(len(table))), [])
    is_tested = table.sum(axis=1) > 0
    order = np.argsort(np.where(is_tested, scores.class_f1(table), np.inf), kind="stable").tolist()
    return Shown(order[:MOST_NAMED], order[MOST_NAMED:])


def _scores_table(run: TrainingRun, found: Estimates) -> pd.DataFrame:
    """Every score with its interval as rows of, colour, files, level, score, value, low, high, reason, chance, n."""
    test = run.predictions.subset("test")
    n_present = len(np.unique(test.labels))
    chances = {"auroc": 0.5, "balanced_accuracy": 1 / max(n_present, 1)}
    rows = []
    for (view, level), estimates in found.items():
        start = {"of": f"{view} by {level}", "colour": palette.series(VIEWS.index(view)), "files": view, "level": level}
        n = len(_part(test, view, level).labels)
        rows += [
            {**start, "score": name, **one.row(), "chance": chances.get(name), "n": n}
            for name, one in estimates.items()
        ]
    return pd.DataFrame(rows)


def _confusion_table(classes: list[str], table: Floats, shown: Shown) -> pd.DataFrame:
    """Every cell as a row actual, predicted, clips, share of the actual class; all classes not named are one."""
    names = [classes[label] for label in shown.named] + ([f"{len(shown.others)} others"] if shown.others else [])
    place_of = np.zeros((len(classes), len(names)))
    place_of[shown.named, range(len(shown.named))] = 1
    if shown.others:
        place_of[shown.others, -1] = 1
    cells = place_of.T @ table @ place_of
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    rows = [
        {"actual": actual, "predicted": chosen, "clips": int(cells[i, j]), "share": rounded(shares[i, j])}
        for i, actual in enumerate(names)
        for j, chosen in enumerate(names)
    ]
    return pd.DataFrame(rows)


def _class_scores(classes: list[str], table: Floats) -> pd.DataFrame:
    """Rows class, precision, recall, f1, support over original test clips, in label order; NaN where undefined."""
    return pd.DataFrame(
        {
            "class": classes,
            "precision": scores.class_precision(table),
            "recall": scores.class_recall(table),
            "f1": scores.class_f1(table),
            "support": table.sum(axis=1).astype(np.int64),
        }
    ).round(DIGITS)


def _class_table(classes: list[str], table: Floats, shown: Shown) -> pd.DataFrame:
    """The scores of the classes that are named, and the means of the others as one row."""
    every = _class_scores(classes, table)
    named, others = every.iloc[shown.named], every.iloc[shown.others]
    if not shown.others:
        return named
    means = others[["precision", "recall", "f1"]].mean().round(DIGITS).to_dict()
    last = {"class": others_name(len(others)), **means, "support": int(others["support"].sum())}
    return pd.DataFrame([*named.to_dict("records"), last])


def _classes_tree(run: TrainingRun) -> dict[str, Any]:
    """Scores of every class over original test clips; null where it is not in the truth or was never chosen."""
    units = units_of(_part(run.predictions.subset("test"), "originals", "clip"))
    tree = {}
    for row in _class_scores(run.classes, scores.confusion(units.labels, units.predicted, len(run.classes))).to_dict(
        "records"
    ):
        numbers = {
            name: None if row[name] != row[name] else rounded(row[name]) for name in ("precision", "recall", "f1")
        }
        reason = "no test clips" if not row["support"] else "never chosen" if numbers["precision"] is None else None
        tree[str(row["class"])] = numbers | {"n": row["support"]} | ({"reason": reason} if reason else {})
    return tree


def _validation_tree(run: TrainingRun) -> dict[str, Any]:
    """Scores of validation originals, named as such: epochs were chosen on them, they are no test."""
    originals = _part(run.predictions.subset("val"), "originals", "clip")
    points = points_of(units_of(originals), multiclass_scores)
    reason = "one class in the truth" if len(originals.labels) else "no validation set"
    tree: dict[str, Any] = {"n": len(originals.labels)}
    for name in ("macro_f1", "balanced_accuracy"):
        tree[name] = Estimate(points[name], None, None, reason).value_tree()
    return tree


def _part(predictions: Predictions, view: str, level: str) -> Predictions:
    """Originals or all, by clip or by source."""
    chosen = predictions if view == "all" else predictions.where(predictions.table["is_original"])
    return chosen if level == "clip" else chosen.by_group()
