"""Windows of sound -> class probabilities: what stands behind a recording's scores, whatever computes them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from evensong.audio.augment import limit_peak
from evensong.audio.mel import log_mel, transform_of
from evensong.errors import DataError, IntegrityError
from evensong.schemas import LogMels

_FULL_SCALE = np.float32(32_768)  # of the pool's 16-bit files
_RATES_HZ = (1_000, 500_000)

Window = tuple[int, NDArray[np.float32]]
"""First sample, and the samples (n,): those of a window, or fewer where the recording has no more."""

Infer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Mels as stored for training, (n, n_mels, n_frames), not standardised -> probabilities (n, n_classes)."""


@dataclass(frozen=True)
class Hearing:
    """What a model hears of a recording.

    Attributes:
        clip_seconds: length of a window.
        sample_rate_hz: the rate it was trained at.
        band_hz: lowest and highest frequency that it hears.
        n_least: fewest samples that can be scored.
        hop_seconds: distance of two windows.
    """

    clip_seconds: float
    sample_rate_hz: int
    band_hz: tuple[float, float]
    n_least: int
    hop_seconds: float

    @property
    def n_window(self) -> int:
        """Samples of a window."""
        return max(1, round(self.clip_seconds * self.sample_rate_hz))


class Scorer(Protocol):
    """What scores windows."""

    def probabilities(self, windows: Sequence[Window]) -> NDArray[np.float64]:
        """Class probabilities.

        Args:
            windows: of one recording, in order, at the rate it listens at.

        Returns:
            (n, n_classes); NaN in the rows of windows without any sound.

        Raises:
            IntegrityError: a probability that is not finite.
        """


@dataclass(frozen=True)
class Listener(ABC):
    """A model that is ready to listen, whatever it is made of.

    Attributes:
        classes: names in label order.
        background: those of them that are no answer.
        cards: of its folds, each with its card_sha256 at least.
        digest: of all that decides its scores.
    """

    classes: list[str]
    background: list[str]
    cards: list[dict[str, Any]]
    digest: str

    @abstractmethod
    def hearing(self) -> Hearing:
        """What it takes of a recording.

        Raises:
            IntegrityError: its card does not say, or says what cannot be.
        """

    @abstractmethod
    def scorer(self) -> Scorer:
        """What scores its windows.

        Raises:
            IntegrityError: as `hearing`.
        """


@dataclass(frozen=True)
class Trained(Listener):
    """A network on the pool's log-mels.

    Attributes:
        infer: the network; needs no torch where the model was exported.
        mels: settings of the mels, as the stage that made them wrote them.
    """

    infer: Infer
    mels: dict[str, Any]

    def hearing(self) -> Hearing:
        """A window of the mels, and half of one from window to window, in whole frames: they share what they can."""
        settings, rate_hz = self._settings()
        hop_seconds, frames = settings.clip_seconds / 2, settings.hop_length / rate_hz
        if frames <= hop_seconds:
            hop_seconds = round(hop_seconds / frames) * frames
        return Hearing(
            settings.clip_seconds, rate_hz, (settings.fmin_hz, settings.fmax_hz), settings.n_fft, hop_seconds
        )

    def scorer(self) -> Scorer:
        """On the mels of windows."""
        return MelScorer(self.infer, *self._settings())

    def _settings(self) -> tuple[LogMels, int]:
        rate_hz = self.mels.get("sample_rate_hz")
        try:
            settings = LogMels.model_validate({name: self.mels.get(name) for name in LogMels.model_fields})
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
        return settings, rate_hz


@dataclass(frozen=True)
class MelScorer:
    """A network that was trained on the pool's log-mels: a `Scorer`."""

    infer: Infer
    settings: LogMels
    sample_rate_hz: int

    def probabilities(self, windows: Sequence[Window]) -> NDArray[np.float64]:
        """As training scored its clips."""
        mels = self._mels(windows)
        probs = self.infer(mels).astype(np.float64)
        if not np.isfinite(probs).all():
            raise IntegrityError(
                "the model gives no finite probabilities: its weights are damaged; train or fetch it again"
            )
        # Training refuses clips without sound, so the network's answer to one means nothing.
        probs[np.ptp(mels, axis=(1, 2)) == 0] = np.nan
        return probs

    def _mels(self, windows: Sequence[Window]) -> NDArray[np.float32]:
        transform = transform_of(self.settings, self.sample_rate_hz)
        starts = [start - windows[0][0] for start, _ in windows]
        is_shared = not any(start % self.settings.hop_length for start in starts) and all(
            wave.size == transform.n_samples for _, wave in windows
        )
        joined = _joined(windows) if is_shared else None
        if joined is None or limit_peak(joined)[1] < 1:  # a window is scaled down by its own peak
            return np.stack([log_mel(as_in_pool(wave), self.sample_rate_hz, self.settings) for _, wave in windows])
        return transform.log_mels(as_in_pool(joined), starts, self.settings.top_db)


def _joined(windows: Sequence[Window]) -> NDArray[np.float32]:
    """The stretch that overlapping windows lie in."""
    news = [wave[wave.size - (start - before) :] for (before, _), (start, wave) in pairwise(windows)]
    return np.concatenate([windows[0][1], *news])


def as_in_pool(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """A window (n_samples,) as it would be read back from the pool: within full scale, and in 16 bits."""
    limited, _ = limit_peak(wave)
    held = np.minimum(np.rint(limited * _FULL_SCALE), _FULL_SCALE - 1) / _FULL_SCALE
    return np.asarray(held, np.float32)
