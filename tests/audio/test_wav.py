import hashlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evensong.audio.decode import decode
from evensong.audio.wav import WavHeader, read_blocks, read_header, read_wav, write_wav
from evensong.errors import DataError, InputFault, IntegrityError

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


# --- headers, field by field ---------------------------------------------------------------------------------------

FMT = struct.pack("<HHIIHH", 1, 1, 1_000, 2_000, 2, 16)  # mono, 16 bits, 1 kHz: a second is 2,000 bytes
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
EXTENSIBLE = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 1_000, 2_000, 2, 16, 22, 16, 4, 1) + GUID_TAIL
DS64 = struct.pack("<QQQI", 99, 10, 5, 0)  # the samples have 10 bytes


def chunk(name: bytes, content: bytes, declared: int | None = None) -> bytes:
    size = len(content) if declared is None else declared
    return name + struct.pack("<I", size) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes, size: int | None = None, form: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return form + struct.pack("<I", len(body) if size is None else size) + body


def header_of(raw: bytes, size: int | None = None) -> WavHeader:
    return read_header(io.BytesIO(raw), len(raw) if size is None else size)


def expected(n_frames: int = 5, start: int = 44, *, warned: bool = False) -> WavHeader:
    return WavHeader("pcm_16", 1_000, 1, 2, start, n_frames, ("W_HEADER",) if warned else ())


DATA = chunk(b"data", b"1234567890")
FORM = chunk(b"fmt ", FMT)


@pytest.mark.parametrize(
    ("raw", "header"),
    [
        (riff(FORM, DATA), expected()),
        (riff(chunk(b"LIST", b"odd"), FORM, DATA), expected(start=56)),
        (riff(*[chunk(b"junk", b"")] * 4_094, FORM, DATA), expected(start=44 + 8 * 4_094)),  # 4,096 chunks
        (riff(chunk(b"fmt ", EXTENSIBLE), DATA), expected(start=68)),
        (riff(chunk(b"fmt ", EXTENSIBLE + b"more"), DATA), expected(start=72)),
        (riff(chunk(b"ds64", DS64), FORM, chunk(b"data", b"1234567890", 2**32 - 1), form=b"RF64"), expected(start=80)),
        (riff(FORM, DATA, form=b"RF64"), expected()),  # without its ds64
        (riff(chunk(b"ds64", DS64), FORM, chunk(b"data", b"1234"), form=b"RIFF"), expected(2, 80)),
        (riff(FORM, chunk(b"data", b"12345678901", 11)), expected(warned=True)),  # half a frame is left
        (riff(FORM, DATA, size=46), expected()),
        (riff(FORM, DATA, size=45), expected(warned=True)),  # ends before the samples do
        (riff(FORM, DATA, size=47), expected()),  # a pad byte that was counted and not written
        (riff(FORM, DATA, size=48), expected(warned=True)),
        (riff(FORM, DATA, size=2**32 - 1), expected()),
        (riff(FORM, chunk(b"data", b"1234567890", 2**32 - 1)), expected(warned=True)),
        (riff(FORM, chunk(b"data", b"1234567890", 0), size=0), expected(warned=True)),
        (riff(FORM, chunk(b"data", b"1234567890", 0), size=2**32 - 1), expected(warned=True)),
        (riff(FORM, chunk(b"data", b""), b"1234567890"), expected(0)),  # the size says so: no samples
        (riff(FORM, DATA, b"x" * 2_000), expected()),  # as long as a second of samples: a writer's remains
    ],
)
def test_header(raw: bytes, header: WavHeader) -> None:
    assert header_of(raw) == header


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"RIFF\4\0\0\0WAV", "Q_TRUNCATED: 11 bytes, shorter than a WAV header"),
        (riff(size=4), "Q_CORRUPT: the file ends at byte 12 without samples"),
        (riff(size=5), "Q_TRUNCATED: the file ends at byte 12 without samples"),
        (riff(FORM, b"data\0\0\0"), "Q_CORRUPT: the file ends at byte 43 without samples"),  # 7 bytes of a chunk
        (riff(DATA), "Q_CORRUPT: no complete format chunk"),
        (riff(chunk(b"fmt ", FMT[:15]), DATA), "Q_CORRUPT: no complete format chunk"),
        (riff(*[chunk(b"junk", b"")] * 4_095, FORM, DATA), "Q_CORRUPT: more than 4096 chunks before the samples"),
        (riff(chunk(b"fmt ", EXTENSIBLE[:39]), DATA), "Q_CODEC: extensible WAV that is neither PCM nor float"),
        (riff(chunk(b"fmt ", EXTENSIBLE[:26] + bytes(14)), DATA), "Q_CODEC: extensible WAV"),
        (riff(chunk(b"fmt ", FMT[:14] + b"\x0c\0"), DATA), "Q_CODEC: WAV format tag 0x0001 with 12 bits"),
        (
            riff(chunk(b"fmt ", FMT[:12] + b"\3\0\x10\0"), DATA),
            "Q_CORRUPT: 3 bytes a frame do not fit 1 channels",
        ),
        (riff(FORM, chunk(b"data", b"1234567890", 11)), "Q_TRUNCATED: 11 bytes of samples declared, 10 present"),
        (riff(FORM, DATA, b"\xff" * 2_001), "Q_TRUNCATED: 2001 bytes follow the declared samples"),
        (riff(FORM, DATA, chunk(b"LIS\n", b"", 4), b"x" * 2_001), "Q_TRUNCATED: 2009 bytes follow"),
        (riff(FORM, DATA, chunk(b"LIST", b"", 2_002), b"x" * 2_001), "Q_TRUNCATED: 2009 bytes follow"),
    ],
)
def test_header_that_does_not_hold_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(InputFault, match=message):
        header_of(raw)


def test_long_chunks_behind_the_samples_are_stepped_over() -> None:
    raw = riff(FORM, DATA, chunk(b"LIST", b"", 1 << 24))
    assert header_of(raw, len(raw) + (1 << 24)) == expected()
    with pytest.raises(InputFault, match="Q_TRUNCATED: 16777223 bytes follow"):
        header_of(raw, len(raw) + (1 << 24) - 1)


@pytest.mark.parametrize("n_bytes", [8, 9])
def test_eight_bytes_may_follow_the_samples_whatever_their_rate(n_bytes: int) -> None:
    slow = struct.pack("<HHIIHH", 1, 1, 1, 2, 2, 16)
    raw = riff(chunk(b"fmt ", slow), DATA, b"\xff" * n_bytes)
    if n_bytes == 8:
        assert header_of(raw).n_frames == 5
    else:
        with pytest.raises(InputFault, match="9 bytes follow"):
            header_of(raw)


@given(n_frames=st.integers(0, 50), block_frames=st.integers(1, 60))
def test_blocks_are_full_up_to_the_last(n_frames: int, block_frames: int) -> None:
    samples = np.arange(2 * n_frames, dtype="<i2").reshape(-1, 2)
    file = io.BytesIO(b"header" + samples.tobytes() + b"tail")
    blocks = list(read_blocks(file, WavHeader("pcm_16", 8_000, 2, 4, 6, n_frames, ()), block_frames))
    assert [block.shape[1] for block in blocks[:-1]] == [block_frames] * (len(blocks) - 1)
    joined = np.concatenate([np.zeros((2, 0), np.float32), *blocks], axis=1)
    np.testing.assert_array_equal(joined, samples.T.astype(np.float32) / 32_768)


@pytest.mark.fault("A02")
def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    blocks = read_blocks(io.BytesIO(bytes(39)), WavHeader("pcm_16", 8_000, 1, 2, 0, 20, ()), 8)
    assert [next(blocks).shape[1], next(blocks).shape[1]] == [8, 8]
    with pytest.raises(InputFault, match="Q_TRUNCATED: 40 bytes of samples declared, 39 read"):
        next(blocks)


@pytest.mark.parametrize(
    ("codec", "raw", "wave"),
    [
        ("pcm_u8", b"\x00\x80\xff", [-1, 0, 127 / 128]),
        ("pcm_16", b"\x00\x80\x00\x00\xff\x7f", [-1, 0, 1 - 2**-15]),
        ("pcm_24", b"\x00\x00\x80\x01\x00\x00\xff\xff\x7f", [-1, 2**-23, 1 - 2**-23]),
        ("pcm_32", b"\x00\x00\x00\x80\x00\x00\x00\x40", [-1, 0.5]),
        ("float", struct.pack("<ff", 1.5, -2), [1.5, -2]),
        ("double", struct.pack("<dd", 0.25, 1e300), [0.25, np.inf]),
    ],
)
def test_samples_of_every_depth(codec: str, raw: bytes, wave: list[float]) -> None:
    n_bytes = len(raw) // len(wave)
    header = WavHeader(codec, 8_000, 1, n_bytes, 0, len(wave), ())
    [block] = read_blocks(io.BytesIO(raw), header, 100)
    np.testing.assert_array_equal(block, np.float32([wave]))


def test_write_wav_writes_these_bytes(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "x.wav", np.float32([0.5, -1]), 1_000)
    assert path.read_bytes() == riff(FORM, chunk(b"data", b"\x00\x40\x00\x80"))


@pytest.mark.parametrize("place", [0, 4, 8, 12, 16, 20, 22, 32, 34, 36, 40])
def test_read_wav_refuses_any_other_header(tmp_path: Path, place: int) -> None:
    path = write_wav(tmp_path / "x.wav", np.zeros(20, np.float32), 8_000)
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)
    with pytest.raises(IntegrityError, match="not a complete"):
        read_wav(path)
