"""data/voice/recordings -> one checked row a recording, and a row with a reason for everything else."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pandas as pd

from evensong.audio.containers import AUDIO_SUFFIXES
from evensong.audio.unread import UNREAD_SUFFIXES
from evensong.audio.mel_images import IMAGE_SUFFIXES, inspect_image
from evensong.audio.quality import ClipStats
from evensong.errors import DataError, InputFault
from evensong.intake.listing import UNFINISHED_SUFFIXES, Entry, Kind, list_files
from evensong.intake.names import tally
from evensong.intake.opening import Facts, Opened, equal_contents, open_all
from evensong.intake.problems import FileProblem, Tell, tell_counts
from evensong.intake.quarantine import check_budget, count_reasons, quarantine_table
from evensong.intake.twins import look_at_sound
from evensong.schemas import VoiceScan
from evensong.voice.disclosure import SMALLEST_COUNT, told
from evensong.voice.names import RecordingName, case_twins, describe_twins, parse_name
from evensong.voice.twins import n_alike, near_equal_recordings

_UNREAD_IMAGES = frozenset({".bmp", ".gif", ".heic", ".tif", ".tiff", ".webp"})
_FORM = "{healthCode}_{record_id}_{column_id}"
RECORDING_COLUMNS = [
    *("path", "healthCode", "record_id", "column_id", "kind", "status", "sha256", "content_sha256"),
    *("height_px", "width_px"),
    *(field.name for field in fields(ClipStats)),
]
_WARNINGS = {
    "W_CLIP": "more than 1 % of the samples at full scale",
    "W_COLOUR": "an image in colour is read by its brightness, which need not rise with the level",
    "W_EXT": "the content is of another format than the extension says, and was read as what it is",
    "W_HEADER": "the header's sizes are not those of the file",
    "W_PHASE": "the channels cancel each other; the first one was taken",
    "W_SIZE": "an image of another size than most: are its axes the same?",
}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Scan:
    """Everything found under the recordings folder.

    Args:
        recordings: `RECORDING_COLUMNS`, used and duplicate recordings sorted by item id; all cells are final.
        quarantine: `QUARANTINE_COLUMNS`, what is not used, sorted by path.
        counts: aggregates for the metrics file; no id and no count of fewer than five patients.
        twins: near-equal recordings of different patients, `TWIN_COLUMNS`.
    """

    recordings: pd.DataFrame
    quarantine: pd.DataFrame
    counts: dict[str, Any]
    twins: pd.DataFrame


def scan_recordings(root: Path, settings: VoiceScan, *, workers: int, tell: Tell = tell_counts) -> Scan:
    """Open and check every recording and ready-made mel image under a folder.

    Equal content within a patient is used once, under the first of its ids; the others are listed as duplicates.

    Args:
        root: holds ``{healthCode}_{record_id}_{column_id}.ext`` files, in folders or not.
        tell: what becomes of the names of files that stop the scan; a message holds none.

    Raises:
        DataError: nothing usable, a selected column_id that no recording has, two files for one recording, ids that
            differ only in case, equal content under two patients, nearly equal sounds of more than three patients
            that are to be kept together, or more unusable files than ``max_quarantined`` allows.
        IntegrityError: files changed while they were read.
    """
    entries = _selected(root, _list(root, tell), settings.columns)
    names = {entry.path: _name_of(entry.path) for entry in entries if entry.outcome == "candidate"}
    _refuse_repeated_names(root, names, tell)
    opened = open_all(root, entries, _look, settings, workers=workers, tell=tell)
    if settings.image_sizes == "one":
        opened = _refuse_odd_sizes(opened)
    quarantine = quarantine_table(root, entries, opened)
    check_budget(quarantine, entries, settings, "recordings", "voice.scan", tell)
    rows = [_row(one, names[one.path]) for one in opened if not one.reason]
    if not rows:
        raise DataError(f"{root}: none of the {len(names)} recordings can be used")
    rows.sort(key=lambda row: "_".join((row["healthCode"], row["record_id"], row["column_id"])))
    _mark_duplicates(root, rows, tell)
    _warn_of_sizes(rows)
    recordings = pd.DataFrame([{column: _cell(row, column) for column in RECORDING_COLUMNS} for row in rows])
    twins = near_equal_recordings(root, rows, settings, workers=workers, tell=tell)
    counts = count_files(len(entries), rows, quarantine)
    return Scan(recordings, quarantine, counts | {"near_duplicate_patients": told(n_alike(twins))}, twins)


def _form_fault(name: str) -> str | None:
    try:
        parse_name(name)
    except InputFault as fault:
        return fault.detail
    return None


RECORDINGS = Kind(
    "a recording", AUDIO_SUFFIXES | IMAGE_SUFFIXES, UNREAD_SUFFIXES | _UNREAD_IMAGES | UNFINISHED_SUFFIXES, _form_fault
)


def _list(root: Path, tell: Tell) -> list[Entry]:
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder; put the recordings there, named {_FORM}.m4a (or another audio format, or .jpg "
            "and .png for ready-made mel images)"
        )
    try:
        entries = list_files(root, RECORDINGS)
    except OSError as error:
        folder = FileProblem(str(Path(error.filename).relative_to(root)), "unreadable folder", error.strerror or "")
        raise DataError(tell(f"{root}: a folder cannot be read", [folder])) from None
    if not any(entry.is_input for entry in entries):
        raise DataError(
            f"{root}: no recording and no mel image in it ({len(entries)} other files); expected {_FORM} with one of "
            f"the extensions {', '.join(sorted(RECORDINGS.read))}"
        )
    return entries


def _name_of(path: str) -> RecordingName:
    return parse_name(PurePosixPath(path).name)


def _selected(root: Path, entries: Sequence[Entry], columns: Literal["all"] | Sequence[str]) -> list[Entry]:
    """The entries; recordings of other column_ids than those selected become ignored ones.

    Raises:
        DataError: nothing has one of the column_ids; shows those that many patients have.
    """
    if columns == "all":
        return list(entries)
    names = {
        one.path: _name_of(one.path) for one in entries if one.is_input and not _form_fault(one.path.split("/")[-1])
    }
    absent = set(columns) - {name.column_id for name in names.values()}
    if absent:
        there = _tasks((name.column_id, name.health_code) for name in names.values())
        raise DataError(
            f"{root}: voice.scan.columns names {', '.join(sorted(absent))}, which no recording has; there are {there}"
        )
    detail = "its column_id is not one of voice.scan.columns"
    return [
        replace(one, outcome="ignored", reason="not selected", detail=detail)
        if one.path in names and names[one.path].column_id not in columns
        else one
        for one in entries
    ]


def _tasks(recordings: Iterable[tuple[str, str]]) -> str:
    """The column_ids with how many recordings have each; those of a few patients are not named.

    Args:
        recordings: column_id and healthCode of each.
    """
    table = pd.DataFrame(recordings, columns=["column_id", "healthCode"])
    tasks = table.groupby("column_id")["healthCode"].agg(["size", "nunique"])
    named = [f"{name} ({row['size']})" for name, row in tasks.iterrows() if row["nunique"] >= SMALLEST_COUNT]
    return ", ".join(named + (["others of fewer than five patients"] if len(named) < len(tasks) else []))


def _refuse_repeated_names(root: Path, names: Mapping[str, RecordingName], tell: Tell) -> None:
    """One recording must be one file, and no two ids may differ only in case."""
    items, patients = defaultdict(list), defaultdict(list)
    for path, name in names.items():
        items[name.item_id].append(path)
        patients[name.health_code].append(path)
    repeated = [FileProblem(path, "repeated", f"as {paths[0]}") for paths in items.values() for path in paths[1:]]
    if repeated:
        message = (
            f"{root}: {len({one.detail for one in repeated})} recording(s) are there more than once, under the same "
            "healthCode, record_id and column_id (a recording and its ready-made image, or two formats); move the "
            "images or the sounds out of the folder, or keep one file of each"
        )
        raise DataError(tell(message, repeated))
    for what, found in (("healthCode", patients), ("recording name", items)):
        twins = case_twins(found)
        if twins:
            problems = [
                FileProblem(path, "case twin", f"{what} {spelling}, elsewhere {other}")
                for spellings in twins
                for other, spelling in pairwise([spellings[-1], *spellings])
                for path in found[spelling]
            ]
            raise DataError(tell(f"{root}: {describe_twins(len(twins), what)}", problems))


def _look(path: Path, settings: VoiceScan) -> tuple[str, Facts]:
    """Digest of the content and facts of a recording or image, as its extension says; runs in a worker."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        digest, facts = look_at_sound(path, settings)
        return digest, {"kind": "audio", **facts}
    image, is_colour = inspect_image(path)
    height, width = image.shape
    digest = hashlib.sha256(f"{height} {width}\n".encode() + image.tobytes()).hexdigest()
    warnings = ("W_COLOUR",) if is_colour else ()
    return digest, {"kind": "image", "height_px": height, "width_px": width, "warnings": warnings}


def _row(one: Opened, name: RecordingName) -> dict[str, Any]:
    ids = {"healthCode": name.health_code, "record_id": name.record_id, "column_id": name.column_id}
    digests = {"sha256": one.sha256, "content_sha256": one.content_sha256}
    return {"path": one.path, **ids, **digests, **one.facts, "status": "used"}


def _mark_duplicates(root: Path, rows: Sequence[dict[str, Any]], tell: Tell) -> None:
    """Set the status of every row whose content its patient already has; rows are sorted by id.

    Raises:
        DataError: two patients have the same content.
    """
    contents = ((row["path"], row["healthCode"], f"{row['kind']} {row['content_sha256']}") for row in rows)
    repeated, shared = equal_contents(contents)
    if shared:
        message = (
            f"{root}: {len(shared)} recording(s) have the same content under two patients, whose fold would leak; "
            "remove the wrong ones"
        )
        raise DataError(tell(message, [FileProblem(path, "same content", f"as {first}") for first, path in shared]))
    for row in rows:
        if row["path"] in repeated:
            row["status"] = "duplicate"


def _refuse_odd_sizes(opened: Sequence[Opened]) -> list[Opened]:
    """The same with Q_SIZE for every image of another size than most."""
    most = _most_frequent(size_of(one.facts) for one in opened if "height_px" in one.facts)
    return [
        one.refused(InputFault("Q_SIZE", f"{size_of(one.facts)} px, and most images {most} (image_sizes: one)"))
        if "height_px" in one.facts and size_of(one.facts) != most
        else one
        for one in opened
    ]


def _warn_of_sizes(rows: Sequence[dict[str, Any]]) -> None:
    """Add W_SIZE to every image of another size than most: its axes may be others too, and resizing would hide it."""
    most = _most_frequent(image_sizes(rows).elements())
    for row in rows:
        if row["kind"] == "image" and size_of(row) != most:
            row["warnings"] = (*row["warnings"], "W_SIZE")


def _most_frequent(sizes: Iterable[str]) -> str:
    counts = Counter(sizes)
    return max(counts, key=lambda size: (counts[size], size), default="")


def _cell(row: Row, column: str) -> str:
    """Final text of one cell, so that reading a table back and writing it again changes nothing."""
    value = row.get(column)
    if value is None:
        return ""
    if column == "warnings":
        return ";".join(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def count_files(n_listed: int, rows: Sequence[Row], quarantine: pd.DataFrame) -> dict[str, Any]:
    """Count what became of every file.

    Args:
        n_listed: entries under the recordings folder.
        rows: used and duplicate recordings.
        quarantine: everything else.

    Returns:
        listed = used + duplicate + quarantined + ignored, and what the used ones are like.
    """
    used = [row for row in rows if row["status"] == "used"]
    quarantined, ignored = count_reasons(quarantine, "quarantined"), count_reasons(quarantine, "ignored")
    return {
        "listed": n_listed,
        "used": len(used),
        "used_audio": sum(row["kind"] == "audio" for row in used),
        "used_images": sum(row["kind"] == "image" for row in used),
        "duplicate": len(rows) - len(used),
        "quarantined": sum(quarantined.values()),
        "ignored": sum(ignored.values()),
        "patients": told(len({row["healthCode"] for row in used})),
        "column_ids": len({row["column_id"] for row in used}),
        "audio_hours": round(sum(row.get("duration_s", 0.0) for row in used) / 3600, 4),
        "quarantined_by_reason": quarantined,
        "ignored_by_rule": ignored,
        "image_sizes": dict(image_sizes(rows)),
        "warnings": dict(Counter(code for row in used for code in row["warnings"])),
    }


def image_sizes(rows: Sequence[Row]) -> Counter[str]:
    """How many used images have each size."""
    return Counter(size_of(row) for row in rows if row["kind"] == "image" and row["status"] == "used")


def size_of(image: Row) -> str:
    """Height and width in pixels, such as ``64x128``."""
    return f"{image['height_px']}x{image['width_px']}"


def describe(counts: Mapping[str, Any]) -> list[str]:
    """The counts of `count_files` as lines to read."""
    lines = [
        f"{counts['used']} of {counts['listed']} files are used: {counts['used_audio']} recordings "
        f"({counts['audio_hours']:g} h) and {counts['used_images']} mel images of {counts['patients']} patients",
        f"{counts['duplicate']} duplicate, {_with_reasons(counts, 'quarantined', 'quarantined_by_reason')}, "
        + _with_reasons(counts, "ignored", "ignored_by_rule"),
    ]
    lines += [
        f"NOTE: {count} x {code}: {_WARNINGS.get(code, 'see recordings.csv')}"
        for code, count in sorted(counts["warnings"].items())
    ]
    return lines


def notes(recordings: pd.DataFrame) -> list[str]:
    """A line where the used recordings are of several tasks, which nobody may have meant to train on as one."""
    used = recordings[recordings["status"] == "used"]
    if used["column_id"].nunique() < 2:
        return []
    tasks = _tasks(zip(used["column_id"], used["healthCode"], strict=True))
    return [
        f"NOTE: recordings of {used['column_id'].nunique()} column_ids are used as one: {tasks}; where they are unlike "
        "tasks, as a countdown beside a sustained voice, list those to take in voice.scan.columns"
    ]


def _with_reasons(counts: Mapping[str, Any], outcome: str, reasons: str) -> str:
    return f"{counts[outcome]} {outcome}" + (f" ({tally(counts[reasons])})" if counts[reasons] else "")
