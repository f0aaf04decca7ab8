"""Time stretch: the sound as it is, with short pieces repeated or left out where it matches itself."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_HIGHEST_HZ = 48_000  # that the times below are for; above it they shrink, as a bat's calls are shorter and higher
_FADE_S = 0.009
_LEAST_JUMP_S = 0.003
_CHOICE_S = 0.009  # from the shortest jump to the longest: holds a period of 111 Hz
_REACH_S = 0.032  # in which a join takes the quietest place: longer than all that it repeats, so that a click has room
_N_PLACES = 16
_INT16 = 32_768.0


class _Join(NamedTuple):
    """From sample `at` of the copy on, faded over, sample t is the original's t + shift."""

    at: int
    shift: int
    n_fade: int
    alike: float


class _Sizes(NamedTuple):
    """In samples, at one sample rate and stretch rate; the jumps are distances, whatever their direction."""

    fade: int
    least_jump: int
    most_jump: int
    reach: int


def stretch(wave: np.ndarray, *, sample_rate_hz: int, rate: float) -> np.ndarray:
    """Change a clip's duration and leave its pitch.

    WSOLA (Verhelst and Roelands 1993) that joins as seldom as it can: the original runs on unchanged until it is some
    milliseconds before its time, or behind. Then it is faded over to a place earlier, or later, in itself: at the
    quietest moment within reach, so that no click is heard twice or lost, and by the jump after which it is most like
    what would have come, so that tones go on.

    Why the bytes are the same on any processor: what is compared are sums of products of integers in float64, exact in
    any order, and the rest is one rounding an operation.

    Args:
        wave: (n_samples,) float32, full scale +/-1.
        sample_rate_hz: of the wave.
        rate: of time, 0.8 to 2; above 1 is faster.

    Returns:
        (round(n_samples / rate),) float32, at least one sample of a wave that has any. Every moment is within some
        10 ms of its place. Fades between unlike sounds keep the power, and may overshoot the peak.
    """
    n_out = max(round(wave.size / rate), min(wave.size, 1))
    copy, done, shift = np.empty(n_out, np.float32), 0, 0
    for join in _joins(wave, n_out, rate, _sizes(sample_rate_hz, rate)):
        copy[done : join.at] = wave[done + shift : join.at + shift]
        done = join.at + join.n_fade
        old, new = wave[join.at + shift : done + shift], wave[join.at + join.shift : done + join.shift]
        copy[join.at : done] = _faded(old, new, join.alike)
        shift = join.shift
    copy[done:] = wave[done + shift : n_out + shift]
    return copy


def _sizes(sample_rate_hz: int, rate: float) -> _Sizes:
    """Why a least jump that grows with the rate: one fade must be over before the next begins."""
    hz = min(sample_rate_hz, _HIGHEST_HZ)
    fade, reach = round(_FADE_S * hz), round(_REACH_S * hz)
    least = max(round(_LEAST_JUMP_S * hz), round((2 * fade + reach) * abs(1 - rate)))
    return _Sizes(fade, least, least + round(_CHOICE_S * hz), reach)


def _joins(wave: np.ndarray, n_out: int, rate: float, sizes: _Sizes) -> Iterator[_Join]:
    """All joins in order; the last one makes the end of the original the end of the copy."""
    slower = rate < 1
    jumps = (-sizes.most_jump, -sizes.least_jump) if slower else (sizes.least_jump, sizes.most_jump)
    ahead = -sum(jumps) / 4  # of its time, when half a jump is due: from so much ahead to so much behind, or back
    done = shift = 0
    while rate != 1:
        first = max(done, 1 + max(0, -jumps[0]), int((ahead - shift) / (1 - rate)) - sizes.reach // 2)
        last = first + sizes.reach
        if last + 2 * sizes.fade > min(n_out, wave.size - shift - max(jumps[1], 0)):
            break
        join = _best_join(wave, (first, last), shift, jumps, sizes.fade)
        yield join
        done, shift = join.at + join.n_fade, join.shift
    jump = wave.size - n_out - shift
    if jump:
        n_fade = min(sizes.fade, wave.size // 2, n_out)
        last = min(n_out, wave.size - shift) - n_fade
        first = max(done, -shift - jump, last - sizes.reach)
        yield _best_join(wave, (first, last), shift, (jump, jump), n_fade)


def _best_join(wave: np.ndarray, between: tuple[int, int], shift: int, jumps: tuple[int, int], n_fade: int) -> _Join:
    """The quietest of some places, and there the jump to what is most alike.

    Args:
        between: first and last place in the copy.
        shift: before the join.
        jumps: least and most, signed: below zero is back.
    """
    first, last = between[0] + shift, between[1] + shift
    before, after = min(jumps[0], 0), max(jumps[1], 0) + n_fade  # what can be repeated, left out or faded
    steps = _steps(wave, first + before, last + after)
    energy = np.zeros(steps.size + 1)
    np.cumsum(steps * steps, out=energy[1:])

    places = np.arange(0, last - first + 1, max(1, (last - first) // _N_PLACES))
    place = int(places[(energy[places + after - before] - energy[places]).argmin()])

    here = place - before
    start, stop = here + jumps[0], here + jumps[1] + 1
    common = np.correlate(steps[start : stop - 1 + n_fade], steps[here : here + n_fade])
    apart = energy[start + n_fade : stop + n_fade] - energy[start:stop] + (energy[here + n_fade] - energy[here])
    alike = (2 * common + n_fade) / (apart + n_fade)  # silence is like silence
    best = int(alike.argmax())
    return _Join(between[0] + place, shift + jumps[0] + best, n_fade, max(0.0, float(alike[best])))


def _steps(wave: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Whole numbers: by how much each sample, in 16 bits, is above the one before it.

    Why not the samples: the rumble of wind holds most of a field recording's power and none of its calls.
    """
    earlier = max(start, 1) - 1  # nothing is before the first
    samples = np.rint(wave[earlier:stop].astype(np.float64) * _INT16)
    return np.diff(samples) if earlier < start else np.diff(samples, prepend=samples[0])


def _faded(old: np.ndarray, new: np.ndarray, alike: float) -> np.ndarray:
    """Fade over linearly, at the power of both: without it noise would be 3 dB quieter in the middle."""
    fade = (np.arange(old.size, dtype=np.float32) + np.float32(0.5)) / np.float32(old.size)
    power = np.float32(1) - np.float32(2 * (1 - alike)) * fade * (np.float32(1) - fade)
    return np.asarray((old + (new - old) * fade) / np.sqrt(power))
