"""Files of browsers, phones and recorders under names that are read: called by what they are, with the way out."""

import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.audio.containers import SUFFIXES
from evensong.audio.decode import decode
from evensong.audio.unread import CONVERTED_SUFFIXES, UNREAD_SUFFIXES, by_first_bytes
from evensong.errors import InputFault
from evensong.intake.listing import Kind, list_files

Write = Callable[[str, bytes], Path]
FORMS = {"libopus": ("flt", 48_000), "libopencore_amrnb": ("s16", 8_000), "aac": ("fltp", 44_100)}


def muxed(container: str, codec: str) -> bytes:
    """A second of noise, as FFmpeg writes it."""
    sample_format, rate_hz = FORMS.get(codec, ("s16", 44_100))
    noise = np.random.default_rng(0).normal(0, 0.1, (1, rate_hz)).astype(np.float32)
    noise = (noise * 32_768).astype(np.int16) if sample_format == "s16" else noise
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise, format=sample_format, layout="mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return buffer.getvalue()


def refused(path: Path) -> str:
    with pytest.raises(InputFault) as caught:
        decode(path, max_seconds=60)
    assert path.stem not in str(caught.value)
    assert str(caught.value).endswith("which is not read; make a WAV of it: ffmpeg -i IN OUT.wav")
    return str(caught.value)


@pytest.mark.fault("A32")
@pytest.mark.parametrize(
    ("container", "codec", "name", "expected"),
    [
        ("webm", "libopus", "grace.wav", "Q_FORMAT: the content is WebM, as browsers record it,"),
        ("matroska", "libopus", "grace.ogg", "Q_FORMAT: the content is Matroska,"),
        ("adts", "aac", "grace.m4a", "Q_FORMAT: the content is AAC without a container (ADTS),"),
        ("amr", "libopencore_amrnb", "grace.wav", "Q_FORMAT: the content is AMR, as phones record it,"),
        ("caf", "pcm_s16be", "grace.m4a", "Q_FORMAT: the content is CAF, as Apple's devices record it,"),
        ("w64", "pcm_s16le", "grace.wav", "Q_FORMAT: the content is Wave64,"),
        ("au", "pcm_s16be", "grace.aiff", "Q_FORMAT: the content is AU,"),
        ("avi", "pcm_s16le", "grace.wav", "Q_FORMAT: the content is AVI,"),
        ("mp2", "mp2", "grace.mp3", "Q_FORMAT: the content is MP2 (MPEG audio, layer II),"),
        ("3gp", "libopencore_amrnb", "grace.m4a", "Q_CODEC: the content is 3GP with the codec amr_nb,"),
        ("mp4", "libopus", "grace.m4a", "Q_CODEC: the content is MPEG-4 with the codec opus,"),
        ("ogg", "flac", "grace.ogg", "Q_CODEC: the content is OGG that is neither Vorbis nor Opus,"),
        ("wav", "pcm_mulaw", "grace.wav", "Q_CODEC: the content is WAV with mu-law,"),
        ("wav", "adpcm_ima_wav", "grace.wav", "Q_CODEC: the content is WAV with IMA ADPCM,"),
        ("aiff", "pcm_mulaw", "grace.aifc", "Q_CODEC: the content is AIFC with a compressed codec,"),
    ],
)
def test_content_is_named_with_the_command(container: str, codec: str, name: str, expected: str, write: Write) -> None:
    assert refused(write(name, muxed(container, codec))).startswith(expected)


@pytest.mark.fault("A12")
@pytest.mark.parametrize(("name", "warnings"), [("x.m4a", ()), ("x.wav", ("W_EXT",))])
def test_3gp_with_aac_is_read(name: str, warnings: tuple[str, ...], write: Write) -> None:
    decoded = decode(write(name, muxed("3gp", "aac")), max_seconds=60)
    assert (decoded.container, decoded.waves.shape, decoded.warnings) == ("m4a", (1, 44_100), warnings)


HEADS = {
    b"\x1aE\xdf\xa3\xa3B\x86": "Matroska",
    b"\xff\xf9P\x80": "ADTS",
    b"#!AMR-WB\n": "AMR",
    b"\0\0\0\x08wide\0\0": "QuickTime",
    b"\0\0\x10\0moov": "QuickTime",
    b"0&\xb2u\x8ef\xcf\x11\xa6\xd9": "WMA",
    b"\xff\xf5\xa4": "MP2",
    b"RIFX\0\0\0\0WAVEfmt ": "RIFX",
    b"FLV\x01\x04": "Flash",
    b"\0\0\x01\xbaD": "MPEG stream",
    b"\x0bw\x12\x34": "AC-3",
    b"wvpk\x10": "WavPack",
    b"MAC \x96\x0f": "APE",
    b"TTA1\x01": "TTA",
    b"\x02dss": "DSS",
    b"Creative Voice File\x1a": "VOC",
}


@pytest.mark.parametrize("head", HEADS, ids=HEADS.values())
@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\0\3abc"], ids=["bare", "tagged"])
def test_first_bytes_tell_the_format(head: bytes, tag: bytes, write: Write) -> None:
    assert HEADS[head] in refused(write("grace.wav", tag + head))


@given(head=st.binary(max_size=64))
def test_other_content_is_not_guessed(head: bytes) -> None:
    fault = by_first_bytes(b"<!DOCTYPE html>" + head, b"\xff\xfe" + head)  # a web page, a text in UTF-16
    assert str(fault) == "Q_FORMAT: the content is no WAV, FLAC, OGG, MP3, M4A or AIFF"


@pytest.mark.fault("A32")
def test_the_name_alone_gets_the_command_where_ffmpeg_reads_it(tmp_path: Path) -> None:
    for suffix in UNREAD_SUFFIXES:
        (tmp_path / f"x{suffix}").touch()
    found = list_files(tmp_path, Kind("audio", frozenset(SUFFIXES), UNREAD_SUFFIXES))
    told = {Path(entry.path).suffix for entry in found if entry.detail.endswith(", as by ffmpeg -i IN OUT.wav")}
    assert told == CONVERTED_SUFFIXES
    assert {entry.reason for entry in found} == {"Q_FORMAT"}
