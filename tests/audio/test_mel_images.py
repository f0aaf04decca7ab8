import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from evensong.audio.mel import MelTransform
from evensong.audio.mel_images import (
    IMAGE_SUFFIXES,
    decode_image,
    encode_image,
    inspect_image,
    mel_image,
    read_image,
)
from evensong.errors import DataError, InputFault
from evensong.schemas import VoiceMels

Write = Callable[[str, bytes], Path]
RATE_HZ = 16_000


def drawn(**changes: object) -> VoiceMels:
    values = {
        **{"n_fft": 1_024, "hop_length": 256, "n_mels": 64, "fmin_hz": 50.0, "fmax_hz": 8_000.0, "clip_seconds": 3.0},
        **{"sample_rate_hz": RATE_HZ, "width_px": 48, "min_db": -80.0, "max_db": 0.0, "reference": "peak"},
        **{"format": "jpg", "jpeg_quality": 95},
    }
    return VoiceMels.model_validate(values | changes)


def tone(frequency_hz: float, seconds: float = 3.0) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.5 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def file_bytes(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def picture() -> np.ndarray:
    return mel_image(tone(440) + tone(3_000) / 4, drawn())


def reason_of(path: Path) -> str:
    with pytest.raises(InputFault) as caught:
        read_image(path)
    assert path.name not in str(caught.value)
    return caught.value.reason


def test_mel_image_has_low_frequencies_at_the_bottom():
    assert mel_image(tone(200), drawn()).mean(axis=1).argmax() > 48
    assert mel_image(tone(7_000), drawn()).mean(axis=1).argmax() < 8


@pytest.mark.parametrize("width_px", [8, 48, 188, 300])
def test_mel_image_has_its_size_for_any_length(width_px: int):
    for seconds in (0.3, 3.0, 5.0):
        image = mel_image(tone(440, seconds), drawn(width_px=width_px))
        assert (image.shape, image.dtype, image.max()) == ((64, width_px), np.uint8, 255)


def test_mel_image_re_peak_ignores_the_volume_and_re_full_scale_does_not():
    wave = tone(440)
    np.testing.assert_array_equal(mel_image(wave, drawn()), mel_image(wave / 4, drawn()))
    loud, soft = (mel_image(level * wave, drawn(reference="full_scale", max_db=60.0)) for level in (1, 0.5))
    assert int(loud.max()) - int(soft.max()) == pytest.approx(6.02 * 255 / 140, abs=1)


def test_mel_image_averages_the_power_over_time():
    settings_of = drawn(width_px=47, reference="full_scale", min_db=-200.0, max_db=100.0)  # 188 frames, four a pixel
    wave = np.random.default_rng(0).normal(0, 0.1, 3 * RATE_HZ).astype(np.float32)
    power = MelTransform(settings_of, RATE_HZ).power(wave).reshape(64, 47, 4).mean(axis=2)
    expected = (10 * np.log10(power) + 200) * 255 / 300
    np.testing.assert_allclose(mel_image(wave, settings_of)[::-1], expected, atol=0.51)


def test_mel_image_refuses_silence_without_a_peak():
    with pytest.raises(DataError, match="no peak"):
        mel_image(np.zeros(RATE_HZ, np.float32), drawn())
    assert not mel_image(np.zeros(RATE_HZ, np.float32), drawn(reference="full_scale")).any()


@pytest.mark.parametrize("form", ["jpg", "png"])
def test_encode_image_round_trip(form: str, picture: np.ndarray, write: Write):
    wanted = drawn(format=form)
    content = encode_image(picture, wanted)
    assert content == encode_image(picture.copy(), wanted)
    pixels, size = decode_image(write(f"x.{form}", content), 64, 48)
    assert size == (64, 48)
    error_db = np.abs(pixels.astype(float) - picture).mean() * 80 / 255
    assert error_db <= (0 if form == "png" else 0.5)


def test_encode_image_refuses_floats():
    with pytest.raises(TypeError, match="uint8"):
        encode_image(np.zeros((4, 4), np.float32), drawn())


def test_decode_image_takes_colour_and_any_size(picture: np.ndarray, write: Write):
    large = Image.fromarray(picture).resize((500, 300), Image.Resampling.BICUBIC)
    for mode, form, name in (("RGB", "JPEG", "x.jpg"), ("RGBA", "PNG", "y.png"), ("L", "JPEG", "z.JPEG")):
        pixels, size = decode_image(write(name, file_bytes(large.convert(mode), form)), 64, 48)
        assert (pixels.shape, pixels.dtype, size) == ((64, 48), np.uint8, (300, 500))
        assert np.corrcoef(pixels.ravel(), picture.ravel())[0, 1] > 0.98
        assert read_image(write(name, file_bytes(large.convert(mode), form))).shape == (300, 500)


@pytest.mark.fault("F04")
@settings(max_examples=60)
@given(share=st.floats(0, 0.98), form=st.sampled_from(["JPEG", "PNG"]))
def test_read_image_refuses_any_cut(share: float, form: str, tmp_path_factory: pytest.TempPathFactory):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    content = file_bytes(Image.fromarray(noise), form)
    path = tmp_path_factory.mktemp("cut") / "x.jpg"
    path.write_bytes(content[: int(share * len(content))])
    assert reason_of(path) in {"Q_EMPTY", "Q_FORMAT", "Q_TRUNCATED", "Q_CORRUPT"}


@pytest.mark.fault("F04")
def test_read_image_half_a_jpeg_is_truncated(picture: np.ndarray, write: Write):
    content = encode_image(picture, drawn())
    assert reason_of(write("x.jpg", content[: len(content) * 3 // 4])) == "Q_TRUNCATED"


@pytest.mark.slow
@pytest.mark.fault("F07")
def test_read_image_bomb_is_refused_by_its_header(write: Write):
    bomb = file_bytes(Image.new("L", (12_000, 12_000)), "PNG")
    assert len(bomb) < 200_000
    assert reason_of(write("x.png", bomb)) == "Q_TOO_LARGE"


@pytest.mark.fault("F08")
@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF"])
def test_read_image_other_formats_named_jpg_are_refused(form: str, picture: np.ndarray, write: Write):
    assert reason_of(write("x.jpg", file_bytes(Image.fromarray(picture), form))) == "Q_FORMAT"


@pytest.mark.fault("F09")
def test_read_image_cmyk_and_transparency_are_refused(picture: np.ndarray, write: Write):
    image = Image.fromarray(picture)
    assert reason_of(write("x.jpg", file_bytes(image.convert("CMYK"), "JPEG"))) == "Q_MODE"
    image.putalpha(100)
    assert reason_of(write("x.png", file_bytes(image.convert("RGBA"), "PNG"))) == "Q_MODE"


@pytest.mark.fault("F10")
def test_read_image_turned_by_exif_is_refused(picture: np.ndarray, write: Write):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert reason_of(write("x.jpg", file_bytes(Image.fromarray(picture), "JPEG", exif=exif))) == "Q_EXIF"


@pytest.mark.parametrize("exif", [b"II*\0", b"II*\0\x08\0\0", b"II+\0\x08\0", b"", b"MM"])
def test_read_image_with_a_torn_exif_block_is_read_or_refused(exif: bytes, picture: np.ndarray, write: Write):
    png = file_bytes(Image.fromarray(picture), "PNG")
    body = b"eXIf" + exif
    chunk = len(exif).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    path = write("x.png", png[:33] + chunk + png[33:])
    if not exif:
        assert np.array_equal(read_image(path), picture)
    else:
        assert reason_of(path) == "Q_CORRUPT"


@pytest.mark.fault("F11")
def test_read_image_of_one_grey_is_silent(write: Write):
    assert reason_of(write("x.png", file_bytes(Image.new("L", (9, 9), 7), "PNG"))) == "Q_SILENT"


@pytest.mark.parametrize("size", [(7, 40), (40, 7), (1, 1)])
def test_read_image_under_eight_pixels_a_side_is_too_small(size: tuple[int, int], write: Write):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8))
    assert reason_of(write("x.png", file_bytes(noise, "PNG"))) == "Q_TOO_SMALL"


def test_read_image_links_fifos_and_empty_files_are_refused(picture: np.ndarray, write: Write, tmp_path: Path):
    write("real.jpg", encode_image(picture, drawn()))
    (tmp_path / "link.jpg").symlink_to("real.jpg")
    os.mkfifo(tmp_path / "fifo.jpg")
    assert reason_of(tmp_path / "link.jpg") == "Q_LINK"
    assert reason_of(tmp_path / "fifo.jpg") == "Q_NOT_REGULAR"
    assert reason_of(write("empty.jpg", b"")) == "Q_EMPTY"
    assert reason_of(write("text.jpg", b"hello")) == "Q_FORMAT"


@pytest.mark.fault("F07")
def test_read_image_bomb_as_jpeg_is_refused_by_its_header(write: Write):
    bomb = file_bytes(Image.new("L", (12_000, 12_000)), "JPEG")
    assert len(bomb) < 3_000_000
    assert reason_of(write("x.jpg", bomb)) == "Q_TOO_LARGE"


@pytest.mark.fault("F05")
def test_truncated_images_are_never_let_through():
    sources = [path.read_text(encoding="utf-8") for path in (Path(__file__).parents[2] / "src").rglob("*.py")]
    assert not any("LOAD_TRUNCATED_IMAGES" in source for source in sources)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.fault("F09")
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_inspect_image_tells_grey_in_rgb_from_colour(form: str, picture: np.ndarray, write: Write):
    grey = Image.fromarray(picture).convert("RGB")
    colour = Image.merge("RGB", [Image.fromarray(channel) for channel in (picture, 255 - picture, picture // 2)])
    assert [inspect_image(write("x.jpg", file_bytes(image, form)))[1] for image in (grey, colour)] == [False, True]


@pytest.mark.parametrize("quality", [30, 75, 95, 100])
def test_png_is_lossless_to_the_byte_and_jpg_is_not(quality: int, picture: np.ndarray, write: Write):
    png = encode_image(picture, drawn(format="png"))
    stored = read_image(write("x.png", png))
    np.testing.assert_array_equal(stored, picture)
    assert encode_image(stored, drawn(format="png")) == png
    jpg = encode_image(picture, drawn(jpeg_quality=quality))
    assert (read_image(write("x.jpg", jpg)) != picture).any()


def test_image_suffixes_are_lower_case():
    assert frozenset({".jpg", ".jpeg", ".png"}) == IMAGE_SUFFIXES
