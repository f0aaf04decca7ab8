"""One recording -> windows that cover every sample -> their class probabilities, as training scored its clips."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from evensong.audio.mel import samples_of, transform_of
from evensong.audio.decode import open_mono
from evensong.errors import DataError, InputFault, IntegrityError, ParamsError
from evensong.listen.scorer import MelScorer, Scorer, Trained
from evensong.schemas import LogMels
from evensong.score.detection import Scores

_BATCH = 16
_RATES_HZ = (1_000, 500_000)


@dataclass(frozen=True)
class Listening:
    """How recordings are cut and turned into mels.

    Attributes:
        settings: the mel settings the model was trained with.
        sample_rate_hz: the rate it was trained at.
        hop_seconds: distance of two windows.
    """

    settings: LogMels
    sample_rate_hz: int
    hop_seconds: float

    @property
    def band_hz(self) -> tuple[float, float]:
        """Lowest and highest frequency that the model hears."""
        return self.settings.fmin_hz, self.settings.fmax_hz


def listening_of(trained: Trained, hop_seconds: float | None) -> Listening:
    """How to listen for a model; windows overlap by half unless hop_seconds says otherwise.

    Raises:
        IntegrityError: the model was not trained on the night track's mels.
        ParamsError: a hop that would leave gaps, or is shorter than a sample.
    """
    rate_hz = trained.mels.get("sample_rate_hz")
    try:
        settings = LogMels.model_validate({name: trained.mels.get(name) for name in LogMels.model_fields})
    except ValidationError as error:
        raise IntegrityError(
            "the model's card holds no mel settings of the night track "
            f"({error.errors()[0]['msg']}); predict takes its models only"
        ) from error
    if not isinstance(rate_hz, int) or not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1]:
        raise IntegrityError(f"the card holds sample_rate_hz {rate_hz!r}; the model cannot be used")
    try:
        transform_of(settings, rate_hz)  # kept for the workers that are forked
    except DataError as error:
        raise IntegrityError(f"the model's card holds mel settings that cannot be used ({error})") from error
    hop_seconds = settings.clip_seconds / 2 if hop_seconds is None else hop_seconds
    if not 1 / rate_hz <= hop_seconds <= settings.clip_seconds:
        raise ParamsError(
            f"--hop-seconds {hop_seconds:g}: must lie above 0 and within the model's windows of "
            f"{settings.clip_seconds:g} s, or parts of the recording would not be heard"
        )
    return Listening(settings, rate_hz, hop_seconds)


def scorer_of(trained: Trained, listening: Listening) -> Scorer:
    """What scores the windows of a model."""
    return MelScorer(trained.infer, listening.settings, listening.sample_rate_hz)


def score_recording(path: Path, scorer: Scorer, listening: Listening, *, as_far_as_it_goes: bool = False) -> Scores:
    """Score every window of one recording; memory does not grow with its length, but for the scores themselves.

    Args:
        as_far_as_it_goes: a recording that was cut short is no fault.

    Raises:
        InputFault: the file is not what it should be, at its beginning or anywhere else.
        IntegrityError: a probability that is not finite.
    """
    rate_hz, n_window = listening.sample_rate_hz, samples_of(listening.settings, listening.sample_rate_hz)
    begins, ends, rows = [], [], []
    with open_mono(path, rate_hz, as_far_as_it_goes=as_far_as_it_goes) as blocks:
        windows = sliding_windows(blocks, n_window, listening.hop_seconds * rate_hz)
        for batch in _batches(windows):
            begins += [start for start, _ in batch]
            ends += [start + wave.size for start, wave in batch]
            rows.append(scorer.probabilities([wave for _, wave in batch]))
    n_frame = listening.settings.n_fft
    if not rows or ends[-1] < n_frame:
        raise InputFault("Q_TOO_SHORT", f"under one frame of the mels, {n_frame} samples at {rate_hz} Hz")
    return Scores(np.array(begins) / rate_hz, np.array(ends) / rate_hz, np.concatenate(rows))


def sliding_windows(blocks: Iterable[np.ndarray], n_window: int, hop: float) -> Iterator[tuple[int, np.ndarray]]:
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


def _batches(windows: Iterable[tuple[int, np.ndarray]]) -> Iterator[list[tuple[int, np.ndarray]]]:
    batch = []
    for window in windows:
        batch.append(window)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
