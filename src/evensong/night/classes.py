"""data/night -> its class folders and every entry in and beside them; nothing is opened here."""

import os
from collections.abc import Mapping
from pathlib import Path

from evensong.errors import DataError
from evensong.intake.listing import AUDIO, Entry, ignored_rule, items_of, list_files, sort_key
from evensong.intake.names import name_fault, nfc, printable
from evensong.night.sources import GROUPS_FILE

_LAYOUT = "put one folder of recordings a class into it, such as {root}/asio_flammeus/*.wav"


def list_clips(root: Path, *, recursive: bool, least: int = 2) -> tuple[list[str], list[Entry]]:
    """List the class folders and every entry under the input folder.

    Args:
        root: folder that holds one folder a class.
        recursive: take clips from folders inside the class folders too.
        least: how many classes there must be.

    Returns:
        Class names (composed form, sorted) and entries, sorted by path.

    Raises:
        DataError: no folder, no class, a class folder that cannot be used, a nested folder while not recursive, or a
            groups table whose name is not in lower case.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; {_LAYOUT.format(root=root)}")
    try:
        folders, entries = _class_folders(root, least)
        for folder in folders.values():
            if not recursive:
                _refuse_nested(root / folder)
            entries += list_files(root, AUDIO, inside=folder)
    except OSError as error:
        raise DataError(f"{printable(error.filename)}: the folder cannot be read ({error.strerror})") from error
    return sorted(folders), sorted(entries, key=lambda entry: sort_key(entry.path))


def class_of(path: str) -> str:
    """The class of a clip: composed form of the folder that its path begins with."""
    return nfc(path.partition("/")[0])


def _class_folders(root: Path, least: int) -> tuple[dict[str, str], list[Entry]]:
    """Folders by class name, and the entries beside them."""
    folders: dict[str, str] = {}
    beside: list[Entry] = []
    for item in items_of(root):
        rule = ignored_rule(item.name) or _rule_beside(root, item)
        if rule is not None:
            beside.append(Entry(item.name, "ignored", rule))
        else:
            _check_class(root, item, folders)
            folders[nfc(item.name)] = item.name
    if len(folders) < least:
        found = f"only the class folder '{next(iter(folders))}'" if folders else "no class folder"
        raise DataError(f"{root}: {found}; a classifier needs two classes at least: {_LAYOUT.format(root=root)}")
    return folders, beside


def _rule_beside(root: Path, item: "os.DirEntry[str]") -> str | None:
    if item.name == GROUPS_FILE:
        return "groups table"
    if item.name.casefold() == GROUPS_FILE:
        raise DataError(f"{root}/{item.name}: the table of sources must be named {GROUPS_FILE}; rename it")
    return None if os.path.isdir(item.path) else "beside the class folders"


def _check_class(root: Path, item: "os.DirEntry[str]", others: Mapping[str, str]) -> None:
    where = f"{root}/{printable(item.name)}"
    fault = name_fault(item.name)
    if fault is not None:
        raise DataError(f"{where}: a class folder with this name cannot be used ({fault}); rename it")
    if item.is_symlink():
        raise DataError(f"{where}: a class folder must not be a link; put the folder itself there")
    twin = next((other for other in others if nfc(item.name).lower() == other.lower()), None)
    if twin is not None:
        what = "their Unicode form" if nfc(item.name) in others else "upper and lower case"
        raise DataError(f"{where} and {root}/{twin}: two class folders differ only in {what}; rename or merge one")


def _refuse_nested(folder: Path) -> None:
    for item in items_of(folder):
        if item.is_dir(follow_symlinks=False) and ignored_rule(item.name) is None:
            raise DataError(
                f"{printable(item.path)}: a folder inside a class folder; move its clips up, "
                "or set night.scan.recursive: true to use them as clips of the class"
            )
