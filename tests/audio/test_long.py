"""Long recordings: what is computed block by block equals what is computed at once, and memory stays bounded."""

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evensong.audio.decode import decode, downmix, inspect, pcm_digest
from evensong.schemas import AudioLimits

RATE_HZ = 44_100
LENGTHS = [1, 65_535, 65_536, 65_537, 3 * 65_536 + 17]  # around the blocks
LOSSLESS = [("wav", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
LOSSLESS += [("flac", subtype) for subtype in ("PCM_16", "PCM_24")]
MOST_A_SAMPLE = 600e6 / (600 * RATE_HZ * 2)  # bytes: ten minutes of stereo in 600 MB


def stereo(n_frames: int, seed: int = 0) -> np.ndarray:
    """(n_frames, 2) float64, whole multiples of 2**-23, peak under 1."""
    rng = np.random.default_rng(seed)
    return np.rint(rng.uniform(-0.9, 0.9, (n_frames, 2)) * 2**23) / 2**23


@pytest.mark.parametrize("n_frames", LENGTHS)
@pytest.mark.parametrize(("kind", "subtype"), LOSSLESS)
def test_decode_gives_every_sample_of_a_long_file(tmp_path: Path, n_frames: int, kind: str, subtype: str):
    path = tmp_path / f"x.{kind}"
    soundfile.write(path, stereo(n_frames), RATE_HZ, subtype=subtype)
    decoded = decode(path, max_seconds=60)
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    np.testing.assert_array_equal(decoded.waves, expected)
    assert decoded.waves.flags.c_contiguous


@pytest.mark.parametrize("n_frames", LENGTHS)
def test_downmix_of_a_long_recording_is_the_mean(n_frames: int):
    waves = stereo(n_frames).T.astype(np.float32)
    wave, warnings = downmix(waves)
    np.testing.assert_array_equal(wave, waves.mean(axis=0, dtype=np.float64).astype(np.float32))
    assert (wave.dtype, warnings) == (np.float32, ())


@given(waves=arrays(np.float32, st.tuples(st.integers(2, 4), st.integers(1, 20)), elements=st.floats(-8, 8, width=32)))
def test_downmix_is_rounded_once_to_the_last_bit(waves: np.ndarray):
    """Of numbers far apart, next to nothing, or -0.0."""
    wave, warnings = downmix(waves)
    if not warnings:
        assert wave.tobytes() == waves.mean(axis=0, dtype=np.float64).astype(np.float32).tobytes()


def test_downmix_weighs_the_whole_recording_when_channels_cancel():
    """Channels that agree in the last block alone do not make up for those that cancel in all the others."""
    left = stereo(3 * 65_536 + 100)[:, 0].astype(np.float32)
    right = -left
    right[-100:] = left[-100:]
    wave, warnings = downmix(np.stack([left, right]))
    np.testing.assert_array_equal(wave, left)
    assert warnings == ("W_PHASE",)
    right[65_536:] = left[65_536:]
    assert downmix(np.stack([left, right]))[1] == ()


@pytest.mark.parametrize("n_frames", LENGTHS)
def test_pcm_digest_of_a_long_recording_is_over_its_channels_in_turn(tmp_path: Path, n_frames: int):
    path = tmp_path / "x.wav"
    soundfile.write(path, stereo(n_frames), RATE_HZ, subtype="PCM_16")
    samples = soundfile.read(path, dtype="int16", always_2d=True)[0].T
    expected = hashlib.sha256(f"{RATE_HZ} 2\n".encode() + np.ascontiguousarray(samples).astype("<i2").tobytes())
    assert pcm_digest(decode(path, max_seconds=60)) == expected.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "DOUBLE"), ("flac", "PCM_16"), ("ogg", "VORBIS")],
)
def test_a_long_recording_is_inspected_in_bounded_memory(tmp_path: Path, limits: AudioLimits, kind: str, subtype: str):
    path, n_frames = tmp_path / f"x.{kind}", 20 * RATE_HZ
    soundfile.write(path, stereo(n_frames) * 0.3, RATE_HZ, subtype=subtype)
    inspect(path, limits)  # what stays in memory for good is there before the measurement
    tracemalloc.start()
    try:
        decoded, _, _ = inspect(path, limits)
        pcm_digest(decoded)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < MOST_A_SAMPLE * 2 * n_frames
