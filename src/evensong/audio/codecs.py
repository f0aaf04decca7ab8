"""One opener for every container: its samples block by block, as decoded; no other file calls soundfile or PyAV."""

import hashlib
import itertools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import soundfile

from evensong.audio import containers, mpeg4, wav
from evensong.audio.unread import named
from evensong.errors import InputFault

BLOCK_FRAMES = 1 << 14  # stereo in float64 stays in the cache, and below what malloc fetches anew from the system

_UNKNOWN = 2**63 - 1  # libsndfile's number of frames where the file has none
_FAR = 1 << 40  # bytes; more than any file
_M4A_CODECS = ("aac", "alac", "mp3", "mp3float")
_M4A_BATCH = 64  # of its blocks of about 1,024 frames: small ones cost time, and memory in pieces that stay unused
_M4A_OPTIONS = {"protocol_whitelist": "file"}
_M4A_SCALES = {"u8": (128, 128.0), "s16": (0, 2.0**15), "s32": (0, 2.0**31), "flt": (0, 1.0), "dbl": (0, 1.0)}
_AAC_PADDING = 2_048  # samples an encoder may add
_ALAC_FRAME = 4_096  # samples; an edit may end at its first one


@dataclass(frozen=True)
class Stream:
    """One recording being read.

    Attributes:
        container: by content, not by name.
        n_frames: what the file declares, and the most that the blocks hold; None for an MP3 or M4A that does not say.
        blocks: (n_channels, n) float32, full scale +/-1; to be read once and to the end, where a file that is shorter
            or longer than it declares is refused.
        warnings: closed-list codes such as ``W_EXT``.
    """

    container: containers.Container
    codec: str
    sample_rate_hz: int
    n_channels: int
    n_frames: int | None
    blocks: Iterator[np.ndarray]
    warnings: tuple[str, ...] = ()


def open_samples(file: BinaryIO, size: int, *, as_far_as_it_goes: bool = False) -> AbstractContextManager[Stream]:
    """Our own check of the container first, then its decoder; neither the form nor the samples are checked yet.

    Args:
        file: opened for reading, seekable; nothing else is ever opened.
        size: bytes in the file.
        as_far_as_it_goes: a WAV whose recorder died has the samples that are there.

    Raises:
        InputFault: Q_FORMAT, Q_CODEC, Q_TRUNCATED or Q_CORRUPT, here, on entering or while the blocks are read.
    """
    container = containers.sniff(file)
    if container == "wav":
        return _open_wav(file, size, as_far_as_it_goes)
    if container == "m4a":
        return _open_m4a(file, mpeg4.check_m4a(file, size))
    if container == "flac":
        return _open_sndfile(file, container, digest=_FlacDigest(*containers.flac_md5(file)))
    if container == "ogg":
        return _open_sndfile(file, container, codec=containers.check_ogg(file, size))
    if container == "aiff":
        return _open_sndfile(file, container, declared=containers.check_aiff(file, size))
    return _open_sndfile(file, container, declared=containers.mp3_length(file))


@contextmanager
def _open_wav(file: BinaryIO, size: int, as_far_as_it_goes: bool) -> Iterator[Stream]:
    header = wav.read_header(file, size, as_far_as_it_goes=as_far_as_it_goes)
    blocks = wav.read_blocks(file, header, BLOCK_FRAMES)
    form = header.sample_rate_hz, header.n_channels, header.n_frames
    yield Stream("wav", header.codec, *form, blocks, header.warnings)


class _FlacDigest:
    """The MD5 that a FLAC file declares of its samples, against the samples as they come."""

    def __init__(self, declared: bytes, bits: int) -> None:
        self._declared, self._bits, self._found = declared, bits, hashlib.md5(usedforsecurity=False)

    def update(self, samples: np.ndarray) -> None:
        """Add (n_frames, n_channels) int32, left-justified."""
        plain = (samples >> (32 - self._bits)).astype("<i4")
        self._found.update(plain.view(np.uint8).reshape(-1, 4)[:, : self._bits // 8].tobytes())

    def check(self) -> None:
        """Refuse the file where it declares a digest, and another one."""
        is_known = any(self._declared) and self._bits in (8, 16, 24, 32)
        if is_known and self._found.digest() != self._declared:
            raise InputFault("Q_CORRUPT", "the FLAC samples do not match the file's own digest")


class _ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]  # untyped
    """A sound file that is read once from its beginning to its end.

    Where it takes a file for seekable, the package seeks after every read; an MP3 decoder then starts afresh, and its
    samples differ in their last bit from those of one long read.
    """

    def seekable(self) -> bool:
        return False


class _Endless:
    """A file whose end is said to lie far away: what libsndfile guesses of its length never stops it early."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(_FAR + offset) if whence == os.SEEK_END else self._file.seek(offset, whence)

    def read(self, n_bytes: int) -> bytes:
        """The file's bytes; zeros right before the far end, where a tag is looked for."""
        position = self._file.tell()
        if position < _FAR - 128:
            return self._file.read(n_bytes)
        self._file.seek(n_bytes, os.SEEK_CUR)
        return bytes(n_bytes)


@contextmanager
def _open_sndfile(
    file: BinaryIO,
    container: containers.Container,
    *,
    codec: str = "",
    declared: int | None = None,
    digest: _FlacDigest | None = None,
) -> Iterator[Stream]:
    """FLAC, OGG, MP3 and AIFF."""
    is_guess = container == "mp3" and declared is None
    file.seek(0)
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # file.seek alone would stay within its buffer
    try:
        with _ForwardOnly(file.fileno(), closefd=False) as sound:
            if sound.frames == _UNKNOWN:
                raise InputFault("Q_TRUNCATED", "the header declares no length, the writer never finished it")
            codec = codec or (sound.subtype.lower() if container == "aiff" else container)
            form = int(sound.samplerate), int(sound.channels)
            if is_guess:
                yield Stream(container, codec, *form, None, _countless_blocks(file, sound))
            else:
                blocks = _sndfile_blocks(sound, container, sound.frames if declared is None else declared, digest)
                yield Stream(container, codec, *form, int(sound.frames), blocks)
    except soundfile.LibsndfileError as error:
        raise InputFault("Q_CORRUPT", f"the {container} decoder refused it ({error.error_string})") from error


def _sndfile_blocks(
    sound: Any, container: containers.Container, declared: int | None, digest: _FlacDigest | None
) -> Iterator[np.ndarray]:
    """Never asks for more than libsndfile counts: behind a FLAC's last sample a tag or padding may follow."""
    n_frames = 0
    while n_wanted := min(BLOCK_FRAMES, sound.frames - n_frames):
        block = sound.read(n_wanted, dtype="int32" if digest else "float32", always_2d=True)
        if not len(block):
            break
        n_frames += len(block)
        if digest:
            digest.update(block)
            block = block.astype(np.float32) / np.float32(2**31)
        yield block.T
    if digest:
        digest.check()
    if declared not in (None, n_frames):
        reason = "Q_CORRUPT" if container in ("ogg", "flac") else "Q_TRUNCATED"
        raise InputFault(reason, f"{declared} frames declared, {n_frames} decoded")


def _countless_blocks(file: BinaryIO, sound: Any) -> Iterator[np.ndarray]:
    """An MP3 that counts no frames: libsndfile guesses the number from the first ones, and reads no further.

    Where it read as many, with a variable bit rate there may be more: it reads once more, without a limit.
    """
    n_known = 0
    for block in _sndfile_blocks(sound, "mp3", None, None):
        n_known += block.shape[1]
        yield block
    if n_known < sound.frames:
        return
    file.seek(0, os.SEEK_END)  # the decoder has moved the file behind its buffer's back
    file.seek(0)
    with _ForwardOnly(_Endless(file)) as endless:
        for block in _sndfile_blocks(endless, "mp3", None, None):
            yield block[:, min(n_known, block.shape[1]) :]
            n_known -= min(n_known, block.shape[1])


@contextmanager
def _open_m4a(file: BinaryIO, played: mpeg4.Played) -> Iterator[Stream]:
    """AAC, ALAC, MP3 or PCM in an MPEG-4 file; PyAV sees this format and nothing else."""
    import av  # a slow import that most recordings need not

    file.seek(0)
    try:
        with av.open(file, "r", format="mov", options=_M4A_OPTIONS, metadata_errors="replace") as container:
            source = _m4a_source(container)
            context = source.codec_context
            rate_hz = int(context.sample_rate or 0)
            declared = played.n_frames(rate_hz, source.duration * source.time_base if source.duration else None)
            frames = container.decode(source)
            first = list(itertools.islice(frames, 1))  # decoded before the context is asked: it may add a channel
            blocks = _m4a_blocks(itertools.chain(first, frames), (int(context.channels), rate_hz), declared)
            yield Stream(
                "m4a", context.codec.canonical_name, rate_hz, int(context.channels), declared, _batched(blocks)
            )
    except (av.FFmpegError, EOFError) as error:
        raise InputFault("Q_CORRUPT", f"the M4A decoder refused it ({type(error).__name__})") from error


def _m4a_source(container: Any) -> Any:
    if len(container.streams.audio) != 1:
        raise InputFault("Q_CODEC", f"{len(container.streams.audio)} audio streams, expected one")
    source = container.streams.audio[0]
    if not source.codec_context:
        raise InputFault("Q_CODEC", "an unknown codec; AAC, ALAC, MP3 and PCM are read from M4A")
    name = source.codec_context.name
    if name not in _M4A_CODECS and not name.startswith("pcm_"):
        family = "3GP" if container.metadata.get("major_brand", "").startswith("3g") else "MPEG-4"
        raise named(f"{family} with the codec {source.codec_context.codec.canonical_name}", "Q_CODEC")
    return source


def _m4a_blocks(frames: Iterator[Any], form: tuple[int, int], declared: int | None) -> Iterator[np.ndarray]:
    """Frames as they are decoded, without what the encoder has added at the end."""
    n_frames = 0
    for frame in frames:
        block = _scaled(frame)
        if frame.is_corrupt or (len(block), frame.sample_rate) != form:
            raise InputFault("Q_CORRUPT", f"damaged after {n_frames} frames")
        kept = block if declared is None else block[:, : max(0, declared - n_frames)]
        n_frames += block.shape[1]
        yield kept
        if declared is not None and n_frames > declared + _ALAC_FRAME:
            break
    if declared is not None and not -_AAC_PADDING <= n_frames - declared <= _ALAC_FRAME:
        raise InputFault("Q_TRUNCATED", f"{declared} frames declared, {n_frames} decoded")


def _batched(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    while batch := list(itertools.islice(blocks, _M4A_BATCH)):
        yield np.concatenate(batch, axis=1)


def _scaled(frame: Any) -> np.ndarray:
    """One frame as (n_channels, n) float32, full scale +/-1; PyAV hands integers out unscaled."""
    name = frame.format.name
    array = frame.to_ndarray()
    if not name.endswith("p"):
        array = array.reshape(-1, frame.layout.nb_channels).T
    offset, scale = _M4A_SCALES[name.removesuffix("p")]
    wave: np.ndarray = (array.astype(np.float32) - np.float32(offset)) / np.float32(scale)
    return wave
