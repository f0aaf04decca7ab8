"""All of a stage's outputs or none, whenever it is killed: lock, staging folder, a journal, renames into place.

Once every output is complete and on the disk, a journal says so. From then on the outputs count as published: a
process that dies among the renames leaves the journal, and whatever stage runs next in this folder finishes them first.
"""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from evensong.errors import BusyError, IntegrityError, ResourceError

STAGING_ROOT = Path("artifacts/.staging")
_published: list[str] = []  # by this process
_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
    with _locked(folder.with_suffix(".lock")) as is_ours:
        if not is_ours:
            raise BusyError(f"{name} is already running in this folder; wait for it, or end it")
        _journal_of(folder).unlink(missing_ok=True)  # what a killed run had finished is made anew
        shutil.rmtree(folder, ignore_errors=True)
        staged = Staged(folder, [Path(output) for output in outputs])
        for _, path in staged.items():
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield staged
            moves = _complete(name, staged)
            with _signals_held():
                _write_journal(_journal_of(folder), moves)
                _move_into_place(_journal_of(folder))
                _published.append(name)
        finally:
            if not _journal_of(folder).exists():  # else the staged outputs are the published ones
                shutil.rmtree(folder, ignore_errors=True)


def has_published() -> bool:
    """Whether this process has published its outputs, so that an interrupt comes too late to stop that."""
    return bool(_published)


def finish_interrupted() -> None:
    """Move into place what processes had published when they were killed among the renames.

    Raises:
        ResourceError: an output that is there cannot be replaced.
    """
    for journal in sorted(STAGING_ROOT.glob("*.journal")):
        with _locked(journal.with_suffix(".lock")) as is_ours:
            if is_ours and journal.exists():  # not ours: its stage is running, and starts anew
                with _signals_held():
                    _move_into_place(journal)
                shutil.rmtree(journal.with_suffix(""), ignore_errors=True)


def _journal_of(folder: Path) -> Path:
    return folder.with_suffix(".journal")


def _complete(name: str, staged: Staged) -> list[tuple[Path, Path]]:
    """Every output with its finished staging path on the same disk, with all bytes written through."""
    missing = [str(output) for output, path in staged.items() if not path.exists()]
    if missing:
        raise IntegrityError(f"{name} did not write {', '.join(missing)}")
    moves = [(output, _beside(output, path)) for output, path in staged.items()]
    for path in {path.stat().st_dev: path for _, path in moves}.values():
        _write_through(path)
    return moves


def _beside(output: Path, path: Path) -> Path:
    """The staged path on the output's own disk, copied there where artifacts/ is mounted from another."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if path.stat().st_dev == output.parent.stat().st_dev:
        return path
    near = output.with_name(f".{output.name}.staged")
    _remove(near)
    shutil.move(path, near)
    return near


def _write_through(path: Path) -> None:
    """Wait until the file system has everything on the disk: one call, where each of thousands of files had one."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if sys.platform != "linux" or ctypes.CDLL(None, use_errno=True).syncfs(handle) != 0:
            os.sync()
    finally:
        os.close(handle)


def _write_journal(journal: Path, moves: Sequence[tuple[Path, Path]]) -> None:
    half = journal.with_suffix(".half")
    with half.open("w", encoding="utf-8") as handle:
        json.dump([[str(output), str(path)] for output, path in moves], handle)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(half, journal)


def _move_into_place(journal: Path) -> None:
    """Do the renames of a journal that are not done yet, and strike it out; old outputs go last."""
    moves = [(Path(output), Path(path)) for output, path in json.loads(journal.read_text(encoding="utf-8"))]
    for output, path in moves:
        old = _aside(output)
        try:
            if not path.exists():  # moved before the process was killed
                continue
            if output.exists():
                _remove(old)
                os.rename(output, old)
            os.rename(path, output)
        except OSError as error:  # its text may hold the name of a file inside, and that a patient's id
            raise ResourceError(f"{output}: cannot be replaced ({error.strerror})") from None
    journal.unlink()
    for output, _ in moves:
        _remove(_aside(output))


def _aside(output: Path) -> Path:
    return output.with_name(f".{output.name}.old")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def _signals_held() -> Iterator[None]:
    """An interrupt waits until the block is done."""
    caught: list[int] = []
    before = {number: signal.signal(number, lambda caught_now, _: caught.append(caught_now)) for number in _HELD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for missed in caught:
            signal.raise_signal(missed)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold a lock file; whether it was free. The handle keeps it, not the file, so a killed holder leaves none."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except BlockingIOError:
            is_ours = False
        yield is_ours
