"""Damaged recordings of every container in one folder: each is in the tables once, whatever was done to it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.audio.conftest import RATE_HZ, m4a_bytes, sndfile_bytes
from tests.night.scans import scan

from evensong.night.classes import list_clips

REASONS = {
    *("Q_EMPTY", "Q_FORMAT", "Q_CODEC", "Q_TRUNCATED", "Q_CORRUPT", "Q_TOO_LONG", "Q_TOO_SHORT", "Q_SAMPLE_RATE"),
    *("Q_CHANNELS", "Q_EMPTY_AUDIO", "Q_NONFINITE", "Q_RANGE", "Q_SILENT", "Q_CLIPPED"),
    *("Q_DECODER_CRASH", "Q_DECODER_TIMEOUT"),
}
N_EACH = 8


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """A small file of every container, by file name."""
    time_s = np.arange(RATE_HZ // 2) / RATE_HZ
    wave = (0.4 * np.sin(2 * np.pi * (300 + 1_500 * time_s) * time_s)).astype(np.float32)
    return {
        "pcm.wav": sndfile_bytes(wave, RATE_HZ, "WAV", "PCM_16"),
        "float.wav": sndfile_bytes(wave, RATE_HZ, "WAV", "FLOAT"),
        "x.flac": sndfile_bytes(wave, RATE_HZ, "FLAC", "PCM_16"),
        "x.ogg": sndfile_bytes(wave, RATE_HZ, "OGG", "VORBIS"),
        "opus.ogg": sndfile_bytes(wave[:24_000], 24_000, "OGG", "OPUS"),
        "x.mp3": sndfile_bytes(wave, RATE_HZ, "MP3", None),
        "x.aiff": sndfile_bytes(wave, RATE_HZ, "AIFF", "PCM_16"),
        "aac.m4a": m4a_bytes(wave, "aac"),
        "fast.m4a": m4a_bytes(wave, "aac", movflags="faststart"),
        "alac.m4a": m4a_bytes(wave, "alac"),
    }


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, insert or repeat bytes, one to four times, in the header as often as elsewhere."""
    for _ in range(rng.integers(1, 5)):
        start = int(rng.integers(0, max(1, min(len(content), 100) if rng.random() < 0.5 else len(content))))
        end = start + int(rng.choice([1, 4, 100]))
        middle = [rng.bytes(end - start), b"", rng.bytes(9) + content[start:end], 2 * content[start:end]]
        how = int(rng.integers(0, 5))
        content = content[:start] + (middle[how] + content[end:] if how < 4 else b"")
    return content


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5, suppress_health_check=list(HealthCheck))
def test_scan_of_damaged_files_loses_none(night, whole, seed):
    rng = np.random.default_rng(seed)
    contents = {f"f{n} {name}": mutated(whole[name], rng) for name in whole for n in range(N_EACH)}
    for name, content in contents.items():
        (night / "asio flammeus" / name).write_bytes(content)
    entries = list_clips(night, recursive=False)[1]
    found = scan(night, workers=2, max_quarantined=1.0)

    in_tables = [*found.clips["path"], *found.quarantine["path"]]
    assert sorted(in_tables) == sorted(entry.path for entry in entries)
    assert set(found.quarantine["reason"]) <= REASONS
    counts = found.counts
    assert counts["listed"] == 15 + len(contents)
    assert counts["listed"] == sum(counts[kind] for kind in ("used", "duplicates", "quarantined", "ignored"))
    assert counts["used"] >= 15
