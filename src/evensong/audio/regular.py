"""Opening input files: regular ones only, no links, never blocking, no names in messages."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from evensong.errors import InputFault


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open an input file and give its size in bytes.

    A link at the path's end is refused, and a FIFO, socket or device is not waited for. A path that looks like an
    address is a path, and does not exist.

    Raises:
        InputFault: Q_LINK, Q_NOT_REGULAR, Q_UNREADABLE or Q_EMPTY.
    """
    try:
        _check_kind(os.lstat(path).st_mode)
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise InputFault("Q_UNREADABLE", f"cannot be opened ({reason})") from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        _check_kind(status.st_mode)
        if status.st_size == 0:
            raise InputFault("Q_EMPTY", "0 bytes")
        try:
            yield file, status.st_size
        except OSError as error:
            raise InputFault("Q_UNREADABLE", f"cannot be read ({error.strerror})") from error


def _check_kind(mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise InputFault("Q_LINK", "a symbolic link; copy the file itself into the data folder")
    if not stat.S_ISREG(mode):
        raise InputFault("Q_NOT_REGULAR", "not a regular file")
