"""Windows of sound -> class probabilities: what stands behind a recording's scores, whatever computes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evensong.audio.augment import limit_peak
from evensong.audio.mel import log_mel
from evensong.errors import IntegrityError
from evensong.schemas import LogMels

_FULL_SCALE = np.float32(32_768)  # of the pool's 16-bit files

Infer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Mels as stored for training, (n, n_mels, n_frames), not standardised -> probabilities (n, n_classes)."""


@dataclass(frozen=True)
class Trained:
    """A model that is ready to listen.

    Attributes:
        infer: its network; needs no torch where the model was exported.
        classes: names in label order.
        background: those of them that are no answer.
        mels: settings of the mels, as the stage that made them wrote them.
        cards: one a fold, with its card_sha256 at least.
        digest: of all that decides its scores.
    """

    infer: Infer
    classes: list[str]
    background: list[str]
    mels: dict[str, Any]
    cards: list[dict[str, Any]]
    digest: str


class Scorer(Protocol):
    """What scores windows."""

    def probabilities(self, waves: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Class probabilities.

        Args:
            waves: (n_samples,) each, at the rate it listens at; shorter than a window where the recording is.

        Returns:
            (n, n_classes); NaN in the rows of windows without any sound.

        Raises:
            IntegrityError: a probability that is not finite.
        """


@dataclass(frozen=True)
class MelScorer:
    """A network that was trained on the pool's log-mels: a `Scorer`."""

    infer: Infer
    settings: LogMels
    sample_rate_hz: int

    def probabilities(self, waves: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """As training scored its clips."""
        mels = np.stack([log_mel(_as_in_pool(wave), self.sample_rate_hz, self.settings) for wave in waves])
        probs = self.infer(mels).astype(np.float64)
        if not np.isfinite(probs).all():
            raise IntegrityError(
                "the model gives no finite probabilities: its weights are damaged; train or fetch it again"
            )
        # Training refuses clips without sound, so the network's answer to one means nothing.
        probs[np.ptp(mels, axis=(1, 2)) == 0] = np.nan
        return probs


def _as_in_pool(wave: np.ndarray) -> np.ndarray:
    """A window as it would be read back from the pool: within full scale, and in 16 bits."""
    limited, _ = limit_peak(wave)
    return np.minimum(np.rint(limited * _FULL_SCALE), _FULL_SCALE - 1) / _FULL_SCALE
