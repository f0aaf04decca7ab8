import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evensong.listen.found import Event, best_window, windows_over
from evensong.score.detection import Scores, detections_of

NAMES = ["asio", "rain", "strix"]


def scores_of(probs: np.ndarray) -> Scores:
    begins = np.arange(len(probs)) * 1.5
    return Scores(begins, begins + 3, probs)


def test_runs_worked_by_hand() -> None:
    probs = np.array(
        [
            [0.8, 0.1, 0.1],
            [0.6, 0.4, 0.0],  # both at once
            [0.1, 0.9, 0.0],
            [0.4, 0.3, 0.3],
            [0.1, 0.7, 0.2],
            [np.nan, np.nan, np.nan],  # no sound
            [0.1, 0.7, 0.2],
            [0.0, 0.4, 0.6],  # 0.4 reaches 0.4
        ]
    )
    assert windows_over(scores_of(probs), NAMES, {"asio": 0.5, "rain": 0.4}) == [
        Event(0.0, 4.5, "asio", 0.7, 2),
        Event(1.5, 6.0, "rain", 0.65, 2),
        Event(6.0, 9.0, "rain", 0.7, 1),
        Event(9.0, 13.5, "rain", 0.55, 2),
    ]


def test_a_recording_without_sound_has_no_event() -> None:
    assert windows_over(scores_of(np.full((4, 3), np.nan)), NAMES, dict.fromkeys(NAMES, 0.0)) == []


@given(
    raw=arrays(np.float64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.sampled_from([0.1, 0.5, 1.0])),
    silent=st.sets(st.integers(0, 29)),
    thresholds=st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0])),
)
def test_events_are_the_detections_that_are_scored(raw: np.ndarray, silent: set[int], thresholds) -> None:
    probs = raw / raw.sum(axis=1, keepdims=True)
    probs[[row for row in silent if row < len(probs)]] = np.nan
    scores = scores_of(probs)
    events = windows_over(scores, NAMES, thresholds)
    assert events == sorted(events, key=lambda event: (event.begin_s, NAMES.index(event.class_name)))
    for label, name in enumerate(NAMES):
        own = [event for event in events if event.class_name == name]
        spans = detections_of(scores, label, thresholds[name]).tolist() if name in thresholds else []
        assert [[event.begin_s, event.end_s] for event in own] == spans
        for event in own:
            first = int(np.flatnonzero(scores.begins_s == event.begin_s)[0])
            inside = probs[first : first + event.n_windows, label]
            assert np.isclose(event.score, inside.mean())
            begin_s, end_s, peak = best_window(scores, label, event)
            assert event.begin_s <= begin_s
            assert end_s <= event.end_s
            assert peak == inside.max()
