"""Mono waves in, mel power and log-mel arrays out; the only place that knows the filter bank and the log base."""

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import scipy.fft
import scipy.sparse

from evensong.errors import DataError, ParamsError
from evensong.schemas import LogMels, MelSettings, Params

_FEWEST_MELS = 8  # that the settings allow
_QUIET = 0.25  # share of the frames that are under a band's floor
_NOISE_DB = 10  # that noise rises above its own quartile, in one frame of twenty
_AMIN = 1e-10  # librosa's floor of the power, -100 dB
_LN2 = 0.6931471805599453
_BLOCK = 1 << 15  # samples in the frames of one step: what fits the cache costs half of a step four times as long
_SQRT_HALF = 0.7071067811865476
_DB_PER_NEPER = 4.342944819032518  # 10 / ln(10)
_HZ_A_MEL = 200.0 / 3
_BEND_HZ = 1_000.0
_BEND_MEL = _BEND_HZ / _HZ_A_MEL
_LOG_STEP = np.log(6.4) / 27


def check_bands(params: Params) -> None:
    """Refuse mels of either track with bands that would stay empty.

    Raises:
        ParamsError: names the section.
    """
    for name, settings, rate_hz in (
        ("night.mels", params.night.mels, params.night.augment.sample_rate_hz),
        ("voice.mels", params.voice.mels, params.voice.mels.sample_rate_hz),
    ):
        try:
            MelTransform(settings, rate_hz)
        except DataError as error:
            raise ParamsError(f"{name}: {error}") from error


class MelTransform:
    """Short-time mel power of clips of one length at one sample rate, equal to librosa's.

    Why float64 and no BLAS: the stored float32 values are then the same on any processor and for any number of
    threads. The filter bank is sparse because 98 % of it is zeros.
    """

    def __init__(self, settings: MelSettings, sample_rate_hz: int) -> None:
        self.n_samples = samples_of(settings, sample_rate_hz)
        self.n_frames = frames_of(settings, sample_rate_hz)
        self._settings = settings
        self._window = _hann(settings.n_fft)
        self._bank = _mel_bank(settings, sample_rate_hz)
        centres = range(0, self.n_frames * settings.hop_length, settings.hop_length)
        is_whole = [0 <= at - settings.n_fft // 2 <= self.n_samples - settings.n_fft for at in centres]
        self._at_ends = [frame for frame, whole in enumerate(is_whole) if not whole]

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
        return self._power(wave[: self.n_samples], self.n_frames)

    def _power(self, wave: np.ndarray, n_frames: int) -> np.ndarray:
        n_fft, hop = self._settings.n_fft, self._settings.hop_length
        power = np.zeros((self._bank.shape[0], n_frames))
        # Frames wholly in the zero tail have no power: nothing is computed for them.
        n_live = min(n_frames, (wave.size + n_fft // 2 - 1) // hop + 1) if wave.size else 0
        if n_live:
            padded = np.zeros((n_live - 1) * hop + n_fft)
            ahead = wave[: padded.size - n_fft // 2]
            padded[n_fft // 2 : n_fft // 2 + ahead.size] = ahead
            frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
            windowed = np.empty((max(1, _BLOCK // n_fft), n_fft))
            for start in range(0, n_live, len(windowed)):
                block = frames[start : start + len(windowed)]
                power[:, start : start + len(block)] = self._of_frames(block, windowed[: len(block)])
        if not np.isfinite(power.sum()):
            raise DataError("the clip holds NaN or infinity; it should have been quarantined by the scan")
        return power

    def _of_frames(self, frames: np.ndarray, windowed: np.ndarray) -> np.ndarray:
        """Mel power (n_mels, n) of frames (n, n_fft), which are windowed into an array of their shape."""
        spectrum = scipy.fft.rfft(np.multiply(frames, self._window, out=windowed), axis=1)
        power: np.ndarray = self._bank @ (spectrum.real**2 + spectrum.imag**2).T
        return power

    def loudest_start(self, wave: np.ndarray) -> int:
        """Where the clip_seconds begin around which most sound stands out from a longer clip's own floor.

        A band's floor is 10 dB above its level in the quietest quarter of the clip: steady noise stays under it,
        however loud. Decibels above it are summed over bands and time, the more weight the nearer the middle, so that a
        sound is not cut at an edge, nor in a stretched copy. Where nothing stands out, the louder part is taken.

        Args:
            wave: as `power`, of n_samples at least.

        Returns:
            First sample, 0 to wave.size - n_samples; the earliest of equals.
        """
        hop, n_edge = self._settings.hop_length, -(-self._settings.n_fft // 2 // self._settings.hop_length)
        level_db = _level_db(self._power(wave, 1 + wave.size // hop))
        floor_db = np.quantile(level_db, _QUIET, axis=1, keepdims=True) + _NOISE_DB
        above_db = np.maximum(level_db - floor_db, 0).sum(axis=0)
        # Half of these frames lies outside of the clip: an offset or a hum that is cut off there looks like a click.
        above_db[:n_edge] = above_db[-n_edge:] = 0
        if not above_db.any():
            above_db = (level_db - level_db.min()).sum(axis=0)
        weights = np.minimum(np.arange(1, self.n_frames + 1), np.arange(self.n_frames, 0, -1))
        # Whole numbers: their sums are the same on every machine.
        middle = int(np.convolve(np.rint(100 * above_db).astype(np.int64), weights, mode="same").argmax()) * hop
        return min(max(0, middle - self.n_samples // 2), wave.size - self.n_samples)

    def log_mel(self, wave: np.ndarray, top_db: float) -> np.ndarray:
        """Log-mel spectrogram: dB re power 1.0, never more than top_db under the clip's peak, never under -100 dB.

        Args:
            wave: as `power`.

        Returns:
            (n_mels, n_frames) float32, dB.
        """
        mel_db = _level_db(self.power(wave))
        return _floored(mel_db, top_db)

    def log_mels(self, wave: np.ndarray, starts: Sequence[int], top_db: float) -> np.ndarray:
        """Log-mel spectrograms of clips that lie in one wave, each as `log_mel` has it; what they share is done once.

        Args:
            wave: (n,) float32 or float64, full scale +/-1, at the transform's sample rate, finite.
            starts: first samples of the clips, multiples of hop_length, each clip wholly in the wave.

        Returns:
            (n_clips, n_mels, n_frames) float32, dB.
        """
        level_db = _level_db(self._power(wave, 1 + wave.size // self._settings.hop_length))
        ends_db = _level_db(self._ends(wave, starts)).reshape(len(level_db), len(starts), -1)
        mels = np.empty((len(starts), len(level_db), self.n_frames), np.float32)
        for number, start in enumerate(starts):
            first = start // self._settings.hop_length
            mel_db = level_db[:, first : first + self.n_frames].copy()
            mel_db[:, self._at_ends] = ends_db[:, number]
            mels[number] = _floored(mel_db, top_db)
        return mels

    def _ends(self, wave: np.ndarray, starts: Sequence[int]) -> np.ndarray:
        """Mel power of the frames that reach over the ends of clips, where zeros stand for what lies beside a clip."""
        n_fft, hop = self._settings.n_fft, self._settings.hop_length
        frames = np.zeros((len(starts) * len(self._at_ends), n_fft))
        for row, (start, frame) in enumerate(itertools.product(starts, self._at_ends)):
            first = frame * hop - n_fft // 2
            inside = slice(max(0, first), min(first + n_fft, self.n_samples))
            frames[row, inside.start - first : inside.stop - first] = wave[start + inside.start : start + inside.stop]
        return self._of_frames(frames, frames)


def _floored(mel_db: np.ndarray, top_db: float) -> np.ndarray:
    floored: np.ndarray = np.maximum(mel_db, mel_db.max() - top_db).astype(np.float32)
    return floored


def _level_db(power: np.ndarray) -> np.ndarray:
    return decibels(np.maximum(power, _AMIN))


def log_mel(wave: np.ndarray, sample_rate_hz: int, settings: LogMels) -> np.ndarray:
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
    """10 * log10 of positive, finite values, to 1e-11 dB, in plain arithmetic.

    Why not np.log10: its last bit depends on the processor. Here 2**exponent is split off and the logarithm of the
    rest is the atanh series, ln m = 2 * (s + s**3 / 3 + ...) with s = (m - 1) / (m + 1).

    Args:
        power: any shape, float64, above 0.

    Returns:
        The same shape, float64, dB.
    """
    mantissa, exponent = np.frexp(power)
    is_low = mantissa < _SQRT_HALF
    mantissa = np.where(is_low, 2 * mantissa, mantissa)
    s = (mantissa - 1) / (mantissa + 1)
    square, series = s * s, np.zeros_like(s)
    for odd in range(15, 0, -2):
        series *= square
        series += 1 / odd
    nepers: np.ndarray = (exponent - is_low) * _LN2 + 2 * s * series
    return nepers * _DB_PER_NEPER


def _mel_bank(settings: MelSettings, sample_rate_hz: int) -> scipy.sparse.csr_array:
    """The filter bank, (n_mels, 1 + n_fft // 2) float64; every band has weight."""
    if settings.fmax_hz > sample_rate_hz / 2:
        raise DataError(f"fmax_hz {settings.fmax_hz:g} is above half of the clips' {sample_rate_hz} Hz")
    matrix = _mel_weights(settings, sample_rate_hz, settings.n_mels)
    if not _is_full(matrix):
        smaller = range(settings.n_mels - 1, _FEWEST_MELS - 1, -1)
        largest = next((n for n in smaller if _is_full(_mel_weights(settings, sample_rate_hz, n))), None)
        raise DataError(
            f"{int((~matrix.any(axis=1)).sum())} of {settings.n_mels} mel bands hold no weight: with n_fft "
            f"{settings.n_fft} at {sample_rate_hz} Hz they are narrower than the distance of two frequency bins; "
            f"{f'set n_mels to {largest} or ' if largest else ''}raise n_fft"
        )
    return scipy.sparse.csr_array(matrix.astype(np.float64))


def _mel_weights(settings: MelSettings, sample_rate_hz: int, n_mels: int) -> np.ndarray:
    """Triangles of equal area on Slaney's mel scale, (n_mels, 1 + n_fft // 2) float32; a narrow one may be empty.

    Why not librosa.filters.mel, which gives the same bytes: to load it costs every process half a second and 130 MB.
    """
    low, high = _mel_of(np.array([settings.fmin_hz, settings.fmax_hz], dtype=np.float64))
    edges_hz = _hz_of(np.linspace(low, high, n_mels + 2))
    ramps = np.subtract.outer(edges_hz, np.fft.rfftfreq(settings.n_fft, 1 / sample_rate_hz))
    widths = np.diff(edges_hz)[:, None]
    triangles = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]))
    weights: np.ndarray = triangles.astype(np.float32)
    weights *= (2 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return weights


def _mel_of(hz: np.ndarray) -> np.ndarray:
    """Slaney's scale (Auditory Toolbox, 1998): linear up to 1 kHz, then 27 steps to 6.4 times the frequency."""
    bent = _BEND_MEL + np.log(np.maximum(hz, _BEND_HZ) / _BEND_HZ) / _LOG_STEP
    return np.where(hz < _BEND_HZ, hz / _HZ_A_MEL, bent)


def _hz_of(mel: np.ndarray) -> np.ndarray:
    bent = _BEND_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BEND_MEL) - _BEND_MEL))
    return np.where(mel < _BEND_MEL, _HZ_A_MEL * mel, bent)


def _hann(n: int) -> np.ndarray:
    """The periodic window, as scipy.signal has it, whose import takes longer than that of all the rest."""
    window: np.ndarray = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, n + 1)[:-1])
    return window


def _is_full(matrix: np.ndarray) -> bool:
    return bool(matrix.any(axis=1).all())
