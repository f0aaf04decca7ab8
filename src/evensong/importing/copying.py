"""Files of a plan -> data/: copied, or shared by the file system where it can; the source is only read."""

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from evensong.errors import DataError
from evensong.keys import file_sha256

_FICLONE = 0x40049409  # ioctl of Linux: share the blocks until one of the two changes


class Fate(NamedTuple):
    """What stands at the targets already.

    Attributes:
        new: targets that are free.
        same: those that hold the same bytes.
        other: those that hold others.
    """

    new: list[str]
    same: list[str]
    other: list[str]


def fate_of(files: Mapping[str, str], source: Path, into: Path) -> Fate:
    """Compare a plan's targets with what is there."""
    fate = Fate([], [], [])
    for target, path in sorted(files.items()):
        at = into / target
        if not os.path.lexists(at):
            fate.new.append(target)
        elif at.is_file() and not at.is_symlink() and _is_same(source / path, at):
            fate.same.append(target)
        else:
            fate.other.append(target)
    return fate


def copy(files: Mapping[str, str], source: Path, into: Path, targets: list[str]) -> int:
    """Copy each target that is free, under another name until it is whole.

    Returns:
        How many were reflinked and not copied.

    Raises:
        DataError: a target appeared meanwhile.
    """
    n_shared = 0
    for target in targets:
        at = into / target
        at.parent.mkdir(parents=True, exist_ok=True)
        part = at.with_name(f".{at.name[:200]}.part")
        try:
            n_shared += _copy_file(source / files[target], part)
            os.link(part, at)  # fails, as a rename would not, where something is there by now
        except FileExistsError as error:
            raise DataError(f"{into}: a file of the import appeared meanwhile; run it again") from error
        finally:
            part.unlink(missing_ok=True)
    return n_shared


def _copy_file(path: Path, part: Path) -> bool:
    """Copy one file with its times, which may be the only sign of when it was recorded; True where it is shared."""
    with path.open("rb") as given, part.open("wb") as made:
        try:
            fcntl.ioctl(made.fileno(), _FICLONE, given.fileno())
            is_shared = True
        except OSError:  # another disk, or a file system that cannot
            shutil.copyfileobj(given, made, 1 << 20)
            is_shared = False
    shutil.copystat(path, part)
    part.chmod(0o644)
    return is_shared


def _is_same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and file_sha256(one) == file_sha256(other)
