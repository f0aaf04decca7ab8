import functools
import hashlib
import inspect
import os
import re
import subprocess
import sys
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import librosa
import librosa.filters
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy._core._multiarray_umath import __cpu_dispatch__

from evensong.audio.mel import MelTransform, _hann, _mel_weights, decibels, frames_of, log_mel, samples_of, transform_of
from evensong.errors import DataError
from evensong.schemas import LogMels

RATE_HZ = 22_050


def _undecorated(*arguments: Any, **_: Any) -> Any:
    return arguments[0] if arguments and inspect.isfunction(arguments[0]) else lambda function: function


@functools.cache
def plain_librosa() -> ModuleType:
    """As plain Python: numba would take 15 s to compile, on a fresh machine, what no mel spectrogram needs."""
    numba = MagicMock(jit=_undecorated, vectorize=_undecorated, guvectorize=_undecorated, stencil=_undecorated)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numba", numba)
        assert librosa.feature.melspectrogram  # loaded when it is asked for
        assert librosa.power_to_db
    return librosa


def mels(**changes: float) -> LogMels:
    values = {
        **{"n_fft": 2_048, "hop_length": 512, "n_mels": 128, "fmin_hz": 50.0, "fmax_hz": 11_000.0},
        **{"clip_seconds": 8.0, "top_db": 80.0},
    }
    return LogMels.model_validate(values | changes)


def by_librosa(wave: np.ndarray, sample_rate_hz: int, wanted: LogMels) -> np.ndarray:
    n_samples = round(wanted.clip_seconds * sample_rate_hz)
    padded = np.zeros(n_samples)
    padded[: wave.size] = wave[:n_samples]
    power = plain_librosa().feature.melspectrogram(
        **{"y": padded, "sr": sample_rate_hz, "n_fft": wanted.n_fft, "hop_length": wanted.hop_length, "power": 2.0},
        **{"n_mels": wanted.n_mels, "fmin": wanted.fmin_hz, "fmax": wanted.fmax_hz},
        **{"center": True, "pad_mode": "constant"},
    )
    return librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=wanted.top_db)


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", [1, 700, 2_048, 3 * RATE_HZ + 77, 8 * RATE_HZ, 9 * RATE_HZ])
@pytest.mark.parametrize("top_db", [80.0, 200.0])
def test_log_mel_equals_librosa_down_to_the_floor(n_samples: int, top_db: float):
    rng = np.random.default_rng(n_samples)
    fading = np.geomspace(1, 1e-6, n_samples)  # from full scale to far under the floor
    wave = (rng.normal(0, 0.3, n_samples) * fading).astype(np.float32)
    wanted = mels(top_db=top_db)
    mel_db = log_mel(wave, RATE_HZ, wanted)
    assert (mel_db.shape, mel_db.dtype) == ((128, 345), np.float32)
    np.testing.assert_allclose(mel_db, by_librosa(wave, RATE_HZ, wanted), atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Empty filters")
@settings(max_examples=20)
@given(
    n_fft=st.integers(32, 500).map(lambda half: 2 * half),  # of an odd length librosa drops the last frame
    hop_share=st.floats(0.1, 1),
    n_mels=st.integers(8, 20),
    n_samples=st.integers(1, 9_000),
    rate_hz=st.sampled_from([2_000, 16_000]),
)
def test_log_mel_equals_librosa_for_any_settings(n_fft, hop_share, n_mels, n_samples, rate_hz):
    wanted = mels(
        n_fft=n_fft,
        hop_length=max(1, int(n_fft * hop_share)),
        n_mels=n_mels,
        fmin_hz=0.0,
        fmax_hz=900.0,
        clip_seconds=0.5,
    )
    wave = np.random.default_rng(n_fft).normal(0, 0.1, n_samples).astype(np.float32)
    bank = librosa.filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=n_mels, fmin=0.0, fmax=900.0)
    if not bank.any(axis=1).all():
        with pytest.raises(DataError, match="hold no weight"):
            log_mel(wave, rate_hz, wanted)
        return
    mel_db = log_mel(wave, rate_hz, wanted)
    assert mel_db.shape == (n_mels, frames_of(wanted, rate_hz))
    np.testing.assert_allclose(mel_db, by_librosa(wave, rate_hz, wanted), atol=1e-4)


@settings(max_examples=40)
@given(
    n_fft=st.integers(256, 700),
    hop_share=st.floats(0.1, 1),
    seconds=st.floats(0.01, 0.6),
    steps=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    seed=st.integers(0, 9),
)
def test_clips_of_one_wave_have_the_bytes_of_each_alone(n_fft, hop_share, seconds, steps, seed):
    wanted = mels(n_fft=n_fft, hop_length=max(1, int(n_fft * hop_share)), n_mels=8, fmax_hz=7_000, clip_seconds=seconds)
    transform = MelTransform(wanted, 16_000)
    starts = [wanted.hop_length * step for step in np.cumsum(steps)]
    wave = np.random.default_rng(seed).normal(0, 0.1, starts[-1] + transform.n_samples + seed).astype(np.float32)
    wave[: 2 * n_fft] *= seed % 2
    found = transform.log_mels(wave, starts, 80)
    for start, mel_db in zip(starts, found, strict=True):
        alone = transform.log_mel(wave[start : start + transform.n_samples], 80)
        assert mel_db.tobytes() == alone.tobytes()


@pytest.mark.filterwarnings("ignore:Empty filters")
@settings(max_examples=50)
@given(
    rate_hz=st.integers(8_000, 500_000),
    n_fft=st.integers(16, 1_024).map(lambda half: 2 * half),
    n_mels=st.integers(8, 200),
    low=st.floats(0, 0.2),
    high=st.floats(0.3, 0.5),
)
def test_filter_bank_and_window_are_the_bytes_of_librosa_and_scipy(rate_hz, n_fft, n_mels, low, high):
    wanted = mels(n_fft=n_fft, hop_length=n_fft, n_mels=n_mels, fmin_hz=low * rate_hz, fmax_hz=high * rate_hz)
    edges = {"fmin": wanted.fmin_hz, "fmax": wanted.fmax_hz}
    bank = librosa.filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=n_mels, **edges)
    assert _mel_weights(wanted, rate_hz, n_mels).tobytes() == bank.tobytes()
    assert _hann(n_fft).tobytes() == scipy.signal.get_window("hann", n_fft).tobytes()


@given(n_samples=st.integers(1, 10**6), hop=st.integers(1, 2_048))
def test_frame_count_is_the_centred_law(n_samples: int, hop: int):
    wanted = mels(hop_length=hop, clip_seconds=min(600.0, n_samples / 2_000))
    assert frames_of(wanted, 2_000) == 1 + samples_of(wanted, 2_000) // hop


def test_power_of_a_tone_lies_in_its_band():
    transform = MelTransform(mels(), RATE_HZ)
    centres_hz = librosa.mel_frequencies(n_mels=130, fmin=50, fmax=11_000)[1:-1]
    for band in (20, 60, 100):
        tone = np.sin(2 * np.pi * centres_hz[band] * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
        assert transform.power(tone)[:, 10].argmax() == band


@pytest.mark.fault("A16")
def test_power_of_silence_is_zero_and_its_log_the_floor():
    transform = MelTransform(mels(), RATE_HZ)
    for wave in (np.zeros(RATE_HZ, np.float32), np.zeros(0, np.float32)):
        assert not transform.power(wave).any()
        assert (transform.log_mel(wave, 80.0) == -100).all()


def test_power_ignores_what_lies_behind_the_clip():
    transform = MelTransform(mels(clip_seconds=1.0), RATE_HZ)
    wave = np.random.default_rng(0).normal(0, 0.1, 2 * RATE_HZ).astype(np.float32)
    np.testing.assert_array_equal(transform.power(wave), transform.power(wave[:RATE_HZ]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_power_refuses_non_finite_samples(bad: float):
    wave = np.zeros(RATE_HZ, np.float32)
    wave[RATE_HZ // 2] = bad
    with pytest.raises(DataError, match="NaN"):
        MelTransform(mels(), RATE_HZ).power(wave)


@pytest.mark.fault("A29")
def test_power_refuses_integers_and_channels():
    with pytest.raises(TypeError, match=r"takes floats at full scale .* int16"):
        MelTransform(mels(), RATE_HZ).power(np.zeros(100, np.int16))
    with pytest.raises(DataError, match="one channel"):
        MelTransform(mels(), RATE_HZ).power(np.zeros((2, 100), np.float32))


WINDOW = mels(clip_seconds=1.0, n_fft=1_024, n_mels=32)
BURST = 2_205  # samples


def burst_in_noise(at: int, n_samples: int, seed: int, *, level: float = 0.03, hum: float = 0.5) -> np.ndarray:
    """A faint burst in noise, and a hum of another pitch that swells and ebbs."""
    time_s = np.arange(n_samples) / RATE_HZ
    wave = hum * (1 + 0.4 * np.sin(2 * np.pi * time_s / 3)) * np.sin(2 * np.pi * 100 * time_s)
    wave += np.random.default_rng(seed).normal(0, 0.003, n_samples)
    wave[at : at + BURST] += level * np.sin(2 * np.pi * 3_000 * np.arange(BURST) / RATE_HZ)
    return wave.astype(np.float32)


def holds_burst(start: int, at: int) -> bool:
    """Whether the window shows the whole burst; its frames are a hop apart."""
    return start - WINDOW.hop_length < at and at + BURST < start + RATE_HZ + WINDOW.hop_length


@settings(max_examples=30)
@given(n_samples=st.integers(RATE_HZ, 6 * RATE_HZ), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_loudest_start_holds_a_faint_burst_wherever_it_is_beside_a_louder_hum(n_samples: int, share: float, seed: int):
    at = int(share * (n_samples - BURST))
    start = transform_of(WINDOW, RATE_HZ).loudest_start(burst_in_noise(at, n_samples, seed))
    assert 0 <= start <= n_samples - RATE_HZ
    assert holds_burst(start, at)


def test_loudest_start_is_not_drawn_away_by_the_ups_and_downs_of_noise():
    for seed in range(20):
        at = (seed + 1) * 5_000
        wave = burst_in_noise(at, 6 * RATE_HZ, seed, level=0.004, hum=0.0)
        assert holds_burst(transform_of(WINDOW, RATE_HZ).loudest_start(wave), at)


@pytest.mark.parametrize(("at_s", "start_s"), [(0.0, 0.0), (5.8, 5.0), (3.0, 2.55)])
def test_loudest_start_puts_the_sound_into_the_middle_or_stays_within_the_clip(at_s: float, start_s: float):
    found = transform_of(WINDOW, RATE_HZ).loudest_start(burst_in_noise(int(at_s * RATE_HZ), 6 * RATE_HZ, 0))
    assert found / RATE_HZ == pytest.approx(start_s, abs=0.03)


def test_loudest_start_takes_the_louder_part_where_nothing_stands_out():
    rise = np.hanning(2 * RATE_HZ)[:RATE_HZ]
    level = np.concatenate([np.zeros(RATE_HZ), rise, np.ones(5 * RATE_HZ), rise[::-1]])
    tone = 0.1 * level * np.sin(2 * np.pi * 3_000 * np.arange(level.size) / RATE_HZ)
    start = transform_of(WINDOW, RATE_HZ).loudest_start(tone.astype(np.float32))
    assert 2 * RATE_HZ - WINDOW.hop_length <= start <= 6 * RATE_HZ


def test_transform_refuses_bands_above_half_the_sample_rate():
    with pytest.raises(DataError, match="above half"):
        MelTransform(mels(), 16_000)


def test_transform_is_built_once_a_process():
    assert transform_of(mels(), RATE_HZ) is transform_of(mels(), RATE_HZ)


@given(st.floats(1e-300, 1e300))
def test_decibels_equal_the_logarithm(power: float):
    assert decibels(np.array([power]))[0] == pytest.approx(10 * np.log10(power), abs=1e-10)


def test_decibels_of_powers_of_ten_and_shape():
    np.testing.assert_allclose(decibels(np.array([[1.0, 10.0], [100.0, 1e-10]])), [[0, 10], [20, -100]], atol=1e-12)


DIGEST_SCRIPT = """
import hashlib
import numpy as np
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from evensong.audio.mel import log_mel, transform_of
from evensong.schemas import LogMels
stft = dict(n_fft=2048, hop_length=512, n_mels=128, fmin_hz=50.0, fmax_hz=11000.0)
settings = LogMels(clip_seconds=8.0, top_db=80.0, **stft)
digest = hashlib.sha256()
for seed in range(4):
    rng = np.random.Generator(np.random.PCG64(seed))
    wave = ((rng.integers(-20000, 20000, 22050 * (seed + 5)) >> seed) / 32768).astype(np.float32)
    digest.update(log_mel(wave, 22050, settings).tobytes())
    digest.update(b"%d" % transform_of(settings.model_copy(update={"clip_seconds": 1.0}), 22050).loudest_start(wave))
print(digest.hexdigest())
print("simd" if any(__cpu_features__[name] for name in __cpu_dispatch__) else "plain")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        {"NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__), "OPENBLAS_CORETYPE": "Prescott"},
    ],
    ids=["two-threads", "no-simd"],
)
def test_log_mel_bytes_do_not_depend_on_threads_or_processor(variables: dict[str, str]):
    exec(DIGEST_SCRIPT.replace("print(", "_seen.append("), {"_seen": (seen := [])})
    environment = {**os.environ, **variables, "PYTHONPATH": "src"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DIGEST_SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    digest, instructions = result.stdout.split()
    assert digest == seen[0]
    assert len(digest) == hashlib.sha256().digest_size * 2
    assert "NPY_DISABLE_CPU_FEATURES" not in variables or instructions == "plain"  # NumPy renames its features


@pytest.mark.parametrize(
    ("rate_hz", "changes"),
    [
        (2_000, {"n_fft": 256, "hop_length": 64, "n_mels": 48, "fmin_hz": 20.0, "fmax_hz": 1_000.0}),
        (22_050, {"n_fft": 1_024, "n_mels": 64}),
        (16_000, {"n_fft": 1_024, "n_mels": 64, "fmax_hz": 8_000.0}),
    ],
)
def test_usual_settings_have_no_empty_band(rate_hz: int, changes: dict[str, float]):
    MelTransform(mels(**changes), rate_hz)


def test_an_empty_band_is_refused_with_the_largest_number_of_bands_that_works():
    with pytest.raises(DataError, match=r"set n_mels to (\d+) or raise n_fft") as caught:
        MelTransform(mels(n_fft=512, n_mels=300), RATE_HZ)
    largest = int(re.search(r"n_mels to (\d+)", str(caught.value))[1])
    MelTransform(mels(n_fft=512, n_mels=largest), RATE_HZ)
    with pytest.raises(DataError, match="raise n_fft"):
        MelTransform(mels(n_fft=512, n_mels=largest + 1), RATE_HZ)
    with pytest.raises(DataError, match=r"hold no weight.*; raise n_fft"):
        MelTransform(mels(n_fft=16, hop_length=8, n_mels=8, fmax_hz=900.0), RATE_HZ)
