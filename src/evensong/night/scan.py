"""data/night -> a table of usable clips and a list of everything else, each entry with one reason."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evensong.audio.quality import ClipStats
from evensong.errors import DataError, IntegrityError
from evensong.intake.listing import Entry
from evensong.intake.names import counted
from evensong.intake.opening import Opened, equal_contents, look_at_sound, open_all
from evensong.intake.problems import FileProblem, Gathered, tell_counts, tell_names
from evensong.intake.quarantine import check_budget, count_reasons, quarantine_table
from evensong.night.classes import class_of, list_clips
from evensong.night.sources import GROUPS_FILE, assign_sources, read_groups
from evensong.schemas import NightScan

STATS_FORMAT = "%.6g"
_STATS_COLUMNS = list(ClipStats.__dataclass_fields__)
CLIP_COLUMNS = ["path", "class_name", "source_id", "status", "duplicate_of", "sha256", "pcm_sha256", *_STATS_COLUMNS]


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


def scan_folder(root: Path, settings: NightScan, *, workers: int) -> Scan:
    """List, open and check every file under the input folder; each is decoded once.

    Args:
        root: folder that holds one folder of recordings a class, and maybe groups.csv.
        settings: limits of a usable clip and how sources are found.
        workers: processes; the result does not depend on it.

    Raises:
        DataError: the folder's layout, a class without a usable clip, one sound in two classes, a clip without a
            source, or more refused files than the budget allows; all that is found, in one message.
        IntegrityError: a file changed while it was read.
    """
    class_names, entries = list_clips(root, recursive=settings.recursive)
    opened = open_all(root, entries, look_at_sound, settings, workers=workers, tell=tell_names)
    usable = [one for one in opened if not one.reason]
    quarantine = quarantine_table(root, entries, opened)
    for row in quarantine[quarantine["outcome"] == "quarantined"].itertuples():
        print(f"quarantined: {row.path}: {row.reason}: {row.detail}")
    repeated, conflicts = equal_contents((one.path, class_of(one.path), one.content_sha256) for one in usable)
    gathered = Gathered()
    with gathered:
        check_budget(quarantine, entries, settings, "audio files", "night.scan", _told_above)
    with gathered:
        _refuse_empty_classes(root, class_names, usable, entries)
    with gathered:
        _refuse_conflicts(conflicts)
    with gathered:
        used = {one.path: one.content_sha256 for one in usable if one.path not in repeated}
        groups = read_groups(root / GROUPS_FILE) if (root / GROUPS_FILE).is_file() else None
        sources = assign_sources(used, pattern=settings.group_pattern, groups=groups)
    gathered.refuse()
    clips = _clip_table(usable, repeated, sources)
    return Scan(clips, quarantine, _count(len(entries), len(class_names), clips, quarantine))


def _told_above(message: str, problems: Sequence[FileProblem]) -> str:
    return f"{tell_counts(message, problems)}; each one is named above"


def _refuse_empty_classes(
    root: Path, class_names: Sequence[str], usable: Iterable[Opened], entries: Iterable[Entry]
) -> None:
    n_usable = Counter(class_of(one.path) for one in usable)
    n_listed = Counter(class_of(entry.path) for entry in entries if entry.is_input)
    empty = [name for name in class_names if not n_usable[name]]
    if empty:
        named = "; ".join(f"class {name}: 0 usable of {n_listed[name]} listed" for name in empty)
        raise DataError(f"{named}; add recordings to {root} or remove the folder")


def _refuse_conflicts(conflicts: Sequence[tuple[str, str]]) -> None:
    if conflicts:
        message = f"{counted(len(conflicts), 'sound')} in two classes, so one of the labels is wrong; remove one"
        raise DataError(tell_names(message, [FileProblem(" and ".join(pair)) for pair in conflicts]))


def _clip_table(usable: Sequence[Opened], repeated: Mapping[str, str], sources: Mapping[str, str]) -> pd.DataFrame:
    """Usable files, of equal sounds in a class the first by path used; a duplicate is of the source that it repeats."""
    rows = [
        {
            **one.facts,
            "path": one.path,
            "class_name": class_of(one.path),
            "source_id": sources[repeated.get(one.path, one.path)],
            "status": "duplicate" if one.path in repeated else "used",
            "duplicate_of": repeated.get(one.path, ""),
            "sha256": one.sha256,
            "pcm_sha256": one.content_sha256,
            "warnings": ";".join(sorted(set(one.facts["warnings"]))),
        }
        for one in usable
    ]
    return pd.DataFrame(rows)[CLIP_COLUMNS]


def _count(n_listed: int, n_classes: int, clips: pd.DataFrame, quarantine: pd.DataFrame) -> dict[str, Any]:
    used = clips[clips["status"] == "used"]
    refused = count_reasons(quarantine, "quarantined")
    warnings = Counter(code for codes in used["warnings"] for code in codes.split(";") if code)
    counts: dict[str, Any] = {
        "listed": n_listed,
        "used": len(used),
        "duplicates": len(clips) - len(used),
        "quarantined": sum(refused.values()),
        "ignored": sum(count_reasons(quarantine, "ignored").values()),
        "classes": n_classes,
        "sources": int(used["source_id"].nunique()),
        "sources_in_several_classes": int((used.groupby("source_id")["class_name"].nunique() > 1).sum()),
        "seconds_used": round(float(used["duration_s"].sum()), 3),
        "quarantined_by_reason": refused,
        "warnings": {code: warnings[code] for code in sorted(warnings)},
    }
    if n_listed != counts["used"] + counts["duplicates"] + counts["quarantined"] + counts["ignored"]:
        raise IntegrityError(f"{n_listed} entries were listed, but the reasons add up to another number: {counts}")
    return counts
