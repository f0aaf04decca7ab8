"""Candidates -> digests and statistics, or the fault that bars each; every file is opened in a worker that may die."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evensong.audio.decode import deadline_s
from evensong.errors import InputFault, IntegrityError
from evensong.intake.listing import Entry
from evensong.intake.problems import FileProblem, Tell
from evensong.keys import file_sha256
from evensong.run.parallel import map_isolated
from evensong.schemas import AudioLimits

Facts = dict[str, Any]
# A path and the limits -> digest of the content, whatever the container, and facts by column; raises InputFault.
Look = Callable[[Path, Any], tuple[str, Facts]]


@dataclass(frozen=True)
class Opened:
    """One opened file.

    Attributes:
        path: as its entry has it.
        size: bytes; empty where they are unknown.
        sha256: of the file; empty where it could not be read, or took its decoder's process down.
        content_sha256: of samples or pixels; empty for a file that is refused, as the facts are.
        reason: fault code; empty for a usable file.
    """

    path: str
    size: int | str = ""
    sha256: str = ""
    content_sha256: str = ""
    facts: Facts = field(default_factory=dict)
    reason: str = ""
    detail: str = ""
    has_changed: bool = False

    def refused(self, fault: InputFault) -> "Opened":
        """The same without content, for a reason."""
        return replace(self, content_sha256="", facts={}, reason=fault.reason, detail=fault.detail)


def open_all(
    root: Path, entries: Iterable[Entry], look: Look, limits: AudioLimits, *, workers: int, tell: Tell
) -> list[Opened]:
    """Open every candidate once, in the order given.

    Args:
        look: what is done with an opened file, in a worker; a function of a module.
        workers: processes; the result does not depend on it.

    Raises:
        IntegrityError: files changed while they were read.
    """
    paths = [entry.path for entry in entries if entry.outcome == "candidate"]
    open_one = functools.partial(_open, root, look, limits)
    found = map_isolated(open_one, paths, workers=workers, seconds=deadline_s(limits), label="scan")
    opened = [
        # A file that took its decoder's process down is not opened again, so it has no digest.
        Opened(path, (root / path).lstat().st_size).refused(item) if isinstance(item, InputFault) else item
        for path, item in zip(paths, found, strict=True)
    ]
    changed = [FileProblem(item.path, "changed") for item in opened if item.has_changed]
    if changed:
        raise IntegrityError(tell(f"{root}: {len(changed)} file(s) changed while read; run the scan again", changed))
    return opened


def equal_contents(contents: Iterable[tuple[str, str, str]]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Find files whose content another one has.

    Args:
        contents: path, owner and digest of each file.

    Returns:
        The first path with a content, by the paths of its repetitions; and those pairs that have two owners.
    """
    first: dict[str, tuple[str, str]] = {}
    repeated: dict[str, str] = {}
    shared = []
    for path, owner, digest in contents:
        original, its_owner = first.setdefault(digest, (path, owner))
        if original != path:
            repeated[path] = original
        if its_owner != owner:
            shared.append((original, path))
    return repeated, shared


def _open(root: Path, look: Look, limits: AudioLimits, name: str) -> Opened:
    """Open one candidate; runs in a worker."""
    path, opened = root / name, Opened(name)
    try:
        before = path.lstat()
        known = Opened(name, before.st_size, file_sha256(path))
        try:
            content_sha256, facts = look(path, limits)
            opened = replace(known, content_sha256=content_sha256, facts=facts)
        except InputFault as fault:
            opened = known.refused(fault)
        after = path.lstat()
    except OSError as error:
        return opened.refused(InputFault("Q_UNREADABLE", error.strerror or "cannot be read"))
    has_changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    return replace(opened, has_changed=has_changed)
