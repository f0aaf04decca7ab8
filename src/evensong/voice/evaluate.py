"""One sub-database's training run in; its cross-validation summary, metrics and plot tables out.

Everything here that goes to git is an aggregate: no patient, no recording, and no calibration bin of fewer than
five patients.
"""

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evensong.errors import DataError
from evensong.learn.fold_table import SUBSETS
from evensong.score import palette, scores
from evensong.score.curves import training_table
from evensong.score.estimates import (
    NO_INTERVAL,
    Scored,
    Units,
    binary_scores,
    make_bootstrap,
    points_of,
    rounded,
    score,
    trees,
)
from evensong.score.intervals import INTERVAL
from evensong.score.probability_scores import N_CALIBRATION_BINS
from evensong.score.predictions import Predictions, TrainingRun, in_part
from evensong.params import Section
from evensong.schemas import Evaluate
from evensong.voice.disclosure import told, untold_scores
from evensong.voice.patients import (
    AUROC_RULES,
    CHANCE,
    HALF,
    TOLD,
    Level,
    counts_of,
    curve_tables,
    levels_of,
    not_the_cohort,
    units_of,
)
from evensong.voice.tables import IDS, item_ids

_MAX_EPOCHS = 30  # of one fold in the plot table, which holds up to ninety folds
_HARDLY_MOVED = (0.45, 0.55)  # a network starts near one half; the scores of one that has learned leave this band
_CONFUSION = ["subdb", "actual", "predicted", "share"]
RULES = {
    "positive": "class 1",
    "patient": "mean probability over the patient's recordings in the subset",
    "pooled": "test predictions of all folds together, each by the model that did not see the patient",
    **AUROC_RULES,
    "interval": f"{INTERVAL}; groups are patients, over all folds together",
    "no_interval": f"calibration_error: {NO_INTERVAL['calibration_error']}",
    "threshold": "chosen for each fold on its own validation set (largest sensitivity + specificity - 1), else 0.5",
    "class_means": "over the classes present in the truth; null with fewer than two",
    "folds": (
        "mean and sample standard deviation over the folds in which the score is defined, n_defined of n_folds; a "
        "spread, not an interval: the folds share their training patients"
    ),
    "auprc": "average precision: sum of precision times the step in recall",
    "brier": "mean squared distance of the probability of class 1 from the label",
    "calibration_error": (
        f"|mean probability - share of class 1| in {N_CALIBRATION_BINS} equal bins of probability, weighted by items"
    ),
    "validation": "the same scores on the validation patients, who chose epoch and threshold: optimistic, no result",
    "selected_epoch": "the epoch with the highest validation macro-F1, or the last",
    "n_values": "numbers stored in one fold's weights file, batch statistics included",
}


@dataclass(frozen=True)
class SubDatabase:
    """A training run with its pooled scores by level ('patient', 'image')."""

    run: TrainingRun
    levels: dict[str, Level]
    pooled: dict[str, Scored]


def evaluate_run(run: TrainingRun, settings: Evaluate) -> SubDatabase:
    """Score the pooled test predictions of a run at both levels.

    Raises:
        DataError: not two classes, or a patient with two labels.
    """
    levels = levels_of(run)
    pooled = {}
    for name, level in levels.items():
        units = units_of(level.test, level.thresholds)
        pooled[name] = score(units, binary_scores, make_bootstrap(units, settings, "voice"))
    return SubDatabase(run, levels, pooled)


def check_predicted(combined: pd.DataFrame, predictions: Predictions, where: str) -> None:
    """Refuse predictions that are not exactly one for each validation and test row of the trained folds.

    Raises:
        DataError: says how many are missing or too many, never which.
    """
    rows = combined[combined["fold"].isin(predictions.folds) & (combined["subset"] != "train")]
    wanted = pd.MultiIndex.from_arrays([rows["fold"], rows["subset"], item_ids(rows), rows["label"]])
    table = predictions.table
    found = pd.MultiIndex.from_arrays([table["fold"], table["subset"], table["item_id"], table["label"]])
    n_missing, n_more = len(wanted.difference(found)), len(found.difference(wanted))
    if n_missing or n_more:
        raise DataError(
            f"{where}: {n_missing} validation and test rows of the combined table have no prediction and {n_more} "
            "predictions have no row; run the training again"
        )


def cohort_facts(combined: pd.DataFrame, folds: list[int]) -> dict[str, Any]:
    """Counts and shares of class 1, in all and by fold and subset.

    Args:
        combined: from `tables.read_combined`.
        folds: those that were trained.
    """
    combined = combined[combined["fold"].isin(folds)]
    per_fold: list[dict[str, Any]] = [
        {"fold": fold} | {subset: _counts(_part(combined, fold, subset)) for subset in SUBSETS} for fold in folds
    ]
    trained = [counts["train"] for counts in per_fold]
    return {
        "all": _counts(combined),
        "test": _counts(combined[combined["subset"] == "test"]),
        "train_mean": {name: rounded(float(np.mean([counts[name] for counts in trained]))) for name in trained[0]},
        "per_fold": per_fold,
    }


def summary_name(model: str) -> str:
    """File name of a summary; characters that do not belong into a file name become '_'."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', model)}_cv_summary.json"


def summary_tree(
    subdb: int, found: SubDatabase, settings: Mapping[str, Section], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything a table in a paper needs about one sub-database.

    Args:
        settings: the parameters of training and evaluation, repeated in the summary.
        facts: what is known of the model and of the data, taken over as it is.
    """
    epochs = found.run.folds["selected_epoch"]
    tree: dict[str, Any] = {
        "sub_database": subdb,
        "classes": found.run.classes,
        "folds": found.run.part or "all",
        "rules": RULES,
        "settings": {name: section.model_dump() for name, section in settings.items()},
        **facts,
        "selected_epoch": {**_mean_and_sd(epochs.tolist()), "min": int(epochs.min()), "max": int(epochs.max())},
        "training": [_training_row(row) for row in found.run.folds.to_dict("records")],
    }
    for name, level in found.levels.items():
        tree[name] = _level_tree(level, found.pooled[name])
    return tree


def details_tree(found: Mapping[int, SubDatabase]) -> dict[str, Any]:
    """What metrics/voice/subdbs.json holds of each sub-database: its pooled patient headline, and untrained folds."""
    tree: dict[str, Any] = {}
    for subdb, one in found.items():
        scored = one.pooled["patient"]
        headline = {name: scored.estimate(name).tree() for name in TOLD}
        test = one.levels["patient"].test
        told_headline = headline | {"n": in_part(told(_n_groups(test)), one.run.part)}
        tree[f"subdb{subdb}"] = {"patient": told_headline, "folds_hardly_moved": _n_still(test)}
    return tree


def notes(found: Mapping[int, SubDatabase]) -> list[str]:
    """What a reader of the scores should know, a line each."""
    parts = sorted({one.run.part for one in found.values()} - {""})
    n_still = {subdb: _n_still(one.levels["patient"].test) for subdb, one in found.items()}
    where = [f"subdb{subdb} ({n} of {len(found[subdb].run.folds)} folds)" for subdb, n in n_still.items() if n]
    low, high = _HARDLY_MOVED
    line = (
        f"every test patient scores between {low:g} and {high:g} in {', '.join(where)}: these networks have hardly "
        "moved from where they start; train longer (train.epochs)"
    )
    return [not_the_cohort(part) for part in parts] + ([line] if where else [])


def _n_still(test: Predictions) -> int:
    """Folds whose every score of class 1 lies in the band of networks that have hardly moved."""
    scores_of_1 = pd.Series(test.probabilities[:, 1]).groupby(test.table["fold"])
    low, high = _HARDLY_MOVED
    return int(((scores_of_1.min() >= low) & (scores_of_1.max() <= high)).sum())


def plot_tables(found: Mapping[int, SubDatabase]) -> dict[str, pd.DataFrame]:
    """The plot tables of all sub-databases, by file name without its suffix."""
    drawn = {}
    for subdb, one in found.items():
        units = _patients(one)
        drawn[str(in_part(f"subdb{subdb}", one.run.part))] = (units.labels, units.probabilities, palette.subdb(subdb))
    return curve_tables(drawn) | {
        "training": pd.concat([_training_curves(subdb, one.run) for subdb, one in found.items()], ignore_index=True),
        "scores": pd.DataFrame([row for subdb, one in found.items() for row in _score_rows(subdb, one)]),
        "confusion": pd.DataFrame(
            [row for subdb, one in found.items() for row in _confusion_rows(subdb, one)], columns=_CONFUSION
        ),
    }


def _level_tree(level: Level, pooled: Scored) -> dict[str, Any]:
    val = units_of(level.val, level.thresholds)
    half = points_of(units_of(level.test, dict.fromkeys(level.thresholds, HALF)), binary_scores)
    per_fold = [_fold_row(level, fold) for fold in level.thresholds]
    n, n_positive = counts_of(level.test)
    return {
        "n": n,
        "n_positive": n_positive,
        "n_patients": _n_groups(level.test),
        "pooled": trees(pooled.estimates()),
        "pooled_at_half": {name: rounded(half[name]) for name in _BY_DECISION},
        "validation": {name: rounded(value) for name, value in points_of(val, binary_scores).items()},
        "folds": _fold_means(per_fold, pooled.points),
        "per_fold": per_fold,
    }


_BY_DECISION = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "sensitivity", "specificity")


def _fold_row(level: Level, fold: int) -> dict[str, Any]:
    rows = level.test.where(level.test.table["fold"] == fold)
    units = units_of(rows, level.thresholds)
    cut = level.thresholds[fold]
    row: dict[str, Any] = {name: rounded(value) for name, value in points_of(units, binary_scores).items()}
    row |= {"fold": fold, "n": len(units.labels), "n_positive": int(units.labels.sum())}
    row |= {"threshold": rounded(cut.value), "threshold_is_from_validation": cut.reason is None}
    if cut.reason:
        row["threshold_reason"] = cut.reason
    if len(np.unique(units.labels)) < 2:
        row["reason"] = "one class in the test set" if len(units.labels) else "no test items"
    return row


def _fold_means(per_fold: list[dict[str, Any]], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Mean and deviation over the folds in which a score is defined, and how many those are."""
    means: dict[str, dict[str, Any]] = {}
    for name in names:
        values = [row[name] for row in per_fold if row[name] is not None]
        means[name] = {**_mean_and_sd(values), "n_defined": len(values), "n_folds": len(per_fold)}
        if not values:
            means[name]["reason"] = "defined in no fold"
    return means


def _mean_and_sd(values: list[float]) -> dict[str, float | None]:
    return {
        "mean": rounded(float(np.mean(values))) if values else None,
        "sd": rounded(float(np.std(values, ddof=1))) if len(values) > 1 else None,
    }


def _training_row(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """A row of folds.csv with plain numbers; blank cells are null."""
    plain: dict[str, Any] = {str(name): value for name, value in row.items()}
    numbers = {name: value for name, value in plain.items() if isinstance(value, float)}
    return plain | {name: rounded(value) if np.isfinite(value) else None for name, value in numbers.items()}


def _patients(found: SubDatabase) -> Units:
    level = found.levels["patient"]
    return units_of(level.test, level.thresholds)


def _n_groups(predictions: Predictions) -> int:
    return int(predictions.table["group"].nunique())


def _training_curves(subdb: int, run: TrainingRun) -> pd.DataFrame:
    curves = training_table(run.history, _MAX_EPOCHS)
    curves.insert(0, "subdb", subdb)
    return curves


def _score_rows(subdb: int, found: SubDatabase) -> list[dict[str, Any]]:
    """Every score with its interval by level, but those that would count a few patients."""
    rows = []
    hidden = untold_scores(*counts_of(found.levels["patient"].test))
    for level, scored in found.pooled.items():
        n, _ = counts_of(found.levels[level].test)
        of = in_part(f"subdb{subdb} by {level}", found.run.part)
        start = {"of": of, "colour": palette.subdb(subdb), "subdb": subdb, "level": level}
        rows += [
            {**start, "score": name, **one.row(), "chance": CHANCE.get(name), "n": n}
            for name, one in scored.estimates().items()
            if name not in hidden
        ]
    return rows


def _confusion_rows(subdb: int, found: SubDatabase) -> list[dict[str, Any]]:
    """Share of each true class that was given each class, by patient; no rows where that would count a few patients."""
    units = _patients(found)
    if untold_scores(len(units.labels), int(units.labels.sum())):
        return []
    table = scores.confusion(units.labels, units.predicted, 2)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    names = found.run.classes
    cells = [(subdb, names[i], names[j], rounded(shares[i, j])) for i in (0, 1) for j in (0, 1)]
    return [dict(zip(_CONFUSION, cell, strict=True)) for cell in cells]


def _part(combined: pd.DataFrame, fold: int, subset: str) -> pd.DataFrame:
    return combined[(combined["fold"] == fold) & (combined["subset"] == subset)]


def _counts(rows: pd.DataFrame) -> dict[str, Any]:
    """Patients and recordings, how many of class 1, and the shares; each counts once, whatever folds it is in."""
    images = rows.drop_duplicates(IDS)
    patients = rows.drop_duplicates("healthCode")
    found: dict[str, Any] = {}
    for name, items in (("patients", patients), ("recordings", images)):
        n_positive = int(items["label"].sum())
        found |= {f"n_{name}": len(items), f"n_positive_{name}": n_positive}
        found[f"prevalence_{name}"] = rounded(n_positive / len(items)) if len(items) else None
    return found
