"""data/field -> its recordings, and every row of every annotation table with the recording that it speaks of."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from evensong.audio.decode import open_stream
from evensong.errors import DataError, InputFault
from evensong.intake.annotations import BAD_ROW, TABLE_SUFFIXES, TRUTH, AnnotationTable, read_annotations
from evensong.intake.csv_tables import Problems, read_table
from evensong.intake.listing import AUDIO, Entry, list_files
from evensong.intake.names import counted, name_fault, nfc, printable, some_of
from evensong.intake.opening import equal_contents, open_all
from evensong.intake.problems import tell_names
from evensong.intake.quarantine import check_budget, quarantine_table
from evensong.night.patterns import find_in_names
from evensong.schemas import AudioLimits, NightCut

RECORDINGS_FILE = "recordings.csv"
RECORDING_COLUMNS = [
    *("path", "source_id", "sha256", "sample_rate_hz", "n_channels", "n_frames", "duration_s", "exhaustive"),
    *("duplicate_of", "warnings"),
]
FILE_MISSING = "file missing"
_LONGEST_S = 36_000.0  # ten hours at a hundredth of real time: the deadline of one recording
# What programs append to a recording's name to call its table.
_TABLE_NAME = re.compile(
    r"(\.Table\.\d+)?(\.BirdNET)?([._](selections?|labels?|annotations?))?(\.table)?$", re.IGNORECASE
)


@dataclass(frozen=True)
class Field:
    """What lies in data/field.

    Attributes:
        recordings: one row a usable recording, RECORDING_COLUMNS, sorted by path.
        rows: one row a row of a table: table, line, recording (a path of `recordings`, or empty), begin_s, end_s,
            label, annotator, reviewed, outcome and detail (empty for a row that can be used); in the tables' order.
        quarantine: entries that are not used, as the scan's.
        notes: lines for the user, on tables.
    """

    recordings: pd.DataFrame
    rows: pd.DataFrame
    quarantine: pd.DataFrame
    notes: list[str]


def read_field(root: Path, settings: NightCut, *, group_pattern: str | None, workers: int) -> Field:
    """List and read everything; each recording is decoded once.

    Args:
        root: data/field; a folder that is missing is an empty one.
        group_pattern: what in a recording's name is its source; where it finds nothing, the recording is.

    Raises:
        DataError: recordings.csv is not right, or more recordings are refused than the budget allows.
        IntegrityError: a recording changed while it was read.
    """
    try:
        entries = list_files(root, AUDIO) if root.is_dir() else []
    except OSError as error:
        raise DataError(f"{printable(error.filename)}: the folder cannot be read ({error.strerror})") from error
    recordings, opened = _open_recordings(root, entries, group_pattern, workers)
    tables, refused = _read_tables(root, entries, settings.label_column)
    names = _Names(recordings)
    rows = _rows(tables, names)
    listed, notes = _listed(root, names)
    unread = {row["recording"] for row in rows if row["outcome"] == BAD_ROW}
    unread |= {names.find("", path)[0] for path in refused}  # the tables called after a recording
    notes += _mark_exhaustive(recordings, rows, tables, listed, unread)
    is_table = {*tables, *refused, *([RECORDINGS_FILE] if (root / RECORDINGS_FILE).is_file() else [])}
    quarantine = quarantine_table(root, [entry for entry in entries if entry.path not in is_table], opened)
    check_budget(quarantine, entries, settings, "field recordings", "night.cut", tell_names)
    notes += _label_notes(tables)
    notes += [f"{path}: not read: {why}" for path, why in refused.items()]
    columns = [
        *("table", "line", "recording", "begin_s", "end_s", "label", "annotator", "reviewed", "outcome", "detail")
    ]
    return Field(recordings[RECORDING_COLUMNS], pd.DataFrame(rows, columns=columns), quarantine, notes)


def look_at_recording(path: Path, _limits: AudioLimits) -> tuple[str, dict[str, Any]]:
    """Digest of the samples, and length, rate and channels; one that ends too early counts as far as it goes.

    Raises:
        InputFault: as `open_stream`.
    """
    with open_stream(path, as_far_as_it_goes=True) as stream:
        digest, n_frames = hashlib.sha256(f"{stream.sample_rate_hz} {stream.n_channels}\n".encode()), 0
        for block in stream.blocks:
            digest.update(np.clip(np.rint(block.T * np.float32(32_768)), -32_768, 32_767).astype("<i2").tobytes())
            n_frames += block.shape[1]
    is_short = n_frames < (stream.n_frames or 0) and "W_CUT_SHORT" not in stream.warnings
    facts = {
        "sample_rate_hz": stream.sample_rate_hz,
        "n_channels": stream.n_channels,
        "n_frames": n_frames,
        "duration_s": n_frames / stream.sample_rate_hz,
        "warnings": ";".join([*stream.warnings, *(["W_CUT_SHORT"] if is_short else [])]),
    }
    return digest.hexdigest(), facts


def _open_recordings(
    root: Path, entries: Sequence[Entry], group_pattern: str | None, workers: int
) -> tuple[pd.DataFrame, list[Any]]:
    limits = AudioLimits(
        min_seconds=1e-6, max_seconds=_LONGEST_S, silence_dbfs=-200.0, max_clipped_share=1.0, max_quarantined=1.0
    )
    opened = open_all(root, entries, look_at_recording, limits, workers=workers, tell=tell_names)
    usable = [one for one in opened if not one.reason]
    repeated, _ = equal_contents((one.path, "", one.content_sha256) for one in usable)
    patterned = (
        find_in_names("night.scan.group_pattern", group_pattern, [one.path for one in usable]) if group_pattern else {}
    )
    rows = [
        {
            **one.facts,
            "path": one.path,
            "sha256": one.sha256,
            "duplicate_of": repeated.get(one.path, ""),
            "source_id": patterned.get(repeated.get(one.path, one.path)) or nfc(repeated.get(one.path, one.path)),
            "exhaustive": False,
        }
        for one in usable
    ]
    return pd.DataFrame(rows, columns=RECORDING_COLUMNS), opened


def _read_tables(
    root: Path, entries: Sequence[Entry], label_column: str | None
) -> tuple[dict[str, AnnotationTable], dict[str, str]]:
    """Tables by path, and why the others are none."""
    tables, refused = {}, {}
    for entry in entries:
        is_table = entry.reason == "not audio" and Path(entry.path).suffix.lower() in TABLE_SUFFIXES
        if not is_table or entry.path == RECORDINGS_FILE:
            continue
        try:
            if fault := name_fault(entry.path):
                raise InputFault("Q_NAME", fault)
            tables[entry.path] = read_annotations(root / entry.path, label_column)
        except InputFault as fault:
            refused[printable(entry.path)] = fault.detail
    return tables, refused


def _label_notes(tables: Mapping[str, AnnotationTable]) -> list[str]:
    """Which columns the labels are of, a line a column."""
    of_column: dict[str, list[str]] = {}
    for path, table in tables.items():
        if table.label_column:
            of_column.setdefault(table.label_column, []).append(path)
    return [
        f"labels of {counted(len(paths), 'table')}, such as {paths[0]}: column {column!r}"
        for column, paths in of_column.items()
    ]


class _Names:
    """Finds a recording by what a table calls it: a name, or a path that may be of another machine."""

    def __init__(self, recordings: pd.DataFrame) -> None:
        self._first = dict(zip(recordings["path"], recordings["duplicate_of"], strict=True))
        self._by_name: dict[str, list[str]] = {}
        for path in recordings["path"]:
            name = nfc(PurePosixPath(path).name).casefold()
            for key in {name, PurePosixPath(name).stem}:
                self._by_name.setdefault(key, []).append(path)

    def find(self, called: str, table: str) -> tuple[str, str]:
        """The recording's path, or empty and why there is none.

        Of several of one name, the one that shares most of its last folders with the given path counts, then one in
        the table's own folder.
        """
        given = PurePosixPath(called.replace("\\", "/").casefold()).parts
        if not given:
            stem = _TABLE_NAME.sub("", PurePosixPath(nfc(table)).stem)
            given = (*PurePosixPath(nfc(table).casefold()).parent.parts, stem.casefold())
        candidates = self._by_name.get(given[-1], [])
        if not candidates:
            return "", f"no recording {called or given[-1]!r}" + (
                "" if called else ", which this table is called after"
            )
        ranks = {
            path: (_shared(given, path), PurePosixPath(path).parent == PurePosixPath(table).parent)
            for path in candidates
        }
        best = [path for path, rank in ranks.items() if rank == max(ranks.values())]
        if len(best) > 1:
            return "", f"{len(best)} recordings {called!r}, such as {best[0]} and {best[1]}; name the folder too"
        return self._first[best[0]] or best[0], ""


def _shared(given: Sequence[str], path: str) -> int:
    """How many folders, from the last one, two paths have in common."""
    folders = PurePosixPath(nfc(path).casefold()).parts[:-1]
    pairs = zip(reversed(given[:-1]), reversed(folders), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _rows(tables: Mapping[str, AnnotationTable], names: _Names) -> list[dict[str, Any]]:
    rows = []
    for path, table in tables.items():
        for row in table.rows:
            recording, why = names.find(row.recording, path)
            outcome, detail = row.status, row.detail
            if not outcome and why:
                outcome, detail = FILE_MISSING, why
            rows.append(
                {"table": path, "line": row.line, "recording": recording, "begin_s": row.begin_s, "end_s": row.end_s}
                | {"label": row.label, "annotator": row.annotator, "reviewed": row.reviewed}
                | {"outcome": outcome, "detail": detail}
            )
    return rows


def _listed(root: Path, names: _Names) -> tuple[dict[str, bool], list[str]]:
    """What recordings.csv says of the recordings that are there, and a note on the others."""
    path = root / RECORDINGS_FILE
    if not path.is_file():
        return {}, []
    table = read_table(path, ("recording", "exhaustive"))
    problems, missing = Problems(path), []
    listed: dict[str, bool] = {}
    for line, called, said in zip(table.lines, table.values["recording"], table.values["exhaustive"], strict=True):
        truth = TRUTH.get(said.strip().casefold())
        if truth is None or not called.strip():
            problems.add(line, f"exhaustive is {said!r}; write true or false, and a recording beside it")
            continue
        found, why = names.find(nfc(called.strip()), "")
        if why:
            missing.append(called.strip())
        elif listed.setdefault(found, truth) != truth:
            problems.add(line, f"{found} is both exhaustive and not")
    problems.refuse()
    note = (
        f"{path}: {len(missing)} of its recordings cannot be found, such as {printable(missing[0])}" if missing else ""
    )
    return listed, [note] if note else []


def _mark_exhaustive(
    recordings: pd.DataFrame,
    rows: Iterable[Mapping[str, Any]],
    tables: Mapping[str, AnnotationTable],
    listed: Mapping[str, bool],
    unread: Collection[str],
) -> list[str]:
    """Set the column: what recordings.csv or a table's column says, unless an annotation could not be read.

    Returns:
        A note on the recordings that are not exhaustive for that.
    """
    said = dict(listed)
    flat = [row for table in tables.values() for row in table.rows]
    for row, annotation in zip(rows, flat, strict=True):
        if annotation.exhaustive is not None and row["recording"]:
            said[row["recording"]] = said.get(row["recording"], True) and annotation.exhaustive
    recordings["exhaustive"] = [said.get(path, False) and path not in unread for path in recordings["path"]]
    lost = sorted(path for path in unread if said.get(path))
    if not lost:
        return []
    return [f"{counted(len(lost), 'recording')} not taken as exhaustive: annotations cannot be read ({some_of(lost)})"]
