import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evensong.audio.decode import decode, read_wav, write_wav
from evensong.errors import DataError, IntegrityError

pcm = arrays(np.int16, st.integers(0, 300))


@given(samples=pcm, rate_hz=st.sampled_from([4_000, 22_050, 384_000]))
def test_write_wav_then_read_wav_keeps_every_sample(tmp_path_factory, samples: np.ndarray, rate_hz: int):
    path = tmp_path_factory.mktemp("wav") / "x.wav"
    wave = samples.astype(np.float32) / 32_768
    write_wav(path, wave, rate_hz)
    again, read_rate_hz = read_wav(path)
    np.testing.assert_array_equal(again, wave)
    assert (again.dtype, read_rate_hz) == (np.float32, rate_hz)


def test_write_wav_is_read_alike_by_libsndfile_and_by_decode(tmp_path: Path, chirp: np.ndarray):
    path = write_wav(tmp_path / "x.wav", chirp, 22_050)
    expected, rate_hz = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(read_wav(path)[0], expected)
    np.testing.assert_array_equal(decode(path, max_seconds=60).waves[0], expected)
    assert rate_hz == 22_050


def test_write_wav_equal_samples_are_equal_bytes(tmp_path: Path, chirp: np.ndarray):
    digests = {
        hashlib.sha256(write_wav(tmp_path / name, chirp, 22_050).read_bytes()).hexdigest() for name in ("a", "b.wav")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("bad", [1.0001, -1.0001, np.nan, np.inf])
def test_write_wav_refuses_what_it_would_have_to_clip(tmp_path: Path, bad: float):  # A28, A14
    path = tmp_path / "x.wav"
    with pytest.raises(DataError, match="within"):
        write_wav(path, np.array([0.5, bad], np.float32), 8_000)
    assert not path.exists()


def test_write_wav_takes_full_scale(tmp_path: Path):
    wave, _ = read_wav(write_wav(tmp_path / "x.wav", np.array([1, -1], np.float32), 8_000))
    np.testing.assert_array_equal(wave, np.float32([32_767 / 32_768, -1]))


def test_write_wav_refuses_two_channels(tmp_path: Path):
    with pytest.raises(DataError, match="one channel"):
        write_wav(tmp_path / "x.wav", np.zeros((2, 8), np.float32), 8_000)


@settings(max_examples=50)
@given(length=st.integers(0, 443))
def test_read_wav_refuses_any_cut(tmp_path_factory, length: int):
    path = tmp_path_factory.mktemp("wav") / "x.wav"
    write_wav(path, np.zeros(200, np.float32), 8_000)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(IntegrityError, match="not a complete"):
        read_wav(path)


def test_read_wav_refuses_other_wavs(tmp_path: Path):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros((100, 2)), 8_000, subtype="PCM_16")
    with pytest.raises(IntegrityError, match="not a complete"):
        read_wav(path)
