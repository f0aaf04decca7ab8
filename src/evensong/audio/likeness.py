"""Two waves and a guess where one begins in the other -> how far they are one and the same sound."""

from typing import NamedTuple

import numpy as np
import scipy.fft

from evensong.audio.fingerprint import HOP, RATE_HZ

_SEARCHED = 4 * HOP  # samples on either side of the guess
_TAPS = 16  # of the interpolation between samples, on either side
_SELF_LAG = RATE_HZ // 50  # 20 ms: from here on a wave is compared with itself
_SHORTEST = RATE_HZ // 10  # samples in common, less of which are no evidence


class Likeness(NamedTuple):
    """What two waves have in common.

    Attributes:
        correlation: of the parts that lie on each other, -1 to 1.
        repetition: how far the less repetitive of them is like itself at any other time, 0 to 1.
        share: of the shorter wave that lies on the other, 0 to 1.
        lag_s: where the second wave begins in the first.
    """

    correlation: float
    repetition: float
    share: float
    lag_s: float


def likeness(first: np.ndarray, second: np.ndarray, lag: int) -> Likeness:
    """Align two waves and correlate them.

    Args:
        first, second: (n_samples,) float32 at RATE_HZ.
        lag: where the second one begins in the first, in samples, within 256 of the truth.
    """
    one, other = _overlap(first, second, lag)
    if one.size >= _SHORTEST:
        lag += int(np.argmax(_correlate(one, other, _SEARCHED))) - _SEARCHED
    one, other = _overlap(first, second, lag)
    share = one.size / max(1, min(first.size, second.size))
    energy = float(np.sqrt(np.dot(one, one) * np.dot(other, other)))
    if one.size < _SHORTEST or not energy > 0:
        return Likeness(0.0, 0.0, share, lag / RATE_HZ)
    correlation = _between_samples(_correlate(one, other, _TAPS)) / energy
    return Likeness(correlation, min(_repetition(one), _repetition(other)), share, lag / RATE_HZ)


def _overlap(first: np.ndarray, second: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts that lie on each other, float64 without their means."""
    start, stop = max(0, lag), min(first.size, second.size + lag)
    one = first[start : max(start, stop)].astype(np.float64)
    other = second[start - lag : max(start, stop) - lag].astype(np.float64)
    return (one - one.mean(), other - other.mean()) if one.size else (one, other)


def _correlate(one: np.ndarray, other: np.ndarray, reach: int) -> np.ndarray:
    """(2 reach + 1,) products of one with the other moved by -reach to reach samples."""
    full = _products(one, other)
    middle = other.size - 1
    return np.pad(full, reach)[middle : middle + 2 * reach + 1]


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of all shifts, as scipy.signal.correlate has them, whose import takes every scan half a second."""
    n = one.size + other.size - 1
    n_fft = scipy.fft.next_fast_len(n, real=True)
    product: np.ndarray = scipy.fft.irfft(scipy.fft.rfft(one, n_fft) * scipy.fft.rfft(other[::-1], n_fft), n_fft)
    return product[:n]


def _between_samples(products: np.ndarray) -> float:
    """The largest value within a sample of the middle: a copy is seldom shifted by whole samples."""
    moves = np.linspace(-1, 1, 33)
    taps = np.arange(-_TAPS, _TAPS + 1)
    weights = np.sinc(moves[:, None] - taps) * np.hanning(taps.size + 2)[1:-1]
    return float((weights @ products).max())


def _repetition(wave: np.ndarray) -> float:
    """The largest correlation of a wave with itself at a distance of 20 ms or more."""
    products = _products(wave, wave)[wave.size - 1 :]
    return float(products[_SELF_LAG:].max(initial=0) / products[0])
