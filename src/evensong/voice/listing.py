"""data/voice/recordings -> every entry, named or with the rule that sets it aside; nothing is opened here."""

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evensong.audio.decode import UNREAD_SUFFIXES
from evensong.errors import DataError, InputFault
from evensong.voice.names import RecordingName, parse_name, suffix_of

_OS_JUNK = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "icon\r", "$recycle.bin"})

# How a user finds file 12 of a message that may not name it.
HOW_TO_FIND = (
    "`find . -not -path '*/.*' -not -ipath '*/__MACOSX/*' -not -ipath '*/$RECYCLE.BIN/*' -not -type d | "
    "LC_ALL=C sort | sed -n 12p` in that folder shows file 12"
)

# What a recording or an image may have been saved as by others; named like one, such a file is one, and counts.
_UNREAD = UNREAD_SUFFIXES | {".bmp", ".gif", ".heic", ".tif", ".tiff", ".webp"}
_UNFINISHED = frozenset({".crdownload", ".download", ".part", ".partial", ".tmp"})


@dataclass(frozen=True)
class Entry:
    """One entry under the folder.

    Args:
        path: relative to the folder, with slashes, as the system gives it.
        number: 1 for the first of all entries that are neither hidden nor folders, in byte order; 0 for the others.
        outcome: a candidate is still to be decoded.
        reason: rule or fault code; empty for a candidate.
        name: a candidate's ids.
    """

    path: str
    number: int
    outcome: Literal["candidate", "quarantined", "ignored"]
    reason: str = ""
    detail: str = ""
    name: RecordingName | None = None


def list_entries(root: Path, suffixes: frozenset[str]) -> list[Entry]:
    """List everything under the folder and its subfolders, in byte order of the paths.

    Args:
        suffixes: lower-case extensions of recordings and images, with their dot.

    Raises:
        DataError: the folder is missing or cannot be read.
    """
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder; put the recordings there, named {{healthCode}}_{{record_id}}_{{column_id}}.m4a "
            "(or another audio format, or .jpg and .png for ready-made mel images)"
        )
    entries: list[Entry] = []
    number = 0
    for item, path in sorted(_walk(root, ""), key=lambda found: os.fsencode(found[1])):
        is_counted = not item.name.startswith(".") and not item.is_dir(follow_symlinks=False)
        number += is_counted
        entries.append(_entry(item, path, number if is_counted else 0, suffixes))
    return entries


def printable(path: str) -> str:
    """A path that fits on one line of a table: control characters and undecodable bytes as escapes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(
        char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char
        for char in text
    )


def _walk(folder: Path, prefix: str) -> Iterator[tuple["os.DirEntry[str]", str]]:
    """Every file, and hidden folders as one entry each; links are never followed."""
    try:
        with os.scandir(folder) as items:
            found = list(items)
    except OSError as error:
        raise DataError(f"a folder of recordings cannot be read ({error.strerror})") from None
    for item in found:
        is_inner = item.is_dir(follow_symlinks=False) and _rule(item.name) is None
        if is_inner:
            yield from _walk(folder / item.name, f"{prefix}{item.name}/")
        else:
            yield item, prefix + item.name


def _rule(name: str) -> str | None:
    if name.casefold() in _OS_JUNK:
        return "system file"
    return "hidden" if name.startswith(".") else None


def _entry(item: "os.DirEntry[str]", path: str, number: int, suffixes: frozenset[str]) -> Entry:
    rule = _rule(item.name)
    if rule is not None:
        return Entry(path, number, "ignored", rule)
    suffix = suffix_of(item.name)
    if suffix not in suffixes and not _is_named_recording(item.name):
        return Entry(path, number, "ignored", "not a recording")
    if item.is_symlink():
        return Entry(path, number, "quarantined", "Q_LINK", "a symbolic link; put the file itself there")
    if not stat.S_ISREG(item.stat(follow_symlinks=False).st_mode):
        return Entry(path, number, "quarantined", "Q_NOT_REGULAR", "not a regular file")
    if suffix in _UNFINISHED:
        return Entry(path, number, "quarantined", "Q_TRUNCATED", "an unfinished download or copy")
    if suffix not in suffixes:
        return Entry(path, number, "quarantined", "Q_FORMAT", f"{suffix} files are not read; convert them")
    try:
        if printable(path) != path:
            raise InputFault("Q_NAME", "a folder's name holds a control character, or bytes that are not UTF-8")
        return Entry(path, number, "candidate", name=parse_name(item.name))
    except InputFault as fault:
        return Entry(path, number, "quarantined", fault.reason, fault.detail)


def _is_named_recording(name: str) -> bool:
    """Whether a file of a kind that is not read has a recording's name; other files are nobody's data."""
    try:
        return parse_name(name).suffix in _UNREAD | _UNFINISHED
    except InputFault:
        return False
