"""MP3: whole files of several writers are used to the last sample, and fewer frames than the file counts are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evensong.audio.containers import mp3_length
from evensong.audio.decode import decode
from evensong.errors import InputFault

Write = Callable[[str, bytes], Path]
RATES_HZ = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000]  # MPEG-2.5, MPEG-2 and MPEG-1
DELAY = 576 + 529  # samples by which LAME and a decoder come late, where no header says so


def tag_at(content: bytes) -> int:
    return max(content.find(b"Xing", 0, 4_096), content.find(b"Info", 0, 4_096))


def size_of(path: Path) -> int:
    return decode(path, max_seconds=60).waves.shape[1]


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("vbr", [False, True])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_whole_file_has_the_length_its_header_counts(rate_hz, vbr, n_channels, make_mp3, write: Write):
    path = write("x.mp3", make_mp3(rate_hz=rate_hz, n_channels=n_channels, vbr=vbr))
    with path.open("rb") as file:
        assert mp3_length(file) == size_of(path)
    assert 0 <= size_of(path) - 2 * rate_hz <= 64  # a Lavf header rounds the padding at some rates


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_whole_file_of_libsndfile_is_used_to_the_sample(rate_hz: int, mode: str, make_sndfile, write: Write):
    noise = np.random.default_rng(0).normal(0, 0.1, (2 * rate_hz + 17, 2))
    content = make_sndfile(noise, rate_hz, "MP3", None, bitrate_mode=mode, compression_level=0.5)
    assert size_of(write("x.mp3", content)) == len(noise)


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("vbr", [False, True])
@pytest.mark.parametrize("tail", [b"", b"TAG" + bytes(125)], ids=["bare", "tag"])
def test_file_without_a_count_is_read_to_its_last_frame(tail, vbr, n_channels, make_mp3, write: Write):
    counted = decode(write("a.mp3", make_mp3(n_channels=n_channels, vbr=vbr)), max_seconds=60).waves
    countless = make_mp3(n_channels=n_channels, vbr=vbr, write_xing="0")
    waves = decode(write("b.mp3", countless + tail), max_seconds=60).waves
    np.testing.assert_array_equal(waves[:, DELAY:][:, : counted.shape[1]], counted)


@pytest.mark.parametrize("start", [0, 21])
def test_count_without_the_encoders_delays_is_understood(start: int, make_mp3, write: Write):
    content = bytearray(make_mp3())
    lame = tag_at(content) + 120
    content[lame + start : lame + 24] = bytes(24 - start)
    assert size_of(write("x.mp3", bytes(content))) > 88_200


@pytest.mark.fault("A06")
@pytest.mark.parametrize("vbr", [False, True])
def test_fewer_samples_than_an_intact_count_are_refused(vbr: bool, make_mp3, write: Write):
    """Damage before the count hides it from the decoder, which then guesses a length from the bit rate."""
    content = bytearray(make_mp3(vbr=vbr))
    content[tag_at(content) - 10] = 1
    with pytest.raises(InputFault, match=r"Q_TRUNCATED: 88200 frames declared, \d+ decoded"):
        decode(write("x.mp3", bytes(content)), max_seconds=60)


@pytest.mark.fault("A05")
def test_last_frame_lost_is_refused(make_mp3, write: Write):
    with pytest.raises(InputFault, match="Q_TRUNCATED: 88200 frames declared"):
        decode(write("x.mp3", make_mp3()[:-10]), max_seconds=60)
