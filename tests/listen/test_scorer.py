"""Windows that share frames are scored as clips are, whatever is on the way: a loud one, the last one, another hop."""

import numpy as np
import pytest

from evensong.audio.mel import log_mel, transform_of
from evensong.listen.scorer import MelScorer, Trained, as_in_pool
from evensong.listen.windows import listening_of, sliding_windows
from evensong.schemas import LogMels

RATE_HZ = 8_000
MELS = LogMels(n_fft=256, hop_length=96, n_mels=16, fmin_hz=50, fmax_hz=4_000, clip_seconds=0.5, top_db=80)


def trained(**changes) -> Trained:
    mels = MELS.model_dump() | {"sample_rate_hz": RATE_HZ} | changes
    return Trained(["one", "two"], [], [], "", lambda mels: np.full((len(mels), 2), 0.5, np.float32), mels)


@pytest.mark.parametrize("hop_seconds", [None, 0.25, 0.031])
@pytest.mark.parametrize("peak", [0.5, 3.0])
def test_windows_have_the_mels_of_clips(hop_seconds: float | None, peak: float, monkeypatch) -> None:
    heard, shared = [], []
    whole = type(transform_of(MELS, RATE_HZ)).log_mels
    monkeypatch.setattr(type(transform_of(MELS, RATE_HZ)), "log_mels", lambda *given: shared.append(1) or whole(*given))

    def infer(mels: np.ndarray) -> np.ndarray:
        heard.append(mels)
        return np.full((len(mels), 2), 0.5, np.float32)

    wave = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    wave[12_000] = peak
    hop = listening_of(trained(), hop_seconds).hop_seconds * RATE_HZ
    windows = list(sliding_windows([wave], 4_000, hop))
    scorer = MelScorer(infer, MELS, RATE_HZ)
    for first in range(0, len(windows), 3):
        scorer.probabilities(windows[first : first + 3])
    alone = np.stack([log_mel(as_in_pool(window), RATE_HZ, MELS) for _, window in windows])
    assert np.concatenate(heard).tobytes() == alone.tobytes()
    assert bool(shared) == (hop_seconds is None)  # the others do not fall on the frames


def test_windows_overlap_by_half_in_whole_frames() -> None:
    # 2,000 samples are 20.8 frames of 96
    assert listening_of(trained(), None).hop_seconds == pytest.approx(21 * 96 / RATE_HZ)
    assert listening_of(trained(clip_seconds=0.05, n_fft=512, hop_length=400), None).hop_seconds == 0.025
