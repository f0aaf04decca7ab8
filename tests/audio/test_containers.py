"""Walks of headers, by hand-made bytes at their edges."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.audio import containers
from evensong.audio.containers import check_aiff, check_ogg, flac_md5, mp3_length, open_regular, sniff
from evensong.errors import InputFault


def at_its_end(raw: bytes) -> io.BytesIO:
    """A file that somebody has read."""
    file = io.BytesIO(raw)
    file.seek(0, io.SEEK_END)
    return file


def refused(read: Callable[..., object], raw: bytes, *size: int) -> str:
    with pytest.raises(InputFault) as caught:
        read(at_its_end(raw), *size)
    return str(caught.value)


# --- files and first bytes ---------------------------------------------------------------------------------------


def test_an_open_file_has_its_size_and_a_fault_while_it_is_read_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    with open_regular(tmp_path / "x") as (file, size):
        assert (file.read(), size) == (b"12345", 5)
    told = r"Q_UNREADABLE: cannot be read \(Input/output error\)"
    with pytest.raises(InputFault, match=told), open_regular(tmp_path / "x"):
        raise OSError(5, "Input/output error")


def test_an_empty_file_is_refused_when_opened(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(InputFault, match="Q_EMPTY: 0 bytes"), open_regular(tmp_path / "x"):
        pytest.fail("it was opened")


def id3(n_bytes: int, flags: int = 0) -> bytes:
    """A tag: seven bits of its length a byte, which leaves out its ten bytes of header, and ten of a footer."""
    length = bytes(n_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\4\0" + bytes([flags]) + length + bytes(n_bytes) + bytes(10 if flags & 0x10 else 0)


@pytest.mark.parametrize(
    ("raw", "container"),
    [
        (b"RIFF....WAVEfmt ", "wav"),
        (b"RF64....WAVEfmt ", "wav"),
        (b"RIFF", "wav"),  # cut off, which its reader says
        (b"FORM....AIFFCOMM", "aiff"),
        (b"FORM....AIFCFVER", "aiff"),
        (b"FORM", "aiff"),
        (b"....ftypM4A ", "m4a"),
        (b"OggS\0", "ogg"),
        (b"fLaC\0", "flac"),
        (b"\xff\xfb", "mp3"),  # MPEG-1
        (b"\xff\xf3", "mp3"),  # MPEG-2
        (b"\xff\xe3", "mp3"),  # MPEG-2.5
        (b"\xff\xfa", "mp3"),  # with a checksum
        (id3(0) + b"fLaC", "flac"),
        (id3(127) + b"fLaC\0", "flac"),
        (id3(5, flags=0x8F) + b"fLaC\0", "flac"),
        (id3(300) + id3(70_000, flags=0x10) + b"\xff\xfb\x90", "mp3"),
        (id3(1 << 21) + b"OggS", "ogg"),
    ],
)
def test_the_first_bytes_tell_the_container(raw: bytes, container: str) -> None:
    assert sniff(at_its_end(raw)) == container


@pytest.mark.parametrize(
    "raw",
    [
        *(b"RIFF....AIFF", b"FORM....WAVE", b"....mp4a", b"\xff", b"\xfe\xfb", b"\xff\xdb", b"\xff\xfd", b"\xff\xff"),
        *(b"ID3\4\0\0\0\0\0", b"xfLaC"),
        *(b"ID3\4\0\0\0\0\0\x80" + bytes(128) + b"fLaC", b"ID3\4\0\0\0\0\x80\0" + bytes(1 << 14) + b"fLaC"),
        b"ID3\4\0\0\x80\0\0\5" + bytes(5) + b"fLaC",  # no length that a tag can have, whatever follows
    ],
)
def test_other_first_bytes_are_refused(raw: bytes) -> None:
    assert refused(sniff, raw).startswith("Q_FORMAT")


def test_a_file_of_no_bytes_has_no_container() -> None:
    assert refused(sniff, b"") == "Q_EMPTY: 0 bytes"


# --- OGG ---------------------------------------------------------------------------------------------------------


def page(body: bytes, sequence: int, *, flags: int = 0, serial: int = 9, version: int = 0, end: int = 0) -> bytes:
    """One page, with the checksum computed bit by bit from its definition."""
    sizes = bytes([255] * (len(body) // 255) + [len(body) % 255])
    head = (
        b"OggS"
        + bytes([version, flags])
        + end.to_bytes(8, "little", signed=True)
        + serial.to_bytes(4, "little")
        + sequence.to_bytes(4, "little")
    )
    crc = 0
    for byte in head + bytes(4) + bytes([len(sizes)]) + sizes + body:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return head + crc.to_bytes(4, "little") + bytes([len(sizes)]) + sizes + body


FIRST = page(b"\x01vorbis" + bytes(300), 0, flags=2)
LAST = page(b"end", 2, flags=4)
WHOLE = FIRST + page(b"", 1, flags=1, end=-1) + LAST  # a page within a packet, at whose end no sample ends


@pytest.mark.parametrize(
    ("raw", "codec"),
    [
        (WHOLE, "vorbis"),
        (page(b"OpusHead", 0, flags=6), "opus"),
        (page(b"OpusHead", 70_000, flags=2) + page(b"", 70_001, flags=4), "opus"),
        (WHOLE + bytes(50) + b"Ogg", "vorbis"),  # what follows the end mark is no page
        (page(b"OpusHead", 0, serial=1 << 24) + page(b"", 1, flags=5, serial=1 << 24), "opus"),
    ],
)
def test_whole_pages_pass(raw: bytes, codec: str) -> None:
    assert check_ogg(at_its_end(raw), len(raw)) == codec


@pytest.mark.fault("A04", "A07")
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (FIRST, f"Q_TRUNCATED: the OGG stream ends at byte {len(FIRST)} without its end mark"),
        (FIRST + LAST, "Q_CORRUPT: OGG page 1 is missing"),
        (FIRST + page(b"", 1, serial=8), "Q_CODEC: OGG with more than one stream"),
        (FIRST + page(b"", 1, serial=9 + (1 << 24)), "Q_CODEC: OGG with more than one stream"),
        (FIRST + page(b"", 1 + (1 << 24)), "Q_CORRUPT: OGG page 1 is missing"),
        (FIRST + b"OggX" + LAST[4:], f"Q_CORRUPT: no OGG page at byte {len(FIRST)}"),
        (FIRST + page(b"", 1, version=1), f"Q_CORRUPT: no OGG page at byte {len(FIRST)}"),
        (FIRST + b"Og", f"Q_TRUNCATED: the OGG page at byte {len(FIRST)} is cut off"),
        (FIRST + LAST[:26], f"Q_TRUNCATED: the OGG page at byte {len(FIRST)} is cut off"),
        (FIRST[:28], "Q_TRUNCATED: the OGG page at byte 0 is cut off"),
        (FIRST[:-1], "Q_TRUNCATED: the OGG page at byte 0 is cut off"),
        (FIRST[:-1] + b"\1", "Q_CORRUPT: the OGG page at byte 0 fails its checksum"),
        (page(b"xOpusHead", 0), "Q_CODEC: the content is OGG that is neither Vorbis nor Opus"),
    ],
)
def test_pages_that_do_not_hold_are_refused(raw: bytes, message: str) -> None:
    assert refused(check_ogg, raw, len(raw)).startswith(message)


@pytest.mark.parametrize("n_between", range(6))
def test_a_second_stream_is_found_wherever_it_lies_in_what_is_searched(n_between: int, monkeypatch) -> None:
    monkeypatch.setattr(containers, "_SEARCHED_BYTES", 5)
    raw = WHOLE + bytes(n_between) + b"OggS"
    assert refused(check_ogg, raw, len(raw)) == "Q_CODEC: OGG with more than one stream"
    assert check_ogg(at_its_end(raw[:-1]), len(raw) - 1) == "vorbis"


# --- MP3 ---------------------------------------------------------------------------------------------------------


def lame(trims: bytes, name: bytes = b"LAME3.100") -> bytes:
    return name + b"\xff" * 12 + trims


def frame(flags: int, extension: bytes, *, version: int = 0xFB, name: bytes = b"Xing", count: int = 0x10001) -> bytes:
    return bytes([0xFF, version]) + bytes(34) + name + flags.to_bytes(4, "big") + count.to_bytes(4, "big") + extension


@pytest.mark.parametrize(
    ("raw", "n_samples"),
    [
        (frame(1, b""), 0x10001 * 1_152 - 529),
        (frame(1, b"", name=b"Info"), 0x10001 * 1_152 - 529),
        (frame(1, b"", version=0xF3), 0x10001 * 576 - 529),  # MPEG-2
        (id3(700) + frame(1, b""), 0x10001 * 1_152 - 529),
        (frame(1, lame(b"\x24\x03\x45")), 0x10001 * 1_152 - 0x240 - 529 - (0x345 - 529)),
        (frame(1, lame(b"\x24\x00\x10")), 0x10001 * 1_152 - 0x240 - 529),  # padding that the delay swallows
        (frame(3, bytes(4) + lame(b"\x24\x03\x45")), 0x10001 * 1_152 - 0x240 - 0x345),
        (frame(5, bytes(100) + lame(b"\x24\x03\x45")), 0x10001 * 1_152 - 0x240 - 0x345),
        (frame(9, bytes(4) + lame(b"\x24\x03\x45")), 0x10001 * 1_152 - 0x240 - 0x345),
        (frame(15, bytes(108) + lame(b"\x24\x03\x45") + b"more"), 0x10001 * 1_152 - 0x240 - 0x345),
        (frame(1, lame(b"\x24\x03\x45", name=bytes(9))), 0x10001 * 1_152 - 529),  # no encoder that counts
        (frame(2, bytes(30)), None),  # counts bytes, not frames
        (frame(16, bytes(30)), None),
        (b"\xff\xfb" + bytes(4_095) + frame(1, b"")[2:], None),  # too far in to be of the first frame
        (b"", None),
    ],
)
def test_samples_that_an_mp3_counts(raw: bytes, n_samples: int | None) -> None:
    assert mp3_length(at_its_end(raw)) == n_samples


# --- AIFF --------------------------------------------------------------------------------------------------------


def chunk(name: bytes, content: bytes, declared: int | None = None) -> bytes:
    size = len(content) if declared is None else declared
    return name + size.to_bytes(4, "big") + content + bytes(len(content) % 2)


HEAD = b"FORM....AIFF"
COMM = chunk(b"COMM", b"\0\1" + (5).to_bytes(4, "big") + bytes(12))
SSND = chunk(b"SSND", b"1234567890")


def comm(codec: bytes) -> bytes:
    return chunk(b"COMM", b"\0\1\1\0\0\5" + bytes(12) + codec)


@pytest.mark.parametrize(
    ("raw", "n_frames"),
    [
        (HEAD + COMM + SSND, 5),
        (HEAD + SSND + COMM, 5),
        (HEAD + chunk(b"NAME", b"odd") + COMM + SSND, 5),
        (HEAD + COMM + SSND + b"COMM\0\0\0", 5),  # 7 bytes of a chunk
        (HEAD + comm(b"sowt") + SSND, (1 << 24) + 5),
        (HEAD + COMM + chunk(b"ima4", b"") + SSND, 5),  # the name of what follows is no codec
        (HEAD + chunk(b"COMM", bytes(18)), 0),
        (HEAD + COMM + SSND + chunk(b"junk", b"") * 4_093, 5),
    ],
)
def test_frames_that_an_aiff_declares(raw: bytes, n_frames: int) -> None:
    assert check_aiff(at_its_end(raw), len(raw)) == n_frames


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (HEAD + COMM, "Q_TRUNCATED: 5 frames declared, none present"),
        (HEAD + SSND, "Q_TRUNCATED: the file ends at byte 30 without its format"),
        (HEAD + COMM + SSND[:-1], "Q_TRUNCATED: a chunk declares 10 bytes, 9 are present"),
        (HEAD + COMM + chunk(b"SSND", b"12", 1 << 24), "Q_TRUNCATED: a chunk declares 16777216 bytes, 2 are present"),
        (HEAD + comm(b"ima4") + SSND, "Q_CODEC: the content is AIFC with a compressed codec"),
        (HEAD + COMM + SSND + chunk(b"junk", b"") * 4_094, "Q_CORRUPT: more than 4096 chunks"),
    ],
)
def test_chunks_that_do_not_hold_are_refused(raw: bytes, message: str) -> None:
    assert refused(check_aiff, raw, len(raw)).startswith(message)


# --- FLAC --------------------------------------------------------------------------------------------------------


@given(bits=st.integers(4, 32), digest=st.binary(min_size=16, max_size=16), tag=st.sampled_from([b"", id3(200)]))
def test_digest_and_bits_of_a_flac(bits: int, digest: bytes, tag: bytes) -> None:
    form = (44_100 << 44 | 1 << 41 | bits - 1 << 36 | (1 << 36) - 1).to_bytes(8, "big")  # two channels, a long length
    raw = tag + b"fLaC" + b"\x80\0\0\x22" + bytes(10) + form + digest
    assert flac_md5(at_its_end(raw + b"frames")) == (digest, bits)
    assert refused(flac_md5, raw[:-1]) == "Q_TRUNCATED: the FLAC header is cut off"
