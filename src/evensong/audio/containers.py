"""Input files: opened safely, told apart by their first bytes, and as long as their own headers say."""

import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from evensong.audio.unread import HEAD_BYTES, by_first_bytes, named
from evensong.errors import InputFault

Container = Literal["wav", "flac", "ogg", "mp3", "m4a", "aiff"]

SUFFIXES: dict[str, Container] = {
    ".wav": "wav",
    ".wave": "wav",
    ".flac": "flac",
    ".ogg": "ogg",
    ".oga": "ogg",
    ".opus": "ogg",
    ".mp3": "mp3",
    ".m4a": "m4a",
    ".aif": "aiff",
    ".aiff": "aiff",
    ".aifc": "aiff",
}
AUDIO_SUFFIXES = frozenset(SUFFIXES)
_AIFF_CODECS = frozenset({b"NONE", b"sowt", b"twos", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64", b"raw "})
_MAX_CHUNKS = 4_096
_SEARCHED_BYTES = 1 << 20  # at a time, for a second OGG stream
_MP3_COUNT = re.compile(rb"(?:Xing|Info)\0\0\0([\x01-\x0f])(....)", re.DOTALL)
_MP3_DECODER_DELAY = 529  # samples that every MP3 decoder comes late; mpg123 leaves them out, as its like do
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open an input file and give its size in bytes.

    A link at the path's end is refused, and a FIFO, socket or device is not waited for. A path that looks like an
    address is a path, and does not exist.

    Raises:
        InputFault: Q_LINK, Q_NOT_REGULAR, Q_UNREADABLE or Q_EMPTY.
    """
    try:
        _check_kind(os.lstat(path).st_mode)
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise InputFault("Q_UNREADABLE", f"cannot be opened ({reason})") from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        _check_kind(status.st_mode)
        if status.st_size == 0:
            raise InputFault("Q_EMPTY", "0 bytes")
        try:
            yield file, status.st_size
        except OSError as error:
            raise InputFault("Q_UNREADABLE", f"cannot be read ({error.strerror})") from error


def _check_kind(mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise InputFault("Q_LINK", "a symbolic link; copy the file itself into the data folder")
    if not stat.S_ISREG(mode):
        raise InputFault("Q_NOT_REGULAR", "not a regular file")


def sniff(file: BinaryIO) -> Container:
    """Decide the container from the file's first bytes.

    Raises:
        InputFault: Q_EMPTY or Q_FORMAT.
    """
    file.seek(0)
    first = file.read(HEAD_BYTES)
    if not first:
        raise InputFault("Q_EMPTY", "0 bytes")
    if first[:4] in (b"RIFF", b"RF64") and first[8:12] in (b"WAVE", b""):
        return "wav"
    if first[:4] == b"FORM" and first[8:12] in (b"AIFF", b"AIFC", b""):
        return "aiff"
    if first[4:8] == b"ftyp":
        return "m4a"
    head = file.read(HEAD_BYTES) if _seek_past_id3(file) else first
    if head[:4] == b"OggS":
        return "ogg"
    if head[:4] == b"fLaC":
        return "flac"
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # frame sync, layer III
        return "mp3"
    raise by_first_bytes(first, head)


def _seek_past_id3(file: BinaryIO) -> int:
    """Go to the first byte behind any ID3v2 tags, and tell where that is."""
    position = 0
    while True:
        file.seek(position)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10 or max(head[6:10]) >= 0x80:
            return file.seek(position)
        position += 10 + (head[6] << 21) + (head[7] << 14) + (head[8] << 7) + head[9] + (10 if head[5] & 0x10 else 0)


def check_ogg(file: BinaryIO, size: int) -> str:
    """Walk every page: checksum, order, one stream, end mark.

    Returns:
        'vorbis' or 'opus'.

    Raises:
        InputFault: Q_CORRUPT, Q_TRUNCATED or Q_CODEC.
    """
    codec, serial, sequence, ended, position = "", None, None, False, 0
    file.seek(0)
    while position < size and not ended:
        page = _ogg_page(file, position)
        if page.serial != serial and serial is not None:
            raise InputFault("Q_CODEC", "OGG with more than one stream")
        if sequence is not None and page.sequence != sequence + 1:
            raise InputFault("Q_CORRUPT", f"OGG page {sequence + 1} is missing")
        codec = codec or _ogg_codec(page.body)
        serial, sequence, ended = page.serial, page.sequence, page.is_last
        position = file.tell()
    if not ended:
        raise InputFault("Q_TRUNCATED", f"the OGG stream ends at byte {position} without its end mark")
    tail = b""
    while part := file.read(_SEARCHED_BYTES):
        if b"OggS" in tail + part:
            raise InputFault("Q_CODEC", "OGG with more than one stream")
        tail = part[-3:]
    return codec


@dataclass(frozen=True)
class _OggPage:
    serial: int
    sequence: int
    is_last: bool
    body: bytes


def _ogg_page(file: BinaryIO, start: int) -> _OggPage:
    head = file.read(27)
    if not b"OggS".startswith(head[:4]) or (len(head) == 27 and head[4] != 0):
        raise InputFault("Q_CORRUPT", f"no OGG page at byte {start}")
    sizes = file.read(head[26]) if len(head) == 27 else b""
    body = file.read(sum(sizes))
    if len(head) < 27 or len(sizes) < head[26] or len(body) < sum(sizes):
        raise InputFault("Q_TRUNCATED", f"the OGG page at byte {start} is cut off")
    # OGG's CRC is zlib's with all bits mirrored: no table of our own, and it runs at zlib's speed.
    mirrored = (head[:22] + bytes(4) + head[26:] + sizes + body).translate(_REVERSED)
    crc = (zlib.crc32(mirrored, 0xFFFFFFFF) ^ 0xFFFFFFFF).to_bytes(4, "big").translate(_REVERSED)
    if crc != head[22:26]:
        raise InputFault("Q_CORRUPT", f"the OGG page at byte {start} fails its checksum")
    return _OggPage(int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little"), head[5] & 4 > 0, body)


def _ogg_codec(first_packet: bytes) -> str:
    if first_packet.startswith(b"\x01vorbis"):
        return "vorbis"
    if first_packet.startswith(b"OpusHead"):
        return "opus"
    raise named("OGG that is neither Vorbis nor Opus", "Q_CODEC")


def mp3_length(file: BinaryIO) -> int | None:
    """Samples that the first frame's Xing or Info header leaves a decoder; None where it counts no frames.

    Its frames, of 1,152 samples each (MPEG-1) or 576, less the delays of encoder and decoder and the padding that the
    encoder has noted (the LAME extension), as gapless decoders trim them.
    """
    _seek_past_id3(file)
    frame = file.read(4_096)
    found = _MP3_COUNT.search(frame)
    if not found or not found[1][0] & 1:
        return None
    flags = found[1][0]
    n_samples = int.from_bytes(found[2], "big") * (1_152 if frame[1] & 8 else 576)
    lame = frame[found.end() + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8) :][:24]
    trims = int.from_bytes(lame[21:], "big") if any(lame[:1]) else 0
    delay, padding = divmod(trims, 1 << 12)
    return n_samples - delay - _MP3_DECODER_DELAY - max(0, padding - _MP3_DECODER_DELAY)


def check_aiff(file: BinaryIO, size: int) -> int:
    """Walk the chunks of an AIFF or AIFC.

    Returns:
        Declared frames.

    Raises:
        InputFault: Q_TRUNCATED, Q_CORRUPT or Q_CODEC.
    """
    n_frames, has_samples = None, False
    for name, start, n_bytes in _chunks(file, size):
        if name == b"COMM":
            file.seek(start)
            common = file.read(22)
            if len(common) == 22 and n_bytes >= 22 and common[18:22] not in _AIFF_CODECS:
                raise named("AIFC with a compressed codec", "Q_CODEC")
            n_frames = int.from_bytes(common[2:6], "big")
        elif name == b"SSND":
            has_samples = True
        if start + n_bytes > size:
            raise InputFault("Q_TRUNCATED", f"a chunk declares {n_bytes} bytes, {size - start} are present")
    if n_frames is None:
        raise InputFault("Q_TRUNCATED", f"the file ends at byte {size} without its format")
    if n_frames and not has_samples:
        raise InputFault("Q_TRUNCATED", f"{n_frames} frames declared, none present")
    return n_frames


def _chunks(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the content and declared bytes of every big-endian IFF chunk."""
    position = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        n_bytes = int.from_bytes(head[4:], "big")
        yield head[:4], position + 8, n_bytes
        position += 8 + n_bytes + n_bytes % 2
    raise InputFault("Q_CORRUPT", f"more than {_MAX_CHUNKS} chunks")


def flac_md5(file: BinaryIO) -> tuple[bytes, int]:
    """The digest of the samples that a FLAC file declares (all zero: none), and its bits a sample."""
    file.seek(_seek_past_id3(file) + 8)
    info = file.read(34)
    if len(info) < 34:
        raise InputFault("Q_TRUNCATED", "the FLAC header is cut off")
    return info[18:34], ((info[12] & 1) << 4 | info[13] >> 4) + 1
