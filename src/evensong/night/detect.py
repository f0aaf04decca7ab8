"""Scored field recordings and their annotations -> thresholds from validation, detection scores from the test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evensong.night.cut import EVENT_OUTCOMES
from evensong.schemas import Evaluate, NightDetect
from evensong.score import palette
from evensong.score.curves import thin
from evensong.score.detection import (
    LEVELS,
    THRESHOLDS,
    Scores,
    average_precision,
    choose_threshold,
    count,
    detections_of,
    joined,
    match,
    rates,
)
from evensong.score.estimates import Estimate, rounded
from evensong.score.intervals import Bootstrap
from evensong.score.scores import Floats, Ints

FEWEST_SOURCES = 5  # of an interval
MOST_CURVES = 30
NO_FIELD = "no field recordings"
NO_TEST = "no annotated field recording is in the test split"
NO_EXHAUSTIVE = "no exhaustive recording is in the test split, so nothing is known to be wrong"


@dataclass(frozen=True)
class FieldTruth:
    """Recordings that detection can be scored on, and what sounds in them.

    Attributes:
        recordings: path, source_id, exhaustive, duration_s; each exhaustive or annotated, no duplicates.
        events: by path, one (n_events, 2) array a class that can be detected, seconds.
        classes: their names.
        labels: their places in the model's probabilities.
    """

    recordings: pd.DataFrame
    events: dict[str, list[Floats]]
    classes: list[str]
    labels: list[int]

    @property
    def exhaustive(self) -> set[str]:
        """Paths of the exhaustive recordings."""
        return set(self.recordings.loc[self.recordings["exhaustive"], "path"])


def field_truth(
    recordings: pd.DataFrame, annotations: pd.DataFrame, classes: Sequence[str], background: Sequence[str]
) -> FieldTruth:
    """Join the tables of night_cut: what overlaps in one class is one event, cut off where its recording ends.

    Args:
        recordings: from `read_recordings`.
        annotations: table of night_cut, with begin_s and end_s as numbers.
    """
    named = [(label, name) for label, name in enumerate(classes) if name not in background]
    # what a model chose to be reviewed tells nothing of what it misses
    heard = annotations[annotations["outcome"].isin(EVENT_OUTCOMES) & (annotations["reviewed"] != "True")]
    events = {}
    for path, duration_s in zip(recordings["path"], recordings["duration_s"], strict=True):
        here = heard[(heard["recording"] == path) & (heard["begin_s"] < duration_s) & (heard["end_s"] > 0)]
        here = here.assign(begin_s=here["begin_s"].clip(lower=0), end_s=here["end_s"].clip(upper=duration_s))
        here = here[here["end_s"] > here["begin_s"]]
        events[str(path)] = [
            joined(here.loc[here["class_name"] == name, ["begin_s", "end_s"]].to_numpy(np.float64)) for _, name in named
        ]
    is_annotated = recordings["path"].map(lambda path: any(len(spans) for spans in events[path])).astype(bool)
    usable = recordings[(recordings["duplicate_of"] == "") & (recordings["exhaustive"] | is_annotated)]
    kept = usable[["path", "source_id", "exhaustive", "duration_s"]].reset_index(drop=True)
    return FieldTruth(kept, events, [name for _, name in named], [label for label, _ in named])


def recordings_of(truth: FieldTruth, folds: pd.DataFrame, fold: int, subset: str) -> list[str]:
    """Paths of the recordings that a fold validates with or tests."""
    sources = folds.loc[(folds["fold"] == fold) & (folds["subset"] == subset), "source_id"]
    return truth.recordings.loc[truth.recordings["source_id"].isin(sources), "path"].tolist()


@dataclass(frozen=True)
class Detected:
    """Everything that is counted.

    Attributes:
        tested: one row a test recording: fold, path, source_id, exhaustive, duration_s.
        counts: (n_tested, 2, n_classes, 4) COUNTS at the thresholds of each recording's fold, by `LEVELS`.
        curves: (2, n_classes, n_thresholds, 4) COUNTS of the exhaustive test recordings.
        thresholds: by fold, (n_classes,).
        chosen: by class, threshold for later use and where it is from, over the validation recordings of all folds.
        detections: fold, recording, class, begin_s, end_s, outcome (right, wrong, or blank where nobody knows).
        events: fold, recording, class, begin_s, end_s, found.
    """

    tested: pd.DataFrame
    counts: Ints
    curves: Ints
    thresholds: dict[int, Floats]
    chosen: dict[str, dict[str, Any]]
    detections: pd.DataFrame
    events: pd.DataFrame


def detect(
    truth: FieldTruth,
    folds: pd.DataFrame,
    heard: Mapping[tuple[int, str], Scores | None],
    settings: NightDetect,
    window_s: float,
) -> Detected:
    """Choose every fold's thresholds with its validation recordings, and count over those that it tests.

    Args:
        folds: fold, source_id, subset.
        heard: scores by fold and path; None where a recording is too short.
        window_s: length of a window.
    """
    shape = (len(LEVELS), len(truth.classes), len(THRESHOLDS), 4)
    every, curves, thresholds = np.zeros(shape, np.int64), np.zeros(shape, np.int64), {}
    counts, detections, events, tested = [], [], [], []
    for fold in sorted({fold for fold, _ in heard}):
        validation = np.zeros(shape, np.int64)
        for path in recordings_of(truth, folds, fold, "val"):
            validation += _count(truth, heard[fold, path], path, settings.min_overlap, window_s)
        every += validation
        chosen = [one["threshold"] for one in _choose(validation, truth.classes, settings).values()]
        thresholds[fold] = np.array(chosen)
        places = [THRESHOLDS.index(threshold) for threshold in chosen]
        for path in recordings_of(truth, folds, fold, "test"):
            whole = _count(truth, heard[fold, path], path, settings.min_overlap, window_s)
            curves += whole if path in truth.exhaustive else 0
            counts.append(whole[:, np.arange(len(places)), places])
            tested.append({"fold": fold, "path": path})
            found = _rows(truth, heard[fold, path], path, chosen, settings.min_overlap, window_s)
            detections += [{"fold": fold, **row} for row in found[0]]
            events += [{"fold": fold, **row} for row in found[1]]
    columns = ["fold", "recording", "class", "begin_s", "end_s"]
    return Detected(
        pd.DataFrame(tested, columns=["fold", "path"]).merge(truth.recordings, on="path", how="left"),
        np.array(counts, np.int64).reshape(-1, len(LEVELS), len(truth.classes), 4),
        curves,
        thresholds,
        _choose(every, truth.classes, settings),
        pd.DataFrame(detections, columns=[*columns, "outcome"]),
        pd.DataFrame(events, columns=[*columns, "found"]),
    )


def _count(truth: FieldTruth, scores: Scores | None, path: str, share: float, window_s: float) -> Ints:
    if scores is None:  # too short to hear: its events are missed
        scores = Scores(np.zeros(0), np.zeros(0), np.zeros((0, len(truth.classes))))
    else:
        scores = Scores(scores.begins_s, scores.ends_s, scores.probs[:, truth.labels])
    return count(scores, truth.events[path], share, window_s, is_exhaustive=path in truth.exhaustive)


def _choose(validation: Ints, classes: Sequence[str], settings: NightDetect) -> dict[str, dict[str, Any]]:
    """By class: threshold, chosen_on (validation, or default with the reason), n_events."""
    chosen: dict[str, dict[str, Any]] = {}
    for label, name in enumerate(classes):
        n_events = int(validation[0, label, 0, 0])
        found, why = None, f"{n_events} validation events, fewer than night.detect.min_events ({settings.min_events})"
        if n_events >= settings.min_events:
            found = choose_threshold(validation[1, label], settings.rule, settings.wanted_precision)
            why = f"no threshold satisfies the rule {settings.rule}"
        facts = {"chosen_on": "default", "reason": why} if found is None else {"chosen_on": "validation"}
        chosen[name] = {
            "threshold": settings.default_threshold if found is None else found,
            "n_events": n_events,
        } | facts
    return chosen


def _rows(
    truth: FieldTruth, scores: Scores | None, path: str, thresholds: Sequence[float], share: float, window_s: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Detections with their outcome, and events with whether they are found."""
    detections, events = [], []
    wrong = "wrong" if path in truth.exhaustive else ""
    for name, label, threshold, spans in zip(truth.classes, truth.labels, thresholds, truth.events[path], strict=True):
        found = detections_of(scores, label, threshold) if scores is not None else np.zeros((0, 2))
        is_found, is_right = match(spans, found, share, window_s)
        start = {"recording": path, "class": name}
        detections += [
            {**start, "begin_s": begin, "end_s": end, "outcome": "right" if right else wrong}
            for (begin, end), right in zip(found.tolist(), is_right, strict=True)
        ]
        events += [
            {**start, "begin_s": begin, "end_s": end, "found": int(one)}
            for (begin, end), one in zip(spans.tolist(), is_found, strict=True)
        ]
    return detections, events


def macro_scores(counts: Ints | Floats) -> dict[str, Floats]:
    """Means over the classes with events, of (..., n_classes, 4) COUNTS; NaN where there is none."""
    found = rates(counts)
    has_events = np.asarray(counts)[..., 0] > 0
    return {f"macro_{name}": _mean(getattr(found, name), has_events) for name in ("f1", "precision", "recall")}


def _mean(values: Floats, chosen: Any) -> Floats:
    is_there = chosen & np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = np.where(is_there, values, 0).sum(axis=-1) / is_there.sum(axis=-1)
    return mean


def estimates_of(found: Detected, level: int, settings: Evaluate) -> dict[str, Estimate]:
    """Macro scores with intervals over sources of recordings, none under five of them."""
    counts, sources = found.counts[:, level], found.tested["source_id"].tolist()
    reasons = {"macro_recall": "no events in the test recordings"}
    if not found.tested["exhaustive"].any():
        reasons |= dict.fromkeys(("macro_f1", "macro_precision"), NO_EXHAUSTIVE)
    points = {name: float(value) for name, value in macro_scores(counts.sum(axis=0)).items()}
    n_sources = len(set(sources))
    draws: dict[str, Floats] = {}
    if n_sources >= FEWEST_SOURCES:
        bootstrap = Bootstrap(sources, np.zeros(len(sources), np.int64), settings, "night_detection")
        draws = bootstrap.draws(lambda weights: macro_scores(np.tensordot(weights, counts, axes=(1, 0))))
    estimates = {}
    for name, value in points.items():
        if np.isnan(value) or reasons.get(name) == NO_EXHAUSTIVE:
            estimates[name] = Estimate(None, None, None, reasons.get(name, "no events or no detections"))
        elif not draws:
            reason = f"{n_sources} sources of recordings; an interval needs {FEWEST_SOURCES}"
            estimates[name] = Estimate(value, None, None, reason)
        else:
            estimates[name] = Estimate(value, *bootstrap.interval(value, draws[name]))
    return estimates


def why_unscored(truth: FieldTruth, found: Detected) -> str | None:
    """Why there is nothing to score, or None."""
    return NO_FIELD if truth.recordings.empty else NO_TEST if found.tested.empty else None


def headline_tree(truth: FieldTruth, found: Detected, settings: Evaluate) -> dict[str, Any]:
    """What metrics/night/detection.json holds: macro-F1 of events, and how many events it rests on; or nulls."""
    names = ("night_detection_f1", "night_detection_f1_low", "night_detection_f1_high")
    if why_unscored(truth, found):
        return dict.fromkeys(names) | {"night_detection_n": 0}
    f1 = estimates_of(found, 0, settings)["macro_f1"].numbers()
    return dict(zip(names, f1.values(), strict=True)) | {"night_detection_n": int(found.counts[:, 0, :, 0].sum())}


def details_tree(truth: FieldTruth, found: Detected, settings: NightDetect, evaluate: Evaluate) -> dict[str, Any]:
    """What metrics/night/detection_details.json holds."""
    if reason := why_unscored(truth, found):
        return {"reason": reason, "recordings": len(truth.recordings)}
    tested = found.tested
    hours = float(tested.loc[tested["exhaustive"], "duration_s"].sum()) / 3600
    tree: dict[str, Any] = {
        "recordings": len(tested),
        "recordings_exhaustive": int(tested["exhaustive"].sum()),
        "sources": int(tested["source_id"].nunique()),
        "hours_exhaustive": rounded(hours),
        "min_overlap": settings.min_overlap,
        "rule": settings.rule,
        "listener": settings.listener,
    }
    for level, name in enumerate(LEVELS):
        macro = {key: one.tree() for key, one in estimates_of(found, level, evaluate).items()}
        counts = found.counts[:, level].sum(axis=0)
        classes = {
            one: _class_tree(counts[label], found.curves[level, label], hours, is_event=level == 0)
            for label, one in enumerate(truth.classes)
        }
        tree[name] = macro | {"classes": classes}
    return tree


def _class_tree(counts: Ints, curve: Ints, hours: float, *, is_event: bool) -> dict[str, Any]:
    values = {name: float(value) for name, value in rates(counts)._asdict().items()}
    values["average_precision"] = average_precision(curve) if hours else float("nan")
    if not hours:
        values |= {"precision": float("nan"), "f1": float("nan")}
    events, _, detections, right = counts.tolist()
    if is_event:
        values["false_alarms_per_hour"] = (detections - right) / hours if hours else float("nan")
    tree: dict[str, Any] = {name: None if np.isnan(value) else rounded(value) for name, value in values.items()}
    unheard = "never detected in an exhaustive recording"
    reason = NO_EXHAUSTIVE if not hours else "no events" if not events else unheard if not detections else None
    return tree | {"n_events": events, "n_detections_exhaustive": detections} | ({"reason": reason} if reason else {})


def pr_table(truth: FieldTruth, found: Detected) -> pd.DataFrame:
    """Precision over recall of events, a curve a class with events, at most 30 of them; columns as of other plots."""
    parts = [pd.DataFrame(columns=["curve", "label", "colour", "point", "recall", "precision"])]
    n_events = found.curves[0, :, 0, 0]
    order = [label for label in np.argsort(-n_events, kind="stable").tolist() if n_events[label]][:MOST_CURVES]
    for place, label in enumerate(order):
        precision, recall, _ = rates(found.curves[0, label, ::-1])
        is_there = np.isfinite(precision) & np.isfinite(recall)
        if not is_there.any():
            continue
        recall, precision = recall[is_there], precision[is_there]
        kept = thin(recall, precision)
        area = average_precision(found.curves[0, label])
        rows = {
            "curve": truth.classes[label],
            "label": f"{truth.classes[label]}, {area:.3f}",
            "point": range(len(kept)),
        }
        shown = {"colour": palette.series(place), "recall": recall[kept], "precision": precision[kept]}
        parts.append(pd.DataFrame(rows | shown)[parts[0].columns].round(5))
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


def threshold_table(found: Detected) -> pd.DataFrame:
    """One row a class: class, threshold, chosen_on, n_events, reason."""
    rows = [{"class": name, "reason": "", **one} for name, one in found.chosen.items()]
    return pd.DataFrame(rows, columns=["class", "threshold", "chosen_on", "n_events", "reason"])


def told(truth: FieldTruth, found: Detected, evaluate: Evaluate) -> str:
    """What a run says of itself in a line or two."""
    if reason := why_unscored(truth, found):
        return f"detection is not scored: {reason}"
    f1 = estimates_of(found, 0, evaluate)["macro_f1"]
    defaults = [name for name, one in found.chosen.items() if one["chosen_on"] == "default"]
    lines = [f"detection F1 {f1.text()} over {len(found.tested)} test recordings"]
    if defaults:
        lines.append(f"default threshold for {', '.join(defaults[:5])}{', ...' if len(defaults) > 5 else ''}")
    return "\n".join(lines)
