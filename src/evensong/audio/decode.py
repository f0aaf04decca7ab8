"""Recordings in, checked float32 samples out: as a stream of blocks, or joined to one clip with the same verdict."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import soxr

from evensong.audio import containers
from evensong.audio.codecs import BLOCK_FRAMES, Stream, open_samples
from evensong.audio.quality import ClipStats, check_content, measure
from evensong.errors import InputFault
from evensong.schemas import AudioLimits

_RATES_HZ = (1_000, 500_000)
_MAX_CHANNELS = 8
_MAX_DECODED_BYTES = 2 << 30
_MAX_ABS = 8.0  # float files beyond this are not audio at full scale +/-1
_MIN_MONO_ENERGY = 0.05  # of the channels' mean energy; below it they cancel each other

_Heard = TypeVar("_Heard")


@dataclass(frozen=True)
class Decoded:
    """One decoded file.

    Attributes:
        waves: (n_channels, n_frames) float32, finite, full scale +/-1.
        container: by content, not by name.
        warnings: closed-list codes such as ``W_EXT``.
    """

    waves: np.ndarray
    sample_rate_hz: int
    container: containers.Container
    codec: str
    warnings: tuple[str, ...]


@contextmanager
def open_stream(path: Path, *, as_far_as_it_goes: bool = False) -> Iterator[Stream]:
    """Open a recording of any container and length; memory does not grow with its length.

    Args:
        path: a regular file; never a link, never opened as anything but a local file.
        as_far_as_it_goes: a WAV, or a FLAC whose first frames can be read, ends where its recorder died; a WAV then
            has the warning ``W_CUT_SHORT``, a FLAC fewer frames than it declares.

    Raises:
        InputFault: Q_EMPTY, Q_FORMAT, Q_CODEC, Q_TRUNCATED, Q_CORRUPT, Q_SAMPLE_RATE, Q_CHANNELS, Q_EMPTY_AUDIO,
            Q_NONFINITE, Q_RANGE, Q_LINK, Q_NOT_REGULAR or Q_UNREADABLE, here or while the blocks are read; no message
            holds the name.
    """
    with (
        containers.open_regular(path) as (file, size),
        open_samples(file, size, as_far_as_it_goes=as_far_as_it_goes) as stream,
    ):
        if not _RATES_HZ[0] <= stream.sample_rate_hz <= _RATES_HZ[1]:
            outside = f"outside {_RATES_HZ[0]} to {_RATES_HZ[1]} Hz"
            raise InputFault("Q_SAMPLE_RATE", f"{stream.sample_rate_hz} Hz, {outside}")
        if not 1 <= stream.n_channels <= _MAX_CHANNELS:
            raise InputFault("Q_CHANNELS", f"{stream.n_channels} channels, outside 1 to {_MAX_CHANNELS}")
        named = containers.SUFFIXES.get(path.suffix.lower(), stream.container)
        warnings = stream.warnings if named == stream.container else (*stream.warnings, "W_EXT")
        blocks = _up_to_the_fault(stream) if as_far_as_it_goes and stream.container == "flac" else stream.blocks
        yield replace(stream, blocks=_checked(blocks), warnings=warnings)


def _up_to_the_fault(stream: Stream) -> Iterator[np.ndarray]:
    """The blocks of a FLAC that ends too early; one with all its frames and another digest is damaged, not short."""
    n_frames = 0
    try:
        for block in stream.blocks:
            n_frames += block.shape[1]
            yield block
    except (InputFault, soundfile.LibsndfileError):
        if not 0 < n_frames < (stream.n_frames or 0):
            raise


def _checked(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The blocks up to the first that is no sound; from there on NaN and infinity are only counted."""
    n_frames = bad = first = 0
    for block in blocks:
        peak = float(np.abs(block).max(initial=0))
        if not np.isfinite(peak):
            places = np.flatnonzero(~np.isfinite(block).all(axis=0))
            first = first if bad else n_frames + int(places[0])
            bad += places.size
        elif peak > _MAX_ABS and not bad:
            raise InputFault("Q_RANGE", f"a peak of {peak:.6g}, more than {_MAX_ABS:g} times full scale")
        n_frames += block.shape[1]
        if not bad:
            yield block
    if bad:
        raise InputFault("Q_NONFINITE", f"{bad} frames hold NaN or infinity, the first at frame {first}")
    if n_frames == 0:
        raise InputFault("Q_EMPTY_AUDIO", "a valid header and no samples")


def decode(path: Path, *, max_seconds: float) -> Decoded:
    """Decode one audio file completely, or say why it cannot be believed: the blocks of its stream, joined.

    Args:
        max_seconds: longest accepted duration; read from the header before the samples are.

    Raises:
        InputFault: as `open_stream`, or Q_TOO_LONG.
    """
    with open_stream(path) as stream:
        waves = _joined(stream, max_seconds)
    return Decoded(waves, stream.sample_rate_hz, stream.container, stream.codec, stream.warnings)


def _joined(stream: Stream, max_seconds: float) -> np.ndarray:
    """One array (n_channels, n_frames), filled in place where its length is known: the clip is in memory once."""
    _check_length(stream, stream.n_frames or 0, max_seconds)
    blocks = _within(stream, max_seconds)
    if stream.n_frames is None:
        return np.concatenate(list(blocks), axis=1)
    waves, n_frames = np.empty((stream.n_channels, stream.n_frames), np.float32), 0
    for block in blocks:
        waves[:, n_frames : n_frames + block.shape[1]] = block
        n_frames += block.shape[1]
    return np.ascontiguousarray(waves[:, :n_frames])


def _within(stream: Stream, max_seconds: float) -> Iterator[np.ndarray]:
    n_frames = 0
    for block in stream.blocks:
        n_frames += block.shape[1]
        _check_length(stream, n_frames, max_seconds)
        yield block


def _check_length(stream: Stream, n_frames: int, max_seconds: float) -> None:
    if n_frames > max_seconds * stream.sample_rate_hz:
        seconds = n_frames / stream.sample_rate_hz
        raise InputFault("Q_TOO_LONG", f"{seconds:.6g} s, more than max_seconds ({max_seconds:g})")
    if n_frames * stream.n_channels * 4 > _MAX_DECODED_BYTES:
        raise InputFault("Q_TOO_LONG", f"{n_frames} frames of {stream.n_channels} channels do not fit in memory")


@contextmanager
def open_mono(path: Path) -> Iterator[Iterator[np.ndarray]]:
    """Open a recording, as far as it goes, as mono blocks: sample for sample the mix of a whole clip.

    Returns:
        (n,) float32 blocks, to be read once.

    Raises:
        InputFault: as `open_stream`.
    """
    mix = _Mix()
    with open_stream(path, as_far_as_it_goes=True) as stream:
        is_mono = stream.n_channels == 1
        if not is_mono:
            for block in stream.blocks:
                mix(block)
    with open_stream(path, as_far_as_it_goes=True) as stream:
        yield map(_first if is_mono or mix.cancels else _mean, stream.blocks)


def hear_mono(
    path: Path,
    sample_rate_hz: int,
    hear: Callable[[Iterator[np.ndarray]], _Heard],
    *,
    as_far_as_it_goes: bool = False,
) -> _Heard:
    """What a function makes of mono blocks at a sample rate, sample for sample those of a whole clip.

    They are read once where `open_mono` reads the file twice, and may overshoot full scale slightly.

    Args:
        as_far_as_it_goes: as `open_stream`.
        hear: reads the blocks to their end, and has no effects: where the end shows that the channels cancel each
            other, what it made of their mean is dropped, and it is called again with the first one.

    Raises:
        InputFault: as `open_stream`.
    """
    mix = _Mix()
    with open_stream(path, as_far_as_it_goes=as_far_as_it_goes) as stream:
        heard = hear(_resampled(stream, _first if stream.n_channels == 1 else mix, sample_rate_hz))
    if not mix.cancels:
        return heard
    with open_stream(path, as_far_as_it_goes=as_far_as_it_goes) as stream:
        return hear(_resampled(stream, _first, sample_rate_hz))


def _resampled(
    stream: Stream, to_mono: Callable[[np.ndarray], np.ndarray], sample_rate_hz: int
) -> Iterator[np.ndarray]:
    """The filter of `resample`, fed block by block; it gives the same samples."""
    waves = map(to_mono, stream.blocks)
    if sample_rate_hz == stream.sample_rate_hz:
        yield from waves
        return
    resampler = soxr.ResampleStream(stream.sample_rate_hz, sample_rate_hz, 1, dtype="float32", quality="HQ")
    for wave in waves:
        yield resampler.resample_chunk(np.ascontiguousarray(wave))
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def inspect(path: Path, limits: AudioLimits) -> tuple[Decoded, np.ndarray, ClipStats]:
    """Decode a recording and refuse it where it holds nothing to learn from.

    Returns:
        The decoded file, its mono wave (n_frames,) float32, and its statistics with all warnings.

    Raises:
        InputFault: as `decode`, and Q_TOO_SHORT, Q_SILENT or Q_CLIPPED.
    """
    decoded = decode(path, max_seconds=limits.max_seconds)
    wave, warnings = downmix(decoded.waves)
    stats = measure(
        decoded.waves,
        wave,
        sample_rate_hz=decoded.sample_rate_hz,
        silence_dbfs=limits.silence_dbfs,
        origin=(decoded.container, decoded.codec),
        warnings=(*decoded.warnings, *warnings),
    )
    check_content(stats, limits)
    return decoded, wave, stats


def deadline_s(limits: AudioLimits) -> float:
    """Seconds by the clock after which a decoder counts as hung: a minute, and a tenth of the longest accepted clip.

    Why so long: an idle core decodes several hundred times faster than that, and a busy one must not change a result.
    """
    return 60 + limits.max_seconds / 10


def downmix(waves: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Average the channels, unless they cancel each other: then the first one stands for all.

    Args:
        waves: (n_channels, n_frames) float32.

    Returns:
        wave (n_frames,) float32, and ``("W_PHASE",)`` where the channels cancel.
    """
    if len(waves) == 1:
        return waves[0], ()
    mix = _Mix()
    means = [mix(waves[:, start : start + BLOCK_FRAMES]) for start in range(0, waves.shape[1], BLOCK_FRAMES)]
    if mix.cancels:
        return waves[0].copy(), ("W_PHASE",)
    return np.concatenate(means), ()


class _Mix:
    """The channels' mean, block by block; after the last one, whether it holds next to nothing of them."""

    def __init__(self) -> None:
        self._together = self._apart = 0.0

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """(n_channels, n) -> (n,), both float32."""
        mean = _mean(block)
        self._together += _energy(mean)
        self._apart += _energy(block) / len(block)
        return mean

    @property
    def cancels(self) -> bool:
        """Never before the first block."""
        return self._together < _MIN_MONO_ENERGY * self._apart


def _first(block: np.ndarray) -> np.ndarray:
    wave: np.ndarray = block[0]
    return wave


def _mean(block: np.ndarray) -> np.ndarray:
    """The channels' mean (n,) float32, as float64 would round it."""
    if len(block) == 2:  # float32 rounds a sum of two once as well, and halving is exact; + 0, or -0.0 stays -0.0
        mean: np.ndarray = (block[0] + block[1] + np.float32(0)) * np.float32(0.5)
    else:
        wide = np.ascontiguousarray(block, dtype=np.float64)  # channels apart: four times as fast as samples in turns
        mean = wide.mean(axis=0).astype(np.float32)
    return mean


def _energy(samples: np.ndarray) -> float:
    squares = samples.astype(np.float64)
    squares *= squares
    return float(squares.sum())


def pcm_digest(decoded: Decoded) -> str:
    """SHA-256 over sample rate, channels and 16-bit samples: equal sound, whatever the container and its tags."""
    digest = hashlib.sha256(f"{decoded.sample_rate_hz} {len(decoded.waves)}\n".encode())
    for wave in decoded.waves:
        for start in range(0, wave.size, BLOCK_FRAMES):
            scaled = np.rint(wave[start : start + BLOCK_FRAMES] * np.float32(32_768))
            digest.update(np.clip(scaled, -32_768, 32_767).astype("<i2").tobytes())
    return digest.hexdigest()


def resample(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Change the sample rate (soxr, high quality); may overshoot full scale slightly.

    Args:
        wave: (n_samples,) float32.

    Returns:
        (about n_samples * to_hz / from_hz,) float32.
    """
    if from_hz == to_hz:
        return wave
    return np.asarray(soxr.resample(wave, from_hz, to_hz, quality="HQ"), dtype=np.float32)
