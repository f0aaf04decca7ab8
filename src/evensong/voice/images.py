"""Used recordings -> one mel image each, as files and once more as one packed array of the files' pixels."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from evensong.audio.decode import decode, downmix, resample
from evensong.audio.mel import samples_of
from evensong.audio.mel_images import decode_image, encode_image, mel_image, read_image
from evensong.errors import DataError, InputFault, IntegrityError
from evensong.keys import file_sha256
from evensong.run.parallel import map_tasks
from evensong.schemas import VoiceMels
from evensong.voice.disclosure import unnamed_os_errors
from evensong.voice.image_counts import Made, count_images, count_sounds

_RECORDINGS_A_TASK = 16
_ANY_LENGTH_S = 36_000  # the scan has bounded the length
_FIRST_BYTES = {"jpg": b"\xff\xd8\xff", "png": b"\x89PNG"}
_AGAIN = "run `dvc repro` again while nothing writes to data/"
_SILENCE = 1e-5  # of full scale, under the smallest 16-bit sample


@dataclass(frozen=True)
class _Source:
    """One used recording as the scan describes it, and the path of its image."""

    path: Path
    image_path: Path
    kind: str
    sha256: str


@dataclass(frozen=True)
class _Task:
    sources: tuple[_Source, ...]
    settings: VoiceMels


def image_table(used: pd.DataFrame, settings: VoiceMels, image_folder: str) -> pd.DataFrame:
    """The row of every used recording in the packed array, and its image's path.

    Args:
        used: the scan's used recordings.
        image_folder: published folder of the images, relative to the repository.

    Returns:
        row, item_id, healthCode, record_id, column_id, image_rel_path; sorted by item_id.
    """
    table = used[["healthCode", "record_id", "column_id"]].copy()
    table.insert(0, "item_id", table["healthCode"] + "_" + table["record_id"] + "_" + table["column_id"])
    table["image_rel_path"] = image_folder + "/" + table["item_id"] + "." + settings.format
    table = table.sort_values("item_id").reset_index(drop=True)
    table.insert(0, "row", range(len(table)))
    return table


def make_images(
    used: pd.DataFrame,
    settings: VoiceMels,
    *,
    root: Path,
    image_folder: Path,
    array_path: Path,
    workers: int,
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
    sources = _sources(used, root, image_folder, settings.format)
    starts = range(0, len(sources), _RECORDINGS_A_TASK)
    tasks = [_Task(tuple(sources[start : start + _RECORDINGS_A_TASK]), settings) for start in starts]
    if "audio" in set(used["kind"]):
        _warm_up(settings)
    made: list[Made] = []
    with array_path.open("wb") as packed:  # no memory map: on a full disk that would end the process by a signal
        _write_header(packed, (len(sources), settings.n_mels, settings.width_px))
        for batch in map_tasks(_make_batch, tasks, workers=workers, label="voice mel images", unit="batch"):
            packed.writelines(pixels.tobytes() for pixels, _ in batch)
            made += [facts for _, facts in batch]
    return count_images(made, settings) | count_sounds(used[used["kind"] == "audio"], settings)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The head of an .npy file of uint8 in C order."""
    descr = np.lib.format.dtype_to_descr(np.dtype(np.uint8))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _sources(used: pd.DataFrame, root: Path, image_folder: Path, suffix: str) -> list[_Source]:
    columns = ["path", "kind", "sha256", "healthCode", "record_id", "column_id"]
    return [
        _Source(root / path, image_folder / f"{'_'.join(ids)}.{suffix}", kind, sha256)
        for path, kind, sha256, *ids in used[columns].itertuples(index=False)
    ]


def _warm_up(settings: VoiceMels) -> None:
    """Build the mel transform here, so that forked workers find it ready instead of building one each."""
    mel_image(np.sin(np.arange(settings.n_fft, dtype=np.float32)), settings)


def _make_batch(task: _Task) -> list[tuple[np.ndarray, Made]]:
    """(n_mels, width_px) uint8 pixels as read back from each published file, and how it was made."""
    with unnamed_os_errors("a mel image cannot be made"):
        return [_make(source, task.settings) for source in task.sources]


def _make(source: _Source, settings: VoiceMels) -> tuple[np.ndarray, Made]:
    try:
        if _digest(source.path) != source.sha256:
            raise IntegrityError(f"a recording changed since the scan; {_AGAIN}")
        if source.kind == "image":
            return _take_image(source, settings)
        return _render(source, settings)
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
    error_sum = error_max = 0
    if is_same:
        shutil.copyfile(source.path, source.image_path)
    else:
        image = read_image(source.path)
        source.image_path.write_bytes(encode_image(image, settings))
        error_sum, error_max = _change(read_image(source.image_path), image)
    pixels, size = _read_back(source.image_path, settings)
    return pixels, Made("copied" if is_same else "converted", size != pixels.shape, error_sum, error_max)


def _render(source: _Source, settings: VoiceMels) -> tuple[np.ndarray, Made]:
    decoded = decode(source.path, max_seconds=_ANY_LENGTH_S)
    wave, _ = downmix(decoded.waves)
    wave = resample(wave, decoded.sample_rate_hz, settings.sample_rate_hz)
    image = mel_image(from_first_sound(wave, samples_of(settings, settings.sample_rate_hz)), settings)
    if image.min() == image.max():
        raise DataError(
            "a recording's mel image has one grey everywhere: all of it is outside voice.mels.min_db to max_db; widen "
            "that range, or set voice.mels.reference: peak"
        )
    source.image_path.write_bytes(encode_image(image, settings))
    pixels, size = _read_back(source.image_path, settings)
    return pixels, Made("rendered", size != pixels.shape, *_change(pixels, image))


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


def _read_back(path: Path, settings: VoiceMels) -> tuple[np.ndarray, tuple[int, int]]:
    """The published file's pixels in the array's size, and the file's own size."""
    return decode_image(path, height_px=settings.n_mels, width_px=settings.width_px)
