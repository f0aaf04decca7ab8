"""Samples of an MPEG-4 file through PyAV; loaded by files.py alone, after its own checks."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import av
import numpy as np

from evensong.errors import InputFault

_CODECS = ("aac", "alac", "mp3", "mp3float")
_OPTIONS = {"protocol_whitelist": "file"}
_BLOCKS_A_STEP = 1_024
_SCALES = {"u8": (128, 128.0), "s16": (0, 2.0**15), "s32": (0, 2.0**31), "flt": (0, 1.0), "dbl": (0, 1.0)}


def read(file: BinaryIO, check_shape: Callable[[int, int, int], int]) -> tuple[np.ndarray, int | None, int, str]:
    """Decode the one audio stream of a file that starts with ``ftyp``.

    Args:
        file: opened for reading, seekable; nothing else is ever opened.
        check_shape: refuses (n_frames, n_channels, sample_rate_hz), or returns the most frames that may be read.

    Returns:
        waves (n_channels, n_frames) float32, declared frames or None, sample rate in Hz, codec.

    Raises:
        InputFault: Q_CODEC, Q_CORRUPT, or what check_shape raises.
    """
    file.seek(0)
    try:
        with av.open(
            file, format="mov", options={"protocol_whitelist": "file"}, metadata_errors="replace"
        ) as container:
            stream = _audio_stream(container)
            rate_hz = int(stream.codec_context.sample_rate or 0)
            declared = None
            if stream.duration:
                declared = round(stream.duration * stream.time_base * rate_hz)
            most = check_shape(declared or 0, stream.codec_context.channels, rate_hz)
            waves = _joined(_blocks(container, stream, rate_hz, most))
            codec = stream.codec_context.codec.canonical_name
    except (av.FFmpegError, EOFError) as error:
        raise InputFault("Q_CORRUPT", f"the M4A decoder refused it ({type(error).__name__})") from error
    return waves, declared, rate_hz, codec


def _audio_stream(container: Any) -> Any:
    if len(container.streams.audio) != 1:
        raise InputFault("Q_CODEC", f"{len(container.streams.audio)} audio streams, expected one")
    stream = container.streams.audio[0]
    name = stream.codec_context.name if stream.codec_context else "unknown"
    if name not in _CODECS and not name.startswith("pcm_"):
        raise InputFault("Q_CODEC", f"codec {name}; AAC, ALAC, MP3 and PCM are read from M4A")
    return stream


def _blocks(container: Any, stream: Any, rate_hz: int, most: int) -> Iterator[np.ndarray]:
    """(n_channels, n) float32 blocks in order; stops at damage and at the limit."""
    n_channels, n_frames = None, 0
    for frame in container.decode(stream):
        block = _scaled(frame)
        if frame.is_corrupt or frame.sample_rate != rate_hz or len(block) != (n_channels or len(block)):
            raise InputFault("Q_CORRUPT", f"damaged after {n_frames} frames")
        n_channels, n_frames = len(block), n_frames + block.shape[1]
        if n_frames > most + 4_096:
            raise InputFault("Q_TOO_LONG", f"more than {most} frames")
        yield block


def _joined(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """All blocks as one array, in steps: 25,000 small ones at once leave their memory in pieces that stay unused."""
    joined: list[np.ndarray] = []
    recent: list[np.ndarray] = []
    for block in blocks:
        recent.append(block)
        if len(recent) == _BLOCKS_A_STEP:
            joined.append(np.concatenate(recent, axis=1))
            recent.clear()
    parts = [*joined, *recent]
    return np.concatenate(parts, axis=1) if parts else np.zeros((1, 0), np.float32)


def _scaled(frame: Any) -> np.ndarray:
    """One frame as (n_channels, n) float32, full scale +/-1; PyAV hands integers out unscaled."""
    name = frame.format.name
    array = frame.to_ndarray()
    if not name.endswith("p"):
        array = array.reshape(-1, frame.layout.nb_channels).T
    offset, scale = _SCALES[name.removesuffix("p")]
    wave: np.ndarray = (array.astype(np.float32) - np.float32(offset)) / np.float32(scale)
    return wave
