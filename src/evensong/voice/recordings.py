"""data/voice/recordings -> one checked row a recording, and a row with a reason for everything else."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from evensong.audio.decode import AUDIO_SUFFIXES, ClipStats
from evensong.audio.mel_images import IMAGE_SUFFIXES
from evensong.errors import DataError
from evensong.schemas import VoiceScan
from evensong.voice.content import Opened, open_all
from evensong.voice.disclosure import positions
from evensong.voice.listing import HOW_TO_FIND, Entry, list_entries, printable
from evensong.voice.names import Located, RecordingName, refuse_case_twins
from evensong.voice.scan_counts import count_files, image_sizes, size_of

SUFFIXES = AUDIO_SUFFIXES | IMAGE_SUFFIXES
_STATS = [field.name for field in fields(ClipStats)]
RECORDING_COLUMNS = [
    *("path", "healthCode", "record_id", "column_id", "kind", "status", "sha256", "content_sha256"),
    *("height_px", "width_px"),
    *_STATS,
]
QUARANTINE_COLUMNS = ["path", "outcome", "reason", "detail", "size", "sha256"]


@dataclass(frozen=True)
class Scan:
    """Everything found under the recordings folder.

    Args:
        recordings: `RECORDING_COLUMNS`, used and duplicate recordings sorted by item id; all cells are final.
        quarantine: `QUARANTINE_COLUMNS`, what is not used, sorted by path.
        counts: aggregates for the metrics file; no id and no count of fewer than five patients.
    """

    recordings: pd.DataFrame
    quarantine: pd.DataFrame
    counts: dict[str, Any]


def scan_recordings(root: Path, settings: VoiceScan, *, workers: int) -> Scan:
    """Open and check every recording and ready-made mel image under a folder.

    Equal content within a patient is used once, under the first of its ids; the others are listed as duplicates.

    Args:
        root: holds ``{healthCode}_{record_id}_{column_id}.ext`` files, in folders or not.

    Raises:
        DataError: nothing usable, two files for one recording, ids that differ only in case, equal content under
            two patients, or more unusable files than ``max_quarantined`` allows. Files are told by their number.
    """
    entries = list_entries(root, SUFFIXES)
    candidates = [(entry, entry.name) for entry in entries if entry.name is not None]
    if not any(entry.outcome != "ignored" for entry in entries):
        raise DataError(
            f"{root}: no recording and no mel image in it ({len(entries)} other files); expected "
            "{healthCode}_{record_id}_{column_id} with one of the extensions " + ", ".join(sorted(SUFFIXES))
        )
    _refuse_repeated_names(root, candidates)
    paths = [root / entry.path for entry, _ in candidates]
    opened = open_all(paths, settings, workers=workers)
    if settings.image_sizes == "one":
        opened = _refuse_odd_sizes(opened)
    quarantine = _quarantine_rows(
        root, entries, dict(zip([entry.path for entry, _ in candidates], opened, strict=True))
    )
    n_files = sum(entry.outcome != "ignored" for entry in entries)
    _check_budget(root, quarantine, n_files, settings.max_quarantined)
    rows = [
        {"number": entry.number, "path": entry.path, **_ids(name), **outcome.cells, "status": "used"}
        for (entry, name), outcome in zip(candidates, opened, strict=True)
        if outcome.fault is None
    ]
    if not rows:
        raise DataError(f"{root}: none of the {len(candidates)} recordings can be used")
    rows.sort(key=lambda row: "_".join((row["healthCode"], row["record_id"], row["column_id"])))
    _mark_duplicates(root, rows)
    _warn_of_sizes(rows)
    return Scan(_recordings_table(rows), _quarantine_table(quarantine), count_files(len(entries), rows, quarantine))


def _ids(name: RecordingName) -> dict[str, str]:
    return {"healthCode": name.health_code, "record_id": name.record_id, "column_id": name.column_id}


def _refuse_repeated_names(root: Path, candidates: Sequence[tuple[Entry, RecordingName]]) -> None:
    """One recording must be one file, and no two ids may differ only in case."""
    numbers: dict[str, list[int]] = defaultdict(list)
    patients: dict[str, int] = {}
    for entry, name in candidates:
        numbers[name.item_id].append(entry.number)
        patients.setdefault(name.health_code, entry.number)
    repeated = [positions(found) for found in numbers.values() if len(found) > 1]
    if repeated:
        shown = "; ".join(repeated[:20]) + (f"; and {len(repeated) - 20} more" if len(repeated) > 20 else "")
        raise DataError(
            f"{root}: {len(repeated)} recording(s) are there more than once, under the same healthCode, record_id and "
            f"column_id (a recording and its ready-made image, or two formats); move the images or the sounds "
            f"out of the folder, or keep one file of each. "
            f"Files {shown}; {HOW_TO_FIND}"
        )
    refuse_case_twins([Located(str(root), "file", patients)])
    first = {item_id: found[0] for item_id, found in numbers.items()}
    refuse_case_twins([Located(str(root), "file", first)], "recording name")


def _quarantine_rows(root: Path, entries: Sequence[Entry], opened: dict[str, Opened]) -> list[dict[str, Any]]:
    """A row for every entry that is not used: set aside by its name, or by what is in it."""
    rows = []
    for entry in entries:
        row = {"number": entry.number, "path": printable(entry.path), "outcome": entry.outcome, "sha256": ""}
        outcome = opened.get(entry.path)
        if outcome is None:
            row |= {"reason": entry.reason, "detail": entry.detail, "size": _size(root / entry.path)}
        elif outcome.fault is not None:
            row |= {"outcome": "quarantined", "reason": outcome.fault[0], "detail": outcome.fault[1]}
            row |= {"size": outcome.cells["size"], "sha256": outcome.cells["sha256"]}
        else:
            continue
        rows.append(row)
    return rows


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _check_budget(root: Path, quarantine: Sequence[dict[str, Any]], n_files: int, max_share: float) -> None:
    bad = [row for row in quarantine if row["outcome"] == "quarantined"]
    if len(bad) <= max_share * n_files:
        return
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in bad:
        numbers[row["reason"], row["detail"]].append(row["number"])
    lines = [f"{reason}, {detail}: file {positions(found)}" for (reason, detail), found in sorted(numbers.items())]
    raise DataError(
        "\n  ".join(
            [
                f"{root}: {len(bad)} of {n_files} recordings cannot be used, more than voice.scan.max_quarantined "
                f"({max_share:g} of the files) allows. Mend or remove them, or raise the limit. {HOW_TO_FIND}",
                *lines,
            ]
        )
    )


def _mark_duplicates(root: Path, rows: list[dict[str, Any]]) -> None:
    """Set the status of every row whose content its patient already has; rows are sorted by id.

    Raises:
        DataError: two patients have the same content.
    """
    first: dict[tuple[str, str], dict[str, Any]] = {}
    shared: list[str] = []
    for row in rows:
        kept = first.setdefault((row["kind"], row["content_sha256"]), row)
        if kept is row:
            continue
        if kept["healthCode"] == row["healthCode"]:
            row["status"] = "duplicate"
        else:
            shared.append(f"{kept['number']} and {row['number']}")
    if shared:
        more = f"; and {len(shared) - 20} more" if len(shared) > 20 else ""
        raise DataError(
            f"{root}: {len(shared)} recording(s) have the same content under two patients, whose fold would leak; "
            f"remove the wrong ones: files {'; '.join(shared[:20])}{more}; {HOW_TO_FIND}"
        )


def _refuse_odd_sizes(opened: Sequence[Opened]) -> list[Opened]:
    """The same with Q_SIZE for every image of another size than most."""
    images = [{**one.cells, "status": "used"} for one in opened if one.fault is None and one.cells["kind"] == "image"]
    most = _most_frequent_size(images)
    return [
        Opened(one.cells, ("Q_SIZE", f"{size_of(one.cells)} px, and most images {most}"))
        if one.fault is None and one.cells["kind"] == "image" and size_of(one.cells) != most
        else one
        for one in opened
    ]


def _most_frequent_size(rows: Sequence[dict[str, Any]]) -> str:
    sizes = image_sizes(rows)
    return max(sizes, key=lambda size: (sizes[size], size), default="")


def _warn_of_sizes(rows: Sequence[dict[str, Any]]) -> None:
    """Add W_SIZE to every image of another size than most: its axes may be others too, and resizing would hide it."""
    most = _most_frequent_size(rows)
    for row in rows:
        if row["kind"] == "image" and size_of(row) != most:
            row["warnings"] = (*row["warnings"], "W_SIZE")


def _recordings_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{column: _cell(row, column) for column in RECORDING_COLUMNS} for row in rows])


def _cell(row: dict[str, Any], column: str) -> str:
    """Final text of one cell, so that reading a table back and writing it again changes nothing."""
    value = row.get(column)
    if value is None:
        return ""
    if column == "warnings":
        return ";".join(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _quarantine_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=QUARANTINE_COLUMNS)
