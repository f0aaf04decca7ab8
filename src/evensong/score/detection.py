"""Detections against annotated events: what is found, what is right, and the threshold that a rule chooses.

**Event level.** A detection is a run of windows whose probability of a class reaches its threshold. An event is *found*
where one detection of its class covers at least `share` of it. A detection is *right* where it touches an event of its
class, and at least `share` of it lies within a window's length of one: a window that holds an event anywhere lies
wholly there, and a detection that never ends does not. sed_eval (Mesaros et al., 2016) pairs events and detections one
to one and asks for an onset within 200 ms and an offset within that or half of the length: windows of seconds cannot
place an onset so, and three calls in one window are one detection here that finds all three.

**Window level.** A window is positive where it shares at least `share` of the shorter of itself and an event, negative
where it touches none, and left out in between. OpenSoundscape scores clips so, but has no gap in between.

Precision is over recordings in which everything is annotated, recall over all annotated ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evensong.score.scores import Bools, Floats, Ints

THRESHOLDS = tuple(round(0.01 * n, 2) for n in range(1, 100))
LEVELS = ("event", "window")
COUNTS = ("events", "found", "detections", "right")


@dataclass(frozen=True)
class Scores:
    """Scores of one recording, by window in time order.

    Attributes:
        begins_s: (n_windows,) float64, seconds.
        ends_s: (n_windows,) float64, seconds; the last is the end of the recording.
        probs: (n_windows, n_classes) float64; a row of NaN where the window holds no sound at all.
    """

    begins_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    probs: NDArray[np.float64]


class Rates(NamedTuple):
    """Scores of counts, broadcast over their leading axes; NaN where there is nothing to divide by."""

    precision: Floats
    recall: Floats
    f1: Floats


def runs(is_on: Bools) -> list[tuple[int, int]]:
    """First and last index of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_on, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def detections_of(scores: Scores, label: int, threshold: float) -> Floats:
    """(n_detections, 2) begin and end of every run of windows of a class, seconds."""
    found = runs(np.nan_to_num(scores.probs[:, label], nan=-1.0) >= threshold)
    spans = [(scores.begins_s[first], scores.ends_s[last]) for first, last in found]
    return np.array(spans, np.float64).reshape(-1, 2)


def joined(spans: Floats) -> Floats:
    """(n, 2) spans, sorted, those that overlap or touch made one: what two observers heard at once is one event."""
    kept: list[list[float]] = []
    for begin, end in sorted(map(tuple, spans.tolist())):
        if kept and begin <= kept[-1][1]:
            kept[-1][1] = max(kept[-1][1], end)
        else:
            kept.append([begin, end])
    return np.array(kept, np.float64).reshape(-1, 2)


def match(events: Floats, detections: Floats, share: float, window_s: float) -> tuple[Bools, Bools]:
    """Which events are found, and which detections are right, as at the top of this file.

    Args:
        events: (n_events, 2) seconds, from `joined`.
        detections: (n_detections, 2) seconds.
        share: 0 to 1.
        window_s: length of a window.
    """
    covered = _shared(events, detections)
    lengths = events[:, 1] - events[:, 0]
    is_found: Bools = np.any(covered >= share * lengths[:, None] - 1e-9, axis=1)
    wide = joined(events + np.array([-window_s, window_s]))
    explained = _shared(wide, detections).sum(axis=0)
    is_right: Bools = explained >= share * (detections[:, 1] - detections[:, 0]) - 1e-9
    return is_found, np.logical_and(is_right, (covered > 0).any(axis=0))


def window_truth(scores: Scores, events: Floats, share: float) -> Ints:
    """(n_windows,) 1 where a window holds an event, 0 where it touches none, -1 in between or without sound."""
    windows = np.stack([scores.begins_s, scores.ends_s], axis=1)
    shared = _shared(windows, events)
    shorter = np.minimum((windows[:, 1] - windows[:, 0])[:, None], events[:, 1] - events[:, 0])
    holds = (shared >= share * shorter - 1e-9) & (shared > 0)
    truth = np.where(holds.any(axis=1), 1, np.where((shared > 0).any(axis=1), -1, 0))
    return np.where(np.isnan(scores.probs[:, 0]), -1, truth).astype(np.int64)


def count(scores: Scores, events: Sequence[Floats], share: float, window_s: float, *, is_exhaustive: bool) -> Ints:
    """(2, n_classes, n_thresholds, 4) COUNTS of one recording at every threshold, of events and of windows.

    Of windows, the four are positive ones, those of them that reach the threshold, all that reach it but for those that
    are left out, and the positive ones among these.

    Args:
        events: of each class, from `joined`.
        is_exhaustive: else nothing is known to be wrong, and no detection counts.
    """
    counts = np.zeros((len(LEVELS), len(events), len(THRESHOLDS), len(COUNTS)), np.int64)
    for label, spans in enumerate(events):
        truth = window_truth(scores, spans, share)
        counts[0, label, :, 0], counts[1, label, :, 0] = len(spans), (truth == 1).sum()
        probs = np.nan_to_num(scores.probs[:, label], nan=-1.0)
        for n, threshold in enumerate(THRESHOLDS):
            if not (is_on := probs >= threshold).any():
                break
            detections = detections_of(scores, label, threshold)
            is_found, is_right = match(spans, detections, share, window_s)
            n_positive = (is_on & (truth == 1)).sum()
            counts[:, label, n, 1] = is_found.sum(), n_positive
            if is_exhaustive:
                counts[0, label, n, 2:] = len(detections), is_right.sum()
                counts[1, label, n, 2:] = (is_on & (truth >= 0)).sum(), n_positive
    return counts


def rates(counts: Floats | Ints) -> Rates:
    """Precision, recall and F1 of (..., 4) COUNTS; without a detection precision is undefined.

    F1 is then 0, but undefined where events were found: those lie in recordings where nobody knows what is wrong.
    """
    events, found, detections, right = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / detections, found / events
        both = np.nan_to_num(precision) + recall
        f1 = np.where(both > 0, 2 * np.nan_to_num(precision) * recall / both, 0.0)
    f1 = np.where(np.isnan(recall) | (np.isnan(precision) & (found > 0)), np.nan, f1)
    return Rates(precision, recall, f1)


def average_precision(counts: Ints) -> float:
    """Area under the steps of precision over recall, from the highest of `THRESHOLDS` down.

    Args:
        counts: (n_thresholds, 4); NaN without events, or without detections at any threshold of exhaustive recordings.
    """
    precision, recall, _ = rates(counts)
    if np.isnan(recall).all() or np.isnan(precision).all():
        return float("nan")
    gained = np.diff(np.concatenate([[0.0], recall[::-1]]))
    return float(np.nansum(np.maximum(gained, 0) * np.nan_to_num(precision[::-1])))


def choose_threshold(counts: Ints, rule: str, wanted_precision: float) -> float | None:
    """The threshold that a rule chooses of `THRESHOLDS`; the middle one of equals. None where there is no answer.

    Args:
        counts: (n_thresholds, 4) of one class; of windows, since many calls leave no room for a wrong detection.
        rule: ``f1`` takes the highest F1; ``precision`` the highest recall with the wanted precision or more.
    """
    precision, recall, f1 = rates(counts)
    value = f1 if rule == "f1" else np.where(np.nan_to_num(precision) >= wanted_precision, recall, np.nan)
    if np.isnan(value).all() or np.nanmax(value) <= 0:
        return None
    best = np.flatnonzero(value >= np.nanmax(value) - 1e-12)
    return THRESHOLDS[int(best[(len(best) - 1) // 2])]


def _shared(one: Floats, other: Floats) -> Floats:
    """(n, m) seconds that spans share."""
    begins = np.maximum(one[:, None, 0], other[None, :, 0])
    seconds: Floats = np.maximum(np.minimum(one[:, None, 1], other[None, :, 1]) - begins, 0.0)
    return seconds
