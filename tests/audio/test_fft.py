import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evensong.audio import fft


def spectrum_of(signals: np.ndarray) -> np.ndarray:
    """(n, LANES) complex128 to its spectrum."""
    n = len(signals)
    plan = fft.plan_of(n)
    parts = [np.ascontiguousarray(part).reshape(-1) for part in (signals.real, signals.imag)]
    scratch = [np.empty(n * fft.LANES) for _ in range(2)]
    re, im = fft.transform(*parts, *scratch, *plan)
    return (re + 1j * im).reshape(n, fft.LANES)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 400), seed=st.integers(0, 99))
def test_transform_of_any_length_equals_numpy(n: int, seed: int):
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(n, fft.LANES)) + 1j * rng.normal(size=(n, fft.LANES))
    expected = np.fft.fft(signals, axis=0)
    np.testing.assert_allclose(spectrum_of(signals), expected, atol=1e-11 * n)


@pytest.mark.parametrize("n", [1_024, 2_048, 4_096])
def test_transform_of_usual_lengths_equals_numpy(n: int):
    rng = np.random.default_rng(n)
    signals = rng.normal(size=(n, fft.LANES)) + 1j * rng.normal(size=(n, fft.LANES))
    np.testing.assert_allclose(spectrum_of(signals), np.fft.fft(signals, axis=0), atol=1e-11)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 3_000))
def test_unit_circle_is_the_circle(n: int):
    cos, sin = fft.unit_circle(n)
    angle = 2 * np.pi * np.arange(n) / n
    np.testing.assert_allclose(cos, np.cos(angle), atol=1e-15)
    np.testing.assert_allclose(sin, np.sin(angle), atol=1e-15)
