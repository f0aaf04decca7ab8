"""data/night -> every entry with the rule that applies to it; nothing is opened here."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evensong.audio.decode import AUDIO_SUFFIXES, UNREAD_SUFFIXES
from evensong.errors import DataError
from evensong.intake.names import name_fault, nfc, printable

GROUPS_FILE = "groups.csv"
_OS_JUNK = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "icon\r", "$recycle.bin"})
_LAYOUT = "put one folder of recordings a class into it, such as {root}/asio_flammeus/*.wav"


@dataclass(frozen=True)
class Entry:
    """One directory entry under the input folder.

    Attributes:
        path: relative to the input folder, with slashes; may hold undecodable bytes where it is refused.
        class_name: composed form of the class folder's name; empty beside the class folders.
        outcome: a candidate is still to be opened.
        reason: rule or fault code; empty for a candidate.
        is_audio: whether the name says audio; the quarantine budget is a share of these.
    """

    path: str
    class_name: str
    outcome: Literal["candidate", "quarantined", "ignored"]
    reason: str = ""
    detail: str = ""
    is_audio: bool = False


def sort_key(path: str) -> tuple[bytes, bytes]:
    """Sorting order of paths: bytes of the composed form, then of the name as it is."""
    return nfc(path).encode("utf-8", "surrogateescape"), os.fsencode(path)


def list_entries(root: Path, *, recursive: bool) -> tuple[list[str], list[Entry]]:
    """List the class folders and every entry under the input folder.

    Args:
        root: folder that holds one folder a class.
        recursive: take clips from folders inside the class folders too.

    Returns:
        Class names (composed form, sorted) and entries, sorted by path.

    Raises:
        DataError: no folder, no class, a class folder that cannot be used, a nested folder while not recursive, or a
            groups table whose name is not in lower case.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; {_LAYOUT.format(root=root)}")
    entries: list[Entry] = []
    folders: dict[str, str] = {}
    for item in _sorted_items(root):
        if item.name != GROUPS_FILE and item.name.casefold() == GROUPS_FILE:
            raise DataError(f"{root}/{item.name}: the table of sources must be named {GROUPS_FILE}; rename it")
        rule = _ignored_rule(item.name) or ("groups table" if item.name == GROUPS_FILE else None)
        if rule is not None:
            entries.append(Entry(item.name, "", "ignored", rule))
        elif item.is_dir(follow_symlinks=True):
            _add_class(folders, root, item)
        else:
            entries.append(Entry(item.name, "", "ignored", "beside the class folders"))
    if len(folders) < 2:
        found = f"only the class folder '{next(iter(folders))}'" if folders else "no class folder"
        raise DataError(f"{root}: {found}; a classifier needs two classes at least: {_LAYOUT.format(root=root)}")
    for class_name, folder in folders.items():
        entries.extend(_class_entries(root / folder, folder, class_name, recursive=recursive))
    return sorted(folders), sorted(entries, key=lambda entry: sort_key(entry.path))


def _sorted_items(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as items:
            return sorted(items, key=lambda item: sort_key(item.name))
    except OSError as error:
        raise DataError(f"{printable(str(folder))}: the folder cannot be read ({error.strerror})") from error


def _ignored_rule(name: str) -> str | None:
    if name.casefold() in _OS_JUNK:
        return "system file"
    return "hidden" if name.startswith(".") else None


def _add_class(folders: dict[str, str], root: Path, item: "os.DirEntry[str]") -> None:
    where = f"{root}/{printable(item.name)}"
    fault = name_fault(item.name)
    if fault is not None:
        raise DataError(f"{where}: a class folder with this name cannot be used ({fault}); rename it")
    if item.is_symlink():
        raise DataError(f"{where}: a class folder must not be a link; put the folder itself there")
    class_name = nfc(item.name)
    if class_name in folders:
        raise DataError(f"{where}: two class folders differ only in their Unicode form; rename or merge one")
    folders[class_name] = item.name


def _class_entries(folder: Path, prefix: str, class_name: str, *, recursive: bool) -> Iterator[Entry]:
    for item in _sorted_items(folder):
        path = f"{prefix}/{item.name}"
        rule = _ignored_rule(item.name)
        if rule is not None:
            yield Entry(path, class_name, "ignored", rule)
        elif not item.is_dir(follow_symlinks=False):
            yield _file_entry(item, path, class_name)
        elif recursive:
            yield from _class_entries(folder / item.name, path, class_name, recursive=True)
        else:
            raise DataError(
                f"{printable(str(folder / item.name))}: a folder inside a class folder; move its clips up, "
                "or set night.scan.recursive: true to use them as clips of the class"
            )


def _file_entry(item: "os.DirEntry[str]", path: str, class_name: str) -> Entry:
    """Rules in the order: not audio by name, unusable name, link, not a regular file, not a format that is read."""
    suffix = Path(item.name).suffix.lower()
    is_audio = suffix in AUDIO_SUFFIXES | UNREAD_SUFFIXES
    if item.is_symlink() and (is_audio or item.is_dir(follow_symlinks=True)):
        return Entry(path, class_name, "quarantined", "Q_LINK", "links are not followed; put the file itself", True)
    if not is_audio:
        return Entry(path, class_name, "ignored", "not audio")
    fault = name_fault(path)
    if fault is not None:
        return Entry(path, class_name, "quarantined", "Q_NAME", fault, True)
    if not stat.S_ISREG(item.stat(follow_symlinks=False).st_mode):
        return Entry(path, class_name, "quarantined", "Q_NOT_REGULAR", "not a regular file", True)
    if suffix not in AUDIO_SUFFIXES:
        return Entry(path, class_name, "quarantined", "Q_FORMAT", f"{suffix} is not read; convert it to WAV", True)
    return Entry(path, class_name, "candidate", is_audio=True)
