"""A folder of files -> every entry, to be opened or set aside by a rule; nothing is opened here."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evensong.audio.containers import AUDIO_SUFFIXES
from evensong.audio.unread import CONVERT, CONVERTED_SUFFIXES, UNREAD_SUFFIXES
from evensong.intake.names import name_fault, nfc

UNFINISHED_SUFFIXES = frozenset({".crdownload", ".download", ".part", ".partial", ".tmp"})
_OS_JUNK = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "icon\r", "$recycle.bin"})


@dataclass(frozen=True)
class Kind:
    """The files that a track takes.

    Attributes:
        what: such a file in a word, for the rule that ignores the others.
        read: their extensions, in lower case with the dot.
        unread: extensions of files that are meant for the track and cannot be read: refused, where others are ignored.
        form_fault: why a name has not the form that the track needs, or None; unread files of other forms are ignored.
    """

    what: str
    read: frozenset[str]
    unread: frozenset[str]
    form_fault: Callable[[str], str | None] = lambda _name: None


AUDIO = Kind("audio", AUDIO_SUFFIXES, UNREAD_SUFFIXES)


@dataclass(frozen=True)
class Entry:
    """One directory entry.

    Attributes:
        path: relative to the input folder, with slashes; may hold undecodable bytes where it is refused.
        outcome: a candidate is still to be opened.
        reason: rule or fault code; empty for a candidate.
    """

    path: str
    outcome: Literal["candidate", "quarantined", "ignored"]
    reason: str = ""
    detail: str = ""

    @property
    def is_input(self) -> bool:
        """Whether it is meant for the track; the quarantine budget is a share of these."""
        return self.outcome != "ignored"


def sort_key(path: str) -> tuple[bytes, bytes]:
    """Sorting order of paths: bytes of the composed form, then of the name as it is."""
    return nfc(path).encode("utf-8", "surrogateescape"), os.fsencode(path)


def items_of(folder: Path) -> list["os.DirEntry[str]"]:
    """A folder's entries, sorted.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as items:
        return sorted(items, key=lambda item: sort_key(item.name))


def ignored_rule(name: str) -> str | None:
    """The rule by which a name is ignored wherever it stands, or None."""
    if name.casefold() in _OS_JUNK:
        return "system file"
    return "hidden" if name.startswith(".") else None


def list_files(root: Path, kind: Kind, inside: str = "") -> list[Entry]:
    """List every file below a folder, and ignored folders as one entry each, sorted by path; links are not followed.

    Args:
        root: the input folder, which the paths are relative to.
        inside: list only this folder of it.

    Raises:
        OSError: a folder cannot be read.
    """
    found = _walk(root / inside, f"{inside}/" if inside else "", kind)
    return sorted(found, key=lambda entry: sort_key(entry.path))


def _walk(folder: Path, prefix: str, kind: Kind) -> Iterator[Entry]:
    for item in items_of(folder):
        path = prefix + item.name
        rule = ignored_rule(item.name)
        if rule is not None:
            yield Entry(path, "ignored", rule)
        elif item.is_dir(follow_symlinks=False):
            yield from _walk(folder / item.name, f"{path}/", kind)
        else:
            yield _file_entry(item, path, kind)


def _file_entry(item: "os.DirEntry[str]", path: str, kind: Kind) -> Entry:
    suffix = Path(item.name).suffix.lower()
    is_meant = suffix in kind.read or (suffix in kind.unread and kind.form_fault(item.name) is None)
    if item.is_symlink() and (is_meant or os.path.isdir(item.path)):
        return Entry(path, "quarantined", "Q_LINK", "links are not followed; put the file itself there")
    if not is_meant:
        return Entry(path, "ignored", f"not {kind.what}")
    fault = name_fault(path) or kind.form_fault(item.name)
    if fault is not None:
        return Entry(path, "quarantined", "Q_NAME", fault)
    if not stat.S_ISREG(item.stat(follow_symlinks=False).st_mode):
        return Entry(path, "quarantined", "Q_NOT_REGULAR", "not a regular file")
    if suffix in UNFINISHED_SUFFIXES:
        return Entry(path, "quarantined", "Q_TRUNCATED", "an unfinished download or copy")
    if suffix not in kind.read:
        readable = ", ".join(sorted(kind.read))
        how = f", as by {CONVERT}" if suffix in CONVERTED_SUFFIXES else ""
        return Entry(path, "quarantined", "Q_FORMAT", f"not read as {suffix}; convert it to one of {readable}{how}")
    return Entry(path, "candidate")
