"""A run of samples -> overlapping windows that cover every sample, one at a time."""

from collections.abc import Iterable, Iterator

import numpy as np


def window_starts(n_samples: int, n_window: int, hop: float) -> list[int]:
    """Where the windows of a recording begin.

    Args:
        n_samples: length of the recording, at least 1.
        n_window: length of a window.
        hop: distance of two windows in samples, above 0, at most n_window; need not be whole.

    Returns:
        round(k * hop) for k = 0, 1, ... before the last window, which ends with the recording. A recording shorter
        than a window has one window, at 0.
    """
    last = max(0, n_samples - n_window)
    starts: list[int] = []
    while (start := round(len(starts) * hop)) < last:
        starts.append(start)
    return [*starts, last]


def sliding_windows(blocks: Iterable[np.ndarray], n_window: int, hop: float) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a stream into the windows of `window_starts`, holding little more than a window and a block at a time.

    Args:
        blocks: (n,) float32 pieces of one recording, of any lengths.
        n_window: length of a window.
        hop: as `window_starts`.

    Yields:
        First sample of the window, and the window: (n_window,) float32, shorter only where the recording is.
    """
    held, held_from, n_seen = np.zeros(0, np.float32), 0, 0
    k, last_start = 0, -1
    for block in blocks:
        held = np.concatenate([held, block])
        n_seen += block.size
        while (start := round(k * hop)) + n_window <= n_seen:
            yield start, held[start - held_from : start - held_from + n_window]
            k, last_start = k + 1, start
        # The next window and the one that would end with the recording must stay.
        needed_from = max(held_from, min(round(k * hop), n_seen - n_window))
        held, held_from = held[needed_from - held_from :], needed_from
    last = max(0, n_seen - n_window)
    if n_seen and last_start != last:
        yield last, held[last - held_from :]
