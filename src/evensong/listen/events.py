"""Scored windows -> events: runs of windows with one class on top."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evensong.listen.scoring import Scores


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


def merge_windows(scores: Scores, classes: Sequence[str], min_score: float) -> list[Event]:
    """Merge consecutive windows whose likeliest class is the same.

    Only windows whose likeliest class reaches min_score count. One window under it, of another class or without sound
    ends the run. Events of different classes may overlap by as much as windows do.

    Args:
        scores: of one recording.
        classes: names in label order.
        min_score: lowest probability, 0 to 1.
    """
    events = []
    for label, first, last in _runs(scores, min_score):
        score = float(scores.probs[first : last + 1, label].mean())
        begin_s, end_s = float(scores.begins_s[first]), float(scores.ends_s[last])
        events.append(Event(begin_s, end_s, classes[label], score, last - first + 1))
    return events


def _runs(scores: Scores, min_score: float) -> Iterator[tuple[int, int, int]]:
    """Label, first and last window of every run."""
    top = np.nan_to_num(scores.probs, nan=-1.0)
    labels = np.where(top.max(axis=1) >= min_score, top.argmax(axis=1), -1)
    edges = np.flatnonzero(np.diff(labels)) + 1
    for first, end in zip([0, *edges], [*edges, len(labels)], strict=True):
        if labels[first] >= 0:
            yield int(labels[first]), int(first), int(end) - 1
