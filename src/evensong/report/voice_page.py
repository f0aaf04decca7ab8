"""What git holds of the voice track -> what the voice page and its two cards say.

Only files of metrics/ and plots/ are read. They are in git, so they hold aggregates that `voice.disclosure` lets be
told, and the page can hold no more: no patient, no recording, no count of fewer than five.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from evensong.intake.tables import read_own_table
from evensong.report import svg
from evensong.report.page import (
    curves_of,
    percent,
    reach_of,
    read_text,
    read_tree,
    row_of,
    rows_of,
    settings_rows,
    shortcut_figure,
    size_category,
)
from evensong.report.voice_study import study_facts
from evensong.schemas import Train, Voice
from evensong.score import palette

_METRICS, _PLOTS, _ENSEMBLE = Path("metrics/voice"), Path("plots/voice"), Path("plots/ensemble")
_COLUMNS = {
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auprc": "AUPRC",
    "brier": "Brier",
}


def voice_facts(voice: Voice, train: Train) -> dict[str, Any]:
    """Everything that voice.html shows."""
    numbers = ("value", "low", "high")
    scores = read_own_table(_ENSEMBLE / "scores.csv", numbers=numbers)
    differences = read_own_table(_ENSEMBLE / "differences.csv", numbers=numbers)
    details = read_tree(_METRICS / "details.json")
    tables, subdbs = read_tree(_METRICS / "tables.json"), read_tree(_METRICS / "subdbs.json")
    test = read_tree(_METRICS / "test.json")
    clinical, confounders = read_tree(_METRICS / "clinical.json"), read_tree(_METRICS / "confounders.json")
    return {
        **study_facts(tables, clinical, confounders, Path("plots/voice_clinical")),
        "scan": read_tree(_METRICS / "scan.json"),
        "tables": tables,
        "details": details,
        "test": test,
        "confidence": percent(voice.evaluate.confidence),
        "answer": answer_parts(read_text(_ENSEMBLE / "answer.md")),
        "headlines": _headline_figures(scores, differences),
        "methods": _method_rows(scores),
        "columns": list(_COLUMNS.values()),
        "subdb_figure": _subdb_figure(subdbs),
        "shortcuts": shortcut_figure(tables["shortcut_balanced_accuracy"], palette.series(0)),
        "curves": _curve_figures(),
        "training": _training_figure(read_own_table(_PLOTS / "training.csv", numbers=("subdb", "epoch", "train_loss"))),
        "voice": voice,
        "settings": settings_rows({"voice": voice, "train": train}),
    }


def answer_parts(text: str) -> list[tuple[str, list[str]]]:
    """Paragraphs and lists of the answer in words, as ``("p" or "ul", lines)``; its table is drawn as a figure here."""
    parts: list[tuple[str, list[str]]] = []
    for block in text.replace(" %", "\N{NO-BREAK SPACE}%").split("\n\n"):
        kept = [line for line in block.splitlines() if line and not line.startswith(("#", "|"))]
        if kept and all(line.startswith("- ") for line in kept):
            parts.append(("ul", [line.removeprefix("- ") for line in kept]))
        elif kept:
            parts.append(("p", [" ".join(kept)]))
    return parts


def model_front(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Front matter of the model card, in the form that model hubs read."""
    metrics = [{"type": "roc_auc", "name": "AUROC within folds", "value": facts["test"]["voice_auroc"]}]
    result = {
        "task": {"type": "audio-classification"},
        "dataset": {"type": "private", "name": "the patients of the voice track"},
        "metrics": metrics,
    }
    return {
        "license": "unknown",
        "library_name": "timm",
        "pipeline_tag": "audio-classification",
        "tags": ["audio-classification", "voice-biomarkers", "evensong"],
        "model-index": [{"name": "voice-ensemble", "results": [result]}],
    }


def data_front(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Front matter of the data card, in the form that data hubs read."""
    return {
        "license": "unknown",
        "pretty_name": "The recordings of the voice track",
        "task_categories": ["audio-classification"],
        "size_categories": [size_category(facts["scan"]["used"])],
        "tags": ["audio", "voice-biomarkers", "health", "evensong"],
    }


def _headline_figures(scores: pd.DataFrame, differences: pd.DataFrame) -> list[tuple[str, Markup]]:
    """AUROC within folds, pooled, and the paired differences within folds."""
    within, pooled = (rows_of(scores[scores["score"] == name]) for name in ("auroc", "auroc_pooled"))
    chance = [(0.5, "chance")]
    figures = [
        ("AUROC within test folds, the headline", svg.intervals(within, "AUROC within test folds", marks=chance)),
        ("AUROC pooled over folds", svg.intervals(pooled, "AUROC pooled over folds", marks=chance)),
    ]
    for _, one in differences[differences["score"] == "auroc"].groupby("reference", sort=False):
        names = one["of"].str.split(" minus ", n=1, expand=True)
        title = f"Minus the {names[1].iloc[0]}, paired, within folds"
        gains = rows_of(one.assign(of=names[0]), signed=True)
        figures.append((title, svg.intervals(gains, title, reach_of(gains), [(0, "no difference")])))
    return figures


def _method_rows(scores: pd.DataFrame) -> list[tuple[str, list[tuple[str, str]]]]:
    """By method: number and interval of the scores that hang on a threshold or a probability."""
    rows: dict[str, list[tuple[str, str]]] = {method: [] for method in scores["of"]}
    for name in _COLUMNS:
        one = scores[scores["score"] == name]
        for row, reason in zip(rows_of(one), one["reason"], strict=True):
            rows[row.label].append((svg.number(row.value), svg.span(row.low, row.high) or reason))
    return list(rows.items())


def _subdb_figure(subdbs: Mapping[str, Any]) -> Markup:
    numbers = {int(name.removeprefix("subdb")): tree["patient"]["auroc"] for name, tree in subdbs.items()}
    rows = [
        row_of(f"sub-database {number}, {10 * number} % positive", numbers[number], palette.subdb(number))
        for number in sorted(numbers)
    ]
    return svg.intervals(rows, "AUROC within folds by sub-database", marks=[(0.5, "chance")])


def _curve_figures() -> list[tuple[str, Markup]]:
    """ROC, precision over recall and calibration of the fused methods."""
    kinds = (
        ("roc", "ROC by patient, pooled", ("false positive rate", "true positive rate"), ("fpr", "tpr")),
        ("pr", "Precision and recall by patient", ("recall", "precision"), ("recall", "precision")),
    )
    figures = [
        (title, svg.lines(curves_of(_ENSEMBLE / f"{file}.csv", *columns), title, labels))
        for file, title, labels, columns in kinds
    ]
    title, labels = "Calibration by patient", ("predicted probability of class 1", "share of class 1")
    dots = curves_of(_ENSEMBLE / "calibration.csv", "predicted", "observed", dots=True)
    return [*figures, (title, svg.lines([*dots, svg.DIAGONAL], title, labels))]


def _training_figure(history: pd.DataFrame) -> Markup:
    """Training loss by epoch, a line a sub-database: the mean over its folds."""
    means = history.groupby(["subdb", "epoch"], as_index=False)["train_loss"].mean()
    curves = []
    for number in sorted(means["subdb"].astype(int).unique()):
        one = means[means["subdb"] == number]
        points = list(zip(one["epoch"], one["train_loss"], strict=True))
        curves.append(svg.Curve(f"sub-database {number}", points, palette.subdb(number)))
    reach = (1, max(2.0, history["epoch"].max()))
    return svg.lines(
        curves, "Mean training loss over folds", ("epoch", "loss"), reach, (0, float(means["train_loss"].max()))
    )
