"""Every way a file can be wrong that was ever seen to fool a decoder, each with its exact outcome."""

import io
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.privileges import without_root

from evensong.audio import codecs, wav
from evensong.audio.containers import AUDIO_SUFFIXES
from evensong.audio.decode import Decoded, decode, downmix, inspect, pcm_digest, resample
from evensong.audio.unread import UNREAD_SUFFIXES
from evensong.errors import InputFault
from evensong.schemas import AudioLimits

Write = Callable[[str, bytes], Path]
KINDS = ["wav", "flac", "ogg", "opus", "mp3", "aiff", "m4a", "faststart", "alac", "m4a_pcm"]
NAMES = {"opus": "x.ogg", "faststart": "x.m4a", "alac": "x.m4a", "m4a_pcm": "x.m4a"}
REASONS = {
    *("Q_EMPTY", "Q_FORMAT", "Q_CODEC", "Q_TRUNCATED", "Q_CORRUPT", "Q_TOO_LONG", "Q_SAMPLE_RATE", "Q_CHANNELS"),
    *("Q_EMPTY_AUDIO", "Q_NONFINITE", "Q_RANGE"),
}
many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def name_of(kind: str) -> str:
    return NAMES.get(kind, f"x.{kind}")


def reason_of(path: Path, max_seconds: float = 60) -> str:
    with pytest.raises(InputFault) as caught:
        decode(path, max_seconds=max_seconds)
    assert path.name not in str(caught.value)
    return caught.value.reason


# --- whole files -------------------------------------------------------------------------------------------------


@pytest.mark.fault("A24")
@pytest.mark.parametrize("kind", KINDS)
def test_decode_whole_file_gives_the_sound(kind: str, encoded: dict[str, bytes], chirp: np.ndarray, write: Write):
    decoded = decode(write(name_of(kind), encoded[kind]), max_seconds=60)
    assert decoded.waves.dtype == np.float32
    assert decoded.waves.ndim == 2
    assert decoded.warnings == ()
    reference = chirp[::2][:24_000] if kind == "opus" else chirp
    wave = decoded.waves[0]
    assert abs(wave.size / decoded.sample_rate_hz - reference.size / (24_000 if kind == "opus" else 44_100)) < 0.03
    assert np.sqrt(np.mean(wave**2)) == pytest.approx(np.sqrt(np.mean(reference**2)), rel=0.1)
    if kind in ("wav", "flac", "aiff", "alac", "m4a_pcm"):
        np.testing.assert_array_equal(wave, chirp)


def test_audio_suffixes_are_lower_case_and_complete():
    assert {".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aif", ".aiff"} <= AUDIO_SUFFIXES
    assert all(suffix == suffix.lower() for suffix in AUDIO_SUFFIXES | UNREAD_SUFFIXES)
    assert {".wac", ".w4v", ".mp4"} <= UNREAD_SUFFIXES - AUDIO_SUFFIXES


@pytest.mark.fault("A24")
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_decode_wav_of_any_depth_equals_libsndfile(subtype, channels, container, write: Write, make_sndfile):
    waves = np.random.default_rng(1).uniform(-1, 1, (500, channels))
    path = write("x.wav", make_sndfile(waves, 192_000, container, subtype))
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    decoded = decode(path, max_seconds=60)
    np.testing.assert_array_equal(decoded.waves, expected.T)
    assert (decoded.sample_rate_hz, decoded.codec) == (192_000, subtype.lower())


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_decode_flac_of_any_depth_equals_libsndfile(subtype: str, write: Write, make_sndfile):
    waves = np.random.default_rng(1).uniform(-1, 1, (5_000, 2))
    path = write("x.flac", make_sndfile(waves, 96_000, "FLAC", subtype))
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(decode(path, max_seconds=60).waves, expected.T)


@pytest.mark.fault("A24")
def test_decode_24_bit_m4a_is_scaled(write: Write):
    samples = np.random.default_rng(0).integers(-(2**23), 2**23, (2, 5_000)) << 8  # 24 bits, left-justified
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ipod") as container:
        stream = container.add_stream("alac", rate=96_000, layout="stereo")
        stream.format = "s32p"
        frame = av.AudioFrame.from_ndarray(samples.astype(np.int32), format="s32p", layout="stereo")
        frame.sample_rate, frame.pts = 96_000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    decoded = decode(write("x.m4a", buffer.getvalue()), max_seconds=60)
    np.testing.assert_array_equal(decoded.waves, (samples / 2**31).astype(np.float32))


@pytest.mark.parametrize("rate_hz", [1_000, 2_000, 384_000, 384_002, 500_000])
def test_decode_accepts_rates_from_heart_sounds_to_bats(rate_hz: int, write: Write, make_wav):
    assert (
        decode(write("x.wav", make_wav(bytes(range(200)), rate_hz=rate_hz)), max_seconds=60).sample_rate_hz == rate_hz
    )


@pytest.mark.fault("A12")
@pytest.mark.parametrize(("kind", "name"), [("m4a", "x.wav"), ("mp3", "x.wav"), ("wav", "x.m4a"), ("flac", "x.OGG")])
def test_decode_wrong_extension_is_used_with_a_warning(kind, name, encoded, write: Write):
    decoded = decode(write(name, encoded[kind]), max_seconds=60)
    assert decoded.container == kind
    assert decoded.warnings == ("W_EXT",)


def test_decode_upper_case_extension_is_no_warning(encoded, write: Write):
    assert decode(write("x.WAV", encoded["wav"]), max_seconds=60).warnings == ()


@pytest.mark.fault("A11")
def test_decode_m4a_is_trimmed_to_the_declared_length(encoded, write: Write):
    path = write("x.m4a", encoded["m4a"])
    with av.open(str(path)) as container:
        declared = container.streams.audio[0].duration
        n_raw = sum(frame.samples for frame in container.decode(audio=0))
    assert decode(path, max_seconds=60).waves.shape == (1, declared)
    assert 0 <= n_raw - declared <= 2_048


# --- cut and damaged files ---------------------------------------------------------------------------------------


@pytest.mark.fault("A01")
@pytest.mark.parametrize("suffix", sorted(AUDIO_SUFFIXES))
def test_decode_empty_file_is_refused(suffix: str, write: Write):
    assert reason_of(write(f"x{suffix}", b"")) == "Q_EMPTY"


@pytest.mark.fault("A02", "A04", "A05", "A08", "A09", "A10")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("wav", "Q_TRUNCATED"),
        ("ogg", "Q_TRUNCATED"),
        ("opus", "Q_TRUNCATED"),
        ("mp3", "Q_TRUNCATED"),
        ("flac", "Q_CORRUPT"),
        ("m4a", "Q_TRUNCATED"),
        ("faststart", "Q_TRUNCATED"),
        ("aiff", "Q_TRUNCATED"),
        ("alac", "Q_TRUNCATED"),
    ],
)
def test_decode_half_a_file_is_refused(kind: str, reason: str, encoded, write: Write):
    assert reason_of(write(name_of(kind), encoded[kind][: len(encoded[kind]) // 2])) == reason


@many
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_decode_any_cut_is_refused(data, kind: str, encoded, tmp_path: Path):
    content = encoded[kind]
    length = data.draw(st.integers(0, len(content) - 1))
    path = tmp_path / name_of(kind)
    path.write_bytes(content[:length])
    if kind == "mp3" and length > len(content) - 1_100:
        return  # the last frame of an MP3 may hold only padding
    assert reason_of(path) in {"Q_EMPTY", "Q_FORMAT", "Q_TRUNCATED", "Q_CORRUPT"}


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """A file with bytes changed, cut out, put in, repeated or cut off at the end."""
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, max(0, len(content) - 1)))
        end = start + draw(st.sampled_from([1, 2, 4, 30, 1_000]))
        middle = {
            "change": lambda old: draw(st.binary(min_size=len(old), max_size=len(old))),
            "cut out": lambda old: b"",
            "put in": lambda old: draw(st.binary(min_size=1, max_size=40)) + old,
            "repeat": lambda old: old + old,
        }
        how = draw(st.sampled_from([*middle, "cut off"]))
        content = content[:start] + (middle[how](content[start:end]) + content[end:] if how != "cut off" else b"")
    return content


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_decode_any_damage_ends_in_finite_samples_of_the_declared_length_or_a_known_reason(
    data, kind: str, encoded, tmp_path: Path
):
    path = tmp_path / name_of(kind)
    path.write_bytes(data.draw(damaged(encoded[kind])))
    reason, decoded = "", None
    try:
        decoded = decode(path, max_seconds=60)
    except InputFault as fault:
        reason = fault.reason
    if decoded is None:
        assert reason in REASONS
        return
    assert np.isfinite(decoded.waves).all()
    assert decoded.waves.size
    if decoded.container in ("wav", "flac", "ogg", "aiff") and "W_HEADER" not in decoded.warnings:
        with suppress(soundfile.LibsndfileError):  # it refuses a WAV for a chunk of an unknown name
            assert decoded.waves.shape[1] == soundfile.info(path).frames


@many
@given(data=st.data(), kind=st.sampled_from(["ogg", "opus", "flac"]))
def test_decode_checksummed_containers_show_any_change_of_the_sound(data, kind: str, encoded, tmp_path: Path):
    content = bytearray(encoded[kind])
    path = tmp_path / name_of(kind)
    path.write_bytes(content)
    clean = decode(path, max_seconds=60)
    position = data.draw(st.integers(100, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        changed = decode(path, max_seconds=60)
    except InputFault:
        return
    np.testing.assert_array_equal(changed.waves, clean.waves)


@pytest.mark.fault("A03")
def test_decode_wav_header_alone_is_refused(encoded, write: Write):
    assert reason_of(write("x.wav", encoded["wav"][:44])) == "Q_TRUNCATED"


@pytest.mark.fault("A06")
def test_decode_mp3_damaged_in_the_middle_is_refused(encoded, write: Write):
    content = bytearray(encoded["mp3"])
    content[len(content) // 2 : len(content) // 2 + 800] = np.random.default_rng(0).bytes(800)
    assert reason_of(write("x.mp3", bytes(content))) == "Q_TRUNCATED"


@pytest.mark.fault("A07")
def test_decode_ogg_damaged_in_the_middle_is_refused(encoded, write: Write):
    content = bytearray(encoded["ogg"])
    content[len(content) // 2] ^= 0xFF
    assert reason_of(write("x.ogg", bytes(content))) == "Q_CORRUPT"


def test_decode_ogg_with_a_page_lost_is_refused(write: Write, make_sndfile):
    noise = np.random.default_rng(0).normal(0, 0.1, 88_200)
    pages = make_sndfile(noise, 44_100, "OGG", "VORBIS").split(b"OggS")[1:]
    assert len(pages) > 5
    content = b"".join(b"OggS" + page for page in pages[:-2] + pages[-1:])
    with pytest.raises(InputFault, match=rf"Q_CORRUPT: OGG page {len(pages) - 2} is missing"):
        decode(write("x.ogg", content), max_seconds=60)


def test_decode_ogg_cut_between_two_pages_is_refused(encoded, write: Write):
    content = encoded["ogg"]
    with pytest.raises(InputFault, match=r"Q_TRUNCATED: .* without its end mark"):
        decode(write("x.ogg", content[: content.rindex(b"OggS")]), max_seconds=60)


@pytest.mark.fault("A11")
@pytest.mark.parametrize(
    ("n_decoded", "n_kept"), [(1_000, None), (1_001, 1_001), (3_049, 3_049), (7_145, 3_049), (7_146, None)]
)
def test_decode_m4a_length_may_differ_by_a_padding(n_decoded, n_kept, write: Write, make_m4a, monkeypatch):
    path = write("x.m4a", make_m4a(np.zeros(3_049, np.float32), "pcm_s16le"))
    frame = av.AudioFrame.from_ndarray(np.zeros((1, n_decoded), np.int16), format="s16", layout="mono")
    frame.sample_rate = 44_100
    inner = codecs._m4a_blocks
    monkeypatch.setattr(codecs, "_m4a_blocks", lambda _, *form: inner(iter([frame]), *form))
    if n_kept is None:
        assert reason_of(path) == "Q_TRUNCATED"
    else:
        assert decode(path, max_seconds=60).waves.shape == (1, n_kept)


@pytest.mark.fault("A08")
def test_decode_damaged_flac_is_refused(encoded, write: Write):
    content = bytearray(encoded["flac"])
    content[len(content) // 2] ^= 0x10
    assert reason_of(write("x.flac", bytes(content))) == "Q_CORRUPT"


def test_decode_flac_with_another_sounds_digest_is_refused(encoded, write: Write):
    content = bytearray(encoded["flac"])
    content[26] ^= 1  # the first byte of the digest in STREAMINFO
    assert reason_of(write("x.flac", bytes(content))) == "Q_CORRUPT"


@pytest.mark.fault("A13")
def test_decode_text_is_refused(write: Write):
    for suffix in AUDIO_SUFFIXES:
        assert reason_of(write(f"x{suffix}", b"recorded on a clear night\n" * 9)) == "Q_FORMAT"


# --- headers that mislead ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [0, 0xFFFFFFFF])
def test_decode_streamed_wav_runs_to_the_end_with_a_warning(streamed: int, encoded, chirp, write: Write):
    content = bytearray(encoded["wav"])
    content[4:8] = content[40:44] = struct.pack("<I", streamed)
    decoded = decode(write("x.wav", bytes(content)), max_seconds=60)
    assert decoded.warnings == ("W_HEADER",)
    assert decoded.waves.shape == (1, chirp.size)


def test_decode_wav_with_trailing_chunk_or_pad_byte_is_fine(write: Write, make_wav):
    whole = make_wav(bytes(range(101)), bits=8)
    expected = decode(write("x.wav", whole), max_seconds=60).waves
    for tail in (b"\0", b"\0LIST\4\0\0\0abcd"):
        padded = decode(write("x.wav", whole + tail), max_seconds=60)
        np.testing.assert_array_equal(padded.waves, expected)
    grown = whole[:4] + struct.pack("<I", len(whole) + 1 + 12 - 8) + whole[8:] + b"\0LIST\4\0\0\0abcd"
    assert decode(write("x.wav", grown), max_seconds=60).warnings == ()


def test_decode_wav_with_a_long_tail_of_chunks_or_zeros_is_fine(write: Write, make_wav):
    whole = make_wav(bytes(range(100)), bits=8, rate_hz=1_000)
    expected = decode(write("x.wav", whole), max_seconds=60).waves
    chunks = b"LIST\xb9\x0b\0\0" + b"a" * 3_001 + b"\0" + b"bext\4\0\0\0abcd"  # 3,001 bytes: the pad byte counts
    for tail in (chunks, chunks + b"rest", bytes(5_000)):
        np.testing.assert_array_equal(decode(write("x.wav", whole + tail), max_seconds=60).waves, expected)


@pytest.mark.parametrize("with_chunk", [False, True])
def test_decode_wav_that_goes_on_after_its_declared_samples_is_truncated(with_chunk: bool, write: Write, make_wav):
    # what is left of a 32-bit size past 4 GiB, or of a header written when the recording began
    samples = np.random.default_rng(0).integers(0, 256, 9_000).astype(np.uint8).tobytes()
    tail = b"LIST\4\0\0\0abcd" if with_chunk else b""
    content = bytearray(make_wav(samples, bits=8, rate_hz=1_000) + tail)
    content[40:44] = struct.pack("<I", 3_000)
    assert reason_of(write("x.wav", bytes(content))) == "Q_TRUNCATED"
    content[4:8] = struct.pack("<I", 3_036)
    assert reason_of(write("x.wav", bytes(content))) == "Q_TRUNCATED"


def test_decode_rf64_reads_its_long_sizes(write: Write, make_sndfile, chirp):
    decoded = decode(write("x.wav", make_sndfile(chirp, 44_100, "RF64", "PCM_16")), max_seconds=60)
    assert decoded.waves.shape == (1, chirp.size)


@pytest.mark.fault("A20")
def test_decode_no_frames_behind_a_valid_header_is_refused(write: Write, make_wav):
    assert reason_of(write("x.wav", make_wav(b""))) == "Q_EMPTY_AUDIO"


@pytest.mark.fault("A25")
@pytest.mark.parametrize("rate_hz", [0, 999, 500_001, 2**31 - 1])
def test_decode_impossible_sample_rate_is_refused(rate_hz: int, write: Write, make_wav):
    assert reason_of(write("x.wav", make_wav(bytes(100), rate_hz=rate_hz))) == "Q_SAMPLE_RATE"


@pytest.mark.fault("A26")
def test_decode_up_to_eight_channels(write: Write, make_wav):
    eight = decode(write("x.wav", make_wav(bytes(range(160)), channels=8)), max_seconds=60)
    assert eight.waves.shape == (8, 10)
    assert downmix(eight.waves)[0].shape == (10,)
    for channels in (0, 9):
        assert reason_of(write("x.wav", make_wav(bytes(180), channels=channels))) == "Q_CHANNELS"


@pytest.mark.fault("A27")
@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "ULAW", "ALAW"])
def test_decode_compressed_wav_never_reaches_a_decoder(subtype: str, chirp, write: Write, make_sndfile):
    assert reason_of(write("x.wav", make_sndfile(chirp[:8_000], 8_000, "WAV", subtype))) == "Q_CODEC"


def test_decode_compressed_aiff_is_refused(chirp, write: Write, make_sndfile):
    assert reason_of(write("x.aiff", make_sndfile(chirp[:8_000], 8_000, "AIFF", "IMA_ADPCM"))) == "Q_CODEC"


def test_decode_m4a_with_another_codec_is_refused(write: Write):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("ac3", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4_800), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert reason_of(write("x.m4a", buffer.getvalue())) == "Q_CODEC"


def sparse_wav(path: Path, make_wav: Callable[..., bytes], n_bytes: int, **form: int) -> Path:
    """A WAV of that many bytes of silence, which take no space on the disk."""
    header = bytearray(make_wav(b"", **form))
    header[4:8], header[40:44] = struct.pack("<I", 36 + n_bytes), struct.pack("<I", n_bytes)
    path.write_bytes(header)
    os.truncate(path, 44 + n_bytes)
    return path


@pytest.mark.fault("A21")
def test_decode_ten_hours_are_refused_before_they_are_read(tmp_path: Path, make_wav, monkeypatch):
    monkeypatch.setattr(wav, "_to_float", lambda *_: pytest.fail("the samples were read"))
    path = sparse_wav(tmp_path / "x.wav", make_wav, 36_000 * 44_100 * 2, rate_hz=44_100)
    assert reason_of(path, max_seconds=600) == "Q_TOO_LONG"


@pytest.mark.fault("A21", "H07")
def test_decode_more_than_memory_holds_is_refused_whatever_the_limit(tmp_path: Path, make_wav, monkeypatch):
    monkeypatch.setattr(wav, "_to_float", lambda *_: pytest.fail("the samples were read"))
    n_bytes = (2 << 30) // 2  # 16-bit samples, decoded to twice as many bytes
    path = sparse_wav(tmp_path / "x.wav", make_wav, n_bytes + 16, rate_hz=384_000, channels=8)
    with pytest.raises(InputFault, match="Q_TOO_LONG: 67108865 frames of 8 channels do not fit in memory"):
        decode(path, max_seconds=36_000)


@pytest.mark.fault("A22", "H07")
def test_decode_flac_claiming_2_to_the_36_frames_is_refused(encoded, write: Write):
    content = bytearray(encoded["flac"])
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    assert reason_of(write("x.flac", bytes(content))) == "Q_TOO_LONG"


@pytest.mark.fault("A23", "H07")
def test_decode_flac_bomb_is_refused(write: Write, make_sndfile):
    bomb = make_sndfile(np.zeros((2_000_000, 2), np.int16), 44_100, "FLAC", "PCM_16")
    assert len(bomb) < 100_000
    assert reason_of(write("x.flac", bomb), max_seconds=10) == "Q_TOO_LONG"


def test_decode_flac_without_a_length_is_refused(encoded, write: Write):
    content = bytearray(encoded["flac"])
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    assert reason_of(write("x.flac", bytes(content))) == "Q_TRUNCATED"


# --- samples that are no sound -----------------------------------------------------------------------------------


@pytest.mark.fault("A14")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_decode_non_finite_samples_are_counted(bad: float, chirp, write: Write, make_wav):
    wave = chirp.copy()
    wave[[5, 9]] = bad
    path = write("x.wav", make_wav(wave.tobytes(), tag=3, bits=32, rate_hz=44_100))
    with pytest.raises(InputFault, match=r"2 frames .* the first at frame 5") as caught:
        decode(path, max_seconds=60)
    assert caught.value.reason == "Q_NONFINITE"


@pytest.mark.fault("A15")
def test_decode_float_far_beyond_full_scale_is_refused(write: Write, make_wav):
    for value, reason in ((1e30, "Q_RANGE"), (8.1, "Q_RANGE")):
        wave = np.full(100, value, np.float32)
        assert reason_of(write("x.wav", make_wav(wave.tobytes(), tag=3, bits=32))) == reason
    wave = np.full(100, 7.9, np.float32)
    assert decode(write("x.wav", make_wav(wave.tobytes(), tag=3, bits=32)), max_seconds=60).waves.max() < 8


def inspect_wave(wave: np.ndarray, limits: AudioLimits, write: Write, make_sndfile):
    return inspect(write("x.wav", make_sndfile(wave, 8_000, "WAV", "PCM_16")), limits)


@pytest.mark.fault("A16")
def test_inspect_silence_is_refused(limits, write: Write, make_sndfile):
    for wave in (np.zeros(8_000), np.random.default_rng(0).normal(0, 1e-5, 8_000)):
        with pytest.raises(InputFault) as caught:
            inspect_wave(wave, limits, write, make_sndfile)
        assert caught.value.reason == "Q_SILENT"


@pytest.mark.fault("A17")
def test_inspect_channels_that_cancel_use_the_first(chirp, limits, write: Write, make_sndfile):
    decoded, wave, stats = inspect_wave(np.stack([chirp, -chirp], axis=1), limits, write, make_sndfile)
    np.testing.assert_array_equal(wave, decoded.waves[0])
    assert stats.warnings == ("W_PHASE",)


@pytest.mark.fault("A18")
def test_inspect_clipping_is_a_warning_then_a_refusal(chirp, limits, write: Write, make_sndfile):
    _, _, stats = inspect_wave(np.clip(chirp * 2.8, -1, 1), limits, write, make_sndfile)
    assert 0.01 < stats.clipped_share < 0.5
    assert stats.warnings == ("W_CLIP",)
    with pytest.raises(InputFault) as caught:
        inspect_wave(np.clip(chirp * 50, -1, 1), limits, write, make_sndfile)
    assert caught.value.reason == "Q_CLIPPED"


def test_inspect_full_scale_sine_is_not_clipped(limits, write: Write, make_sndfile):
    sine = np.sin(2 * np.pi * 440.5 * np.arange(8_000) / 8_000)
    _, _, stats = inspect_wave(sine, limits, write, make_sndfile)
    assert stats.warnings == ()


@pytest.mark.fault("A19")
@pytest.mark.parametrize("n_frames", [1, 1_999])
def test_inspect_short_clip_is_refused(n_frames: int, chirp, limits, write: Write, make_sndfile):
    with pytest.raises(InputFault) as caught:
        inspect_wave(chirp[:n_frames], limits, write, make_sndfile)
    assert caught.value.reason == "Q_TOO_SHORT"
    inspect_wave(chirp[:2_000], limits, write, make_sndfile)


def test_inspect_statistics_of_a_known_tone(limits, write: Write, make_sndfile):
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 8_000)
    tone[8_000:] = 0  # the second second is silence
    _, wave, stats = inspect_wave(np.stack([tone, tone], axis=1), limits, write, make_sndfile)
    assert (stats.n_channels, stats.sample_rate_hz, stats.n_frames, stats.duration_s) == (2, 8_000, 16_000, 2.0)
    assert stats.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert stats.rms_dbfs == pytest.approx(-6.02 - 3.01 - 3.01, abs=0.02)  # half amplitude, sine, half the time
    assert stats.silence_share == pytest.approx(0.5, abs=0.01)
    assert stats.bandwidth_hz == pytest.approx(1_000, abs=100)
    assert (stats.container, stats.codec, stats.clipped_share) == ("wav", "pcm_16", 0.0)
    assert wave.shape == (16_000,)


# --- what is no plain file ---------------------------------------------------------------------------------------


@pytest.mark.fault("B07", "B08", "B09")
def test_decode_link_is_refused(encoded, write: Write, tmp_path: Path):
    write("real.wav", encoded["wav"])
    for target in ("real.wav", "missing.wav", "x.wav"):
        link = tmp_path / "x.wav"
        link.symlink_to(target)
        assert reason_of(link) == "Q_LINK"
        link.unlink()


@pytest.mark.fault("B10")
def test_decode_fifo_socket_and_folder_do_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    os.mkfifo("fifo.wav")
    Path("folder.wav").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.wav")
        for name in ("fifo.wav", "folder.wav", "socket.wav"):
            assert reason_of(Path(name)) == "Q_NOT_REGULAR"


@pytest.mark.fault("B11")
def test_decode_unreadable_file_is_refused(encoded, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    write("x.wav", encoded["wav"])
    with without_root():
        decode(Path("x.wav"), max_seconds=60)
    Path("x.wav").chmod(0)
    with without_root():
        assert reason_of(Path("x.wav")) == "Q_UNREADABLE"


@pytest.mark.fault("H05")
@pytest.mark.parametrize("kind", ["missing.wav", "http://localhost:1/x.m4a", "concat:a|b.m4a", "x\0.wav"])
def test_decode_address_is_only_a_path_that_does_not_exist(kind: str):
    assert reason_of(Path(kind)) == "Q_UNREADABLE"


@pytest.mark.fault("H04", "H06")
@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile 'other.m4a'\n",
        "#EXTM3U\n#EXTINF:1,\nother.m4a\n#EXT-X-ENDLIST\n",
        "<?xml version='1.0'?><MPD></MPD>",
    ],
)
def test_decode_playlist_named_m4a_opens_nothing_else(text: str, encoded, write: Write):
    write("other.m4a", encoded["m4a"])
    assert reason_of(write("x.m4a", text.encode())) == "Q_FORMAT"


# --- downmix, digest, resample -----------------------------------------------------------------------------------


def test_downmix_one_live_channel_of_eight_is_kept(chirp):
    waves = np.zeros((8, chirp.size), np.float32)
    waves[5] = chirp
    wave, warnings = downmix(waves)
    np.testing.assert_allclose(wave, chirp / 8, atol=1e-7)
    assert warnings == ()


def test_pcm_digest_follows_the_sound_not_the_container(encoded, write: Write):
    digests = {kind: pcm_digest(decode(write(name_of(kind), encoded[kind]), max_seconds=60)) for kind in KINDS[:6]}
    assert digests["wav"] == digests["flac"] == digests["aiff"]
    assert len(set(digests.values())) == 4
    assert len(digests["wav"]) == 64


def test_pcm_digest_tells_rate_and_channels_apart():
    wave = np.arange(-4, 4, dtype=np.float32) / 8
    shapes = [(wave.reshape(1, 8), 8_000), (wave.reshape(1, 8), 16_000), (wave.reshape(2, 4), 8_000)]
    assert len({pcm_digest(Decoded(waves, rate_hz, "wav", "pcm_16", ())) for waves, rate_hz in shapes}) == 3


def test_resample_keeps_a_tone_and_its_level():
    tone = (0.5 * np.sin(2 * np.pi * 700 * np.arange(44_100) / 44_100)).astype(np.float32)
    slow = resample(tone, 44_100, 16_000)
    assert slow.dtype == np.float32
    assert abs(slow.size - 16_000) <= 1
    expected = 0.5 * np.sin(2 * np.pi * 700 * np.arange(slow.size) / 16_000)
    np.testing.assert_allclose(slow[500:-500], expected[500:-500], atol=1e-3)


def test_resample_to_the_same_rate_changes_nothing(chirp):
    assert resample(chirp, 44_100, 44_100) is chirp


def test_decode_an_unknown_codec_in_m4a(encoded, tmp_path: Path):
    path = tmp_path / "a.m4a"
    path.write_bytes(encoded["m4a_pcm"].replace(b"sowt", b"zzzz"))
    assert reason_of(path) == "Q_CODEC"
