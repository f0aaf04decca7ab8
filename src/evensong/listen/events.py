"""Scored windows -> events, runs of windows with one class on top -> a selection table as Raven reads and writes it."""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

import numpy as np

from evensong.score.detection import Scores, runs

# Raven's own columns, then what it takes as annotations.
COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "Annotation",
    "Confidence",
    "Windows",
)


class Event(NamedTuple):
    """One class, heard without a break.

    Attributes:
        begin_s: where its first window begins.
        end_s: where its last window ends; the sound itself may be shorter than what its windows span.
        score: mean probability of the class over its windows, never the highest: that grows with their number.
        n_windows: how many windows were merged.
    """

    begin_s: float
    end_s: float
    class_name: str
    score: float
    n_windows: int


def merge_windows(
    scores: Scores, classes: Sequence[str], min_score: float, background: Collection[str] = ()
) -> list[Event]:
    """Merge consecutive windows whose likeliest class is the same.

    Only windows whose likeliest class reaches min_score count. One window under it, of another class or without sound
    ends the run. Events of different classes may overlap by as much as windows do.

    Args:
        scores: of one recording.
        classes: names in label order.
        min_score: lowest probability, 0 to 1.
        background: classes that are no event; a window of theirs ends a run all the same.
    """
    events = []
    for label, first, last in _runs(scores, min_score):
        if classes[label] in background:
            continue
        score = float(scores.probs[first : last + 1, label].mean())
        begin_s, end_s = float(scores.begins_s[first]), float(scores.ends_s[last])
        events.append(Event(begin_s, end_s, classes[label], score, last - first + 1))
    return events


def windows_over(scores: Scores, classes: Sequence[str], thresholds: Mapping[str, float]) -> list[Event]:
    """Merge consecutive windows in which a class reaches its own threshold, as detection is scored.

    A window may be part of an event of more than one class.

    Args:
        thresholds: by class; a class without one is no event.

    Returns:
        Events by their begin, those that begin together in label order.
    """
    events = []
    for label, name in enumerate(classes):
        probs = np.nan_to_num(scores.probs[:, label], nan=-1.0)
        for first, last in runs(probs >= thresholds[name]) if name in thresholds else ():
            span = float(scores.begins_s[first]), float(scores.ends_s[last])
            events.append(Event(*span, name, float(probs[first : last + 1].mean()), last - first + 1))
    return sorted(events, key=lambda event: (event.begin_s, classes.index(event.class_name)))


def _runs(scores: Scores, min_score: float) -> Iterator[tuple[int, int, int]]:
    """Label, first and last window of every run."""
    top = np.nan_to_num(scores.probs, nan=-1.0)
    labels = np.where(top.max(axis=1) >= min_score, top.argmax(axis=1), -1)
    edges = np.flatnonzero(np.diff(labels)) + 1
    for first, end in zip([0, *edges], [*edges, len(labels)], strict=True):
        if labels[first] >= 0:
            yield int(labels[first]), int(first), int(end) - 1


def write_selections(handle: TextIO, events: Sequence[Event], *, recording: str, band_hz: tuple[float, float]) -> None:
    """Write one selection table, tab-separated text; without events it holds its header alone.

    Args:
        handle: text file, opened with ``newline=""``.
        events: of one recording.
        recording: name of its file, without tabs or line breaks.
        band_hz: lowest and highest frequency the model hears; every selection spans it.
    """
    low, high = (f"{hz:g}" for hz in band_hz)
    rows = csv.writer(handle, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    rows.writerow(COLUMNS)
    for number, event in enumerate(events, start=1):
        begin, end = f"{event.begin_s:.6f}", f"{event.end_s:.6f}"
        own = (recording, event.class_name, f"{event.score:.6f}", event.n_windows)
        rows.writerow((number, "Spectrogram 1", 1, begin, end, low, high, *own))
