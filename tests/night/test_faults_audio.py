"""A folder of every broken recording at once: each is one row with its reason, and the sound ones are used."""

import faulthandler
import hashlib
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from tests.audio.conftest import RATE_HZ, m4a_bytes, sndfile_bytes, wav_bytes
from tests.night.scans import outcome_of, scan, used

from evensong.intake import twins

BROKEN_TEXT = b"recorded on a clear night\n" * 9


def chirp(level: float = 0.4) -> np.ndarray:
    """(44100,) float32, one second; every level is another sound."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    return (level * np.sin(2 * np.pi * (300 + 1_500 * time_s) * time_s)).astype(np.float32)


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def damaged(content: bytes, n_bytes: int = 800) -> bytes:
    middle = len(content) // 2
    return content[:middle] + np.random.default_rng(0).bytes(n_bytes) + content[middle + n_bytes :]


def float_wav(wave: np.ndarray) -> bytes:
    return wav_bytes(wave.astype("<f4").tobytes(), tag=3, bits=32, rate_hz=RATE_HZ)


def endless_flac(content: bytes) -> bytes:
    """The header claims 2**36 - 1 frames."""
    return content[:21] + bytes([content[21] | 0x0F]) + b"\xff" * 4 + content[26:]


def broken() -> dict[str, tuple[bytes, str]]:
    """Content and reason by file name."""
    wav = sndfile_bytes(chirp(), RATE_HZ, "WAV", "PCM_16")
    ogg = sndfile_bytes(chirp(), RATE_HZ, "OGG", "VORBIS")
    mp3 = sndfile_bytes(chirp(), RATE_HZ, "MP3", None)
    flac = sndfile_bytes(chirp(), RATE_HZ, "FLAC", "PCM_16")
    spoiled = chirp()
    spoiled[7] = np.nan
    return {
        "a01.wav": (b"", "Q_EMPTY"),
        "a01.ogg": (b"", "Q_EMPTY"),
        "a01.m4a": (b"", "Q_EMPTY"),
        "a01.mp3": (b"", "Q_EMPTY"),
        "a02.wav": (half(wav), "Q_TRUNCATED"),
        "a03.wav": (wav[:44], "Q_TRUNCATED"),
        "a04.ogg": (half(ogg), "Q_TRUNCATED"),
        "a05.mp3": (half(mp3), "Q_TRUNCATED"),
        "a06.mp3": (damaged(mp3), "Q_TRUNCATED"),
        "a07.ogg": (damaged(ogg, 1), "Q_CORRUPT"),
        "a08 cut.flac": (half(flac), "Q_CORRUPT"),
        "a08.flac": (damaged(flac, 1), "Q_CORRUPT"),
        "a09.m4a": (half(m4a_bytes(chirp(), "aac")), "Q_TRUNCATED"),
        "a10.m4a": (half(m4a_bytes(chirp(), "aac", movflags="faststart")), "Q_TRUNCATED"),
        "a13.flac": (BROKEN_TEXT, "Q_FORMAT"),
        "a14.wav": (float_wav(spoiled), "Q_NONFINITE"),
        "a15.wav": (float_wav(1e30 * chirp()), "Q_RANGE"),
        "a16.wav": (wav_bytes(bytes(2 * RATE_HZ), rate_hz=RATE_HZ), "Q_SILENT"),
        "a18.wav": (sndfile_bytes(np.sign(chirp()), RATE_HZ, "WAV", "PCM_16"), "Q_CLIPPED"),
        "a19.wav": (wav_bytes(b"\x00\x10"), "Q_TOO_SHORT"),
        "a20.wav": (wav_bytes(b""), "Q_EMPTY_AUDIO"),
        "a22.flac": (endless_flac(flac), "Q_TOO_LONG"),
        "a23.flac": (sndfile_bytes(np.zeros(61 * RATE_HZ, np.int16), RATE_HZ, "FLAC", "PCM_16"), "Q_TOO_LONG"),
        "a25 none.wav": (wav_bytes(bytes(100), rate_hz=0), "Q_SAMPLE_RATE"),
        "a25 too many.wav": (wav_bytes(bytes(100), rate_hz=2**31 - 1), "Q_SAMPLE_RATE"),
        "a26.wav": (wav_bytes(bytes(180), channels=9), "Q_CHANNELS"),
        "a27.wav": (sndfile_bytes(chirp(), RATE_HZ, "WAV", "IMA_ADPCM"), "Q_CODEC"),
        "h04.m4a": (b"ffconcat version 1.0\nfile 'a11.m4a'\n", "Q_FORMAT"),
    }


def sound() -> dict[str, tuple[bytes, str]]:
    """Content and expected warnings by file name."""
    two_channels = np.stack([chirp(0.31), -chirp(0.31)], axis=1)
    return {
        "a11.m4a": (m4a_bytes(chirp(0.11), "aac"), ""),
        "a12.wav": (sndfile_bytes(chirp(0.12), RATE_HZ, "MP3", None), "W_EXT"),
        "a17.wav": (sndfile_bytes(two_channels, RATE_HZ, "WAV", "PCM_16"), "W_PHASE"),
        "a18 some.wav": (sndfile_bytes(np.clip(chirp(1.2), -1, 1), RATE_HZ, "WAV", "PCM_16"), "W_CLIP"),
        "a24 8.wav": (sndfile_bytes(chirp(0.21), RATE_HZ, "WAV", "PCM_U8"), ""),
        "a24 24.wav": (sndfile_bytes(np.tile(chirp(0.22), 2), 192_000, "WAV", "PCM_24"), ""),
        "a24 32.aiff": (sndfile_bytes(chirp(0.23), RATE_HZ, "AIFF", "FLOAT"), ""),
        "a24 64.wav": (sndfile_bytes(chirp(0.24), RATE_HZ, "WAV", "DOUBLE"), ""),
        "a26 eight.wav": (sndfile_bytes(np.tile(chirp(0.26)[:, None], 8), RATE_HZ, "WAV", "PCM_16"), ""),
    }


@pytest.mark.fault("A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A09", "A10", "A11", "A12", "A13", "A14")
@pytest.mark.fault("A15", "A16", "A17", "A18", "A19", "A20", "A22", "A23", "A24", "A25", "A26", "A27", "H04")
def test_scan_every_broken_recording_is_one_row_with_its_reason(night):
    bad, good = broken(), sound()
    folder = night / "asio flammeus"
    for name, (content, _) in (bad | good).items():
        (folder / name).write_bytes(content)
    (folder / "a13 README.txt").write_bytes(BROKEN_TEXT)
    found = scan(night, max_quarantined=0.9)

    refused = found.quarantine[found.quarantine["outcome"] == "quarantined"].set_index("path")
    assert refused["reason"].to_dict() == {f"asio flammeus/{name}": reason for name, (_, reason) in bad.items()}
    assert refused["size"].to_dict() == {f"asio flammeus/{name}": len(content) for name, (content, _) in bad.items()}
    for name, (content, _) in bad.items():
        assert refused.loc[f"asio flammeus/{name}", "sha256"] == hashlib.sha256(content).hexdigest()
    assert outcome_of(found, "asio flammeus/a13 README.txt") == ("ignored", "not audio")
    warnings = found.clips.set_index("path")["warnings"]
    assert {name: warnings[f"asio flammeus/{name}"] for name in good} == {n: codes for n, (_, codes) in good.items()}
    assert np.isfinite(found.clips[["rms_dbfs", "peak_dbfs", "bandwidth_hz"]].to_numpy(float)).all()
    counts = found.counts
    assert (counts["used"], counts["quarantined"], counts["ignored"]) == (15 + len(good), len(bad), 1)
    assert counts["listed"] == 15 + len(good) + len(bad) + 1
    assert counts["warnings"] == {"W_CLIP": 1, "W_EXT": 1, "W_PHASE": 1}


def misbehave(path: Path, limits: object) -> object:
    """`inspect` of a decoder that crashes, hangs or works, as the name says."""
    faulthandler.disable()  # pytest's: it would print where the test stands
    if "crash" in path.name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in path.name:
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # the deadline, brought forward
        time.sleep(20)
    return inspect(path, limits)


inspect = twins.inspect


@pytest.mark.fault("A30")
@pytest.mark.parametrize("workers", [1, 2])
def test_scan_decoder_that_crashes_or_hangs_costs_its_file_alone(night, clip, monkeypatch, workers):
    monkeypatch.setattr(twins, "inspect", misbehave)
    for n, name in enumerate(("crash.wav", "hang.wav")):
        clip(night / "asio flammeus" / name, 500 + n)
    found = scan(night, workers=workers)
    rows = found.quarantine.set_index("path")
    assert rows["reason"].to_dict() == {
        "asio flammeus/crash.wav": "Q_DECODER_CRASH",
        "asio flammeus/hang.wav": "Q_DECODER_TIMEOUT",
    }
    assert rows["detail"].tolist() == [
        "the decoder ended its process (SIGSEGV)",
        "the decoder was not done after 66 s",  # a minute and a tenth of max_seconds
    ]
    hung = rows.loc["asio flammeus/hang.wav", ["size", "sha256"]].tolist()
    assert hung == [(night / "asio flammeus/hang.wav").stat().st_size, ""]  # it is not opened once more
    assert len(used(found)) == 15
