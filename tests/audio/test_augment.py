"""Augmentation: drawn from the key alone, applied purely, and never without effect on what the network sees."""

import hashlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import get_args

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evensong.audio.augment import MAX_PEAK, apply, draw, limit_peak
from evensong.audio.mel import log_mel
from evensong.schemas import AudioLimits, LogMels, NightAugment, Transform

RATE_HZ = 22_050
TRANSFORMS = get_args(Transform)
ENABLED = ("time_stretch", "noise", "volume", "combined")


def augmenting(**changes: object) -> NightAugment:
    values = {
        **{
            "seed": 42,
            "target_samples": 60,
            "max_copies": 60,
            "background_target": None,
            "cap_majority": True,
            "sample_rate_hz": RATE_HZ,
            "pack_above": 100_000,
        },
        **{"transforms": list(ENABLED), "stretch_rate": {"min": 0.85, "max": 1.2}},
        **{"noise_snr_db": {"min": 8.0, "max": 24.0}, "gain_db": {"min": -12.0, "max": 6.0}},
        **{"pitch_semitones": {"min": -1.0, "max": 1.0}},
    }
    return NightAugment.model_validate(values | changes)


def call(seed: int, seconds: float = 2.0, peak: float = 0.4) -> np.ndarray:
    """A bird-like clip: two chirps over faint noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = rng.normal(0, 0.01, time_s.size)
    for start_s in rng.uniform(0.1, seconds - 0.5, 2):
        here = np.clip(time_s - start_s, 0, 0.3)
        wave += np.sin(np.pi * here / 0.3) * np.sin(2 * np.pi * rng.uniform(1_500, 4_000) * (1 + here) * here)
    return (wave * peak / np.abs(wave).max()).astype(np.float32)


# --- drawing -----------------------------------------------------------------------------------------------------


@given(key=st.text(max_size=30), transform=st.sampled_from(TRANSFORMS))
def test_draw_depends_on_the_key_alone_and_stays_in_range(key: str, transform: str):
    settings_of = augmenting()
    drawn = draw(key, transform, settings_of)
    random.seed(0)
    assert drawn == draw(key, transform, settings_of)
    assert json.loads(json.dumps(drawn)) == drawn
    assert 0.85 <= drawn.get("rate", 0.9) <= 1.2
    assert abs(drawn.get("rate", 0.9) - 1) >= 0.0299
    assert 8 <= drawn.get("snr_db", 9) <= 24
    assert -12 <= drawn.get("gain_db", -1) <= 6
    assert abs(drawn.get("gain_db", -1)) >= 0.999
    assert 0 <= drawn.get("noise_seed", 0) < 2**32


def test_draw_covers_its_range_evenly():
    rates = np.array([draw(f"{i}", "time_stretch", augmenting())["rate"] for i in range(4_000)])
    counts, _ = np.histogram(rates, bins=[0.85, 0.91, 0.97, 1.03, 1.09, 1.15, 1.2])
    assert counts[2] == 0
    expected = np.array([0.06, 0.06, 0.06, 0.06, 0.05]) / 0.29 * 4_000
    np.testing.assert_allclose(counts[[0, 1, 3, 4, 5]], expected, atol=150)  # five deviations


def test_draw_is_pinned():
    assert draw("evensong", "time_stretch", augmenting()) == {"rate": 0.936611}


@pytest.mark.parametrize(
    ("transform", "change"),
    [
        ("time_stretch", {"stretch_rate": {"min": 0.99, "max": 1.01}}),
        ("volume", {"gain_db": {"min": 0.0, "max": 0.5}}),
        ("pitch_shift", {"pitch_semitones": {"min": 0.0, "max": 0.0}}),
    ],
)
def test_settings_refuse_ranges_that_change_nothing_where_they_are_used(transform: str, change: dict[str, object]):
    with pytest.raises(ValidationError, match="leaves clips as they are; widen it beyond"):
        augmenting(transforms=["noise", transform], **change)
    augmenting(transforms=["noise"], **change)


def test_audio_limits_need_a_least_length_below_the_most(limits: AudioLimits):
    for least in (600.0, 601.0):
        with pytest.raises(ValidationError, match="is not below max_seconds 600"):
            AudioLimits.model_validate(limits.model_dump() | {"min_seconds": least})


# --- applying ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.8, 0.93, 1.1, 1.9])
def test_apply_time_stretch_changes_the_duration_and_not_the_pitch(rate: float):
    tone = (0.4 * np.sin(2 * np.pi * 1_000 * np.arange(2 * RATE_HZ) / RATE_HZ)).astype(np.float32)
    copy, scale = apply(tone, RATE_HZ, "time_stretch", {"rate": rate})
    assert copy.size == pytest.approx(tone.size / rate, rel=0.002)
    middle = copy[copy.size // 4 : copy.size * 3 // 4] * np.hanning(copy.size * 3 // 4 - copy.size // 4)
    peak_hz = np.abs(np.fft.rfft(middle)).argmax() * RATE_HZ / middle.size
    assert peak_hz == pytest.approx(1_000, abs=3)
    assert scale == 1


def test_apply_time_stretch_keeps_the_order_of_events():
    wave = np.zeros(2 * RATE_HZ, np.float32)
    wave[RATE_HZ // 2 : RATE_HZ // 2 + 2_000] = np.sin(np.arange(2_000) * 0.3) * 0.5
    copy, _ = apply(wave, RATE_HZ, "time_stretch", {"rate": 0.8})
    centre = (np.arange(copy.size) * copy**2).sum() / (copy**2).sum() / RATE_HZ
    assert centre == pytest.approx((0.5 + 1_000 / RATE_HZ) / 0.8, abs=0.03)


@pytest.mark.parametrize("snr_db", [0.0, 8.0, 24.0])
def test_apply_noise_reaches_its_ratio(snr_db: float):
    wave = call(1, peak=0.2)
    copy, _ = apply(wave, RATE_HZ, "noise", {"snr_db": snr_db, "noise_seed": 3})
    noise = copy.astype(np.float64) - wave
    assert 10 * np.log10((wave.astype(np.float64) ** 2).mean() / (noise**2).mean()) == pytest.approx(snr_db, abs=0.1)
    other, _ = apply(wave, RATE_HZ, "noise", {"snr_db": snr_db, "noise_seed": 4})
    assert abs(np.corrcoef(noise, other - wave)[0, 1]) < 0.05


def test_apply_volume_is_a_gain():
    wave = call(1)
    copy, scale = apply(wave, RATE_HZ, "volume", {"gain_db": -6.0})
    np.testing.assert_allclose(copy, wave * 10 ** (-6 / 20), rtol=1e-6)
    assert scale == 1


def test_apply_volume_beyond_full_scale_is_scaled_and_recorded():
    wave = call(1, peak=0.7)
    copy, scale = apply(wave, RATE_HZ, "volume", {"gain_db": 6.0})
    np.testing.assert_allclose(copy, wave * np.float32(10 ** (6 / 20)) * np.float32(scale), rtol=1e-6)
    assert 0.9985 < np.abs(copy).max() <= MAX_PEAK
    assert scale == pytest.approx(MAX_PEAK / (0.7 * 10 ** (6 / 20)), rel=1e-3)


def test_apply_volume_on_a_full_scale_clip_makes_it_quieter():
    wave = call(1, peak=0.999)
    copy, scale = apply(wave, RATE_HZ, "volume", {"gain_db": 6.0})
    assert np.abs(copy).max() == pytest.approx(0.999 * 10 ** (-6 / 20), rel=1e-3)
    assert scale == pytest.approx(10 ** (-12 / 20), rel=1e-6)


@settings(max_examples=30)
@given(seed=st.integers(0, 9), key=st.text(max_size=5), transform=st.sampled_from(ENABLED), peak=st.floats(0.01, 1))
def test_apply_stays_within_full_scale_and_leaves_its_input_alone(seed, key, transform, peak):
    wave = call(seed, seconds=0.8, peak=peak)
    before = wave.copy()
    copy, scale = apply(wave, RATE_HZ, transform, draw(key, transform, augmenting()))
    assert (copy.dtype, copy.ndim) == (np.float32, 1)
    assert np.abs(copy).max() <= MAX_PEAK
    assert 0 < scale <= 1
    np.testing.assert_array_equal(wave, before)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_apply_neither_uses_nor_moves_the_global_random_state(transform: str):
    wave, parameters = call(1), draw("key", transform, augmenting())
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    first, _ = apply(wave, RATE_HZ, transform, parameters)
    moved = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert moved == (random.random(), np.random.random())  # noqa: NPY002
    random.seed(99)
    np.testing.assert_array_equal(apply(wave, RATE_HZ, transform, parameters)[0], first)


@pytest.mark.fault("A29")
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float64])
def test_apply_takes_float32_alone(dtype):
    with pytest.raises(TypeError, match=f"takes float32 at full scale .* {np.dtype(dtype)}"):
        apply(np.zeros(100, dtype), RATE_HZ, "volume", {"gain_db": 3.0})


def test_limit_peak_scales_only_what_is_too_loud():
    quiet = np.float32([0.5, -0.9])
    assert limit_peak(quiet)[0] is quiet
    loud, scale = limit_peak(np.float32([1.5, -3.0]))
    assert np.abs(loud).max() <= MAX_PEAK
    np.testing.assert_allclose(loud, np.float32([1.5, -3.0]) * scale, rtol=1e-6)


def _digest_of(task: tuple[int, str]) -> bytes:
    seed, transform = task
    wave, _ = apply(call(seed), RATE_HZ, transform, draw(f"{seed}", transform, augmenting()))
    return wave.tobytes()


def test_apply_gives_the_same_bytes_serial_reversed_and_forked():
    tasks = [(seed, transform) for seed in range(3) for transform in TRANSFORMS]
    serial = [_digest_of(task) for task in tasks]
    assert [_digest_of(task) for task in tasks[::-1]][::-1] == serial
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert list(pool.map(_digest_of, tasks)) == serial


SPAWNED_SCRIPT = """
import hashlib, json, sys
import numpy as np
from evensong.audio.augment import apply
for seed, transform, parameters in json.loads(sys.argv[1]):
    wave = np.random.default_rng(seed).normal(0, 0.1, 22050).astype(np.float32)
    print(hashlib.sha256(apply(wave, 22050, transform, parameters)[0].tobytes()).hexdigest())
"""


@pytest.mark.slow  # imports everything again
def test_apply_gives_the_same_bytes_in_a_new_process():
    tasks = [(seed, transform, draw(f"{seed}", transform, augmenting())) for seed in (0, 1) for transform in TRANSFORMS]
    here = []
    for seed, transform, parameters in tasks:
        wave = np.random.default_rng(seed).normal(0, 0.1, RATE_HZ).astype(np.float32)
        here.append(hashlib.sha256(apply(wave, RATE_HZ, transform, parameters)[0].tobytes()).hexdigest())
    environment = {**os.environ, "PYTHONPATH": "src", "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", SPAWNED_SCRIPT, json.dumps(tasks)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == here


# --- the gate: every transform changes what the network sees -----------------------------------------------------

MELS = LogMels(
    **{"n_fft": 1_024, "hop_length": 512, "n_mels": 64, "fmin_hz": 50.0, "fmax_hz": 11_000.0},
    **{"clip_seconds": 2.5, "top_db": 80.0},
)
MIN_DISTANCE = 0.1  # standard deviations of the training set


def feature_distance(original: np.ndarray, copy: np.ndarray) -> float:
    """Root mean square difference of two standardised mel arrays, (n_mels, n_frames), in standard deviations."""
    return float(np.sqrt(np.mean((original - copy) ** 2)))


def standardised(wave: np.ndarray) -> np.ndarray:
    """As training sees it: fixed mean and deviation, those of a training set of such clips."""
    training = np.stack([log_mel(call(seed), RATE_HZ, MELS) for seed in range(20, 28)])
    return (log_mel(wave, RATE_HZ, MELS) - training.mean()) / training.std()


def standardised_by_clip(wave: np.ndarray) -> np.ndarray:
    mel_db = log_mel(wave, RATE_HZ, MELS)
    return (mel_db - mel_db.mean()) / mel_db.std()


@pytest.mark.slow
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("peak", [0.1, 0.999])
def test_gate_passes_every_transform(transform: str, peak: float):
    for seed in range(6):
        wave = call(seed, peak=peak)
        copy, _ = apply(wave, RATE_HZ, transform, draw(f"gate {seed}", transform, augmenting()))
        assert feature_distance(standardised(wave), standardised(copy)) > MIN_DISTANCE


@pytest.mark.slow
def test_gate_passes_the_smallest_values_that_can_be_drawn():
    smallest = {
        "time_stretch": [{"rate": 0.97}, {"rate": 1.03}],
        "volume": [{"gain_db": 1.0}, {"gain_db": -1.0}],
        "pitch_shift": [{"semitones": 0.25}],
        "noise": [{"snr_db": 40.0, "noise_seed": 1}],
    }
    for transform, values in smallest.items():
        for parameters in values:
            for seed in range(3):
                wave = call(seed)
                copy, _ = apply(wave, RATE_HZ, transform, parameters)
                assert feature_distance(standardised(wave), standardised(copy)) > MIN_DISTANCE / 2


def test_gate_fails_the_volume_change_that_standardising_each_clip_undoes():
    wave = call(1, peak=0.1)
    copy, _ = apply(wave, RATE_HZ, "volume", {"gain_db": -6.0})
    assert feature_distance(standardised_by_clip(wave), standardised_by_clip(copy)) < MIN_DISTANCE / 10
    assert feature_distance(standardised(wave), standardised(copy)) > MIN_DISTANCE


@pytest.mark.parametrize("rate", [0.9, 1.1])
def test_gate_fails_the_stretch_that_resamples_there_and_back(rate: float):
    wave = call(1)
    there = soxr.resample(wave, RATE_HZ, round(RATE_HZ * rate))
    back = soxr.resample(there, round(RATE_HZ * rate), RATE_HZ)[: wave.size]
    back = np.pad(back, (0, wave.size - back.size))
    kept = slice(0, 56)  # bands under the filter's edge at 0.9 of the old half rate
    distance = feature_distance(standardised(wave)[kept], standardised(back)[kept])
    ours, _ = apply(wave, RATE_HZ, "time_stretch", {"rate": rate})
    assert distance < MIN_DISTANCE / 2
    assert feature_distance(standardised(wave)[kept], standardised(ours)[kept]) > 2 * MIN_DISTANCE
