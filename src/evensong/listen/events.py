"""Scored windows -> events: runs of windows in which a class reaches its threshold."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from evensong.score.detection import Scores, runs


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

    def rounded(self) -> tuple[float, float, str, float]:
        """Begin, end, class and score as tables tell them."""
        return round(self.begin_s, 6), round(self.end_s, 6), self.class_name, float(f"{self.score:.6g}")


def windows_over(scores: Scores, classes: Sequence[str], thresholds: Mapping[str, float]) -> list[Event]:
    """Merge consecutive windows in which a class reaches its own threshold, as detection is scored.

    A window may be part of an event of more than one class. One without sound ends every run.

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


def best_window(scores: Scores, label: int, event: Event) -> tuple[float, float, float]:
    """Begin and end of the window in which an event's class is likeliest, and its probability there."""
    first = int(np.searchsorted(scores.begins_s, event.begin_s))
    best = first + int(scores.probs[first : first + event.n_windows, label].argmax())
    return float(scores.begins_s[best]), float(scores.ends_s[best]), float(scores.probs[best, label])
