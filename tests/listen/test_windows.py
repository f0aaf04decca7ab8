import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.listen.windows import sliding_windows

lengths = st.integers(1, 400)
sizes = st.integers(1, 60)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, int, float]:
    """Length, window, and a hop from one sample to a window."""
    n_window = draw(sizes)
    return draw(lengths), n_window, draw(st.floats(1, n_window))


def window_starts(n_samples: int, n_window: int, hop: float) -> list[int]:
    return [start for start, _ in sliding_windows([np.zeros(n_samples, np.float32)], n_window, hop)]


@pytest.mark.parametrize(
    ("n_samples", "n_window", "hop", "starts"),
    [
        (10, 4, 2, [0, 2, 4, 6]),
        (11, 4, 2, [0, 2, 4, 6, 7]),  # one sample is left over
        (4, 4, 2, [0]),
        (3, 4, 2, [0]),  # padded later
        (12, 5, 2.5, [0, 2, 5, 7]),  # 2.5 rounds to 2, 7.5 to 8, past 7; 7 ends with the recording
        (9, 3, 3, [0, 3, 6]),
    ],
)
def test_starts_worked_by_hand(n_samples: int, n_window: int, hop: float, starts: list[int]) -> None:
    assert window_starts(n_samples, n_window, hop) == starts


@given(cut=cuts())
def test_windows_cover_every_sample_and_none_lies_beyond_the_end(cut: tuple[int, int, float]) -> None:
    n_samples, n_window, hop = cut
    heard = np.zeros(n_samples, bool)
    starts = window_starts(n_samples, n_window, hop)
    for start in starts:
        heard[start : start + n_window] = True
    assert heard.all()
    assert starts[-1] + n_window == max(n_samples, n_window)
    assert starts == sorted(set(starts))


@given(n_samples=lengths, n_window=sizes, data=st.data())
def test_number_of_windows(n_samples: int, n_window: int, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, n_window))
    expected = 1 + -(-max(0, n_samples - n_window) // hop)  # ceiling
    assert len(window_starts(n_samples, n_window, hop)) == expected


@given(cut=cuts(), edges=st.lists(st.integers(0, 400)))
def test_any_blocks_give_the_same_windows(cut: tuple[int, int, float], edges: list[int]) -> None:
    n_samples, n_window, hop = cut
    wave = np.arange(n_samples, dtype=np.float32)
    blocks = np.split(wave, sorted(edge for edge in edges if edge <= n_samples))
    windows = list(sliding_windows(blocks, n_window, hop))
    assert [start for start, _ in windows] == window_starts(n_samples, n_window, hop)
    for start, window in windows:
        np.testing.assert_array_equal(window, wave[start : start + n_window])


def test_no_samples_give_no_window() -> None:
    assert list(sliding_windows([np.zeros(0, np.float32)], 4, 2)) == []


def test_memory_does_not_grow_with_the_recording() -> None:
    """Every window is a view into what is held: its base is never longer than a window and two blocks."""
    blocks = (np.zeros(10, np.float32) for _ in range(1_000))
    held = [window.base.size for _, window in sliding_windows(blocks, 25, 5.5) if window.base is not None]
    assert len(held) > 1_000
    assert max(held) <= 25 + 2 * 10
