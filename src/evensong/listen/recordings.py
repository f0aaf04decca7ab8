"""What the user named -> the recordings to listen to, and what was passed over."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evensong.audio.decode import AUDIO_SUFFIXES
from evensong.errors import DataError, ParamsError


@dataclass(frozen=True)
class Recording:
    """One file to score.

    Attributes:
        path: as the user reaches it, for reading and for the file column.
        name: below the folder that was named, or the bare file name; where its table goes.
    """

    path: Path
    name: Path


def list_recordings(named: Sequence[Path]) -> tuple[list[Recording], int]:
    """List files as they are named, and every audio file inside the folders, sorted; links are not followed.

    Returns:
        The recordings, each once, and the number of files in the folders that are no audio by their name.

    Raises:
        ParamsError: something named is not there.
        DataError: no recording at all.
    """
    found: dict[Path, Recording] = {}
    n_others = 0
    for path in named:
        if not os.path.lexists(path):
            raise ParamsError(f"{path}: no such file or folder")
        if not path.is_dir():
            found.setdefault(path, Recording(path, Path(path.name)))
            continue
        for inside in _files_in(path):
            if inside.suffix.lower() in AUDIO_SUFFIXES:
                found.setdefault(inside, Recording(inside, inside.relative_to(path)))
            else:
                n_others += 1
    if not found:
        raise DataError(
            f"no recordings in {', '.join(map(str, named))}; read are files named {', '.join(sorted(AUDIO_SUFFIXES))}"
        )
    return list(found.values()), n_others


def _files_in(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error

    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in sorted(names) if not name.startswith("."))
