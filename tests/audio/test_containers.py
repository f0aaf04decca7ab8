"""Walks of headers, by hand-made bytes at their edges."""

import io

import pytest

from evensong.audio.containers import check_aiff
from evensong.errors import InputFault


def chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "big") + content + bytes(len(content) % 2)


COMM = chunk(b"COMM", b"\0\1" + (5).to_bytes(4, "big") + bytes(12))


def test_an_aiff_s_odd_chunk_is_padded() -> None:
    raw = b"FORM....AIFF" + chunk(b"NAME", b"odd") + COMM + chunk(b"SSND", b"1234567890")
    assert check_aiff(io.BytesIO(raw), len(raw)) == 5


def test_an_aiff_that_declares_frames_and_holds_none_is_refused() -> None:
    raw = b"FORM....AIFF" + COMM
    with pytest.raises(InputFault, match="5 frames declared, none present"):
        check_aiff(io.BytesIO(raw), len(raw))
