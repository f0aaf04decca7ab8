"""A stream of blocks is the clip that `decode` reads, and refuses what `decode` refuses."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evensong.audio import stream
from evensong.audio.decode import decode, downmix, resample
from evensong.audio.stream import open_mono, open_stream
from evensong.errors import InputFault

Write = Callable[[str, bytes], Path]
KINDS = ["wav", "flac", "ogg", "opus", "mp3", "aiff", "m4a", "faststart", "alac", "m4a_pcm"]


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_BLOCK_FRAMES", 10_007)


def streamed(path: Path) -> np.ndarray:
    with open_stream(path) as opened:
        return np.concatenate(list(opened.blocks), axis=1)


def mono(path: Path, rate_hz: int) -> np.ndarray:
    with open_mono(path, rate_hz) as blocks:
        return np.concatenate(list(blocks))


def outcome(read: Callable[[Path], np.ndarray], path: Path) -> tuple[str, str]:
    """Reason of the refusal, or the digest of the samples."""
    try:
        return "", hashlib.sha256(read(path).tobytes()).hexdigest()
    except InputFault as fault:
        return fault.reason, ""


@pytest.fixture
def content(encoded: dict[str, bytes]) -> Callable[[str], bytes]:
    """The encoded clips behind a function: a failing example shows its arguments, and these would fill the screen."""
    return lambda kind: encoded[kind]


def decoded(path: Path) -> np.ndarray:
    return decode(path, max_seconds=600).waves


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_join_to_the_decoded_clip(kind: str, encoded: dict[str, bytes], write: Write) -> None:
    path = write("x.wav", encoded[kind])
    np.testing.assert_array_equal(streamed(path), decoded(path))


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_mono_is_the_mixed_and_resampled_clip(
    kind: str, rate_hz: int, chirp: np.ndarray, make_sndfile: Callable[..., bytes], write: Write
) -> None:
    stereo = np.stack([chirp, 0.5 * chirp[::-1]], axis=1)
    path = write("x", make_sndfile(stereo, 44_100, kind.upper(), None))
    wave, warnings = downmix(decoded(path))
    assert not warnings
    np.testing.assert_array_equal(mono(path, rate_hz), resample(wave, 44_100, rate_hz))


def test_channels_that_cancel_leave_the_first(
    chirp: np.ndarray, make_sndfile: Callable[..., bytes], write: Write
) -> None:
    path = write("x.wav", make_sndfile(np.stack([chirp, -chirp], axis=1), 44_100, "WAV", "PCM_16"))
    np.testing.assert_array_equal(mono(path, 44_100), chirp)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), cut=st.floats(0, 1), flipped=st.none() | st.floats(0, 1), mask=st.integers(1, 255))
def test_damage_has_the_same_outcome_as_in_decode(
    kind: str, cut: float, flipped: float | None, mask: int, content: Callable[[str], bytes], write: Write
) -> None:
    raw = bytearray(content(kind))
    if flipped is None:
        raw = raw[: round(cut * len(raw))]
    else:
        raw[min(len(raw) - 1, int(flipped * len(raw)))] ^= mask
    path = write("x", bytes(raw))
    assert outcome(streamed, path) == outcome(decoded, path)


@pytest.mark.parametrize("share", [0.3, 0.95])
@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_that_was_cut_off_is_refused_as_in_decode(
    kind: str, share: float, content: Callable[[str], bytes], write: Write
) -> None:
    path = write("x", content(kind)[: int(share * len(content(kind)))])
    assert outcome(streamed, path) == outcome(decoded, path)
    assert outcome(streamed, path)[0]


def test_flac_samples_are_held_against_the_files_own_digest(content: Callable[[str], bytes], write: Write) -> None:
    raw = bytearray(content("flac"))
    raw[30] ^= 1  # in the digest: the samples themselves are whole
    assert outcome(streamed, write("x.flac", bytes(raw)))[0] == "Q_CORRUPT"


def test_a_long_recording_is_no_fault(write: Write, make_wav: Callable[..., bytes]) -> None:
    path = write("x.wav", make_wav(bytes(2 * 700 * 8_000)))
    assert outcome(decoded, path)[0] == "Q_TOO_LONG"
    assert streamed(path).shape == (1, 700 * 8_000)


def test_blocks_are_short_whatever_the_length(write: Write, make_wav: Callable[..., bytes]) -> None:
    with open_stream(write("x.wav", make_wav(bytes(2 * 100_000)))) as opened:
        assert max(block.shape[1] for block in opened.blocks) == 10_007


def test_a_header_without_samples_is_refused(write: Write, make_wav: Callable[..., bytes]) -> None:
    assert outcome(streamed, write("x.wav", make_wav(b"")))[0] == "Q_EMPTY_AUDIO"
