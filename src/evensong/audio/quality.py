"""What a clip sounds like in numbers, and the limits under which it teaches nothing."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from evensong.errors import InputFault
from evensong.schemas import AudioLimits

_FLOOR_DBFS = -200.0
_RAIL = 32_767 / 32_768  # the largest 16-bit sample
_MAX_CLIPPED_UNWARNED = 0.01
_BLOCK_S = 0.02  # of the silence share
_SPECTRUM_BLOCK = 2_048
_BLOCKS_A_STEP = 16  # what fits the cache; a ten-minute clip at once would take 320 MB
_BANDWIDTH_DB = -60.0  # under the strongest bin of the mean spectrum
_OFFSET_BINS = 2  # that a constant offset fills: recorders have them louder than the sound


@dataclass(frozen=True)
class ClipStats:
    """Statistics of one recording; levels and bandwidth are of its mono mix, the clipped share of its channels.

    Attributes:
        clipped_share: share of samples at or beyond full scale.
        silence_share: share of 20 ms blocks under the silence limit.
        bandwidth_hz: highest frequency within 60 dB of the strongest, tells an up-sampled clip from a real one.
        half_energy_hz: half of the energy lies under it and half above, a constant offset aside.
    """

    n_channels: int
    sample_rate_hz: int
    n_frames: int
    duration_s: float
    peak_dbfs: float
    rms_dbfs: float
    clipped_share: float
    silence_share: float
    bandwidth_hz: float
    half_energy_hz: float
    container: str
    codec: str
    warnings: tuple[str, ...]


def measure(
    waves: np.ndarray,
    wave: np.ndarray,
    *,
    sample_rate_hz: int,
    silence_dbfs: float,
    origin: tuple[str, str],
    warnings: tuple[str, ...],
) -> ClipStats:
    """Compute the statistics of one recording.

    Args:
        waves: (n_channels, n_frames) float32, not empty.
        wave: (n_frames,) float32, its mono mix.
        origin: container and codec.
        warnings: found so far; W_CLIP is added above 1 % of clipped samples.
    """
    clipped_share = float((np.count_nonzero(waves >= _RAIL) + np.count_nonzero(waves <= -_RAIL)) / waves.size)
    if clipped_share > _MAX_CLIPPED_UNWARNED:
        warnings = (*warnings, "W_CLIP")
    power = _spectrum(wave)
    bin_hz = sample_rate_hz / _SPECTRUM_BLOCK
    return ClipStats(
        n_channels=len(waves),
        sample_rate_hz=sample_rate_hz,
        n_frames=wave.size,
        duration_s=wave.size / sample_rate_hz,
        peak_dbfs=_dbfs(float(np.abs(wave).max())),
        rms_dbfs=_dbfs(_rms(wave)),
        clipped_share=clipped_share,
        silence_share=_silence_share(wave, sample_rate_hz, silence_dbfs),
        bandwidth_hz=_highest_bin(power) * bin_hz,
        half_energy_hz=_middle_bin(power) * bin_hz,
        container=origin[0],
        codec=origin[1],
        warnings=warnings,
    )


def check_content(stats: ClipStats, limits: AudioLimits) -> None:
    """Refuse a recording that holds nothing to learn from.

    Raises:
        InputFault: Q_TOO_SHORT, Q_SILENT or Q_CLIPPED.
    """
    if stats.duration_s < limits.min_seconds:
        raise InputFault("Q_TOO_SHORT", f"{stats.duration_s:.6g} s, less than min_seconds ({limits.min_seconds:g})")
    if stats.rms_dbfs < limits.silence_dbfs:
        raise InputFault("Q_SILENT", f"{stats.rms_dbfs:.1f} dBFS, under silence_dbfs ({limits.silence_dbfs:g})")
    if stats.clipped_share > limits.max_clipped_share:
        limit = f"max_clipped_share ({limits.max_clipped_share:g})"
        raise InputFault("Q_CLIPPED", f"{stats.clipped_share:.3g} of the samples at full scale, more than {limit}")


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.square(wave, dtype=np.float64).mean()))


def _dbfs(level: float) -> float:
    return max(_FLOOR_DBFS, 20 * float(np.log10(level))) if level > 0 else _FLOOR_DBFS


def _silence_share(wave: np.ndarray, sample_rate_hz: int, silence_dbfs: float) -> float:
    n_block = max(1, round(_BLOCK_S * sample_rate_hz))
    starts = np.arange(0, wave.size, n_block)
    energy = np.add.reduceat(np.square(wave, dtype=np.float64), starts)
    n_samples = np.diff(np.append(starts, wave.size))
    return float(np.mean(energy < n_samples * 10 ** (silence_dbfs / 10)))


def _spectrum(wave: np.ndarray) -> np.ndarray:
    """(n_bins,) float64, power summed over blocks."""
    n_blocks = max(1, wave.size // _SPECTRUM_BLOCK)
    blocks = np.resize(wave, n_blocks * _SPECTRUM_BLOCK) if wave.size < _SPECTRUM_BLOCK else wave
    blocks = blocks[: n_blocks * _SPECTRUM_BLOCK].reshape(n_blocks, _SPECTRUM_BLOCK)
    window = np.hanning(_SPECTRUM_BLOCK).astype(np.float32)
    power = np.zeros(_SPECTRUM_BLOCK // 2 + 1)
    for start in range(0, n_blocks, _BLOCKS_A_STEP):
        spectrum = scipy.fft.rfft(blocks[start : start + _BLOCKS_A_STEP] * window, axis=1)
        power += (np.square(spectrum.real) + np.square(spectrum.imag)).sum(axis=0, dtype=np.float64)
    return power


def _highest_bin(power: np.ndarray) -> int:
    if not power.max() > 0:
        return 0
    return int(np.flatnonzero(power >= power.max() * 10 ** (_BANDWIDTH_DB / 10))[-1])


def _middle_bin(power: np.ndarray) -> int:
    energy = np.cumsum(power[_OFFSET_BINS:])
    return _OFFSET_BINS + int(np.searchsorted(energy, energy[-1] / 2))
