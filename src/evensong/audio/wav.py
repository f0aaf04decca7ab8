"""WAV read and written by ourselves: every depth in, mono PCM_16 out, no codec but plain samples."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from evensong.audio.unread import named
from evensong.errors import DataError, InputFault, IntegrityError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of the two plain sample formats inside EXTENSIBLE
_STREAMED = (0, 0xFFFFFFFF)  # sizes that recorders and pipes leave when they cannot seek back
_MAX_CHUNKS = 4_096
_CODECS = {
    (_PCM, 8): "pcm_u8",
    (_PCM, 16): "pcm_16",
    (_PCM, 24): "pcm_24",
    (_PCM, 32): "pcm_32",
    (_FLOAT, 32): "float",
    (_FLOAT, 64): "double",
}
_COMPRESSED = {
    **{0x02: "MS ADPCM", 0x06: "A-law", 0x07: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM", 0x55: "MP3", 0xFF: "AAC"},
}
_OWN_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")  # RIFF + fmt + data, the 44 bytes write_wav writes
OWN_HEADER_BYTES = _OWN_HEADER.size  # two bytes a sample follow
_INT16 = 32_768.0


@dataclass(frozen=True)
class WavHeader:
    """What the header declares, already checked against the size of the file."""

    codec: str
    sample_rate_hz: int
    n_channels: int
    frame_bytes: int
    data_start: int
    n_frames: int
    warnings: tuple[str, ...]


def read_header(file: BinaryIO, size: int, *, as_far_as_it_goes: bool = False) -> WavHeader:
    """Walk the chunks up to the samples and check them against the file's size.

    Args:
        file: opened for reading, seekable.
        size: bytes in the file.
        as_far_as_it_goes: take what a dying recorder has left: all samples that are there, with ``W_CUT_SHORT``.

    Raises:
        InputFault: Q_TRUNCATED, Q_CORRUPT or Q_CODEC.
    """
    file.seek(0)
    head = file.read(12)
    if len(head) < 12:
        raise InputFault("Q_TRUNCATED", f"{size} bytes, shorter than a WAV header")
    riff_bytes = int.from_bytes(head[4:8], "little")
    long_data_bytes, fmt, position = None, b"", 12
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        chunk = file.read(8)
        if len(chunk) < 8:
            whole = riff_bytes + 8 <= size
            raise InputFault("Q_CORRUPT" if whole else "Q_TRUNCATED", f"the file ends at byte {size} without samples")
        name, n_bytes = chunk[:4], int.from_bytes(chunk[4:], "little")
        if name == b"ds64":
            long_data_bytes = int.from_bytes(file.read(16)[8:16], "little")
        elif name == b"fmt ":
            fmt = file.read(min(n_bytes, 64))
        elif name == b"data":
            declared = long_data_bytes if head[:4] == b"RF64" and long_data_bytes is not None else n_bytes
            form = _read_format(fmt)
            try:
                return _with_data(file, form, declared, position + 8, size, riff_bytes)
            except InputFault as fault:
                if as_far_as_it_goes and fault.reason == "Q_TRUNCATED":
                    return _what_is_there(form, position + 8, size)
                raise
        position += 8 + n_bytes + n_bytes % 2
    raise InputFault("Q_CORRUPT", f"more than {_MAX_CHUNKS} chunks before the samples")


def _read_format(fmt: bytes) -> tuple[str, int, int, int]:
    """Codec, sample rate, channels and bytes a frame; refuses every compressed tag before any decoder sees it."""
    if len(fmt) < 16:
        raise InputFault("Q_CORRUPT", "no complete format chunk before the samples")
    tag, n_channels, sample_rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", fmt)
    if tag == _EXTENSIBLE:
        if len(fmt) < 40 or fmt[26:40] != _GUID_TAIL:
            raise InputFault("Q_CODEC", "extensible WAV that is neither PCM nor float")
        tag = int.from_bytes(fmt[24:26], "little")
    if tag in _COMPRESSED:
        raise named(f"WAV with {_COMPRESSED[tag]}", "Q_CODEC")
    codec = _CODECS.get((tag, bits))
    if codec is None:
        raise InputFault("Q_CODEC", f"WAV format tag {tag:#06x} with {bits} bits, neither PCM nor float samples")
    if n_channels and frame_bytes != n_channels * bits // 8:
        raise InputFault("Q_CORRUPT", f"{frame_bytes} bytes a frame do not fit {n_channels} channels of {bits} bits")
    return codec, sample_rate_hz, n_channels, frame_bytes


def _with_data(
    file: BinaryIO, form: tuple[str, int, int, int], declared: int, start: int, size: int, riff_bytes: int
) -> WavHeader:
    codec, sample_rate_hz, n_channels, frame_bytes = form
    present = size - start
    streamed = declared == _STREAMED[1] or (declared == 0 and riff_bytes in _STREAMED)
    if streamed:
        declared = present
    if declared > present:
        raise InputFault("Q_TRUNCATED", f"{declared} bytes of samples declared, {present} present")
    _check_rest(file, start + declared, size, most_bytes=sample_rate_hz * frame_bytes)
    n_frames, rest = divmod(declared, max(frame_bytes, 1))
    # A RIFF size that disagrees with the file, around complete samples, is a careless writer and no damage.
    careless = riff_bytes != _STREAMED[1] and not start + declared <= riff_bytes + 8 <= size + 1
    warnings = ("W_HEADER",) if streamed or rest or careless else ()
    return WavHeader(codec, sample_rate_hz, n_channels, frame_bytes, start, n_frames, warnings)


def _what_is_there(form: tuple[str, int, int, int], start: int, size: int) -> WavHeader:
    codec, sample_rate_hz, n_channels, frame_bytes = form
    n_frames = (size - start) // max(frame_bytes, 1)
    return WavHeader(codec, sample_rate_hz, n_channels, frame_bytes, start, n_frames, ("W_CUT_SHORT",))


def _check_rest(file: BinaryIO, end: int, size: int, most_bytes: int) -> None:
    """Refuse a file that goes on after its declared samples with more than a writer's remains: with more samples.

    Why: a writer that died before it mended its header, or passed 4 GiB, where the 32-bit size starts again at 0.

    Args:
        end: of the declared samples, in bytes.
        most_bytes: that may follow without being chunks.
    """
    position = end + end % 2
    while size - position > max(most_bytes, 8):
        file.seek(position)
        name = file.read(4)
        following = position + 8 + int.from_bytes(file.read(4), "little")
        if following == position + 8 and not any(name):  # room that a recorder took and did not need
            return
        if not (name.isascii() and name.decode("ascii").isprintable() and following <= size):
            raise InputFault("Q_TRUNCATED", f"{size - position} bytes follow the declared samples and are in no chunk")
        position = following + following % 2


def read_blocks(file: BinaryIO, header: WavHeader, block_frames: int) -> Iterator[np.ndarray]:
    """Read the samples a header describes, some frames at a time.

    Returns:
        (n_channels, at most block_frames) float32, full scale +/-1.

    Raises:
        InputFault: Q_TRUNCATED, the file shrank since its header was read.
    """
    file.seek(header.data_start)
    for start in range(0, header.n_frames, block_frames):
        n_bytes = min(block_frames, header.n_frames - start) * header.frame_bytes
        raw = file.read(n_bytes)
        if len(raw) != n_bytes:
            n_read = start * header.frame_bytes + len(raw)
            raise InputFault(
                "Q_TRUNCATED", f"{header.n_frames * header.frame_bytes} bytes of samples declared, {n_read} read"
            )
        yield _to_float(raw, header.codec).reshape(-1, header.n_channels).T


def _to_float(raw: bytes, codec: str) -> np.ndarray:
    """(n,) float32, full scale +/-1; integers are scaled by a power of two."""
    if codec == "pcm_u8":
        return (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / 128
    if codec == "pcm_16":
        return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(_INT16)
    if codec == "pcm_24":
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    if codec == "pcm_32":
        return np.frombuffer(raw, "<i4").astype(np.float32) / np.float32(2**31)
    with np.errstate(over="ignore", invalid="ignore"):  # a double beyond float32 becomes inf, refused by the caller
        return np.frombuffer(raw, "<f4" if codec == "float" else "<f8").astype(np.float32)


def write_wav(path: Path, wave: np.ndarray, sample_rate_hz: int) -> Path:
    """Write a mono 16-bit WAV; equal samples give equal bytes.

    Args:
        wave: (n_samples,) float32, finite, within +/-1 (+1 itself becomes 32767).

    Raises:
        DataError: wave is not 1-D, not finite, or leaves +/-1; nothing is clipped silently.
    """
    if wave.ndim != 1:
        raise DataError(f"write_wav takes one channel, got shape {wave.shape}")
    peak = float(np.abs(wave).max()) if wave.size else 0.0
    if not peak <= 1:
        raise DataError(f"write_wav takes samples within +/-1, got a peak of {peak:.6g}; scale the clip first")
    samples = np.minimum(np.rint(wave * np.float32(_INT16)), _INT16 - 1).astype("<i2")
    n_bytes = 2 * samples.size
    header = _OWN_HEADER.pack(
        *(b"RIFF", 36 + n_bytes, b"WAVE", b"fmt ", 16, _PCM, 1, sample_rate_hz, 2 * sample_rate_hz, 2, 16),
        *(b"data", n_bytes),
    )
    path.write_bytes(header + samples.tobytes())
    return path


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Read a file that `write_wav` wrote.

    Returns:
        wave (n_samples,) float32 in [-1, 1), and its sample rate in Hz.

    Raises:
        IntegrityError: the file is not one of ours, or is incomplete.
    """
    return parse_wav(path.read_bytes(), str(path))


def parse_wav(raw: bytes, name: str) -> tuple[np.ndarray, int]:
    """As `read_wav`, from the file's bytes; the name is for its error."""
    fields = _OWN_HEADER.unpack_from(raw) if len(raw) >= _OWN_HEADER.size else ()
    n_bytes = len(raw) - _OWN_HEADER.size
    fixed = (b"RIFF", 36 + n_bytes, b"WAVE", b"fmt ", 16, _PCM, 1)
    if not fields or fields[:7] != fixed or fields[9:] != (2, 16, b"data", n_bytes) or n_bytes % 2:
        raise IntegrityError(f"{name}: not a complete 16-bit mono WAV of this pipeline; run the stage that writes it")
    return _to_float(raw[_OWN_HEADER.size :], "pcm_16"), fields[7]
