"""Time stretch: the length, the pitch, every click once, and the same bytes on every processor."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy._core._multiarray_umath import __cpu_dispatch__

from evensong.audio.stretch import stretch

RATE_HZ = 22_050
RATES = (0.8, 0.93, 1.07, 1.25)

waves = st.builds(
    lambda n, seed, level: np.random.default_rng(seed).normal(0, level, n).astype(np.float32),
    st.integers(0, 9_000) | st.integers(0, 40),
    st.integers(0, 99),
    st.sampled_from([1e-4, 0.1, 1.0]),
)
rates = st.floats(0.8, 2.0) | st.floats(0.97, 1.03) | st.sampled_from([0.8, 1.0, 2.0])
rates_hz = st.sampled_from([4_000, 8_000, 16_000, RATE_HZ, 44_100, 256_000])


def level_db(copy: np.ndarray, wave: np.ndarray) -> float:
    return 10 * float(np.log10(np.square(copy, dtype=np.float64).mean() / np.square(wave, dtype=np.float64).mean()))


def sine(hz: float, seconds: float = 2.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def strongest_hz(wave: np.ndarray) -> float:
    """Of a steady tone: the peak of a spectrum padded to steps of 1/16 Hz."""
    middle = wave[wave.size // 8 : -wave.size // 8]
    return float(np.abs(np.fft.rfft(middle * np.blackman(middle.size), 16 * RATE_HZ)).argmax()) / 16


# --- properties ------------------------------------------------------------------------------------------------------


@given(wave=waves, rate=rates, sample_rate_hz=rates_hz)
def test_stretch_gives_the_length_and_leaves_its_input_alone(wave: np.ndarray, rate: float, sample_rate_hz: int):
    before = wave.copy()
    copy = stretch(wave, sample_rate_hz=sample_rate_hz, rate=rate)
    assert copy.size == (max(1, round(wave.size / rate)) if wave.size else 0)
    assert (copy.dtype, copy.ndim) == (np.float32, 1)
    assert np.isfinite(copy).all()
    assert np.abs(copy).max(initial=0) <= np.sqrt(2) * np.abs(wave).max(initial=0)
    assert not np.shares_memory(wave, copy)
    np.testing.assert_array_equal(wave, before)


@given(n_more=st.integers(1, 9_000), seed=st.integers(0, 99), rate=rates, sample_rate_hz=rates_hz)
def test_stretch_begins_and_ends_as_the_original(n_more: int, seed: int, rate: float, sample_rate_hz: int):
    n = min(sample_rate_hz, 48_000) // 10 + n_more
    wave = np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)
    copy = stretch(wave, sample_rate_hz=sample_rate_hz, rate=rate)
    assert copy[0] == wave[0]
    assert copy[-1] == pytest.approx(wave[-1], abs=0.05 * float(np.abs(wave).max()))  # the last fade may end here


@given(wave=waves)
def test_stretch_at_rate_1_is_the_wave_itself(wave: np.ndarray):
    np.testing.assert_array_equal(stretch(wave, sample_rate_hz=RATE_HZ, rate=1.0), wave)


@given(n=st.integers(1, 9_000), rate=rates, value=st.sampled_from([0.0, 0.25, -1.0]))
def test_stretch_of_a_constant_is_that_constant(n: int, rate: float, value: float):
    copy = stretch(np.full(n, value, np.float32), sample_rate_hz=RATE_HZ, rate=rate)
    np.testing.assert_array_equal(copy, np.full(copy.size, value, np.float32))


@given(rate=rates, period=st.integers(2, 198))
def test_stretch_goes_on_repeating_what_repeats(rate: float, period: int):
    """Jumps are chosen from 199 lengths at 22.05 kHz: one of them is a whole number of periods."""
    pattern = (np.random.default_rng(period).integers(-9_000, 9_000, period) / 32_768).astype(np.float32)
    copy = stretch(np.resize(pattern, 12_000), sample_rate_hz=RATE_HZ, rate=rate)
    before_the_last = copy.size - 2_500  # the last jump is what is left, so that both ends meet
    np.testing.assert_array_equal(copy[:before_the_last], np.resize(pattern, before_the_last))


@given(rate=st.floats(0.8, 1.25), at=st.integers(2_000, 20_000), sample_rate_hz=rates_hz)
def test_stretch_puts_every_moment_in_its_place(rate: float, at: int, sample_rate_hz: int):
    wave = np.random.default_rng(at).normal(0, 1e-3, RATE_HZ).astype(np.float32)
    wave[at] = 0.5
    copy = stretch(wave, sample_rate_hz=sample_rate_hz, rate=rate)
    place = int(np.abs(copy).argmax())
    assert place == pytest.approx(at / rate, abs=0.016 * min(sample_rate_hz, 48_000))
    assert np.flatnonzero(np.abs(copy) > 0.01).tolist() == [place]
    assert copy[place] == 0.5


# --- sounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [150.0, 440.0, 3_000.0, 9_000.0])
def test_stretch_keeps_the_pitch_and_the_level_of_a_tone(hz: float, rate: float):
    copy = stretch(sine(hz), sample_rate_hz=RATE_HZ, rate=rate)
    assert 1_200 * np.log2(strongest_hz(copy) / hz) == pytest.approx(0, abs=2)  # cents
    assert level_db(copy, sine(hz)) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("rate", RATES)
def test_stretch_keeps_two_tones_that_share_no_period(rate: float):
    wave = sine(523.3) + sine(3_137.9)
    spectrum = [
        np.abs(np.fft.rfft(part[5_000:25_000] * np.hanning(20_000)))
        for part in (wave, stretch(wave, sample_rate_hz=RATE_HZ, rate=rate))
    ]
    for hz in (523.3, 3_137.9):
        near = slice(round(hz / RATE_HZ * 20_000) - 5, round(hz / RATE_HZ * 20_000) + 6)
        before, after = (np.square(one[near]).sum() for one in spectrum)
        assert 10 * np.log10(after / before) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("rate", RATES)
def test_stretch_keeps_the_level_of_noise(rate: float):
    """Faded without regard to power it would lose 0.3 dB."""
    wave = np.random.default_rng(1).normal(0, 0.1, 4 * RATE_HZ).astype(np.float32)
    assert level_db(stretch(wave, sample_rate_hz=RATE_HZ, rate=rate), wave) == pytest.approx(0, abs=0.12)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("floor", [0.0, 1e-3])
def test_stretch_neither_doubles_nor_loses_a_click(floor: float, rate: float):
    wave = np.random.default_rng(2).normal(0, floor, 4 * RATE_HZ).astype(np.float32)
    wave[2_000:-2_000:3_001] = 0.5
    copy = stretch(wave, sample_rate_hz=RATE_HZ, rate=rate)
    assert (np.abs(copy) > 0.02).sum() == (np.abs(wave) > 0.02).sum() == 29
    np.testing.assert_array_equal(copy[np.abs(copy) > 0.02], np.full(29, 0.5, np.float32))


# --- by hand ---------------------------------------------------------------------------------------------------------


def click(n: int, *places: int) -> np.ndarray:
    wave = np.zeros(n, np.float32)
    wave[list(places)] = 1
    return wave


@pytest.mark.parametrize(
    ("places", "rate", "expected"),
    [
        # At 4 kHz a fade has 36 samples, and 100 are enough for one join alone.
        ([90], 0.8, [115]),  # 125 samples: 25 are repeated in the silence before
        ([20], 0.8, [20]),  # in the silence after: from 64 on at the latest, so that its 36 end with the original
        ([10], 1.25, [10]),  # 80 samples: 20 are left out after it
        ([90], 1.25, [70]),  # and before
        ([10, 90], 1.25, [10, 70]),
    ],
)
def test_stretch_joins_where_it_is_quiet(places: list[int], rate: float, expected: list[int]):
    copy = stretch(click(100, *places), sample_rate_hz=4_000, rate=rate)
    np.testing.assert_array_equal(copy, click(round(100 / rate), *expected))


@pytest.mark.parametrize(
    ("wave", "rate", "expected"),
    [
        ([], 0.8, []),
        ([0.5], 0.8, [0.5]),
        ([0.5], 2.0, [0.5]),  # round(0.5) is 0
        ([0.0, 0.5], 0.8, [0.0, 0.5]),  # round(2.5) is 2
        # A jump of one back after one sample, faded over two: silence twice, then the rest.
        ([0.0, 0.0, 0.0, 0.5], 0.8, [0.0, 0.0, 0.0, 0.0, 0.5]),
        # Two samples are left out, from the first on: 3/4 of 0 with 1/4 of 0.5, 1/4 of 0 with 3/4 of 0.5. Nothing is
        # alike, so that both are divided by the root of 1 - 2 * 3/16; two LSB would count as silence.
        ([0.0, 0.0, 0.5, 0.5], 2.0, [0.125 / np.sqrt(0.625), 0.375 / np.sqrt(0.625)]),
    ],
)
def test_stretch_of_the_shortest_clips(wave: list[float], rate: float, expected: list[float]):
    copy = stretch(np.float32(wave), sample_rate_hz=RATE_HZ, rate=rate)
    np.testing.assert_allclose(copy, np.float32(expected), rtol=1e-4)


# --- bytes -----------------------------------------------------------------------------------------------------------

DIGEST_SCRIPT = """
import hashlib
import numpy as np
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from evensong.audio.stretch import stretch
digest = hashlib.sha256()
for seed in range(4):
    wave = (np.random.Generator(np.random.PCG64(seed)).integers(-20000, 20000, 44100) >> 2 * seed).astype(np.float32)
    wave = (wave + np.roll(wave, 1) + np.roll(wave, 2)) / np.float32(131072)
    for rate in (0.8, 0.93, 1.1, 2.0):
        digest.update(stretch(wave, sample_rate_hz=22050, rate=rate).tobytes())
print(digest.hexdigest())
print("simd" if any(__cpu_features__[name] for name in __cpu_dispatch__) else "plain")
"""


def test_stretch_is_pinned():
    exec(DIGEST_SCRIPT.replace("print(", "_seen.append("), {"_seen": (seen := [])})
    assert seen[0] == "023042a494ae22e746d2b6b64726e6441950dbe197e3cedf34e6c2e626a2f625"


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "Haswell"},
        {"NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__), "OPENBLAS_CORETYPE": "Prescott"},
    ],
    ids=["two-threads", "haswell", "no-simd"],
)
def test_stretch_bytes_do_not_depend_on_threads_or_processor(variables: dict[str, str]):
    exec(DIGEST_SCRIPT.replace("print(", "_seen.append("), {"_seen": (seen := [])})
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DIGEST_SCRIPT],
        env={**os.environ, **variables, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=True,
    )
    digest, instructions = result.stdout.split()
    assert digest == seen[0]
    assert "NPY_DISABLE_CPU_FEATURES" not in variables or instructions == "plain"  # NumPy renames its features
