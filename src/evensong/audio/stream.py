"""Recordings of any length as a run of short blocks, with every check that `decode.decode` makes on a whole clip."""

import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr

from evensong.audio import containers, decode, wav
from evensong.audio.regular import open_regular
from evensong.errors import InputFault

_BLOCK_FRAMES = 1 << 18


@dataclass(frozen=True)
class Stream:
    """One recording being read.

    Attributes:
        blocks: (n_channels, n) float32, finite, full scale +/-1; to be read once and to the end, where a file that is
            shorter or longer than it declares is refused.
    """

    sample_rate_hz: int
    n_channels: int
    blocks: Iterator[np.ndarray]


@contextmanager
def open_stream(path: Path) -> Iterator[Stream]:
    """Open a recording of any container and length; memory does not grow with its length.

    Raises:
        InputFault: as `decode.decode`, here or while the blocks are read, but never Q_TOO_LONG.
    """
    with open_regular(path) as (file, size):
        container = containers.sniff(file)
        if container == "wav":
            opened = _open_wav(file, size)
        elif container == "m4a":
            opened = _open_m4a(file, size)
        else:
            opened = _open_sndfile(file, size, container)
        with opened as stream:
            decode._check_shape(0, stream.n_channels, stream.sample_rate_hz, max_seconds=1)
            yield replace(stream, blocks=_checked(stream.blocks))


@contextmanager
def open_mono(path: Path, sample_rate_hz: int) -> Iterator[Iterator[np.ndarray]]:
    """Open a recording as mono blocks at another sample rate, sample for sample what a whole clip becomes.

    Returns:
        (n,) float32 blocks, which may overshoot full scale slightly, to be read once.

    Raises:
        InputFault: as `open_stream`.
    """
    uses_first = _channels_cancel(path)
    with open_stream(path) as stream:
        waves = (block[0] if len(block) == 1 or uses_first else _mixed(block) for block in stream.blocks)
        yield _resampled(waves, stream.sample_rate_hz, sample_rate_hz)


def _channels_cancel(path: Path) -> bool:
    """Whether `decode.downmix` would keep the first channel alone; costs one more reading where there are several."""
    energy_mixed = energy = 0.0
    with open_stream(path) as stream:
        if stream.n_channels == 1:
            return False
        for block in stream.blocks:
            energy_mixed += float(np.square(block.mean(axis=0, dtype=np.float64)).sum())
            energy += float(np.square(block, dtype=np.float64).sum()) / len(block)
    return energy_mixed < decode._MIN_MONO_ENERGY * energy


def _mixed(block: np.ndarray) -> np.ndarray:
    wave: np.ndarray = block.mean(axis=0, dtype=np.float64).astype(np.float32)
    return wave


def _resampled(waves: Iterator[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """The filter of `decode.resample`, fed block by block; it gives the same samples."""
    if from_hz == to_hz:
        yield from waves
        return
    resampler = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    for wave in waves:
        yield resampler.resample_chunk(wave)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _checked(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    is_empty = True
    for block in blocks:
        if block.shape[1]:
            decode._check_samples(block)
            is_empty = False
            yield block
    if is_empty:
        raise InputFault("Q_EMPTY_AUDIO", "a valid header and no samples")


@contextmanager
def _open_wav(file: BinaryIO, size: int) -> Iterator[Stream]:
    header = wav.read_header(file, size)
    yield Stream(header.sample_rate_hz, header.n_channels, _wav_blocks(file, header))


def _wav_blocks(file: BinaryIO, header: wav.WavHeader) -> Iterator[np.ndarray]:
    for first in range(0, header.n_frames, _BLOCK_FRAMES):
        n_frames = min(_BLOCK_FRAMES, header.n_frames - first)
        part = replace(header, data_start=header.data_start + first * header.frame_bytes, n_frames=n_frames)
        yield wav.read_samples(file, part)


class _ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]  # untyped
    """A sound file that is read once from its beginning to its end.

    Where it takes a file for seekable, the package seeks after every read; an MP3 decoder then starts afresh, and its
    samples differ in their last bit from those of one long read.
    """

    def seekable(self) -> bool:
        return False


@contextmanager
def _open_sndfile(file: BinaryIO, size: int, container: containers.Container) -> Iterator[Stream]:
    """FLAC, OGG, MP3 and AIFF: our own check of the container first, then libsndfile."""
    declared = containers.check_aiff(file, size) if container == "aiff" else None
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        if container == "ogg":
            containers.check_ogg(raw)  # type: ignore[arg-type]  # a map reads like bytes and takes no memory
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # file.seek would stay within its buffer
        try:
            with _ForwardOnly(file.fileno(), closefd=False) as sound:
                if sound.frames == decode._UNKNOWN:
                    raise InputFault("Q_TRUNCATED", "the header declares no length, the writer never finished it")
                declared = sound.frames if declared is None else declared
                yield Stream(sound.samplerate, sound.channels, _sndfile_blocks(sound, declared, container, raw))
        except soundfile.LibsndfileError as error:
            raise InputFault("Q_CORRUPT", f"the {container} decoder refused it ({error.error_string})") from error


def _sndfile_blocks(sound: Any, declared: int, container: containers.Container, raw: mmap.mmap) -> Iterator[np.ndarray]:
    digest = _FlacDigest(raw) if container == "flac" else None
    n_frames = 0
    while len(block := sound.read(_BLOCK_FRAMES, dtype="int32" if digest else "float32", always_2d=True)):
        n_frames += len(block)
        if digest:
            digest.update(block)
            block = block.astype(np.float32) / np.float32(2**31)
        yield np.ascontiguousarray(block.T)
    if digest:
        digest.check()
    decode._check_length(n_frames, declared, container, raw)  # type: ignore[arg-type]


class _FlacDigest:
    """The MD5 that a FLAC file declares of its samples, against the samples as they come."""

    def __init__(self, raw: mmap.mmap) -> None:
        self._declared, self._bits = containers.flac_md5(raw)  # type: ignore[arg-type]
        self._found = hashlib.md5(usedforsecurity=False)

    def update(self, samples: np.ndarray) -> None:
        """Add (n_frames, n_channels) int32, left-justified."""
        plain = np.ascontiguousarray(samples >> (32 - self._bits)).astype("<i4")
        self._found.update(plain.view(np.uint8).reshape(-1, 4)[:, : self._bits // 8].tobytes())

    def check(self) -> None:
        """Refuse the file where it declares a digest, and another one."""
        is_known = any(self._declared) and self._bits in (8, 16, 24, 32)
        if is_known and self._found.digest() != self._declared:
            raise InputFault("Q_CORRUPT", "the FLAC samples do not match the file's own digest")


@contextmanager
def _open_m4a(file: BinaryIO, size: int) -> Iterator[Stream]:
    """AAC, ALAC, MP3 or PCM in an MPEG-4 file; PyAV sees this format and nothing else."""
    import av  # a slow import that most recordings need not

    from evensong.audio import mpeg4

    containers.check_m4a(file, size)
    file.seek(0)
    try:
        with av.open(file, format="mov", options=mpeg4._OPTIONS, metadata_errors="replace") as container:
            stream = mpeg4._audio_stream(container)
            rate_hz = int(stream.codec_context.sample_rate or 0)
            declared = round(stream.duration * stream.time_base * rate_hz) if stream.duration else None
            n_channels = int(stream.codec_context.channels)
            yield Stream(rate_hz, n_channels, _m4a_blocks(container, stream, (n_channels, rate_hz), declared))
    except (av.FFmpegError, EOFError) as error:
        raise InputFault("Q_CORRUPT", f"the M4A decoder refused it ({type(error).__name__})") from error


def _m4a_blocks(container: Any, stream: Any, form: tuple[int, int], declared: int | None) -> Iterator[np.ndarray]:
    """Frames as they are decoded, without what the encoder has added at the end."""
    from evensong.audio import mpeg4

    n_frames = 0
    for frame in container.decode(stream):
        block = mpeg4._scaled(frame)
        if frame.is_corrupt or (len(block), frame.sample_rate) != form:
            raise InputFault("Q_CORRUPT", f"damaged after {n_frames} frames")
        kept = block if declared is None else block[:, : max(0, declared - n_frames)]
        n_frames += block.shape[1]
        yield kept
    if declared is not None and abs(n_frames - declared) > decode._AAC_PADDING:
        raise InputFault("Q_TRUNCATED", f"{declared} frames declared, {n_frames} decoded")
