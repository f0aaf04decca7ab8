"""Where the sounds of the pool lie: a file each or, in a large pool, the very same files in one tar a class."""

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evensong.audio.wav import OWN_HEADER_BYTES, parse_wav
from evensong.errors import IntegrityError
from evensong.run.parallel import map_tasks

_BLOCK = 512  # bytes; a tar has headers and contents in whole ones
_SHORT_NAME = 100  # characters; a longer name takes a header of its own, of two blocks: ours have at most 320
_END = bytes(2 * _BLOCK)
_CURE = "run dvc repro night_augment"


@dataclass(frozen=True)
class PoolFile:
    """One WAV of the pool.

    Attributes:
        name: its file_path in pool.csv.
        place: the file itself, or the tar that holds it.
        first_byte: of place.
        n_bytes: -1 for all that follow.
    """

    name: str
    place: Path
    first_byte: int
    n_bytes: int
    sha256: str
    sample_rate_hz: int

    def content(self) -> bytes:
        """The WAV's bytes.

        Raises:
            IntegrityError: they cannot be read, or are not those of the digest.
        """
        try:
            with self.place.open("rb") as file:
                file.seek(self.first_byte)
                content = file.read(self.n_bytes)
        except OSError as error:
            why = error.strerror
            raise IntegrityError(f"{self.place}: pool file {self.name} cannot be read ({why}); {_CURE}") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise self._other()
        return content

    def wave(self) -> NDArray[np.float32]:
        """The samples, (n_samples,) float32 in [-1, 1).

        Raises:
            IntegrityError: as `content`, or the sample rate is not the table's.
        """
        wave, rate_hz = parse_wav(self.content(), self.name)
        if rate_hz != self.sample_rate_hz:
            raise self._other()
        return wave

    def _other(self) -> IntegrityError:
        return IntegrityError(
            f"{self.place}: {self.name} is not the file that pool.csv says; pool and pool.csv do not belong together, "
            f"{_CURE}"
        )


def pool_files(pool: pd.DataFrame, folder: Path) -> pd.Series:
    """Say where every file of the pool lies.

    Why no list is read from the tars: what lies before a file follows from the table, and its digest says that it is
    the right one.

    Args:
        pool: the whole table, from `read_pool`.
        folder: of the pool, in either layout.

    Returns:
        A PoolFile a row, with the table's index.
    """
    facts = pool[["file_path", "class_slug", "sha256", "sample_rate_hz"]].itertuples(index=False, name=None)
    if any(path.is_file() for path in folder.glob("*.tar")):
        files = [
            PoolFile(name, _tar_of(folder, class_slug), first_byte, n_bytes, sha256, int(rate_hz))
            for (name, class_slug, sha256, rate_hz), (first_byte, n_bytes) in zip(facts, _extents(pool), strict=True)
        ]
    else:
        files = [PoolFile(name, folder / name, 0, -1, sha256, int(rate_hz)) for name, _, sha256, rate_hz in facts]
    return pd.Series(files, index=pool.index, dtype=object)


def pack(pool: pd.DataFrame, loose: Path, folder: Path, *, workers: int) -> None:
    """Turn a folder of files a class into one tar a class; the disk never holds more than a file a worker twice.

    Args:
        pool: the whole table; a class's tar has its files by mel_row, under the names of file_path.
        loose: folder of the files; it is empty in the end, and gone.
        folder: to create.
        workers: processes; no byte depends on it.
    """
    folder.mkdir()
    tasks = [
        _Class(loose, _tar_of(folder, str(class_slug)), tuple(files.sort_values("mel_row")["file_path"]))
        for class_slug, files in pool.groupby("class_slug", sort=True)
    ]
    list(map_tasks(_pack_class, tasks, workers=workers, label="night_augment, packing", unit="class"))
    loose.rmdir()


@dataclass(frozen=True)
class _Class:
    """The files of one class, in order, and the tar to write."""

    loose: Path
    tar: Path
    names: tuple[str, ...]


def _pack_class(task: _Class) -> None:
    """Move files into a tar, one by one; runs in a worker."""
    with task.tar.open("xb") as tar:
        for name in task.names:
            path = task.loose / name
            content = path.read_bytes()
            tar.write(_header(name, len(content)) + content + bytes(-len(content) % _BLOCK))
            path.unlink()
        tar.write(_END)
    (task.loose / task.tar.stem).rmdir()


def _header(name: str, n_bytes: int) -> bytes:
    """What precedes a file in a tar (POSIX.1-2001, "pax"): nothing of time, owner or machine."""
    entry = tarfile.TarInfo(name)
    entry.size = n_bytes
    return entry.tobuf(tarfile.PAX_FORMAT)


def _tar_of(folder: Path, class_slug: str) -> Path:
    return folder / f"{class_slug}.tar"


def _extents(pool: pd.DataFrame) -> list[tuple[int, int]]:
    """First byte and length of every file in its class's tar, in the order of the rows."""
    n_bytes = OWN_HEADER_BYTES + 2 * pool["n_samples"]
    n_head = _BLOCK * np.where(pool["file_path"].str.len() > _SHORT_NAME, 3, 1)
    n_room = n_head + n_bytes + -n_bytes % _BLOCK
    ends = n_room[pool["mel_row"].sort_values().index].groupby(pool["class_slug"]).cumsum()
    starts = ends.reindex(pool.index) - n_room + n_head
    return list(zip(starts.tolist(), n_bytes.tolist(), strict=True))
