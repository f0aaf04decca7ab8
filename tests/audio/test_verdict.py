"""One verdict a file: the stream's blocks are the clip that `decode` reads, of whole files and of damaged ones."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.audio.boxes import with_edits

from evensong.audio import codecs
from evensong.audio.containers import open_regular
from evensong.audio.decode import decode, downmix, hear_mono, open_mono, open_stream, resample
from evensong.errors import InputFault

Write = Callable[[str, bytes], Path]
Read = Callable[[Path, int], np.ndarray]
KINDS = ["wav", "flac", "ogg", "opus", "mp3", "countless", "aiff", "m4a", "delayed", "faststart", "alac", "m4a_pcm"]
ID3V1 = b"TAG" + b"a night in May".ljust(125)
many = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "BLOCK_FRAMES", 10_007)


@pytest.fixture
def content(encoded: dict[str, bytes], make_mp3: Callable[..., bytes]) -> Callable[[str], bytes]:
    """The encoded clips behind a function: a failing example shows its arguments, and these would fill the screen."""
    more = {
        "countless": make_mp3(vbr=True, write_xing="0"),
        "delayed": with_edits(encoded["m4a"], (700, -1), (1_000, 1_024)),
    }
    return lambda kind: more.get(kind) or encoded[kind]


def streamed(path: Path) -> np.ndarray:
    with open_stream(path) as stream:
        return np.concatenate(list(stream.blocks), axis=1)


def decoded(path: Path) -> np.ndarray:
    return decode(path, max_seconds=1e6).waves


def joined(blocks: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(blocks))


def opened(path: Path, rate_hz: int) -> np.ndarray:
    with open_mono(path) as blocks:
        return resample(joined(blocks), 44_100, rate_hz)


def heard(path: Path, rate_hz: int) -> np.ndarray:
    return hear_mono(path, rate_hz, joined)


def outcome(read: Callable[[Path], np.ndarray], path: Path) -> tuple[str, str]:
    """The refusal in full, or the digest of the samples."""
    try:
        return "", hashlib.sha256(read(path).tobytes()).hexdigest()
    except InputFault as fault:
        return str(fault), ""


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "opus", "mp3", "aiff"])
def test_blocks_join_to_one_long_read(kind: str, encoded: dict[str, bytes], write: Write) -> None:
    path = write("x", encoded[kind])
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    np.testing.assert_array_equal(streamed(path), expected)
    np.testing.assert_array_equal(decoded(path), expected)


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """What happens to files: cut off, changed, cut out, put in, followed by a tag or by padding."""
    place, n_bytes = draw(st.floats(0, 1, exclude_max=True)), draw(st.sampled_from([1, 2, 4, 30, 1_000]))
    new = draw(st.binary(min_size=1, max_size=40))
    how = draw(st.sampled_from(["cut off", "change", "head", "cut out", "put in", "tag", "padding", "none"]))

    def apply(raw: bytes) -> bytes:
        start = int(place * (200 if how == "head" else len(raw)))
        changed = {
            "cut off": raw[:start],
            "change": raw[:start] + new + raw[start + len(new) :],
            "head": raw[:start] + new[:1] + raw[start + 1 :],
            "cut out": raw[:start] + raw[start + n_bytes :],
            "put in": raw[:start] + new + raw[start:],
            "tag": raw + ID3V1,
            "padding": raw + bytes(5 * n_bytes),
        }
        return changed.get(how, raw)

    return apply


@pytest.mark.slow
@many
@given(kind=st.sampled_from(KINDS), damages=st.lists(damage(), max_size=2))
def test_whole_clip_and_stream_have_one_verdict(
    kind: str, damages: list[Callable[[bytes], bytes]], content: Callable[[str], bytes], write: Write
) -> None:
    raw = content(kind)
    for apply in damages:
        raw = apply(raw)
    path = write("x", raw)
    verdict = outcome(decoded, path)
    if not verdict[0].startswith("Q_TOO_LONG"):  # of clips alone
        assert outcome(streamed, path) == verdict


@pytest.mark.fault("A08")
@pytest.mark.parametrize("tail", [ID3V1, bytes(1), bytes(128), bytes(100_000)], ids=["tag", "1", "128", "100000"])
def test_flac_with_a_tag_or_padding_behind_it_is_used_where_its_digest_is_right(
    tail: bytes, chirp: np.ndarray, encoded: dict[str, bytes], write: Write
) -> None:
    for read in (streamed, decoded):
        np.testing.assert_array_equal(read(write("x.flac", encoded["flac"] + tail))[0], chirp)
        wrong = bytearray(encoded["flac"] + tail)
        wrong[30] ^= 1  # in the digest: the samples themselves are whole
        with pytest.raises(InputFault, match=r"Q_CORRUPT: .* digest"):
            read(write("x.flac", bytes(wrong)))


@pytest.mark.fault("A14")
def test_bad_samples_are_counted_over_all_blocks(write: Write, make_wav: Callable[..., bytes]) -> None:
    wave = np.zeros(50_000, np.float32)
    wave[[20_020, 20_021, 49_999]] = np.nan, np.inf, 9
    wave[30_000] = np.nan
    path = write("x.wav", make_wav(wave.tobytes(), tag=3, bits=32))
    for read in (streamed, decoded):
        with pytest.raises(InputFault, match=r"Q_NONFINITE: 3 frames .* the first at frame 20020"):
            read(path)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("mono", [opened, heard])
def test_mono_is_the_mixed_and_resampled_clip(
    mono: Read, kind: str, rate_hz: int, chirp: np.ndarray, make_sndfile: Callable[..., bytes], write: Write
) -> None:
    stereo = np.stack([chirp, 0.5 * chirp[::-1]], axis=1)
    path = write("x", make_sndfile(stereo, 44_100, kind.upper(), None))
    wave, warnings = downmix(decoded(path))
    assert not warnings
    np.testing.assert_array_equal(mono(path, rate_hz), resample(wave, 44_100, rate_hz))


@pytest.mark.parametrize("mono", [opened, heard])
def test_channels_that_cancel_leave_the_first(
    mono: Read, chirp: np.ndarray, make_sndfile: Callable[..., bytes], write: Write
) -> None:
    path = write("x.wav", make_sndfile(np.stack([chirp, -chirp], axis=1), 44_100, "WAV", "PCM_16"))
    np.testing.assert_array_equal(mono(path, 44_100), chirp)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_channels_that_cancel_at_the_end_are_heard_again_from_the_beginning(
    kind: str, make_sndfile: Callable[..., bytes], write: Write
) -> None:
    left = np.repeat(np.float32([0.0625, 0.5]), 20_000)
    right = left * np.repeat(np.float32([1, -1]), 20_000)  # energies 1/256 and 65/256
    path = write("x", make_sndfile(np.stack([left, right], axis=1), 44_100, kind, "PCM_16"))
    begun = []

    def hear(blocks: Iterator[np.ndarray]) -> np.ndarray:
        begun.append(None)
        return joined(blocks)

    np.testing.assert_array_equal(hear_mono(path, 44_100, hear), left)
    np.testing.assert_array_equal(opened(path, 44_100), left)
    assert len(begun) == 2


def test_a_long_recording_is_no_fault_of_a_stream(write: Write, make_wav: Callable[..., bytes]) -> None:
    path = write("x.wav", make_wav(bytes(2 * 700 * 8_000)))
    with pytest.raises(InputFault, match="Q_TOO_LONG"):
        decode(path, max_seconds=600)
    with open_stream(path) as stream:
        lengths = [block.shape[1] for block in stream.blocks]
    assert (max(lengths), sum(lengths)) == (10_007, 700 * 8_000)


@pytest.mark.fault("B07")
def test_a_link_put_in_the_place_of_a_file_between_look_and_open_is_not_followed(tmp_path: Path, monkeypatch):
    (tmp_path / "elsewhere").write_bytes(b"secret")
    path = tmp_path / "x.wav"
    path.write_bytes(b"RIFF")
    look = os.lstat

    def look_and_swap(name):
        status = look(name)
        path.unlink()
        path.symlink_to(tmp_path / "elsewhere")
        return status

    monkeypatch.setattr("evensong.audio.containers.os.lstat", look_and_swap)
    with pytest.raises(InputFault) as caught, open_regular(path) as (file, _):
        pytest.fail(f"read {file.read()!r}")
    assert caught.value.reason == "Q_UNREADABLE"
