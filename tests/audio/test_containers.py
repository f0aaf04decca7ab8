"""Walks of headers, by hand-made bytes at their edges."""

import io

import pytest

from evensong.audio.containers import check_aiff, check_m4a
from evensong.errors import InputFault


def box(name: bytes, content: bytes = b"", *, declared: int | None = None) -> bytes:
    return (8 + len(content) if declared is None else declared).to_bytes(4, "big") + name + content


def chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "big") + content + bytes(len(content) % 2)


@pytest.mark.parametrize(
    "raw",
    [
        box(b"ftyp") + box(b"moov"),  # the last box is its eight bytes alone
        box(b"ftyp", b"M4A ") + box(b"moov", b"x", declared=0),  # 0: up to the file's end
        box(b"moov") + box(b"mdat", (20).to_bytes(8, "big") + b"long", declared=1),
    ],
)
def test_whole_m4a_boxes_pass(raw: bytes) -> None:
    check_m4a(io.BytesIO(raw), len(raw))


COMM = chunk(b"COMM", b"\0\1" + (5).to_bytes(4, "big") + bytes(12))


def test_an_aiff_s_odd_chunk_is_padded() -> None:
    raw = b"FORM....AIFF" + chunk(b"NAME", b"odd") + COMM + chunk(b"SSND", b"1234567890")
    assert check_aiff(io.BytesIO(raw), len(raw)) == 5


def test_an_aiff_that_declares_frames_and_holds_none_is_refused() -> None:
    raw = b"FORM....AIFF" + COMM
    with pytest.raises(InputFault, match="5 frames declared, none present"):
        check_aiff(io.BytesIO(raw), len(raw))
