"""One recording -> windows that cover every sample -> their class probabilities, as training scored its clips."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from evensong.audio.decode import hear_mono
from evensong.errors import InputFault, ParamsError
from evensong.listen.scorer import Hearing, Listener, Scorer, Window
from evensong.score.detection import Scores

_BATCH = 16


def listening_of(model: Listener, hop_seconds: float | None) -> Hearing:
    """How to listen for a model; windows overlap as it says unless hop_seconds says otherwise.

    Raises:
        IntegrityError: the model's card does not say how.
        ParamsError: a hop that would leave gaps, or is shorter than a sample.
    """
    hearing = model.hearing()
    if hop_seconds is None:
        return hearing
    if not 1 / hearing.sample_rate_hz <= hop_seconds <= hearing.clip_seconds:
        raise ParamsError(
            f"--hop-seconds {hop_seconds:g}: must lie above 0 and within the model's windows of "
            f"{hearing.clip_seconds:g} s, or parts of the recording would not be heard"
        )
    return replace(hearing, hop_seconds=hop_seconds)


def score_recording(path: Path, scorer: Scorer, listening: Hearing) -> Scores:
    """Score every window of one recording; one that was cut short is scored as far as it goes.

    Memory does not grow with its length, but for the scores themselves.

    Raises:
        InputFault: the file is not what it should be, at its beginning or anywhere else.
        IntegrityError: a probability that is not finite.
    """
    rate_hz, n_window = listening.sample_rate_hz, listening.n_window

    def score(blocks: Iterable[np.ndarray]) -> Scores:
        begins, ends, rows = [], [], []
        windows = sliding_windows(blocks, n_window, listening.hop_seconds * rate_hz)
        while batch := list(islice(windows, _BATCH)):
            begins += [start for start, _ in batch]
            ends += [start + wave.size for start, wave in batch]
            rows.append(scorer.probabilities(batch))
        if not rows or ends[-1] < listening.n_least:
            raise InputFault("Q_TOO_SHORT", f"under {listening.n_least} samples at {rate_hz} Hz, the least to be heard")
        return Scores(np.array(begins) / rate_hz, np.array(ends) / rate_hz, np.concatenate(rows))

    return hear_mono(path, rate_hz, score, as_far_as_it_goes=True)


def sliding_windows(blocks: Iterable[np.ndarray], n_window: int, hop: float) -> Iterator[Window]:
    """Cut a stream into overlapping windows, holding little more than a window and a block at a time.

    Windows begin at round(k * hop) for k = 0, 1, ... before the last one, which ends with the recording. A recording
    shorter than a window has one window, at 0.

    Args:
        blocks: (n,) float32 pieces of one recording, of any lengths.
        n_window: length of a window in samples.
        hop: distance of two windows in samples, above 0, at most n_window; need not be whole.

    Yields:
        First sample of the window, and the window: (n_window,) float32, shorter only where the recording is.
    """
    parts, held_from, n_seen = [np.zeros(0, np.float32)], 0, 0
    k, last_start = 0, -1
    for block in blocks:
        parts.append(block)
        n_seen += block.size
        if round(k * hop) + n_window > n_seen:
            continue
        held = np.concatenate(parts)
        while (start := round(k * hop)) + n_window <= n_seen:
            yield start, held[start - held_from : start - held_from + n_window]
            k, last_start = k + 1, start
        # The next window and the one that would end with the recording must stay.
        needed_from = min(start, n_seen - n_window)
        parts, held_from = [held[needed_from - held_from :]], needed_from
    last = max(0, n_seen - n_window)
    if n_seen and last_start != last:
        yield last, np.concatenate(parts)[last - held_from :]
