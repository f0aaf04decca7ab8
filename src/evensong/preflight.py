"""evensong doctor --data: what lies in data/ that DVC cannot hash, found before DVC hangs on it or names a patient.

DVC reads data/ before any stage does: it waits for a FIFO for ever, and prints the path of a link that leads nowhere.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from evensong.errors import DataError

PROBLEMS = Path("artifacts/voice/problems.csv")
_ADVICE = "move them away, or put the files themselves there, then run dvc repro"
_PATIENTS = "data/voice/"


def check_data(root: Path) -> str:
    """Walk data/ without opening a file or following a link.

    Args:
        root: folder of the repository.

    Returns:
        One line on what was found in order.

    Raises:
        DataError: something DVC cannot read; names what lies outside data/voice. What lies inside holds patients' ids:
            it is counted, and named in PROBLEMS only, a local file that git ignores.
    """
    entries = list(_entries(root / "data"))
    found = [(path.relative_to(root).as_posix(), fault) for path, fault in entries if fault]
    if found:
        raise DataError(_told(root, found))
    return f"data: {len(entries)} files and folders, all of them readable"


def _told(root: Path, found: list[tuple[str, str]]) -> str:
    from evensong.intake.problems import FileProblem, problem_file, tell_names  # slow to import, and seldom needed

    problems = [FileProblem(*fault) for fault in found]
    hidden = [problem for problem in problems if problem.path.startswith(_PATIENTS)]
    shown = [problem for problem in problems if problem not in hidden]
    told = [tell_names("DVC cannot read this", shown)] if shown else []
    told += [problem_file(root / PROBLEMS)("DVC cannot read this in data/voice", hidden)] if hidden else []
    return "\n".join([*told, _ADVICE])


def _entries(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Everything below a folder, sorted, each with what is wrong with it."""
    try:
        with os.scandir(folder) as items:
            entries = sorted(items, key=lambda item: os.fsencode(item.name))
    except FileNotFoundError:
        return
    except OSError as error:
        yield folder, f"cannot be read ({error.strerror})"
        return
    for item in entries:
        path = folder / item.name
        yield path, _fault(item)
        if item.is_dir(follow_symlinks=False):
            yield from _entries(path)


def _fault(item: "os.DirEntry[str]") -> str | None:
    """What is wrong with one entry; a folder that cannot be read says so when it is entered."""
    mode = item.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "a pipe (FIFO)" if stat.S_ISFIFO(mode) else "a socket or a device"
    try:
        item.name.encode("utf-8")
    except UnicodeEncodeError:
        return "a name that is not UTF-8"
    is_effective = os.access in os.supports_effective_ids
    if stat.S_ISREG(mode) and not os.access(item.path, os.R_OK, effective_ids=is_effective):
        return "cannot be read (Permission denied)"
    return None
