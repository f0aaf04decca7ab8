import io
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.listen.synthetic import read_selections

from evensong.listen.events import Event, merge_windows, write_selections
from evensong.score.detection import Scores

# What class folders may be called: anything but control characters and line breaks.
names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
millionths = st.integers(0, 10**12).map(lambda n: n / 10**6)
shares = st.integers(0, 10**6).map(lambda n: n / 10**6)
events = st.lists(st.builds(Event, millionths, millionths, names, shares, st.integers(1, 10**6)))
NAMES = ["asio", "rain", "strix"]


def scores_of(probs: np.ndarray) -> Scores:
    begins = np.arange(len(probs)) * 1.5
    return Scores(begins, begins + 3, probs)


def test_runs_worked_by_hand() -> None:
    probs = np.array(
        [
            [0.8, 0.1, 0.1],
            [0.6, 0.3, 0.1],
            [0.1, 0.9, 0.0],
            [0.4, 0.3, 0.3],  # asio again, but under 0.5: ends the rain and begins nothing
            [0.1, 0.7, 0.2],
            [np.nan, np.nan, np.nan],  # no sound
            [0.1, 0.7, 0.2],
            [0.2, 0.5, 0.3],  # 0.5 reaches 0.5
        ]
    )
    assert merge_windows(scores_of(probs), NAMES, 0.5) == [
        Event(0.0, 4.5, "asio", 0.7, 2),
        Event(3.0, 6.0, "rain", 0.9, 1),
        Event(6.0, 9.0, "rain", 0.7, 1),
        Event(9.0, 13.5, "rain", 0.6, 2),
    ]


def test_a_recording_without_sound_has_no_event() -> None:
    assert merge_windows(scores_of(np.full((4, 3), np.nan)), NAMES, 0.0) == []


@given(
    raw=arrays(np.float64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.sampled_from([0.1, 0.5, 1.0])),
    silent=st.sets(st.integers(0, 29)),
    min_score=st.sampled_from([0.0, 0.4, 0.6, 1.0]),
)
def test_every_window_is_in_the_one_event_it_belongs_to(raw: np.ndarray, silent: set[int], min_score: float) -> None:
    probs = raw / raw.sum(axis=1, keepdims=True)
    probs[[row for row in silent if row < len(probs)]] = np.nan
    scores = scores_of(probs)
    found: dict[int, str] = {}
    for event in merge_windows(scores, NAMES, min_score):
        first = int(np.flatnonzero(scores.begins_s == event.begin_s)[0])
        rows = range(first, first + event.n_windows)
        assert event.end_s == scores.ends_s[rows[-1]]
        assert np.isclose(event.score, probs[list(rows), NAMES.index(event.class_name)].mean())
        assert not found.keys() & set(rows)
        assert found.get(first - 1) != event.class_name  # or the two would be one
        found |= dict.fromkeys(rows, event.class_name)
    expected = {
        row: NAMES[int(values.argmax())]
        for row, values in enumerate(probs)
        if not np.isnan(values[0]) and values.max() >= min_score
    }
    assert found == expected


def written(listed: list[Event], recording: str = "night.wav") -> str:
    handle = io.StringIO(newline="")
    write_selections(handle, listed, recording=recording, band_hz=(50, 11_025))
    return handle.getvalue()


def test_table_worked_by_hand() -> None:
    text = written([Event(0, 4.5, "Asio otus", 0.7, 2), Event(3, 6, "rain", 0.9, 1)])
    assert text == (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
        "Begin File\tAnnotation\tConfidence\tWindows\n"
        "1\tSpectrogram 1\t1\t0.000000\t4.500000\t50\t11025\tnight.wav\tAsio otus\t0.700000\t2\n"
        "2\tSpectrogram 1\t1\t3.000000\t6.000000\t50\t11025\tnight.wav\train\t0.900000\t1\n"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(listed=events, recording=names)
def test_what_is_written_is_read(listed: list[Event], recording: str, tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text(written(listed, recording), encoding="utf-8", newline="")
    assert read_selections(path) == listed
