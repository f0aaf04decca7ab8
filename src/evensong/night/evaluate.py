"""Test predictions of the night track in; the metrics files and the plot tables out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evensong.score import palette, scores
from evensong.score.curves import Ranking, calibration_table, others_name, pr_table, roc_table, training_table
from evensong.score.estimates import (
    DIGITS,
    Estimate,
    Scored,
    Units,
    make_bootstrap,
    multiclass_scores,
    points_of,
    rounded,
    score,
)
from evensong.score.predictions import BASELINE, Predictions, TrainingRun, in_part
from evensong.score.scores import Floats
from evensong.schemas import Evaluate

LEVELS = ("clip", "source")
VIEWS = ("originals", "all")
HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")
NETWORK = "network"  # the arm that was trained; the others go by the names of their folders
MOST_NAMED = 30  # classes in a figure; of more, the others are one row, cell or curve

Scores = dict[tuple[str, str], dict[str, Scored]]


class Shown(NamedTuple):
    """Labels of the classes that figures name, and of the others."""

    named: list[int]
    others: list[int]


def evaluate_views(arms: Mapping[str, Predictions], settings: Evaluate) -> Scores:
    """Score originals by clip and by source recording, all arms on the same draws; and the network on all files.

    A source's probability is the mean over its clips. Intervals draw whole sources, also for clips.

    Args:
        arms: test predictions by name of the arm, all with the same originals.

    Returns:
        Scores by arm, for each of ('originals' or 'all', 'clip' or 'source').
    """
    found: Scores = {}
    for view in VIEWS:
        for level in LEVELS:
            asked = arms if view == "originals" else {NETWORK: arms[NETWORK]}
            units = {name: units_of(_part(test, view, level)) for name, test in asked.items()}
            bootstrap = make_bootstrap(units[NETWORK], settings, "night")
            found[view, level] = {name: score(one, multiclass_scores, bootstrap) for name, one in units.items()}
    return found


def units_of(predictions: Predictions) -> Units:
    """Predictions as scored units: the chosen class is the most probable one (the first of equals)."""
    chosen = predictions.probabilities.argmax(axis=1) if len(predictions.labels) else np.zeros(0, dtype=np.int64)
    return Units(predictions.labels, predictions.probabilities, chosen, predictions.table["group"].tolist())


def headline_tree(run: TrainingRun, found: Scores) -> dict[str, Any]:
    """What metrics/night/test.json holds: macro-F1 of original test clips, how many these are, and the baseline's."""
    by_arm = found["originals", "clip"]
    f1, baseline = (by_arm[name].estimate("macro_f1").numbers() for name in (NETWORK, BASELINE))
    n = len(_part(run.predictions.subset("test"), "originals", "clip").labels)
    return {
        "night_f1": f1["value"],
        "night_f1_low": f1["low"],
        "night_f1_high": f1["high"],
        "night_n": in_part(n, run.part),
        "night_baseline_f1": baseline["value"],
    }


def details_tree(run: TrainingRun, found: Scores) -> dict[str, Any]:
    """What metrics/night/details.json holds; its keys depend on the classes and the arms, and never on the model.

    Intervals stand at the headline scores of originals; those of every score are in the table of scores.
    """
    test = run.predictions.subset("test")
    tree: dict[str, Any] = {"n_classes": len(run.classes), "n_folds": len(run.folds), "folds": run.part or "all"}
    for (view, level), by_arm in found.items():
        part = _part(test, view, level)
        # a source with several classes is scored once for each
        branch: dict[str, Any] = {"n": len(part.labels), "sources": part.table["group"].nunique()}
        for name, estimate in by_arm[NETWORK].estimates().items():
            has_interval = view == "originals" and name in HEADLINE
            branch[name] = estimate.tree() if has_interval else estimate.value_tree()
        tree.setdefault(view, {})[level] = branch
    tree["arms"] = {name: _arm_tree(found, name) for name in _others(found)}
    tree["classes"] = _classes_tree(run)
    tree["validation"] = {"clip": _validation_tree(run)}
    return tree


def _others(found: Scores) -> list[str]:
    """The arms beside the network."""
    return [name for name in found["originals", "clip"] if name != NETWORK]


def _arm_tree(found: Scores, arm: str) -> dict[str, Any]:
    """Headline scores of an arm on originals, and what the network has above them, paired."""
    tree: dict[str, Any] = {}
    for level in LEVELS:
        by_arm = found["originals", level]
        tree[level] = {name: by_arm[arm].estimate(name).tree() for name in HEADLINE}
        tree[f"network_minus_{level}"] = {name: by_arm[NETWORK].minus(by_arm[arm], name).tree() for name in HEADLINE}
    return tree


def plot_tables(run: TrainingRun, found: Scores) -> dict[str, pd.DataFrame]:
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
        "differences": _differences_table(found),
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


def _scores_table(run: TrainingRun, found: Scores) -> pd.DataFrame:
    """Every score with its interval as rows of, colour, arm, files, level, score, value, low, high, reason, chance, n.

    Arms beside the network on originals alone: what they make of copies nobody asks.
    """
    test = run.predictions.subset("test")
    n_present = len(np.unique(test.labels))
    chances = {"auroc": 0.5, "balanced_accuracy": 1 / max(n_present, 1)}
    rows = []
    for (view, level), by_arm in found.items():
        n = len(_part(test, view, level).labels)
        for arm, scored in by_arm.items():
            if arm == NETWORK:
                start = {"of": f"{view} by {level}", "colour": palette.series(VIEWS.index(view))}
            else:
                start = {"of": f"{arm}, {view} by {level}", "colour": palette.arm(arm)}
            rows += [
                {**start, "arm": arm, "files": view, "level": level, "score": name}
                | {**one.row(), "chance": chances.get(name), "n": n}
                for name, one in scored.estimates().items()
            ]
    return pd.DataFrame(rows)


def _differences_table(found: Scores) -> pd.DataFrame:
    """The network minus every other arm on originals, paired, as rows of the columns of the table of scores."""
    rows = []
    for arm in _others(found):
        for level in LEVELS:
            by_arm = found["originals", level]
            start = {"of": f"network minus {arm}, by {level}", "colour": palette.arm(arm), "arm": arm, "level": level}
            rows += [
                {**start, "score": name, **by_arm[NETWORK].minus(by_arm[arm], name).row(), "chance": 0}
                for name in HEADLINE
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
