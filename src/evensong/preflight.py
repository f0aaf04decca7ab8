"""evensong doctor --data: what lies in data/ that DVC cannot hash, found before DVC hangs on it or names a patient.

DVC reads data/ before any stage does: it waits for a FIFO for ever, and prints the path of a link that leads nowhere.
"""

import csv
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from evensong.errors import DataError
from evensong.intake.names import counted, printable

PROBLEMS = Path("artifacts/voice/problems.csv")
_SHOWN = 20
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
    n_entries, found = 0, []
    for path, fault in _entries(root / "data"):
        n_entries += 1
        if fault:
            found.append((printable(path.relative_to(root).as_posix()), fault))
    hidden = [row for row in found if row[0].startswith(_PATIENTS)]
    _write_problems(root / PROBLEMS, hidden)
    if not found:
        return f"data: {counted(n_entries, 'entry').replace('entrys', 'entries')}, all of them files and folders"
    shown = [f"{path}: {fault}" for path, fault in found if not path.startswith(_PATIENTS)]
    lines = [*shown[:_SHOWN], *([f"and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else [])]
    lines += [f"data/voice: {n} x {fault}" for fault, n in sorted(Counter(fault for _, fault in hidden).items())]
    where = f"; those of data/voice are named in {PROBLEMS}" if hidden else ""
    raise DataError(
        "\n  ".join(["DVC cannot read this below data/:", *lines])
        + f"\nmove them away, or put the files themselves there, then run dvc repro{where}"
    )


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


def _write_problems(path: Path, rows: list[tuple[str, str]]) -> None:
    """Name the patients' files for their owner; without any, no older list stays behind."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows([("path", "problem"), *rows])
