"""Which container a file is, by its first bytes, and whether the file is as long as its own headers say."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

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
# Sound by name, but nothing here reads it: such a file is refused aloud instead of passed over.
UNREAD_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".aac", ".ac3", ".amr", ".ape", ".au", ".avi", ".caf", ".dss", ".m4b", ".m4v", ".mka", ".mkv"}
    | {".mov", ".mp2", ".mp4", ".mpg", ".qta", ".voc", ".w64", ".webm", ".wma", ".wmv", ".wv"}
)
_AIFF_CODECS = frozenset({b"NONE", b"sowt", b"twos", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64", b"raw "})
_MAX_CHUNKS = 4_096
_MAX_PACKED_BYTES = 1 << 30  # a compressed file is checked in memory
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def sniff(file: BinaryIO) -> Container:
    """Decide the container from the file's first bytes.

    Raises:
        InputFault: Q_EMPTY or Q_FORMAT.
    """
    file.seek(0)
    head = file.read(12)
    if not head:
        raise InputFault("Q_EMPTY", "0 bytes")
    if head[:4] in (b"RIFF", b"RF64") and head[8:] in (b"WAVE", b""):
        return "wav"
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC", b""):
        return "aiff"
    if head[4:8] == b"ftyp":
        return "m4a"
    head = _after_id3(file, head)
    if head[:4] == b"OggS":
        return "ogg"
    if head[:4] == b"fLaC":
        return "flac"
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # frame sync, layer III
        return "mp3"
    raise InputFault("Q_FORMAT", "the content is no WAV, FLAC, OGG, MP3, M4A or AIFF")


def _after_id3(file: BinaryIO, head: bytes) -> bytes:
    """The first bytes behind any ID3v2 tags."""
    position = 0
    while head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        position += 10 + int.from_bytes(bytes(head[6:7]), "big") * 2**21
        position += head[7] * 2**14 + head[8] * 2**7 + head[9] + (10 if head[5] & 0x10 else 0)
        file.seek(position)
        head = file.read(12)
    return head


def read_packed(file: BinaryIO, size: int) -> bytes:
    """Read a whole compressed file for its checks.

    Raises:
        InputFault: Q_TOO_LONG, beyond what a clip can be.
    """
    if size > _MAX_PACKED_BYTES:
        raise InputFault("Q_TOO_LONG", f"{size} compressed bytes")
    file.seek(0)
    return file.read()


def check_ogg(raw: bytes) -> str:
    """Walk every page: checksum, order, one stream, end mark.

    Returns:
        'vorbis' or 'opus'.

    Raises:
        InputFault: Q_CORRUPT, Q_TRUNCATED or Q_CODEC.
    """
    codec, serial, sequence, ended, position = "", None, None, False, 0
    while position < len(raw) and not ended:
        page = _ogg_page(raw, position)
        if page.serial != serial and serial is not None:
            raise InputFault("Q_CODEC", "OGG with more than one stream")
        if sequence is not None and page.sequence != sequence + 1:
            raise InputFault("Q_CORRUPT", f"OGG page {sequence + 1} is missing")
        codec = codec or _ogg_codec(page.body)
        serial, sequence, ended = page.serial, page.sequence, page.is_last
        position = page.end
    if not ended:
        raise InputFault("Q_TRUNCATED", f"the OGG stream ends at byte {position} without its end mark")
    if raw.find(b"OggS", position) >= 0:
        raise InputFault("Q_CODEC", "OGG with more than one stream")
    return codec


@dataclass(frozen=True)
class _OggPage:
    serial: int
    sequence: int
    is_last: bool
    body: bytes
    end: int


def _ogg_page(raw: bytes, start: int) -> _OggPage:
    head = raw[start : start + 27]
    if not b"OggS".startswith(head[:4]) or (len(head) == 27 and head[4] != 0):
        raise InputFault("Q_CORRUPT", f"no OGG page at byte {start}")
    body = start + 27 + head[26] if len(head) == 27 else len(raw) + 1
    end = body + sum(raw[start + 27 : body])
    if end > len(raw):
        raise InputFault("Q_TRUNCATED", f"the OGG page at byte {start} is cut off")
    # OGG's CRC is zlib's with all bits mirrored: no table of our own, and it runs at zlib's speed.
    mirrored = (head[:22] + bytes(4) + raw[start + 26 : end]).translate(_REVERSED)
    crc = (zlib.crc32(mirrored, 0xFFFFFFFF) ^ 0xFFFFFFFF).to_bytes(4, "big").translate(_REVERSED)
    if crc != head[22:26]:
        raise InputFault("Q_CORRUPT", f"the OGG page at byte {start} fails its checksum")
    numbers = int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
    return _OggPage(*numbers, bool(head[5] & 4), raw[body:end], end)


def _ogg_codec(first_packet: bytes) -> str:
    if first_packet.startswith(b"\x01vorbis"):
        return "vorbis"
    if first_packet.startswith(b"OpusHead"):
        return "opus"
    raise InputFault("Q_CODEC", "OGG that is neither Vorbis nor Opus")


def mp3_declares_length(raw: bytes) -> bool:
    """Whether the first frame holds a Xing or Info header with a frame count."""
    for tag in (b"Xing", b"Info"):
        found = raw.find(tag, 0, 1 << 20)
        if found >= 0 and raw[found + 7 : found + 8] and raw[found + 7] & 1:
            return True
    return False


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
                raise InputFault("Q_CODEC", "AIFC with a compressed codec")
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


def check_m4a(file: BinaryIO, size: int) -> None:
    """Walk the top-level boxes: all complete, the index among them.

    Raises:
        InputFault: Q_TRUNCATED or Q_CORRUPT.
    """
    names, position = set(), 0
    for _ in range(1 << 20):
        if position >= size:
            break
        file.seek(position)
        head = file.read(16)
        n_bytes = int.from_bytes(head[:4], "big")
        if n_bytes == 1:
            n_bytes = int.from_bytes(head[8:16], "big")
        elif n_bytes == 0:
            n_bytes = size - position
        if len(head) < 8 or position + n_bytes > size:
            raise InputFault("Q_TRUNCATED", f"the M4A box at byte {position} runs beyond the file's {size} bytes")
        if n_bytes < 8:
            raise InputFault("Q_CORRUPT", f"the M4A box at byte {position} declares {n_bytes} bytes")
        names.add(head[4:8])
        position += n_bytes
    if b"moov" not in names:
        raise InputFault("Q_TRUNCATED", "M4A without its index (moov)")


def flac_md5(raw: bytes) -> tuple[bytes, int]:
    """The digest of the samples that a FLAC file declares (all zero: none), and its bits a sample."""
    start = raw.find(b"fLaC") + 8
    info = raw[start : start + 34]
    if len(info) < 34:
        raise InputFault("Q_TRUNCATED", "the FLAC header is cut off")
    return info[18:34], ((info[12] & 1) << 4 | info[13] >> 4) + 1
