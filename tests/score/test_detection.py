"""Windows of 2 s every second, worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.score.detection import (
    THRESHOLDS,
    Scores,
    average_precision,
    choose_threshold,
    count,
    detections_of,
    joined,
    match,
    rates,
    runs,
    window_truth,
)


def spans(*pairs):
    return np.array(pairs, float).reshape(-1, 2)


def scores_of(*probs):
    """One class's probabilities by window, and the rest for another."""
    begins = np.arange(len(probs), dtype=float)
    return Scores(begins, begins + 2, np.array([[one, 1 - one] for one in probs]))


def test_runs_of_windows_are_detections():
    assert runs(np.array([1, 1, 0, 1], bool)) == [(0, 1), (3, 3)]
    assert runs(np.zeros(3, bool)) == runs(np.zeros(0, bool)) == []
    scores = scores_of(0.9, 0.6, 0.1, np.nan, 0.6)
    assert detections_of(scores, 0, 0.6).tolist() == [[0, 3], [4, 6]]
    assert detections_of(scores, 0, 0.7).tolist() == [[0, 2]]


def test_what_two_observers_heard_at_once_is_one_event():
    assert joined(spans((4, 5), (0, 1), (0.5, 2), (2, 3))).tolist() == [[0, 3], [4, 5]]


@pytest.mark.parametrize(
    ("events", "detections", "found", "right"),
    [
        ([(1, 1.5)], [(0, 2)], [True], [True]),
        ([(1.5, 3.5)], [(0, 2)], [False], [True]),  # a quarter of the event; the window is within reach of it
        ([(1, 3)], [(0, 2)], [True], [True]),  # half of it
        ([(2, 3)], [(0, 2)], [False], [False]),  # they meet and share nothing
        ([(1, 1.2), (1.4, 1.6), (5, 6)], [(0, 2)], [True, True, False], [True]),
        ([(10, 11)], [(0, 30)], [True], [False]),  # 5 of its 30 s lie within a window of the event
        ([(10, 11)], [(6, 16)], [True], [True]),  # 5 of 10 s
        ([], [(0, 2)], [], [False]),
        ([(0, 1)], [], [False], []),
        ([(0, 4)], [(0, 1.5), (2, 3.5)], [False], [True, True]),  # no single one covers half
    ],
)
def test_found_and_right(events, detections, found, right):
    is_found, is_right = match(spans(*events), spans(*detections), 0.5, 2.0)
    assert (is_found.tolist(), is_right.tolist()) == (found, right)


def test_windows_hold_an_event_touch_one_or_neither():
    # windows 0-2, 1-3, 2-4, 3-5, 4-6 and an event from 2.9 to 3.3: 0.1 of 0.4 s in the second, 0.3 in the fourth
    scores = scores_of(0.5, 0.5, 0.5, 0.5, 0.5)
    assert window_truth(scores, spans((2.9, 3.3)), 0.5).tolist() == [0, -1, 1, 1, 0]
    assert window_truth(scores_of(0.5, np.nan), spans(), 0.5).tolist() == [0, -1]


def test_counts_and_rates_worked_by_hand():
    # events at 0.5-1.0 and 6.0-6.5; windows 0-2, 1-3, ..., 5-7
    scores = scores_of(0.8, 0.2, 0.1, 0.7, 0.1, 0.6)
    counts, windows = count(scores, [spans((0.5, 1.0), (6.0, 6.5)), spans()], 0.5, 2.0, is_exhaustive=True)
    at = {threshold: counts[0, THRESHOLDS.index(threshold)].tolist() for threshold in (0.6, 0.65, 0.75, 0.9)}
    # at 0.65 the window 3-5 is a detection of nothing: it ends before the second event
    assert at == {0.6: [2, 2, 3, 2], 0.65: [2, 1, 2, 1], 0.75: [2, 1, 1, 1], 0.9: [2, 0, 0, 0]}
    found = rates(counts[0])
    n = THRESHOLDS.index(0.6)
    assert (found.precision[n], found.recall[n], found.f1[n]) == (2 / 3, 1.0, 0.8)
    assert (found.recall[-1], found.f1[-1], np.isnan(found.precision[-1])) == (0, 0, True)
    # recall 0 to 0.5 at precision 1, 0.5 to 1 at 2/3 (threshold 0.6)
    assert average_precision(counts[0]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    # the first and the last window are positive, the others negative
    assert [windows[0, THRESHOLDS.index(one)].tolist() for one in (0.1, 0.2, 0.6, 0.75)] == [
        [2, 2, 6, 2],
        [2, 2, 4, 2],
        [2, 2, 3, 2],
        [2, 1, 1, 1],
    ]
    # F1 is 0.8 from 0.21 to 0.60
    assert choose_threshold(windows[0], "f1", 0.9) == 0.4
    # precision 1 with recall 0.5 from 0.71 to 0.80
    assert choose_threshold(windows[0], "precision", 0.9) == 0.75
    assert choose_threshold(windows[1], "f1", 0.9) is None
    alone = count(scores, [spans((0.5, 1.0)), spans()], 0.5, 2.0, is_exhaustive=False)
    assert alone[:, 0, n].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]
    assert choose_threshold(alone[1, 0], "precision", 0.5) is None


def test_without_events_or_detections_rates_are_undefined():
    assert np.isnan(average_precision(np.zeros((99, 4), int)))
    assert np.isnan(rates(np.zeros(4)).f1)
    assert rates(np.array([3, 0, 0, 0])).f1 == 0
    # found where not everything is annotated, and never detected where it is
    assert np.isnan(rates(np.array([3, 2, 0, 0])).f1)


SPANS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 8)).map(lambda one: (one[0], one[0] + one[1])), max_size=6
)


@given(SPANS, SPANS)
def test_detections_that_are_the_events_find_all_and_are_all_right(events, detections):
    events, detections = joined(spans(*events)), joined(spans(*detections))
    assert all(part.all() for part in match(events, events, 0.5, 2.0))
    is_found, is_right = match(events, detections, 0.5, 2.0)
    if is_found.any():
        assert (np.minimum(events[:, 1].max(), detections[:, 1].max()) > 0).all()
    assert not is_right.any() or len(events)


@given(st.lists(st.sampled_from([0.05, 0.3, 0.6, 0.95, np.nan]), min_size=1, max_size=20), SPANS)
def test_recall_never_falls_with_the_threshold(probs, events):
    counts = count(scores_of(*probs), [joined(spans(*events)), spans()], 0.5, 2.0, is_exhaustive=True)
    assert (np.diff(counts[:, 0, :, 1]) <= 0).all()
    assert (counts[..., 1] <= counts[..., 0]).all()
    assert (counts[..., 3] <= counts[..., 2]).all()
