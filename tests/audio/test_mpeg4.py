"""MPEG-4 boxes and edit lists: what is played is read to the sample, and what cannot be is refused."""

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.audio.boxes import box, elst, with_content, with_edits

from evensong.audio.decode import decode
from evensong.audio.mpeg4 import Played, check_m4a
from evensong.errors import InputFault

Write = Callable[[str, bytes], Path]
PRIMING = {"aac": 1_024, "alac": 0, "pcm_s16le": 0}  # samples before the recording
many = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def made(chirp: np.ndarray, make_m4a: Callable[..., bytes]) -> Callable[[str], bytes]:
    """A second of sound by codec, its film's clock the samples' own, behind a function: examples stay short."""
    contents = {codec: make_m4a(chirp, codec, movie_timescale="44100") for codec in PRIMING}
    return contents.__getitem__


def wave_of(path: Path) -> np.ndarray:
    return decode(path, max_seconds=60).waves[0]


def played(raw: bytes) -> Played:
    return check_m4a(io.BytesIO(raw), len(raw))


def refused(raw: bytes, write: Write) -> str:
    with pytest.raises(InputFault) as caught:
        decode(write("x.m4a", raw), max_seconds=60)
    return str(caught.value)


# --- boxes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        box(b"ftyp") + box(b"moov"),  # the last box is its eight bytes alone
        box(b"ftyp", b"M4A ") + box(b"moov", b"x", declared=0),  # 0: up to the file's end
        box(b"moov") + box(b"mdat", (20).to_bytes(8, "big") + b"long", declared=1),
        box(b"moov", bytes(4)),  # no box inside
    ],
)
def test_whole_boxes_pass(raw: bytes) -> None:
    assert played(raw) == Played()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (box(b"ftyp"), "Q_TRUNCATED: M4A without its index"),
        (box(b"moov") + b"\0\0\0\x08mda", "Q_TRUNCATED: the M4A box at byte 8 runs beyond the file's 15 bytes"),
        (box(b"moov") + box(b"mdat", b"x", declared=10), "Q_TRUNCATED: the M4A box at byte 8 runs beyond"),
        (box(b"moov") + box(b"mdat", declared=7), "Q_CORRUPT: the M4A box at byte 8 declares 7 bytes"),
        (box(b"moov") + box(b"mdat", (15).to_bytes(8, "big"), declared=1), "Q_CORRUPT: .* declares 15 bytes"),
    ],
)
def test_boxes_that_are_cut_off_or_none_are_refused(raw: bytes, message: str) -> None:
    with pytest.raises(InputFault, match=message):
        played(raw)


def clock(version: int, hz: int, ticks: int) -> bytes:
    times = struct.pack(">QQIQ" if version else ">IIII", 1, 2, hz, ticks)
    return bytes([version, 0, 0, 0]) + times + b"\x55\xc4\0\0"  # the language follows


def film(*, edits: bytes, version: int = 0, ticks: int = 9_000, handler: bytes = b"soun", more: bytes = b"") -> bytes:
    """Ticks of 8,000 a second in the track, of 1,000 in the film."""
    media = box(b"mdia", box(b"mdhd", clock(version, 8_000, ticks)), box(b"hdlr", bytes(8), handler))
    track = box(b"trak", box(b"edts", box(b"elst", edits)), media)
    return box(b"moov", box(b"mvhd", clock(version, 1_000, 77)), track, more)


LONG = struct.pack(">BxxxI", 1, 1) + struct.pack(">Qqi", 900, 400, 1 << 16)
OTHER = box(b"trak", box(b"edts", box(b"elst", elst((5, 0)))), box(b"mdia", box(b"hdlr", bytes(8), b"vide")))
WHOLE = Played(Fraction(400, 8_000), Fraction(900, 1_000), Fraction(9_000, 8_000))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (film(edits=elst((900, 400))), WHOLE),
        (film(edits=LONG, version=1), WHOLE),
        (film(edits=elst((900, 400)), more=OTHER), WHOLE),  # a film's pictures
        (film(edits=elst((900, 400)), more=box(b"free", declared=3)), WHOLE),  # no more boxes inside the index
        (film(edits=elst((70, -1), (900, 400))), WHOLE),
        (film(edits=elst((900, 400))) + film(edits=elst((1, 1))), WHOLE),  # FFmpeg reads the first index, too
        (film(edits=elst((0, 0)), ticks=1 << 25), Played(Fraction(0), None, Fraction(1 << 25, 8_000))),
        (film(edits=elst((0, 400))), Played(Fraction(400, 8_000), None, Fraction(9_000, 8_000))),
        (film(edits=elst((900, 400)), more=box(b"mvex")), Played(Fraction(400, 8_000), Fraction(900, 1_000))),
        (film(edits=elst((900, 400)), ticks=0), Played(Fraction(400, 8_000), Fraction(900, 1_000))),
        (film(edits=elst((900, 400)), ticks=2**32 - 1), Played(Fraction(400, 8_000), Fraction(900, 1_000))),
        (film(edits=elst()), Played()),
        (film(edits=elst((900, 400))[:-5]), Played()),  # an edit cut off
        (film(edits=struct.pack(">II", 0, 0) + elst((900, 400))[8:]), Played()),  # none declared
        (film(edits=struct.pack(">II", 0, 1 << 24) + elst((900, 400))[8:]), WHOLE),  # more declared than there
        (film(edits=elst((1, 1)), handler=b"vide"), Played()),
        (film(edits=elst((1, 1)), more=film(edits=elst((1, 1)))[8 + 32 :]), Played()),  # two tracks of sound
    ],
)
def test_edit_list_of_the_sound(raw: bytes, expected: Played) -> None:
    assert played(raw) == expected


@pytest.mark.parametrize("name", [b"mvhd", b"mdhd"])
def test_a_clock_without_ticks_is_refused(name: bytes) -> None:
    path = [b"moov", b"trak", b"mdia", b"mdhd"] if name == b"mdhd" else [b"moov", b"mvhd"]
    for content in (clock(0, 0, 9_000), b""):
        with pytest.raises(InputFault, match="Q_CORRUPT: an M4A clock of 0 ticks a second"):
            played(with_content(film(edits=elst((900, 400))), content, *path))


@pytest.mark.parametrize(
    ("stretch", "counted", "expected"),
    [
        (Played(), None, None),
        (Played(), Fraction(5, 2), 25),
        (Played(Fraction(1), Fraction(1)), Fraction(3), 10),
        (Played(Fraction(1), Fraction(3)), Fraction(3), 20),  # no more than is there
        (Played(Fraction(1), None, Fraction(2)), Fraction(9), 10),
        (Played(Fraction(1), Fraction(1)), None, 10),
        (Played(Fraction(4), Fraction(1)), Fraction(3), 0),
        (Played(Fraction(0), Fraction(5, 20), None), None, 3),  # halves go up
    ],
)
def test_frames_to_be_decoded_at_10_hz(stretch: Played, counted: Fraction | None, expected: int | None) -> None:
    assert stretch.n_frames(10, counted) == expected


# --- what is decoded ---------------------------------------------------------------------------------------------


@many
@given(n_samples=st.integers(100, 9_000), codec=st.sampled_from(["aac", "pcm_s16le"]))
def test_no_more_samples_are_read_than_were_encoded(
    n_samples: int, codec: str, chirp: np.ndarray, make_m4a: Callable[..., bytes], write: Write
) -> None:
    """The film's clock ticks every millisecond, and FFmpeg rounds the edit to it, up or down."""
    n_read = wave_of(write("x.m4a", make_m4a(chirp[:n_samples], codec))).size
    assert n_samples - 45 < n_read <= n_samples


@pytest.mark.fault("A31")
def test_a_delay_of_two_seconds_is_left_out(chirp: np.ndarray, make_m4a: Callable[..., bytes], write: Write) -> None:
    raw = make_m4a(np.tile(chirp, 2), "aac", movie_timescale="44100")
    expected = wave_of(write("x.m4a", with_edits(raw, (88_200, 1_024))))
    assert expected.size == 88_200
    np.testing.assert_array_equal(wave_of(write("x.m4a", with_edits(raw, (88_200, -1), (88_200, 1_024)))), expected)


@many
@given(codec=st.sampled_from(list(PRIMING)), delays=st.lists(st.integers(0, 2**31), min_size=1, max_size=3))
def test_delays_of_any_length_change_no_sample(
    codec: str, delays: list[int], made: Callable[[str], bytes], write: Write
) -> None:
    edits = [*((delay, -1) for delay in delays), (44_100, PRIMING[codec])]
    expected = wave_of(write("x.m4a", made(codec)))
    np.testing.assert_array_equal(wave_of(write("x.m4a", with_edits(made(codec), *edits))), expected)


@many
@given(data=st.data(), delay=st.booleans())
def test_a_stretch_is_read_to_the_sample(
    data: st.DataObject, delay: bool, chirp: np.ndarray, made: Callable[[str], bytes], write: Write
) -> None:
    start = data.draw(st.integers(0, chirp.size - 1))
    length = data.draw(st.integers(1, chirp.size))  # beyond the end: as much as is there
    path = write("x.m4a", with_edits(made("pcm_s16le"), *[(500, -1)] * delay, (length, start)))
    np.testing.assert_array_equal(wave_of(path), chirp[start : start + length])


def test_a_stretch_may_end_at_the_first_sample_of_a_long_frame(
    chirp: np.ndarray, made: Callable[[str], bytes], write: Write
) -> None:
    path = write("x.m4a", with_edits(made("alac"), (4_097, 4_096)))
    np.testing.assert_array_equal(wave_of(path), chirp[4_096:8_193])


def test_a_stretch_of_aac_has_no_start_of_its_own(made: Callable[[str], bytes], write: Write) -> None:
    """The decoder is run in before it; what differs is noise that it draws."""
    expected = wave_of(write("x.m4a", made("aac")))[20_000:25_000]
    path = write("x.m4a", with_edits(made("aac"), (300, -1), (5_000, 21_024)))
    np.testing.assert_allclose(wave_of(path), expected, atol=0.02)


def test_fragments_are_read_from_the_priming_to_the_end(
    chirp: np.ndarray, make_m4a: Callable[..., bytes], write: Write
) -> None:
    """As browsers record MPEG-4: an edit of length 0 stands before samples that are not counted yet."""
    raw = make_m4a(chirp, "aac", movflags="frag_keyframe+empty_moov+delay_moov", frag_duration="200000")
    assert raw.count(b"moof") > 2
    expected = wave_of(write("x.m4a", make_m4a(chirp, "aac")))
    np.testing.assert_array_equal(wave_of(write("x.m4a", raw)), expected)


@pytest.mark.fault("A31")
@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ([(9_000, 1_024), (9_000, 21_024)], "Q_CODEC: its edit list plays more than one stretch"),
        ([(9_000, 1_024), (9_000, -1)], "Q_CODEC: its edit list"),
        ([(900, -1), (9_000, 1_024), (900, -1), (9_000, 10_024)], "Q_CODEC: its edit list"),
        ([(9_000, -1)], "Q_EMPTY_AUDIO: its edit list plays nothing"),
        ([(9_000, -2)], "Q_CORRUPT: its edit list begins before the sound"),
        ([(9_000, 60_000)], "Q_EMPTY_AUDIO"),
    ],
)
def test_other_edit_lists_are_refused(
    edits: list[tuple[int, int]], reason: str, made: Callable[[str], bytes], write: Write
) -> None:
    assert refused(with_edits(made("aac"), *edits), write).startswith(reason)
