"""Used recordings -> one mel image each, as files and once more as one packed array of the files' pixels."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from evensong.audio.decode import decode, downmix, resample
from evensong.audio.mel import MelTransform, samples_of
from evensong.audio.mel_images import decode_image, encode_image, mel_image, read_image
from evensong.errors import DataError, InputFault, IntegrityError
from evensong.keys import file_sha256
from evensong.run.parallel import map_tasks
from evensong.schemas import VoiceMels
from evensong.voice.disclosure import unnamed_os_errors

_IDS = ["healthCode", "record_id", "column_id"]
_RECORDINGS_A_TASK = 16
_ANY_LENGTH_S = 36_000  # the scan has bounded the length
_FIRST_BYTES = {"jpg": b"\xff\xd8\xff", "png": b"\x89PNG"}
_AGAIN = "run `dvc repro` again while nothing writes to data/"
_SILENCE = 1e-5  # of full scale, under the smallest 16-bit sample


class _Source(NamedTuple):
    """One used recording as the scan describes it, and the path of its image."""

    path: Path
    image_path: Path
    kind: str
    sha256: str


class Made(NamedTuple):
    """What making one image took.

    Args:
        origin: rendered from sound, copied, or converted to the wanted format.
        was_resized: whether the file has another size than the array.
        error_sum: sum over the pixels of what the encoder changed, in grey levels; 0 for copied images.
        error_max: the largest such change.
    """

    origin: str
    was_resized: bool
    error_sum: int
    error_max: int


def image_table(
    used: pd.DataFrame, settings: VoiceMels, image_folder: str, pixels_sha256: Sequence[str]
) -> pd.DataFrame:
    """The row of every used recording in the packed array, and its image's path.

    Args:
        used: the scan's used recordings.
        image_folder: published folder of the images, relative to the repository.
        pixels_sha256: of every image in the packed array, in its order, from `pixel_digests`.

    Returns:
        row, item_id, healthCode, record_id, column_id, image_rel_path, pixels_sha256; sorted by item_id.
    """
    table = used[_IDS].copy()
    table.insert(0, "item_id", table["healthCode"] + "_" + table["record_id"] + "_" + table["column_id"])
    table["image_rel_path"] = image_folder + "/" + table["item_id"] + "." + settings.format
    table["pixels_sha256"] = list(pixels_sha256)
    table = table.sort_values("item_id").reset_index(drop=True)
    table.insert(0, "row", range(len(table)))
    return table


def make_images(
    used: pd.DataFrame, settings: VoiceMels, *, root: Path, image_folder: Path, array_path: Path, workers: int
) -> dict[str, Any]:
    """Write one image a recording into a new folder, and all their pixels into one array, in the order of `used`.

    A ready-made image is copied byte for byte where it has the wanted format, and stored anew in its own size where
    it has not; the array holds every image in the size of the settings.

    Args:
        used: the scan's used recordings, sorted by item_id.
        root: the recordings folder.

    Returns:
        Aggregates for the metrics file; errors of the encoder in dB.

    Raises:
        IntegrityError: a recording is not the one that was scanned.
    """
    image_folder.mkdir(parents=True)
    sources = [
        _Source(root / path, image_folder / f"{'_'.join(ids)}.{settings.format}", kind, sha256)
        for path, kind, sha256, *ids in used[["path", "kind", "sha256", *_IDS]].itertuples(index=False)
    ]
    batches = [sources[start : start + _RECORDINGS_A_TASK] for start in range(0, len(sources), _RECORDINGS_A_TASK)]
    make_batch = partial(_make_batch, settings)
    if "audio" in set(used["kind"]):  # build the mel transform here: forked workers find it ready
        mel_image(np.sin(np.arange(settings.n_fft, dtype=np.float32)), settings)
    made: list[Made] = []
    with array_path.open("wb") as packed:  # no memory map: on a full disk that would end the process by a signal
        _write_header(packed, (len(sources), settings.n_mels, settings.width_px))
        for batch in map_tasks(make_batch, batches, workers=workers, label="voice mel images", unit="batch"):
            packed.writelines(pixels.tobytes() for pixels, _ in batch)
            made += [facts for _, facts in batch]
    return _count_images(made, settings) | _count_sounds(used[used["kind"] == "audio"], settings)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The head of an .npy file of uint8 in C order."""
    descr = np.lib.format.dtype_to_descr(np.dtype(np.uint8))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _make_batch(settings: VoiceMels, sources: Sequence[_Source]) -> list[tuple[np.ndarray, Made]]:
    """(n_mels, width_px) uint8 pixels as read back from each published file, and how it was made."""
    with unnamed_os_errors("a mel image cannot be made"):
        return [_make(source, settings) for source in sources]


def _make(source: _Source, settings: VoiceMels) -> tuple[np.ndarray, Made]:
    with _as_scanned(source.path, source.sha256):
        return _take_image(source, settings) if source.kind == "image" else _render(source, settings)


@contextmanager
def _as_scanned(path: Path, sha256: str) -> Iterator[None]:
    """Refuse a recording that is not the one that was scanned, or cannot be read any more."""
    try:
        if _digest(path) != sha256:
            raise IntegrityError(f"a recording changed since the scan; {_AGAIN}")
        yield
    except InputFault as fault:
        raise IntegrityError(
            f"a recording that the scan could read cannot be read any more ({fault}); {_AGAIN}"
        ) from None


def _digest(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise InputFault("Q_UNREADABLE", f"cannot be read ({error.strerror})") from None


def _take_image(source: _Source, settings: VoiceMels) -> tuple[np.ndarray, Made]:
    with source.path.open("rb") as file:  # by content: a PNG may be named .jpg
        is_same = file.read(8).startswith(_FIRST_BYTES[settings.format])
    if is_same:
        shutil.copyfile(source.path, source.image_path)
        change = (0, 0)
    else:
        image = read_image(source.path)
        source.image_path.write_bytes(encode_image(image, settings))
        change = _change(read_image(source.image_path), image)
    pixels, size = _read_back(source.image_path, settings)
    return pixels, Made("copied" if is_same else "converted", size != pixels.shape, *change)


def read_sound(path: Path, sha256: str) -> tuple[np.ndarray, int]:
    """A used recording as one channel (n,) float32, and its own sample rate.

    Raises:
        IntegrityError: it is not the recording that was scanned.
    """
    with _as_scanned(path, sha256):
        return _mono(path)


def _mono(path: Path) -> tuple[np.ndarray, int]:
    decoded = decode(path, max_seconds=_ANY_LENGTH_S)
    return downmix(decoded.waves)[0], decoded.sample_rate_hz


def _render(source: _Source, settings: VoiceMels) -> tuple[np.ndarray, Made]:
    wave = resample(*_mono(source.path), settings.sample_rate_hz)
    image = mel_image(from_first_sound(wave, samples_of(settings, settings.sample_rate_hz)), settings)
    if image.min() == image.max():
        raise DataError(
            "a recording's mel image has one grey everywhere: all of it is outside voice.mels.min_db to max_db; widen "
            "that range, or set voice.mels.reference: peak"
        )
    source.image_path.write_bytes(encode_image(image, settings))
    pixels, size = _read_back(source.image_path, settings)
    return pixels, Made("rendered", size != pixels.shape, *_change(pixels, image))


def _read_back(path: Path, settings: VoiceMels) -> tuple[np.ndarray, tuple[int, int]]:
    """The published file's pixels in the array's size, and the file's own size."""
    return decode_image(path, height_px=settings.n_mels, width_px=settings.width_px)


def _change(stored: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    """Sum and largest of what an encoder changed, in grey levels."""
    change = np.abs(stored.astype(np.int64) - image)
    return int(change.sum()), int(change.max())


def from_first_sound(wave: np.ndarray, n_samples: int) -> np.ndarray:
    """The wave, without its silent start where the part that would be drawn holds nothing else.

    Args:
        wave: (n,) float32, full scale +/-1, not silent as a whole.
        n_samples: length of the drawn part.
    """
    if np.abs(wave[:n_samples]).max() >= _SILENCE:
        return wave
    return wave[int(np.argmax(np.abs(wave) >= _SILENCE)) :]


def _count_images(made: Sequence[Made], settings: VoiceMels) -> dict[str, Any]:
    """Where the images come from and what encoding them cost: dB for drawn ones, grey levels for ready-made ones.

    Why levels: what a level of a ready-made image stands for is not known.
    """
    rendered, copied, converted = (
        [image for image in made if image.origin == origin] for origin in ("rendered", "copied", "converted")
    )
    db_a_level = (settings.max_db - settings.min_db) / 255
    n_pixels = len(rendered) * settings.n_mels * settings.width_px
    mean_level = sum(image.error_sum for image in rendered) / n_pixels if rendered else 0
    max_level = max((image.error_max for image in rendered), default=0)
    return {
        "images": len(made),
        "rendered": len(rendered),
        "copied": len(copied),
        "converted": len(converted),
        "resized_for_training": sum(image.was_resized for image in made),
        "encoding_error_mean_db": round(mean_level * db_a_level, 4) if rendered else None,
        "encoding_error_max_db": round(max_level * db_a_level, 4) if rendered else None,
        "conversion_error_max_levels": max((image.error_max for image in converted), default=None),
    }


def _count_sounds(sounds: pd.DataFrame, settings: VoiceMels) -> dict[str, Any]:
    """How many recordings the settings cut, lengthen, or ask for more bandwidth than they have."""
    duration_s = sounds["duration_s"].astype("float64")
    half_rate_hz = sounds["sample_rate_hz"].astype("float64") / 2
    unused_s = float((duration_s - settings.clip_seconds).clip(lower=0).sum())
    return {
        "unused_sound_share": round(unused_s / float(duration_s.sum()), 4) if len(sounds) else 0.0,
        "longer_than_clip": int((duration_s > settings.clip_seconds).sum()),
        "shorter_than_clip": int((duration_s < settings.clip_seconds).sum()),
        "sampled_under_fmax": int((half_rate_hz < settings.fmax_hz).sum()),
        "lowest_rate_hz": int(2 * half_rate_hz.min()) if len(sounds) else None,
    }


def fitting(settings: VoiceMels, rate_hz: int) -> dict[str, int]:
    """The values to change, by name, so that recordings of this rate fill the image.

    Args:
        rate_hz: 1000 or more, under twice ``fmax_hz``.

    Returns:
        sample_rate_hz, fmax_hz, n_fft and hop_length of the same time as before, and fmin_hz where it lies too high;
        n_fft is doubled until every mel band has weight.
    """
    share = rate_hz / settings.sample_rate_hz
    n_fft, hop_length = max(16, round(settings.n_fft * share)), max(1, round(settings.hop_length * share))
    values = {"sample_rate_hz": rate_hz, "fmax_hz": rate_hz // 2, "n_fft": n_fft, "hop_length": hop_length}
    if settings.fmin_hz >= rate_hz // 2:
        values["fmin_hz"] = 0
    while not _has_full_bands(settings.model_copy(update=values)):
        values["n_fft"] *= 2
    return values


def _has_full_bands(settings: VoiceMels) -> bool:
    try:
        MelTransform(settings, settings.sample_rate_hz)
    except DataError:
        return False
    return True


def describe(counts: Mapping[str, Any], settings: VoiceMels) -> list[str]:
    """The counts of `make_images` as lines to read."""
    lines = [
        f"{counts['images']} mel images ({settings.format}): {counts['rendered']} drawn from recordings, "
        f"{counts['copied']} ready-made and copied, {counts['converted']} ready-made and stored anew"
    ]
    if counts["rendered"]:
        mean_db, max_db = counts["encoding_error_mean_db"], counts["encoding_error_max_db"]
        lines.append(f"{settings.format} changes the drawn images by {mean_db:.2g} dB on average, {max_db:.2g} at most")
    clip = f"clip_seconds ({settings.clip_seconds:g} s)"
    unused = counts["unused_sound_share"]
    size = f"{settings.n_mels} x {settings.width_px} px"
    notes = {
        "longer_than_clip": f"recordings are longer than voice.mels.{clip}; {unused:.1%} of the sound is not used",
        "shorter_than_clip": f"recordings are shorter than voice.mels.{clip}; silence is drawn after them",
        "resized_for_training": f"ready-made images are not of {size}; the array for training holds them resized",
    }
    if counts["sampled_under_fmax"]:
        notes["sampled_under_fmax"] = _too_slow(settings, counts["lowest_rate_hz"])
    return lines + [f"NOTE: {counts[name]} {note}" for name, note in notes.items() if counts[name]]


def _too_slow(settings: VoiceMels, lowest_hz: int) -> str:
    """What recordings of a low rate lack, and every value to change for them at once."""
    values = " ".join(f"-S voice.mels.{name}={value}" for name, value in fitting(settings, lowest_hz).items())
    return (
        f"recordings have half their rate under voice.mels.fmax_hz ({settings.fmax_hz:g} Hz), the lowest rate is "
        f"{lowest_hz} Hz; the rows above are empty in theirs, which can tell them from the others. What fits all: "
        f"dvc exp run {values}"
    )
