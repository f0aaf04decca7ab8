"""Mono waves to 8-bit mel images and their files, and ready-made mel images back to pixels."""

import io
import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from evensong.audio.containers import open_regular
from evensong.errors import DataError, InputFault
from evensong.schemas import VoiceMels

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})

_TINY = 1e-30  # power; far under any min_db, keeps the logarithm defined
_MAX_PIXELS = 4_000_000
_MIN_SIDE = 8  # pixels; as the settings ask of rendered images
_ORIENTATION = 0x0112  # EXIF tag
_MODES = ("L", "RGB", "RGBA")
_MAX_TINT = 8  # grey levels between the channels of one pixel that are still grey


def mel_image(wave: np.ndarray, settings: VoiceMels) -> np.ndarray:
    """Draw one recording as a mel image.

    The mel power is averaged into width_px equal spans of time, then min_db to max_db is mapped to 0 to 255.

    Args:
        wave: (n_samples,) float32, full scale +/-1, at settings.sample_rate_hz.

    Returns:
        (n_mels, width_px) uint8; row 0 is the highest band, dB re the image's peak or re power 1.0.

    Raises:
        DataError: wave is not 1-D, has a non-finite sample, or is silent where the peak is the reference.
    """
    from evensong.audio.mel import decibels, transform_of  # a heavy import, and the scan draws nothing

    power = transform_of(settings, settings.sample_rate_hz).power(wave)
    power = np.maximum(_resize_time(power, settings.width_px), _TINY)
    level_db = decibels(power)
    if settings.reference == "peak":
        if power.max() <= _TINY:
            raise DataError("a silent recording has no peak to draw against; the scan should have quarantined it")
        level_db = level_db - level_db.max()
    grey = (level_db - settings.min_db) * (255 / (settings.max_db - settings.min_db))
    image: np.ndarray = np.rint(np.clip(grey, 0, 255)).astype(np.uint8)[::-1]
    return np.ascontiguousarray(image)


def _resize_time(power: np.ndarray, width_px: int) -> np.ndarray:
    """Mean power over width_px equal spans of the frames, (n_mels, width_px); a frame counts by its overlap."""
    n_frames = power.shape[1]
    if n_frames == width_px:
        return power
    summed = np.concatenate([np.zeros((len(power), 1)), np.cumsum(power, axis=1)], axis=1)
    edges = np.arange(width_px + 1) * (n_frames / width_px)
    whole = np.minimum(edges.astype(np.int64), n_frames - 1)
    below = summed[:, whole] + power[:, whole] * (edges - whole)
    resized: np.ndarray = np.diff(below, axis=1) * (width_px / n_frames)
    return resized


def encode_image(image: np.ndarray, settings: VoiceMels) -> bytes:
    """Encode a grey image as the settings' format; equal pixels give equal bytes.

    Args:
        image: (height, width) uint8.

    Returns:
        The file's content.
    """
    if image.dtype != np.uint8 or image.ndim != 2:
        raise TypeError(f"encode_image takes 2-D uint8, got {image.dtype} of shape {image.shape}")
    buffer = io.BytesIO()
    if settings.format == "jpg":
        Image.fromarray(image).save(buffer, "JPEG", quality=settings.jpeg_quality)
    else:
        Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def inspect_image(path: Path) -> tuple[np.ndarray, bool]:
    """Read a ready-made mel image completely, as grey and in its own size.

    Returns:
        (height, width) uint8, and whether the file was in colour: a colour map's grey is its brightness, which need
        not rise with the level it stands for.

    Raises:
        InputFault: Q_LINK, Q_NOT_REGULAR, Q_UNREADABLE, Q_EMPTY, Q_FORMAT, Q_TRUNCATED, Q_CORRUPT, Q_TOO_LARGE,
            Q_TOO_SMALL, Q_MODE, Q_EXIF or Q_SILENT (one grey everywhere); no message holds the name.
    """
    image = _read_image(path)
    pixels = np.asarray(image.convert("L"))
    if pixels.min() == pixels.max():
        raise InputFault("Q_SILENT", f"every pixel is {pixels.min()}")
    is_colour = image.mode == "RGB" and bool(np.ptp(np.asarray(image), axis=2).max() > _MAX_TINT)
    return pixels.copy(), is_colour


def read_image(path: Path) -> np.ndarray:
    """The (height, width) uint8 pixels of `inspect_image`."""
    return inspect_image(path)[0]


def decode_image(path: Path, height_px: int, width_px: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Read a mel image as grey at the size the network takes.

    Returns:
        (height_px, width_px) uint8, and the height and width that the file has.

    Raises:
        InputFault: as `inspect_image`, but an image of one grey is let through.
    """
    grey = _read_image(path).convert("L")
    size = (grey.height, grey.width)
    if size != (height_px, width_px):
        grey = grey.resize((width_px, height_px), Image.Resampling.BILINEAR)
    return np.asarray(grey).copy(), size


def _read_image(path: Path) -> Image.Image:
    """A completely decoded image, mode L or RGB."""
    with open_regular(path) as (file, _):
        image = _load(file)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        raise InputFault("Q_MODE", "a transparent image")
    return image if image.mode == "L" else image.convert("RGB")


def _load(file: BinaryIO) -> Image.Image:
    """Decode every pixel of a JPEG or PNG after checking its header."""
    raw_head = file.read(16)
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(file, formats=["JPEG", "PNG"])
            _check_header(image)
            image.load()
        except UnidentifiedImageError as error:
            known = raw_head.startswith((b"\xff\xd8\xff", b"\x89PNG"))
            raise InputFault("Q_TRUNCATED" if known else "Q_FORMAT", "no readable JPEG or PNG header") from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputFault("Q_TOO_LARGE", f"more than {_MAX_PIXELS} pixels") from error
        except (OSError, SyntaxError, ValueError) as error:
            reason = "Q_TRUNCATED" if "truncated" in str(error) else "Q_CORRUPT"
            raise InputFault(reason, "the pixels cannot be decoded completely") from error
    return image


def _check_header(image: Image.Image) -> None:
    if image.width * image.height > _MAX_PIXELS:
        raise InputFault("Q_TOO_LARGE", f"{image.width} x {image.height} pixels, more than {_MAX_PIXELS}")
    if min(image.size) < _MIN_SIDE:
        raise InputFault("Q_TOO_SMALL", f"{image.width} x {image.height} pixels, fewer than {_MIN_SIDE} a side")
    if image.mode not in _MODES:
        raise InputFault("Q_MODE", f"colour mode {image.mode}; grey and RGB are read")
    if _orientation(image) != 1:
        raise InputFault("Q_EXIF", "turned by an EXIF orientation; store the pixels upright")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none; Pillow lets a torn EXIF block's own errors through."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (struct.error, OSError, SyntaxError, ValueError, TypeError, KeyError) as error:
        raise InputFault("Q_CORRUPT", "an EXIF block that cannot be read; store the image without it") from error
