"""Outputs of the night stages -> what the night page and its two cards say."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from evensong.intake.tables import read_own_table, read_pool
from evensong.report import svg
from evensong.report.clips import MOST_WORST, Clip, add_media, choose, matrix, tested_clips
from evensong.report.page import (
    curves_of,
    percent,
    reach_of,
    read_tree,
    row_of,
    settings_rows,
    shortcut_figure,
    size_category,
)
from evensong.run.text import plain_cell
from evensong.schemas import Night, Train
from evensong.score import palette
from evensong.score.predictions import HISTORY_COLUMNS, read_run

_METRICS, _PLOTS, _ARTIFACTS = Path("metrics/night"), Path("plots/night"), Path("artifacts/night")
_THRESHOLDS = Path("plots/night_detection/thresholds.csv")
_SCORES = {
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "auroc": "AUROC",
}
_MOST_BARS = 40  # classes in the figure of counts
_NETWORK = palette.series(0)


def night_facts(night: Night, train: Train) -> dict[str, Any]:
    """Everything that night.html shows, from the outputs of the stages before."""
    run = read_run(_ARTIFACTS / "train")
    details, test = read_tree(_METRICS / "details.json"), read_tree(_METRICS / "test.json")
    clips = tested_clips(run)
    cells = matrix(_with_classes(_PLOTS / "confusion.csv", ["clips", "share"], run.classes), clips)
    worst = [clip for clip in clips if not clip.is_right][:MOST_WORST]
    shown = choose(cells, worst)
    add_media(shown, read_pool(_ARTIFACTS / "pool.csv"), _ARTIFACTS / "pool", _ARTIFACTS / "mels", night.mels)
    index = read_tree(_METRICS / "index.json")["index"]
    counts = _with_classes(Path("plots/night_counts.csv"), ["files", "originals"], run.classes)
    by_class = _class_counts(counts)
    return {
        "scan": read_tree(_METRICS / "scan.json")["scan"],
        "index": index,
        "test": test,
        "details": details,
        "part": run.part,
        "confidence": percent(night.evaluate.confidence),
        "headlines": _headline_figures(details),
        "per_class": _with_classes(
            _PLOTS / "per_class.csv", ["precision", "recall", "f1", "support"], run.classes
        ).to_dict("records"),
        "cells": cells,
        "worst": worst,
        "gallery": _gallery(clips),
        "sounds": {clip.key: clip.sound for clip in shown if clip.sound},
        "n_clips": len(clips),
        "n_mistakes": sum(not clip.is_right for clip in clips),
        "parts": list(dict.fromkeys(counts["split"])),
        "class_counts": by_class,
        "most_bars": _MOST_BARS,
        "balance": _balance_figure(by_class),
        "shortcuts": shortcut_figure(index["shortcut_balanced_accuracy"], _NETWORK),
        "training": _training_figures(read_own_table(_PLOTS / "training.csv", numbers=HISTORY_COLUMNS)),
        "calibration": svg.lines(
            [*curves_of(_PLOTS / "calibration.csv", "predicted", "observed", dots=True), svg.DIAGONAL],
            "Calibration of the chosen class on original test clips",
            ("probability of the chosen class", "share that was right"),
        ),
        "detection": _detection(run.classes),
        "night": night,
        "settings": settings_rows({"night": night, "train": train}),
    }


def model_front(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Front matter of the model card, in the form that model hubs read."""
    scores = facts["details"]["originals"]["clip"]
    kinds = {"macro_f1": "f1", "accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "auroc": "roc_auc"}
    return {
        "license": "unknown",
        "library_name": "timm",
        "pipeline_tag": "audio-classification",
        "tags": ["audio-classification", "bioacoustics", "evensong"],
        "model-index": [
            {
                "name": "night-classifier",
                "results": [
                    {
                        "task": {"type": "audio-classification"},
                        "dataset": {"type": "audiofolder", "name": "test split of the night track, originals"},
                        "metrics": [
                            {"type": kinds[name], "name": _SCORES[name], "value": scores[name]["value"]}
                            for name in _SCORES
                        ],
                    }
                ],
            }
        ],
    }


def data_front(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Front matter of the data card, in the form that data hubs read."""
    return {
        "license": "unknown",
        "pretty_name": "The clips of the night track",
        "task_categories": ["audio-classification"],
        "size_categories": [size_category(facts["scan"]["used"])],
        "tags": ["audio", "bioacoustics", "evensong"],
    }


def _headline_figures(details: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Scores of the network and the arms beside it, and the paired differences, each with what it is of."""
    arms = details["arms"]
    network = details["originals"]["clip"]
    rows, figures = [], []
    for key, name in _SCORES.items():
        rows.append(row_of(name, network[key], _NETWORK))
        rows += [row_of(f"{name}, {arm}", one["clip"][key], palette.arm(arm)) for arm, one in arms.items()]
    for arm, one in arms.items():
        gains = [
            row_of(name, one["network_minus_clip"][key], palette.arm(arm), signed=True) for key, name in _SCORES.items()
        ]
        title = f"The network minus the {arm}, paired"
        figures.append((title, svg.intervals(gains, title, reach_of(gains), [(0, "no difference")])))
    title = "The network and what stands beside it"
    return [(title, svg.intervals(rows, title)), *figures]


def _with_classes(path: Path, numbers: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
    """A table behind a figure, with the classes as they are called and not as a spreadsheet may see them."""
    called = {plain_cell(name): name for name in classes}
    return read_own_table(path, numbers=numbers).replace(called)


def _gallery(clips: list[Clip]) -> list[Clip]:
    """Of every class that has a picture, the clip that was recognised with most certainty."""
    best = {clip.actual: clip for clip in clips if clip.is_right and clip.picture}  # sorted: the last is the surest
    return [best[name] for name in sorted(best)][:MOST_WORST]


def _class_counts(counts: pd.DataFrame) -> list[tuple[str, int, int]]:
    """By class, over all parts: its name, pool files, and originals among them."""
    sums = counts.groupby("class")[["files", "originals"]].sum().astype(int)
    return [(str(name), *row) for name, row in zip(sums.index, sums.to_numpy().tolist(), strict=True)]


def _balance_figure(counts: list[tuple[str, int, int]]) -> Markup:
    bars = [(name, (originals, files - originals)) for name, files, originals in counts]
    return svg.stacks(bars[:_MOST_BARS], ("originals", "augmented copies"), "Pool files by class")


def _training_figures(history: pd.DataFrame) -> list[tuple[str, Markup]]:
    """Loss and validation score over the epochs, a line a fold."""
    epochs = (1, max(2.0, history["epoch"].max()))
    losses = {"train_loss": ("training", palette.series(1)), "val_loss": ("validation", palette.series(0))}
    most = history[list(losses)].max().max()
    drawn = [
        svg.Curve(name, list(zip(fold["epoch"], fold[column], strict=True)), colour)
        for column, (name, colour) in losses.items()
        for _, fold in history.groupby("fold")
    ]
    scores = [
        svg.Curve("validation", list(zip(fold["epoch"], fold["val_macro_f1"], strict=True)), palette.series(0))
        for _, fold in history.groupby("fold")
    ]
    return [
        ("Loss", svg.lines(drawn, "Loss by epoch", ("epoch", "loss"), epochs, (0, most))),
        ("Validation macro-F1", svg.lines(scores, "Macro-F1 by epoch", ("epoch", "macro-F1"), epochs)),
    ]


def _detection(classes: Sequence[str]) -> dict[str, Any] | None:
    """Scores and thresholds of the detection in field recordings; None where that was never run."""
    details = _METRICS / "detection_details.json"
    if not details.exists():
        return None
    thresholds = _with_classes(_THRESHOLDS, ["threshold"], classes)
    return {**read_tree(details), "thresholds": dict(zip(thresholds["class"], thresholds["threshold"], strict=True))}
