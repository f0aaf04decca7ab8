"""All of a stage's outputs or none: lock, staging folder, atomic moves into place."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from evensong.errors import BusyError, IntegrityError, ResourceError

STAGING_ROOT = Path("artifacts/.staging")


class Staged:
    """Where each declared output is written until the stage has succeeded."""

    def __init__(self, folder: Path, outputs: Sequence[Path]) -> None:
        self._paths = {output: folder / output for output in outputs}

    def __getitem__(self, output: str | Path) -> Path:
        """The staging path of a declared output; its parent exists.

        Raises:
            IntegrityError: the output was not declared to `publishing`.
        """
        try:
            return self._paths[Path(output)]
        except KeyError as error:
            raise IntegrityError(f"{output} is written but not declared as an output") from error

    def items(self) -> list[tuple[Path, Path]]:
        """Every output with its staging path."""
        return list(self._paths.items())


@contextmanager
def publishing(name: str, outputs: Sequence[str | Path]) -> Iterator[Staged]:
    """Hold the stage's lock, hand out staging paths, and move everything into place at the end.

    Args:
        name: the stage's name, unique among all that may run at once.
        outputs: every file or folder the stage writes, relative to the working folder.

    Raises:
        BusyError: another process runs this stage here.
        IntegrityError: a declared output was not written.
        ResourceError: an output that is there cannot be replaced.
    """
    folder = STAGING_ROOT / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock"), name):
        shutil.rmtree(folder, ignore_errors=True)
        staged = Staged(folder, [Path(output) for output in outputs])
        for _, path in staged.items():
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield staged
            _move_into_place(name, staged)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _move_into_place(name: str, staged: Staged) -> None:
    missing = [str(output) for output, path in staged.items() if not path.exists()]
    if missing:
        raise IntegrityError(f"{name} did not write {', '.join(missing)}")
    for output, path in [(output, _beside(output, path)) for output, path in staged.items()]:
        try:
            if output.is_dir() and not output.is_symlink():
                shutil.rmtree(output)
            os.replace(path, output)
        except OSError as error:  # its text may hold the name of a file inside, and that a patient's id
            raise ResourceError(f"{output}: cannot be replaced ({error.strerror})") from None


def _beside(output: Path, path: Path) -> Path:
    """The staged path on the output's own disk, copied there where artifacts/ is mounted from another."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if path.stat().st_dev == output.parent.stat().st_dev:
        return path
    near = output.with_name(f".{output.name}.staged")
    shutil.rmtree(near, ignore_errors=True)
    shutil.move(path, near)
    return near


@contextmanager
def _locked(path: Path, name: str) -> Iterator[IO[str]]:
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(f"{name} is already running in this folder; wait for it, or end it") from error
        yield handle
