"""Encoded clips, made once a session: one second of a chirp in noise in every container."""

import io
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from evensong.schemas import AudioLimits

RATE_HZ = 44_100


@pytest.fixture(scope="session")
def chirp() -> np.ndarray:
    """(44100,) float32 at 44.1 kHz, peak under 0.6, whole multiples of 1/32768."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    noise = np.random.default_rng(7).normal(0, 0.02, RATE_HZ)
    wave = 0.4 * np.sin(2 * np.pi * (300 + 1_500 * time_s) * time_s) + noise
    return (np.rint(wave * 32_768) / 32_768).astype(np.float32)


@pytest.fixture(scope="session")
def encoded(chirp: np.ndarray) -> dict[str, bytes]:
    """File content by kind: wav, flac, ogg, opus, mp3, aiff, m4a (index last), faststart, alac, m4a_pcm."""
    samples = (chirp * 32_768).astype(np.int16)
    contents = {
        "wav": sndfile_bytes(samples, RATE_HZ, "WAV", "PCM_16"),
        "flac": sndfile_bytes(samples, RATE_HZ, "FLAC", "PCM_16"),
        "ogg": sndfile_bytes(chirp, RATE_HZ, "OGG", "VORBIS"),
        "opus": sndfile_bytes(chirp[::2][:24_000], 24_000, "OGG", "OPUS"),
        "mp3": sndfile_bytes(chirp, RATE_HZ, "MP3", None),
        "aiff": sndfile_bytes(samples, RATE_HZ, "AIFF", "PCM_16"),
    }
    return contents | {
        "m4a": m4a_bytes(chirp, "aac"),
        "faststart": m4a_bytes(chirp, "aac", movflags="faststart"),
        "alac": m4a_bytes(chirp, "alac"),
        "m4a_pcm": m4a_bytes(chirp, "pcm_s16le"),
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write a file with the given name and content, and return its path."""

    def write_file(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file


@pytest.fixture(scope="session")
def limits() -> AudioLimits:
    return AudioLimits(
        min_seconds=0.25, max_seconds=600.0, silence_dbfs=-80.0, max_clipped_share=0.5, max_quarantined=0.05
    )


@pytest.fixture(scope="session")
def make_sndfile() -> Callable[..., bytes]:
    return sndfile_bytes


@pytest.fixture(scope="session")
def make_mp3() -> Callable[..., bytes]:
    return mp3_bytes


@pytest.fixture(scope="session")
def make_m4a() -> Callable[..., bytes]:
    return m4a_bytes


@pytest.fixture(scope="session")
def make_wav() -> Callable[..., bytes]:
    return wav_bytes


def sndfile_bytes(waves: np.ndarray, rate_hz: int, container: str, subtype: str | None, **options: Any) -> bytes:
    """Encode (n_frames,) or (n_frames, n_channels) samples."""
    buffer = io.BytesIO()
    soundfile.write(buffer, waves, rate_hz, format=container, subtype=subtype, **options)
    return buffer.getvalue()


def mp3_bytes(*, rate_hz: int = RATE_HZ, n_channels: int = 1, vbr: bool = False, **options: str) -> bytes:
    """Two seconds of noise and silence by LAME through FFmpeg, which writes its own count of frames."""
    noise = np.random.default_rng(0).normal(0, 0.1, (n_channels, 2 * rate_hz)).astype(np.float32)
    noise[:, rate_hz:] *= 0.01  # other frame sizes, where these vary
    layout = "mono" if n_channels == 1 else "stereo"
    codec = {"global_quality": "400", "flags": "+qscale"} if vbr else {}
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=rate_hz, layout=layout, options=codec)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return buffer.getvalue()


def wav_bytes(data: bytes, *, tag: int = 1, bits: int = 16, channels: int = 1, rate_hz: int = 8_000) -> bytes:
    """A WAV written field by field, so that any field can be wrong."""
    frame = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame & 0xFFFFFFFF, frame, bits)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def m4a_bytes(wave: np.ndarray, codec: str, **options: str) -> bytes:
    """Encode a mono wave into an MPEG-4 file; by name, because faststart reopens it."""
    sample_format = {"aac": "fltp", "alac": "s16p", "pcm_s16le": "s16"}[codec]
    block = wave if codec == "aac" else (wave * 32_768).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.m4a")
        _write_m4a(path, block.reshape(1, -1), codec, sample_format, options)
        return path.read_bytes()


def _write_m4a(path: Path, block: np.ndarray, codec: str, sample_format: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w", format="mov" if codec == "pcm_s16le" else "ipod", options=options) as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(block, format=sample_format, layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
