"""A recording -> landmarks that survive re-encoding, and an index over many that proposes which hold the same sound.

After Wang, An industrial-strength audio search algorithm, ISMIR 2003, with triples of peaks in place of pairs: a
triple is rarer, so a large set proposes few pairs by chance.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy.ndimage import maximum_filter

from evensong.audio.decode import resample

RATE_HZ = 8_000  # what lies above half of it is not heard, so that copies at low rates are found
HOP = 64  # samples at RATE_HZ, 8 ms
_WINDOW = 512
_LEAST_SHARE = 0.1  # of a recording's energy, below which its landmarks say nothing of it
_LOWEST_BIN, _HIGHEST_BIN = 3, 256  # 47 Hz to 4 kHz
_PEAK_ALONE = (33, 9)  # frames and bins around a peak that hold no stronger one: 0.26 s, 140 Hz
_FLOOR = 1e-3  # of the strongest peak's power; under it lies what noise and codecs change
_FOLLOWERS = 4  # of a peak, two of which make a triple with it
_MAX_SPAN = 512  # frames, 4 s
_TICK = 2  # frames that a time difference is rounded to
_A_SECOND, _AT_LEAST = 64, 128  # triples kept: those of the smallest hashes, which are the same ones in a copy
_FRAMES_A_STEP = 4_096
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: spreads neighbouring values
LANDMARK = np.dtype([("hash", "<u4"), ("frame", "<u4")])

_NEIGHBOURS = 8  # with the same hash, so that a hash that all have costs no square
_FEWEST_VOTES = 8
_VOTED_SHARE = 0.04  # of the landmarks of the recording that has fewer


class Proposal(NamedTuple):
    """Two recordings by number, the smaller first, and where the second one begins in the first."""

    first: int
    second: int
    lag: int  # frames of HOP samples, may be negative


def fingerprint(wave: np.ndarray, sample_rate_hz: int) -> bytes:
    """The landmarks of a recording: LANDMARK items as bytes, at most 64 a second or 128.

    None for silence, and for what lies above the landmarks, as a bat's call: two of those would be told by their
    background.

    Args:
        wave: (n_samples,) float32, mono; its level does not matter.
    """
    heard = resample(wave, sample_rate_hz, RATE_HZ)
    if not _energy(heard) > _LEAST_SHARE * _energy(wave):
        return b""
    power = _spectrogram(heard)
    strongest = power.max()
    is_peak = (power == maximum_filter(power, _PEAK_ALONE, mode="constant")) & (power > strongest * _FLOOR)
    frames, bins = np.nonzero(is_peak)
    hashes, starts = _triples(frames.astype(np.uint64), bins.astype(np.uint64))
    hashes, first = np.unique(hashes, return_index=True)  # a steady tone says the same all the time
    kept = max(_AT_LEAST, round(_A_SECOND * wave.size / sample_rate_hz))
    landmarks = np.empty(min(kept, hashes.size), LANDMARK)
    landmarks["hash"], landmarks["frame"] = hashes[:kept], starts[first[:kept]]
    return landmarks.tobytes()


def _energy(wave: np.ndarray) -> float:
    return float(np.square(wave, dtype=np.float64).mean())


def _spectrogram(wave: np.ndarray) -> np.ndarray:
    """(n_frames, n_bins) float32 power; one frame where the wave is shorter than a window."""
    wave = np.pad(wave, (0, max(0, _WINDOW - wave.size)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW)[::HOP]
    window = np.hanning(_WINDOW).astype(np.float32)
    power = np.empty((len(frames), _HIGHEST_BIN - _LOWEST_BIN), np.float32)
    for start in range(0, len(frames), _FRAMES_A_STEP):
        step = slice(start, start + _FRAMES_A_STEP)
        spectrum = scipy.fft.rfft(frames[step] * window, axis=1)[:, _LOWEST_BIN:_HIGHEST_BIN]
        power[step] = np.square(spectrum.real) + np.square(spectrum.imag)
    return power


def _triples(frames: np.ndarray, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hash and first frame of each peak with two of those that follow it; peaks are in order of time."""
    hashes, starts = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for last in range(2, _FOLLOWERS + 1):
        n = max(0, frames.size - last)
        for middle in range(1, last):
            to_middle, to_last = (frames[by : by + n] - frames[:n] for by in (middle, last))
            packed = bins[:n]
            for part in (bins[middle : middle + n], bins[last : last + n], to_middle // _TICK, to_last // _TICK):
                packed = packed << np.uint64(8) | part  # each below 256 where the span is
            is_near = to_last < _MAX_SPAN
            hashes.append((packed * _MIX >> np.uint64(32))[is_near])
            starts.append(frames[:n][is_near])
    return np.concatenate(hashes), np.concatenate(starts)


def propose(fingerprints: Sequence[bytes], owners: Sequence[str]) -> list[Proposal]:
    """Pairs of recordings of different owners that share many landmarks at one and the same lag.

    Time and memory grow with the number of landmarks, not with the number of pairs: of many recordings with one hash
    each is compared with the next eight.

    Args:
        owners: pairs of one owner are not wanted.

    Returns:
        Sorted. Some are chance, so waveforms have the last word.
    """
    arrays = [np.frombuffer(one, LANDMARK) for one in fingerprints]
    sizes = np.array([one.size for one in arrays], np.int64)
    if sizes.sum() == 0:
        return []
    owner = np.unique(np.asarray(owners), return_inverse=True)[1].astype(np.int32)
    recording = np.repeat(np.arange(sizes.size, dtype=np.int32), sizes)
    landmarks = np.concatenate(arrays)
    votes = _votes(landmarks["hash"], landmarks["frame"], recording, owner)
    return _elected(votes, sizes, int(landmarks["frame"].max()) + 1)


def _votes(hashes: np.ndarray, frames: np.ndarray, recording: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """One int64 a landmark that two recordings share: pair and lag, sorted; see `_elected`."""
    n, room = int(recording[-1]) + 1, _room(int(frames.max()) + 1)
    order = np.argsort(hashes, kind="stable")  # equal hashes in the order of their recordings
    hashes, frames, recording = hashes[order], frames[order].astype(np.int64), recording[order]
    votes = [np.zeros(0, np.int64)]
    for by in range(1, _NEIGHBOURS + 1):
        first = np.flatnonzero(hashes[by:] == hashes[:-by])
        first = first[owner[recording[first]] != owner[recording[first + by]]]
        pair = recording[first].astype(np.int64) * n + recording[first + by]
        votes.append(pair * room + (frames[first] - frames[first + by] + room // 2))
    joined = np.concatenate(votes)
    joined.sort()
    return joined


def _room(n_frames: int) -> int:
    """How far apart the votes of two pairs lie: all lags, and a gap that no tolerance bridges."""
    return 2 * (n_frames + 2 * _TICK)


def _elected(votes: np.ndarray, sizes: np.ndarray, n_frames: int) -> list[Proposal]:
    """The pairs with votes enough within one tick of a lag, each with the lag of most votes."""
    room = _room(n_frames)
    counts = np.searchsorted(votes, votes + _TICK, side="right") - np.arange(votes.size)
    first, second = np.divmod(votes // room, sizes.size)
    needed = np.maximum(_FEWEST_VOTES, _VOTED_SHARE * np.minimum(sizes[first], sizes[second]))
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for at in np.flatnonzero(counts >= needed):
        pair = (int(first[at]), int(second[at]))
        lag = int(votes[at] % room) - room // 2 + _TICK // 2
        best[pair] = max(best.get(pair, (0, 0)), (int(counts[at]), lag))
    return [Proposal(*pair, lag) for pair, (_, lag) in sorted(best.items())]
