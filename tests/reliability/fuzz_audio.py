"""Damaged recordings, read as the scan reads them and as predict does: one verdict, the same samples."""

import functools
import random
from pathlib import Path

import numpy as np
from tests.audio.conftest import m4a_bytes, mp3_bytes, sndfile_bytes
from tests.reliability.mutations import Disagreement, mutated, with_page_checksums

from evensong.audio.decode import hear_mono, inspect, resample
from evensong.errors import InputFault
from evensong.schemas import AudioLimits

LIMITS = AudioLimits(min_seconds=0.05, max_seconds=600, silence_dbfs=-80, max_clipped_share=0.5, max_quarantined=0.05)
# Verdicts on a clip that a long recording need not share: its length, and what a window of it may well hold.
_OF_CONTENT = {"Q_TOO_SHORT", "Q_SILENT", "Q_CLIPPED"}
_RATE_HZ = 22_050


@functools.cache
def recordings() -> list[tuple[str, bytes]]:
    """Suffix and content of a whole recording of 0.15 s in every container, coding and depth."""
    rng = np.random.default_rng(7)
    wave = (0.4 * np.sin(np.arange(3_300) * 0.2) + rng.normal(0, 0.02, 3_300)).astype(np.float32)
    stereo = np.stack([wave, 0.5 * wave[::-1]], axis=1)
    depths = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")
    kinds = [("wav", sndfile_bytes(wave, _RATE_HZ, "WAV", depth)) for depth in depths]
    kinds += [("wav", sndfile_bytes(stereo, 44_100, form, "PCM_16")) for form in ("WAV", "WAVEX", "RF64")]
    kinds += [("flac", sndfile_bytes(stereo, _RATE_HZ, "FLAC", depth)) for depth in ("PCM_16", "PCM_24")]
    kinds += [("flac", sndfile_bytes(wave, 8_000, "FLAC", "PCM_16"))]
    kinds += [
        ("ogg", sndfile_bytes(stereo, _RATE_HZ, "OGG", "VORBIS")),
        ("ogg", sndfile_bytes(wave, 24_000, "OGG", "OPUS")),
    ]
    kinds += [("mp3", sndfile_bytes(wave, rate, "MP3", None)) for rate in (16_000, 44_100)]
    kinds += [("mp3", mp3_bytes(rate_hz=8_000, vbr=True, write_xing=xing)) for xing in "01"]
    kinds += [("m4a", m4a_bytes(wave, codec)) for codec in ("aac", "alac", "pcm_s16le")]
    kinds += [("m4a", m4a_bytes(wave, "aac", movflags="faststart"))]
    kinds += [("aiff", sndfile_bytes(wave, _RATE_HZ, "AIFF", depth)) for depth in ("PCM_16", "PCM_24", "FLOAT")]
    return [*kinds, ("aiff", sndfile_bytes(wave, _RATE_HZ, "AIFF", "PCM_16", endian="LITTLE"))]


def damaged_recording(suffix: str, chance: random.Random) -> bytes:
    raw = mutated(chance.choice([raw for kind, raw in recordings() if kind == suffix]), chance)
    return with_page_checksums(raw) if suffix == "ogg" and chance.random() < 0.7 else raw


def _heard(path: Path, *, as_far_as_it_goes: bool = False) -> tuple[np.ndarray, str]:
    """The samples of a recording, and "used"; or none, and why."""
    try:
        read = hear_mono(
            path, _RATE_HZ, lambda blocks: np.concatenate(list(blocks)), as_far_as_it_goes=as_far_as_it_goes
        )
    except InputFault as fault:
        return np.zeros(0, np.float32), str(fault)
    return read, "used"


def check_recording(suffix: str, folder: Path, raw: bytes) -> str:
    """The scan's look, predict's reading and a cut-short recording's agree, to the sample where they use the file."""
    path = folder / f"x.{suffix}"
    path.write_bytes(raw)
    wave, scanned = None, "used"
    try:
        decoded, wave, _ = inspect(path, LIMITS)
    except InputFault as fault:
        scanned = fault.reason if fault.reason in {*_OF_CONTENT, "Q_TOO_LONG"} else str(fault)
    if scanned == "Q_TOO_LONG":  # of clips alone, and it would take its time
        return scanned
    read, predicted = _heard(path)
    if predicted != ("used" if scanned in _OF_CONTENT else scanned):
        raise Disagreement(f"the scan says {scanned!r}, predict {predicted!r}")
    read_as_far, _ = _heard(path, as_far_as_it_goes=True)
    if not np.isfinite(read_as_far).all() or (predicted == "used" and not np.array_equal(read, read_as_far)):
        raise Disagreement("as far as it goes, other samples are read")
    if wave is not None and not (wave.size and np.abs(wave).max() <= 8):
        raise Disagreement("a wave without samples, with NaN, or far out of range is used")
    if wave is not None and not np.array_equal(read, resample(wave, decoded.sample_rate_hz, _RATE_HZ)):
        raise Disagreement("the scan and predict read other samples")
    return scanned.split(":")[0]
