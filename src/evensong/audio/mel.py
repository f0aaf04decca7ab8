"""Mono waves in, mel power and log-mel arrays out; the only place that knows the filter bank and the log base."""

import functools
from typing import NamedTuple

import numba
import numpy as np

from evensong.audio import fft
from evensong.errors import DataError
from evensong.schemas import MelSettings, NightMels

_AMIN = 1e-10  # librosa's floor of the power, -100 dB
_LN2 = 0.6931471805599453
_DB_PER_NEPER = 4.342944819032518  # 10 / ln(10)


class _Bank(NamedTuple):
    """The non-zero weights of a mel filter bank: about 2 % of the full matrix."""

    first_bin: np.ndarray  # (n_mels,) int64
    starts: np.ndarray  # (n_mels + 1,) int64, where each band's weights start
    weights: np.ndarray  # (n_weights,) float64


class MelTransform:
    """Short-time mel power of clips of one length at one sample rate, equal to librosa's.

    Why float64 and our own kernel: the stored float32 values are then the same on any processor and for any number
    of threads, which no float32 library path gives.
    """

    def __init__(self, settings: MelSettings, sample_rate_hz: int) -> None:
        self.n_samples = samples_of(settings, sample_rate_hz)
        self.n_frames = frames_of(settings, sample_rate_hz)
        self._settings = settings
        self._plan = fft.plan_of(settings.n_fft)
        self._window = 0.5 - 0.5 * self._plan.cos  # periodic Hann
        self._bank = _mel_bank(settings, sample_rate_hz)
        # Compiled, or loaded, here: a process that builds its transform before it forks does so once for all.
        self.log_mel(np.zeros(1, np.float32), 80.0)

    def power(self, wave: np.ndarray) -> np.ndarray:
        """Mel power of one clip, cut or zero-padded at its end to clip_seconds.

        Args:
            wave: (n_samples,) float32 or float64, full scale +/-1, at the transform's sample rate.

        Returns:
            (n_mels, n_frames) float64, power; frame f is centred on sample f * hop_length.

        Raises:
            DataError: wave is not 1-D or has a non-finite sample.
            TypeError: wave holds integers.
        """
        if wave.dtype.kind != "f":
            raise TypeError(f"mel power takes floats at full scale +/-1, got {wave.dtype}")
        if wave.ndim != 1:
            raise DataError(f"mel power takes one channel, got shape {wave.shape}")
        wave = wave[: self.n_samples]
        n_fft, hop = self._settings.n_fft, self._settings.hop_length
        power = np.zeros((len(self._bank.first_bin), self.n_frames))
        # Frames wholly in the zero tail have no power: nothing is computed for them.
        n_live = min(self.n_frames, (wave.size + n_fft // 2 - 1) // hop + 1) if wave.size else 0
        if n_live:
            padded = np.zeros((n_live + fft.BLOCK) * hop + n_fft)
            padded[n_fft // 2 : n_fft // 2 + wave.size] = wave
            live = np.empty((len(self._bank.first_bin), n_live))
            fft.mel_power(padded, hop, self._window, *self._plan, *self._bank, live)
            power[:, :n_live] = live
        if not np.isfinite(power.sum()):
            raise DataError("the clip holds NaN or infinity; it should have been quarantined by the scan")
        return power

    def log_mel(self, wave: np.ndarray, top_db: float) -> np.ndarray:
        """Log-mel spectrogram: dB re power 1.0, never more than top_db under the clip's peak, never under -100 dB.

        Args:
            wave: as `power`.

        Returns:
            (n_mels, n_frames) float32, dB.
        """
        mel_db = decibels(np.maximum(self.power(wave), _AMIN))
        floored: np.ndarray = np.maximum(mel_db, mel_db.max() - top_db).astype(np.float32)
        return floored


def log_mel(wave: np.ndarray, sample_rate_hz: int, settings: NightMels) -> np.ndarray:
    """Log-mel spectrogram of one night clip; the transform is built once a process.

    Args:
        wave: (n_samples,) float32, full scale +/-1.

    Returns:
        (n_mels, frames_of(settings, sample_rate_hz)) float32, dB re power 1.0.

    Raises:
        DataError: wave is not 1-D or has a non-finite sample.
    """
    return transform_of(settings, sample_rate_hz).log_mel(wave, settings.top_db)


@functools.lru_cache(maxsize=8)
def transform_of(settings: MelSettings, sample_rate_hz: int) -> MelTransform:
    """The transform for these settings, kept for the life of the process."""
    return MelTransform(settings, sample_rate_hz)


def samples_of(settings: MelSettings, sample_rate_hz: int) -> int:
    """Samples in one clip of clip_seconds."""
    return max(1, round(settings.clip_seconds * sample_rate_hz))


def frames_of(settings: MelSettings, sample_rate_hz: int) -> int:
    """Frames in one clip of clip_seconds: 1 + n_samples // hop_length, the frames being centred."""
    return 1 + samples_of(settings, sample_rate_hz) // settings.hop_length


def decibels(power: np.ndarray) -> np.ndarray:
    """10 * log10 of positive, finite, normal values, to 1e-11 dB, in plain arithmetic.

    Why not np.log10: its last bit depends on the processor.

    Args:
        power: any shape, float64, above 0.

    Returns:
        The same shape, float64, dB.
    """
    flat = np.ascontiguousarray(power).reshape(-1)
    level_db = np.empty_like(flat)
    _decibels(flat, flat.view(np.int64), level_db)
    return level_db.reshape(power.shape)


@numba.njit(cache=True, error_model="numpy")
def _decibels(values, bits, level_db):  # type: ignore[no-untyped-def] # numba infers them
    """Split each value into 2**exponent * mantissa, and take the mantissa's logarithm by the atanh series."""
    for i in range(values.size):
        shifted = bits[i] - 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2): the mantissa falls in [sqrt(1/2), sqrt(2))
        exponent = shifted >> 52
        mantissa = values[i] * _power_of_two(-exponent)
        s = (mantissa - 1.0) / (mantissa + 1.0)
        t = s * s
        series = 1 + t * (1 / 3 + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t * (1 / 11 + t * (1 / 13 + t / 15))))))
        level_db[i] = (exponent * _LN2 + 2.0 * s * series) * _DB_PER_NEPER


@numba.njit(cache=True, error_model="numpy")
def _power_of_two(exponent):  # type: ignore[no-untyped-def]
    return np.int64((exponent + 1023) << 52).view(np.float64)


def _mel_bank(settings: MelSettings, sample_rate_hz: int) -> _Bank:
    import librosa.filters  # slow to import

    if settings.fmax_hz > sample_rate_hz / 2:
        raise DataError(f"fmax_hz {settings.fmax_hz:g} is above half of the clips' {sample_rate_hz} Hz")
    matrix = librosa.filters.mel(
        sr=sample_rate_hz, n_fft=settings.n_fft, n_mels=settings.n_mels, fmin=settings.fmin_hz, fmax=settings.fmax_hz
    )
    used = [np.flatnonzero(row) for row in matrix]  # empty where a band is narrower than the distance of two bins
    first_bin = np.array([bins[0] if bins.size else 0 for bins in used], np.int64)
    n_weights = np.array([bins[-1] - bins[0] + 1 if bins.size else 0 for bins in used], np.int64)
    weights = [row[first : first + n] for row, first, n in zip(matrix, first_bin, n_weights, strict=True)]
    starts = np.concatenate([[0], np.cumsum(n_weights)]).astype(np.int64)
    return _Bank(first_bin, starts, np.concatenate(weights).astype(np.float64))
