"""Audio files in, checked float32 samples out; the only caller of soundfile and PyAV."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr

from evensong.audio import containers, wav
from evensong.audio.quality import ClipStats, check_content, measure
from evensong.audio.regular import open_regular
from evensong.audio.wav import read_wav, write_wav
from evensong.errors import InputFault
from evensong.schemas import AudioLimits

__all__ = [
    "AUDIO_SUFFIXES",
    "UNREAD_SUFFIXES",
    "ClipStats",
    "Decoded",
    "deadline_s",
    "decode",
    "downmix",
    "inspect",
    "pcm_digest",
    "read_wav",
    "resample",
    "write_wav",
]

AUDIO_SUFFIXES = frozenset(containers.SUFFIXES)
UNREAD_SUFFIXES = containers.UNREAD_SUFFIXES

_RATES_HZ = (1_000, 384_000)
_MAX_CHANNELS = 8
_MAX_DECODED_BYTES = 2 << 30
_MAX_ABS = 8.0  # float files beyond this are not audio at full scale +/-1
_MIN_MONO_ENERGY = 0.05  # of the channels' mean energy; below it they cancel each other
_UNKNOWN = 2**63 - 1  # libsndfile's number of frames where the header has none
_AAC_PADDING = 2_048  # samples an encoder may add
_BLOCK = 1 << 16  # frames at a time where the arithmetic is wider than the samples: ten minutes fit in 600 MB


class _Samples(NamedTuple):
    waves: np.ndarray
    sample_rate_hz: int
    codec: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoded:
    """One decoded file.

    Attributes:
        waves: (n_channels, n_frames) float32, finite, full scale +/-1.
        container: by content, not by name.
        warnings: closed-list codes such as ``W_EXT``.
    """

    waves: np.ndarray
    sample_rate_hz: int
    container: containers.Container
    codec: str
    warnings: tuple[str, ...]


def decode(path: Path, *, max_seconds: float) -> Decoded:
    """Decode one audio file completely, or say why it cannot be believed.

    Args:
        path: a regular file; never a link, never opened as anything but a local file.
        max_seconds: longest accepted duration; read from the header before the samples are.

    Raises:
        InputFault: Q_EMPTY, Q_FORMAT, Q_CODEC, Q_TRUNCATED, Q_CORRUPT, Q_TOO_LONG, Q_SAMPLE_RATE, Q_CHANNELS,
            Q_EMPTY_AUDIO, Q_NONFINITE, Q_RANGE, Q_LINK, Q_NOT_REGULAR or Q_UNREADABLE; no message holds the name.
    """
    with open_regular(path) as (file, size):
        container = containers.sniff(file)
        if container == "wav":
            samples = _decode_wav(file, size, max_seconds)
        elif container == "m4a":
            samples = _decode_m4a(file, size, max_seconds)
        else:
            samples = _decode_sndfile(file, size, container, max_seconds)
    _check_samples(samples.waves)
    warnings = samples.warnings
    if containers.SUFFIXES.get(path.suffix.lower(), container) != container:
        warnings = (*warnings, "W_EXT")
    return Decoded(samples.waves, samples.sample_rate_hz, container, samples.codec, warnings)


def inspect(path: Path, limits: AudioLimits) -> tuple[Decoded, np.ndarray, ClipStats]:
    """Decode a recording and refuse it where it holds nothing to learn from.

    Returns:
        The decoded file, its mono wave (n_frames,) float32, and its statistics with all warnings.

    Raises:
        InputFault: as `decode`, and Q_TOO_SHORT, Q_SILENT or Q_CLIPPED.
    """
    decoded = decode(path, max_seconds=limits.max_seconds)
    wave, warnings = downmix(decoded.waves)
    stats = measure(
        decoded.waves,
        wave,
        sample_rate_hz=decoded.sample_rate_hz,
        silence_dbfs=limits.silence_dbfs,
        origin=(decoded.container, decoded.codec),
        warnings=(*decoded.warnings, *warnings),
    )
    check_content(stats, limits)
    return decoded, wave, stats


def deadline_s(limits: AudioLimits) -> float:
    """Seconds by the clock after which a decoder counts as hung: a minute, and a tenth of the longest accepted clip.

    Why so long: an idle core decodes several hundred times faster than that, and a busy one must not change a result.
    """
    return 60 + limits.max_seconds / 10


def downmix(waves: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Average the channels, unless they cancel each other: then the first one stands for all.

    Args:
        waves: (n_channels, n_frames) float32.

    Returns:
        wave (n_frames,) float32, and ``("W_PHASE",)`` where the channels cancel.
    """
    if len(waves) == 1:
        return waves[0], ()
    wave, mixed, apart = np.empty(waves.shape[1], np.float32), 0.0, 0.0
    for start in range(0, wave.size, _BLOCK):
        block = waves[:, start : start + _BLOCK].astype(np.float64)
        mean = block.mean(axis=0)
        wave[start : start + _BLOCK] = mean
        mixed, apart = mixed + np.square(mean).sum(), apart + np.square(block).sum()
    if mixed < _MIN_MONO_ENERGY * apart / len(waves):
        return waves[0].copy(), ("W_PHASE",)
    return wave, ()


def pcm_digest(decoded: Decoded) -> str:
    """SHA-256 over sample rate, channels and 16-bit samples: equal sound, whatever the container and its tags."""
    digest = hashlib.sha256(f"{decoded.sample_rate_hz} {len(decoded.waves)}\n".encode())
    for wave in decoded.waves:
        for start in range(0, wave.size, _BLOCK):
            scaled = np.rint(wave[start : start + _BLOCK] * np.float32(32_768))
            digest.update(np.clip(scaled, -32_768, 32_767).astype("<i2").tobytes())
    return digest.hexdigest()


def resample(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Change the sample rate (soxr, high quality); may overshoot full scale slightly.

    Args:
        wave: (n_samples,) float32.

    Returns:
        (about n_samples * to_hz / from_hz,) float32.
    """
    if from_hz == to_hz:
        return wave
    return np.asarray(soxr.resample(wave, from_hz, to_hz, quality="HQ"), dtype=np.float32)


def _decode_wav(file: BinaryIO, size: int, max_seconds: float) -> _Samples:
    header = wav.read_header(file, size)
    _check_shape(header.n_frames, header.n_channels, header.sample_rate_hz, max_seconds)
    return _Samples(wav.read_samples(file, header), header.sample_rate_hz, header.codec, header.warnings)


def _decode_sndfile(file: BinaryIO, size: int, container: containers.Container, max_seconds: float) -> _Samples:
    """FLAC, OGG, MP3 and AIFF: our own check of the container first, then libsndfile."""
    raw, codec, declared = b"", container.replace("aiff", ""), None
    if container == "aiff":
        declared = containers.check_aiff(file, size)
    else:
        raw = containers.read_packed(file, size)
    if container == "ogg":
        codec = containers.check_ogg(raw)
    file.seek(0)
    try:
        with soundfile.SoundFile(file.fileno(), closefd=False) as sound:
            if sound.frames == _UNKNOWN:
                raise InputFault("Q_TRUNCATED", "the header declares no length, the writer never finished it")
            most = _check_shape(sound.frames, sound.channels, sound.samplerate, max_seconds)
            waves = sound.read(most + 1, dtype="int32" if container == "flac" else "float32", always_2d=True).T
            declared, rate_hz = sound.frames if declared is None else declared, int(sound.samplerate)
            codec = codec or sound.subtype.lower()
    except soundfile.LibsndfileError as error:
        raise InputFault("Q_CORRUPT", f"the {container} decoder refused it ({error.error_string})") from error
    if container == "flac":
        waves = _checked_flac(waves, raw)
    _check_length(waves.shape[1], declared, container, raw)
    _check_shape(waves.shape[1], len(waves), rate_hz, max_seconds)
    return _Samples(np.ascontiguousarray(waves), rate_hz, codec)


def _checked_flac(samples: np.ndarray, raw: bytes) -> np.ndarray:
    """Compare FLAC samples, (n_channels, n_frames) int32 left-justified, with the file's own digest; to float32."""
    digest, bits = containers.flac_md5(raw)
    if any(digest) and bits in (8, 16, 24, 32):
        found = hashlib.md5(usedforsecurity=False)
        for start in range(0, samples.shape[1], _BLOCK):
            plain = np.ascontiguousarray((samples[:, start : start + _BLOCK] >> (32 - bits)).T).astype("<i4")
            found.update(plain.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes())
        if found.digest() != digest:
            raise InputFault("Q_CORRUPT", "the FLAC samples do not match the file's own digest")
    waves = samples.astype(np.float32)
    waves /= np.float32(2**31)
    return waves


def _check_length(n_frames: int, declared: int, container: containers.Container, raw: bytes) -> None:
    """What was decoded is what was declared; an MP3 without a frame count declares nothing."""
    if n_frames == declared or (container == "mp3" and not containers.mp3_declares_length(raw)):
        return
    reason = "Q_CORRUPT" if container in ("ogg", "flac") else "Q_TRUNCATED"
    raise InputFault(reason, f"{declared} frames declared, {n_frames} decoded")


def _decode_m4a(file: BinaryIO, size: int, max_seconds: float) -> _Samples:
    """AAC, ALAC, MP3 or PCM in an MPEG-4 file; PyAV sees this format and nothing else."""
    from evensong.audio import mpeg4  # PyAV is a slow import that most data needs not

    containers.check_m4a(file, size)
    waves, declared, rate_hz, codec = mpeg4.read(
        file, lambda n_frames, n_channels, rate: _check_shape(n_frames, n_channels, rate, max_seconds)
    )
    if declared is not None:
        if abs(waves.shape[1] - declared) > _AAC_PADDING:
            raise InputFault("Q_TRUNCATED", f"{declared} frames declared, {waves.shape[1]} decoded")
        waves = np.ascontiguousarray(waves[:, :declared])
    return _Samples(waves, rate_hz, codec)


def _check_shape(n_frames: int, n_channels: int, sample_rate_hz: int, max_seconds: float) -> int:
    """Refuse what cannot be a clip before its samples are read; returns the most frames that may be read."""
    if not _RATES_HZ[0] <= sample_rate_hz <= _RATES_HZ[1]:
        raise InputFault("Q_SAMPLE_RATE", f"{sample_rate_hz} Hz, outside {_RATES_HZ[0]} to {_RATES_HZ[1]} Hz")
    if not 1 <= n_channels <= _MAX_CHANNELS:
        raise InputFault("Q_CHANNELS", f"{n_channels} channels, outside 1 to {_MAX_CHANNELS}")
    if n_frames > max_seconds * sample_rate_hz:
        raise InputFault("Q_TOO_LONG", f"{n_frames / sample_rate_hz:.6g} s, more than {max_seconds:g} s")
    if n_frames * n_channels * 4 > _MAX_DECODED_BYTES:
        raise InputFault("Q_TOO_LONG", f"{n_frames} frames of {n_channels} channels do not fit in memory")
    return min(int(max_seconds * sample_rate_hz), _MAX_DECODED_BYTES // (4 * n_channels))


def _check_samples(waves: np.ndarray) -> None:
    if waves.shape[1] == 0:
        raise InputFault("Q_EMPTY_AUDIO", "a valid header and no samples")
    peak = float(np.abs(waves).max())
    if not np.isfinite(peak):
        bad = np.flatnonzero(~np.isfinite(waves).all(axis=0))
        raise InputFault("Q_NONFINITE", f"{bad.size} frames hold NaN or infinity, the first at frame {bad[0]}")
    if peak > _MAX_ABS:
        raise InputFault("Q_RANGE", f"a peak of {peak:.6g}, more than {_MAX_ABS:g} times full scale")
