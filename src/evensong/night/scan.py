"""data/night -> a table of usable clips and a list of everything else, each entry with one reason."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evensong.audio.decode import deadline_s, inspect, pcm_digest
from evensong.audio.quality import ClipStats
from evensong.errors import DataError, InputFault, IntegrityError
from evensong.keys import file_sha256
from evensong.intake.listing import GROUPS_FILE, Entry, list_entries, sort_key
from evensong.intake.names import counted, printable
from evensong.night.sources import assign_sources, read_groups
from evensong.run.isolation import map_isolated
from evensong.schemas import NightScan

STATS_FORMAT = "%.6g"
_STATS_COLUMNS = list(ClipStats.__dataclass_fields__)
CLIP_COLUMNS = ["path", "class_name", "source_id", "status", "duplicate_of", "sha256", "pcm_sha256", *_STATS_COLUMNS]
QUARANTINE_COLUMNS = ["path", "outcome", "reason", "detail", "size", "sha256"]
_SHOWN = 20


@dataclass(frozen=True)
class Scan:
    """What was found.

    Attributes:
        clips: one row a usable clip or duplicate, columns CLIP_COLUMNS, sorted by path.
        quarantine: one row an entry that is not used, columns QUARANTINE_COLUMNS, sorted by path.
        counts: the accounting, listed = used + duplicates + quarantined + ignored, and what the clips add up to.
    """

    clips: pd.DataFrame
    quarantine: pd.DataFrame
    counts: dict[str, Any]


@dataclass(frozen=True)
class _Task:
    root: Path
    entry: Entry
    limits: NightScan


@dataclass(frozen=True)
class _Inspected:
    """One opened file: digests and statistics, or the reason it is refused."""

    entry: Entry
    size: int | str
    sha256: str
    pcm_sha256: str = ""
    stats: ClipStats | None = None
    reason: str = ""
    detail: str = ""


def scan_folder(root: Path, settings: NightScan, *, workers: int) -> Scan:
    """List, open and check every file under the input folder; each is decoded once.

    Args:
        root: folder that holds one folder of recordings a class, and maybe groups.csv.
        settings: limits of a usable clip and how sources are found.
        workers: processes; the result does not depend on it.

    Raises:
        DataError: the folder's layout, a class without a usable clip, one sound in two classes, a clip without a
            source, or more refused files than the budget allows.
        IntegrityError: a file changed while it was read.
    """
    class_names, entries = list_entries(root, recursive=settings.recursive)
    tasks = [_Task(root, entry, settings) for entry in entries if entry.outcome == "candidate"]
    found = map_isolated(_inspect, tasks, workers=workers, seconds=deadline_s(settings), label="night_scan")
    inspected = [
        _refused(task, item) if isinstance(item, InputFault) else item for task, item in zip(tasks, found, strict=True)
    ]
    usable = [item for item in inspected if item.stats is not None]
    quarantine = _quarantine_table(root, entries, [item for item in inspected if item.stats is None])
    _check_budget(quarantine, entries, settings.max_quarantined)
    _refuse_empty_classes(root, class_names, usable, entries)
    clips = _clip_table(usable)
    groups = read_groups(root / GROUPS_FILE) if (root / GROUPS_FILE).is_file() else None
    is_used = clips["status"] == "used"
    used = dict(zip(clips.loc[is_used, "path"], clips.loc[is_used, "pcm_sha256"], strict=True))
    sources = assign_sources(used, pattern=settings.group_pattern, groups=groups)
    # A duplicate belongs to the source of the clip it repeats.
    clips["source_id"] = clips["path"].where(is_used, clips["duplicate_of"]).map(sources)
    counts = _count(len(entries), len(class_names), clips, quarantine)
    return Scan(clips[CLIP_COLUMNS], quarantine, counts)


def _inspect(task: _Task) -> _Inspected:
    """Open one candidate; runs in a worker."""
    path = task.root / task.entry.path
    try:
        before = path.stat(follow_symlinks=False)
        sha256 = file_sha256(path)
        inspected = _decoded(task, before.st_size, sha256)
        after = path.stat(follow_symlinks=False)
    except OSError as error:
        return _Inspected(task.entry, "", "", reason="Q_UNREADABLE", detail=error.strerror or "cannot be read")
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise IntegrityError(f"{printable(str(path))}: the file changed while it was read; run the scan again")
    return inspected


def _decoded(task: _Task, size: int, sha256: str) -> _Inspected:
    try:
        decoded, _, stats = inspect(task.root / task.entry.path, task.limits)
    except InputFault as fault:
        return _Inspected(task.entry, size, sha256, reason=fault.reason, detail=fault.detail)
    return _Inspected(task.entry, size, sha256, pcm_digest(decoded), stats)


def _refused(task: _Task, fault: InputFault) -> _Inspected:
    """The row of a file that took its decoder's process down; it is not opened again, so it has no digest."""
    size = (task.root / task.entry.path).stat(follow_symlinks=False).st_size
    return _Inspected(task.entry, size, "", reason=fault.reason, detail=fault.detail)


def _quarantine_table(root: Path, entries: Iterable[Entry], refused: Sequence[_Inspected]) -> pd.DataFrame:
    rows = [(item.entry.path, "quarantined", item.reason, item.detail, item.size, item.sha256) for item in refused] + [
        (entry.path, entry.outcome, entry.reason, entry.detail, _size(root / entry.path), "")
        for entry in entries
        if entry.outcome != "candidate"
    ]
    rows.sort(key=lambda row: sort_key(row[0]))
    return pd.DataFrame([(printable(row[0]), *row[1:]) for row in rows], columns=QUARANTINE_COLUMNS)


def _size(path: Path) -> int | str:
    try:
        return path.stat(follow_symlinks=False).st_size if path.is_file() and not path.is_symlink() else ""
    except OSError:
        return ""


def _check_budget(quarantine: pd.DataFrame, entries: Sequence[Entry], max_share: float) -> None:
    """Print what is refused; stop when it is more than a few."""
    refused = quarantine[quarantine["outcome"] == "quarantined"]
    for row in refused.itertuples():
        print(f"quarantined: {row.path}: {row.reason}: {row.detail}")
    n_audio = sum(entry.is_audio for entry in entries)
    if len(refused) > max_share * n_audio:
        raise DataError(
            f"{len(refused)} of {n_audio} audio files cannot be used, more than night.scan.max_quarantined "
            f"({max_share:g}) allows; every one is listed above: repair or remove them, or raise max_quarantined"
        )


def _refuse_empty_classes(
    root: Path, class_names: Sequence[str], usable: Iterable[_Inspected], entries: Iterable[Entry]
) -> None:
    n_usable = Counter(item.entry.class_name for item in usable)
    n_listed = Counter(entry.class_name for entry in entries if entry.is_audio)
    empty = [name for name in class_names if not n_usable[name]]
    if empty:
        named = "; ".join(f"class {name}: 0 usable of {n_listed[name]} listed" for name in empty)
        raise DataError(f"{named}; add recordings to {root} or remove the folder")


def _clip_table(usable: Iterable[_Inspected]) -> pd.DataFrame:
    """Usable files with their duplicates marked: of equal sounds in a class the first by path is used."""
    first: dict[str, Entry] = {}
    conflicts: list[str] = []
    rows = []
    for item in usable:
        original = first.setdefault(item.pcm_sha256, item.entry)
        if original.class_name != item.entry.class_name:
            conflicts.append(f"{original.path} and {item.entry.path}")
        is_duplicate = original is not item.entry
        rows.append(
            {
                "path": item.entry.path,
                "class_name": item.entry.class_name,
                "status": "duplicate" if is_duplicate else "used",
                "duplicate_of": original.path if is_duplicate else "",
                "sha256": item.sha256,
                "pcm_sha256": item.pcm_sha256,
                **_stats_row(item.stats),
            }
        )
    if conflicts:
        shown = "\n  ".join(conflicts[:_SHOWN]) + ("\n  ..." if len(conflicts) > _SHOWN else "")
        raise DataError(
            f"{counted(len(conflicts), 'sound')} in two classes, so one of the labels is wrong; "
            f"remove one of each:\n  {shown}"
        )
    return pd.DataFrame(rows)


def _stats_row(stats: ClipStats | None) -> dict[str, Any]:
    row = asdict(stats) if stats is not None else {}
    return row | {"warnings": ";".join(sorted(set(row.get("warnings", ()))))}


def _count(n_listed: int, n_classes: int, clips: pd.DataFrame, quarantine: pd.DataFrame) -> dict[str, Any]:
    used = clips[clips["status"] == "used"]
    outcomes = quarantine["outcome"].value_counts()
    refused = quarantine[quarantine["outcome"] == "quarantined"]
    warnings = Counter(code for codes in used["warnings"] for code in codes.split(";") if code)
    counts: dict[str, Any] = {
        "listed": n_listed,
        "used": len(used),
        "duplicates": len(clips) - len(used),
        "quarantined": int(outcomes.get("quarantined", 0)),
        "ignored": int(outcomes.get("ignored", 0)),
        "classes": n_classes,
        "sources": int(used["source_id"].nunique()),
        "sources_in_several_classes": int((used.groupby("source_id")["class_name"].nunique() > 1).sum()),
        "seconds_used": round(float(used["duration_s"].sum()), 3),
        "quarantined_by_reason": {str(reason): int(n) for reason, n in refused["reason"].value_counts().items()},
        "warnings": {code: warnings[code] for code in sorted(warnings)},
    }
    if n_listed != counts["used"] + counts["duplicates"] + counts["quarantined"] + counts["ignored"]:
        raise IntegrityError(f"{n_listed} entries were listed, but the reasons add up to another number: {counts}")
    return counts
