"""A table of annotations as a program or a person wrote it -> one entry a row, the unusable ones with their reason.

Read are Raven selection tables, Audacity label tracks, and tables with a header that names file, start, end or
duration, and label, as Kaleidoscope's do.
Nothing is guessed: a time that is not plainly a number of seconds makes its row a bad row.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from evensong.errors import InputFault
from evensong.intake.names import name_fault, nfc

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": None}
BAD_ROW, REPEATED = "bad row", "repeated view"
Kind = Literal["audacity", "raven", "table"]

_MOST_BYTES = 1 << 28
_POINT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_UNKNOWN = (float("nan"), float("nan"))
# Header cells in lower case without spaces and signs, the first that is there counts.
_ROLES = {
    "file": (
        *("beginpath", "beginfile", "file", "filename", "filepath", "path", "audiofile", "audiofilename"),
        *("audiofilepath", "audio", "recording", "recordingname", "soundfile", "wav", "wavfile", "infile"),
    ),
    "begin": (
        *("begintimes", "begin", "begins", "beginsec", "beginseconds", "begintime", "start", "starts", "startsec"),
        *("startseconds", "starttime", "starttimes", "starttimesec", "onset", "onsets", "onsetsec"),
        *("offset", "offsets", "offsetsec"),  # Kaleidoscope's, from the start of the file; beside another begin an end
    ),
    "end": (
        *("endtimes", "end", "ends", "endsec", "endseconds", "endtime", "endtimesec", "stop", "stops", "stoptime"),
        *("offset", "offsets", "offsetsec"),
    ),
    "duration": ("duration", "durations", "durationsec", "durationseconds"),
    "file_offset": ("fileoffsets", "fileoffset"),
    "label": (
        *("label", "labels", "annotation", "annotations", "species", "labelspecies", "class", "classname"),
        *("eventlabel", "tag", "commonname", "scientificname", "manualid"),
    ),
    "annotator": ("annotator", "annotatorname", "annotatedby", "analyst", "observer"),
    "exhaustive": ("exhaustive",),
    "reviewed": ("reviewed",),
    "selection": ("selection",),
    "view": ("view",),
}


@dataclass(frozen=True)
class Annotation:
    """One row.

    Attributes:
        line: of the table, from 1.
        recording: as the row names it; empty where the table's own name has to tell.
        begin_s: from the start of that recording; NaN in a bad row, as is end_s.
        label: composed form, without spaces around it.
        exhaustive: what the row says of its whole recording; None where it says nothing.
        reviewed: whether a person found it by listening to what a model had detected.
        status: empty for a usable row, else BAD_ROW or REPEATED.
        detail: why.
    """

    line: int
    recording: str
    begin_s: float
    end_s: float
    label: str
    annotator: str = ""
    exhaustive: bool | None = None
    reviewed: bool = False
    status: str = ""
    detail: str = ""


@dataclass(frozen=True)
class AnnotationTable:
    """All rows of one table, in their order.

    Attributes:
        label_column: the header cell that labels were read from; empty for Audacity, and where there are no rows.
    """

    kind: Kind
    label_column: str
    rows: list[Annotation]


def read_annotations(path: Path, label_column: str | None = None) -> AnnotationTable:
    """Read one table, in UTF-8, UTF-16 or Windows-1252; every row but blank ones is kept.

    Args:
        label_column: the header cell to take labels from; None takes the first of the usual ones. Audacity has none.

    Raises:
        InputFault: Q_TABLE, it is no table of annotations, or lacks a column.
    """
    try:
        raw = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else None
    except OSError as error:
        raise InputFault("Q_TABLE", f"cannot be read ({error.strerror})") from error
    if raw is None:
        raise InputFault("Q_TABLE", f"more than {_MOST_BYTES} bytes")
    text = decode_text(raw)
    first = next((line for line in re.split(r"[\r\n]+", text) if line.strip()), "")
    if not first or _is_audacity(first):
        return AnnotationTable("audacity", "", _audacity(text))
    separator, header = _header(first)
    rows = [(line, cells) for line, cells in _records(text, separator) if any(cell.strip() for cell in cells)][1:]
    columns, named = _columns(header, label_column if rows else None)
    if rows and "label" not in columns:
        found = ", ".join(cell for cell in header if cell)
        raise InputFault("Q_TABLE", f"no column of labels among {found}; name one in night.cut.label_column")
    kind: Kind = "raven" if "selection" in columns and separator == "\t" else "table"
    read = [_row(line, cells, len(header), columns) for line, cells in rows]
    if kind == "raven":
        read = _one_view(_on_one_clock(read, columns), [cells for _, cells in rows], columns)
    return AnnotationTable(kind, named if rows else "", _timed(read))


def decode_text(raw: bytes) -> str:
    """Text of a table: UTF-16 by its mark or its zeros, else UTF-8, else Windows-1252.

    Raises:
        InputFault: Q_TABLE, none of them.
    """
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif len(raw) > 1 and raw[:1] == b"\0":
        encodings = ["utf-16-be"]
    elif raw[1:2] == b"\0":
        encodings = ["utf-16-le"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise InputFault("Q_TABLE", "neither UTF-8, UTF-16 nor Windows-1252 text")


@dataclass(frozen=True)
class _Cells:
    """A row whose times are still text; `end` counts from its begin where the table has durations and no ends."""

    row: Annotation
    begin: str
    end: str
    file_offset: str = ""
    has_duration: bool = False


def _is_audacity(line: str) -> bool:
    times = [cell.strip() for cell in line.split("\t")[:2]]
    return len(times) == 2 and all(_POINT.fullmatch(time) or _COMMA.fullmatch(time) for time in times)


def _audacity(text: str) -> list[Annotation]:
    """Begin, end and label by tabs; a line of frequencies, which begins with a backslash, belongs to the one above."""
    read = []
    for line, content in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if not content.strip() or content.startswith("\\"):
            continue
        begin, end, *label = [*(cell.strip() for cell in content.split("\t")), ""]
        read.append(_Cells(Annotation(line, "", *_UNKNOWN, nfc(" ".join(label).strip())), begin, end))
    return _timed(read)


def _header(first: str) -> tuple[str, list[str]]:
    """The separator under which the first line names a begin and an end, and its cells."""
    for separator in ("\t", ",", ";"):
        cells = [cell.strip() for cell in next(csv.reader([first], delimiter=separator), [])]
        columns = _positions([_plain(cell) for cell in cells], _ROLES)
        if "begin" in columns and ("end" in columns or "duration" in columns):
            return separator, cells
    raise InputFault("Q_TABLE", "no table of annotations: its first line names no start and end, and holds no times")


def _positions(plain: Sequence[str], roles: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Position of each role's cell; what is the begin is not the end too."""
    columns: dict[str, int] = {}
    for role, names in roles.items():
        at = next((plain.index(name) for name in names if name and name in plain), None)
        if at is not None and not (role == "end" and at == columns.get("begin")):
            columns[role] = at
    return columns


def _plain(cell: str) -> str:
    return re.sub(r"[^a-z0-9]", "", cell.casefold())


def _columns(header: Sequence[str], label_column: str | None) -> tuple[dict[str, int], str]:
    """Position of each role's cell, and the cell that holds the labels."""
    plain = [_plain(cell) for cell in header]
    asked: dict[str, tuple[str, ...]] = {} if label_column is None else {"label": (_plain(label_column),)}
    columns = _positions(plain, _ROLES | asked)
    for at in columns.values():
        if plain.count(plain[at]) > 1:
            raise InputFault("Q_TABLE", f"two columns are called {header[at]!r}")
    if label_column is not None and "label" not in columns:
        raise InputFault("Q_TABLE", f"no column {label_column!r}, which night.cut.label_column asks for")
    return columns, header[columns["label"]] if "label" in columns else ""


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every record; quotes mean something in comma- and semicolon-separated tables alone."""
    if separator == "\t":
        yield from ((n, line.split("\t")) for n, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1))
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputFault("Q_TABLE", f"line {line}: {error}; check the quotes") from None


def _row(line: int, cells: list[str], n_columns: int, columns: Mapping[str, int]) -> _Cells:
    """The wanted cells; trailing ones may be missing or blank, and nothing may stand beyond the header."""
    padded = [cell.strip() for cell in cells] + [""] * (n_columns - len(cells))
    found = {role: padded[at] for role, at in columns.items()}
    exhaustive, reviewed = (found.get(role, "").casefold() for role in ("exhaustive", "reviewed"))
    row = Annotation(
        *(line, nfc(found.get("file", "")), *_UNKNOWN, nfc(found.get("label", ""))),
        annotator=nfc(found.get("annotator", "")),
        exhaustive=TRUTH.get(exhaustive),
        reviewed=bool(TRUTH.get(reviewed)),
    )
    if any(padded[n_columns:]):
        separated = "; a decimal comma needs quotes here, or tabs between the columns"
        row = _bad(row, f"{len(cells)} cells, the header has {n_columns}{separated}")
    elif exhaustive not in TRUTH:
        row = _bad(row, f"exhaustive {found['exhaustive']!r}; write true or false")
    elif reviewed not in TRUTH:
        row = _bad(row, f"reviewed {found['reviewed']!r}; write true or false")
    has_duration = "end" not in found
    end = found["duration" if has_duration else "end"]
    return _Cells(row, found["begin"], end, found.get("file_offset", ""), has_duration)


def _bad(row: Annotation, detail: str) -> Annotation:
    return replace(row, status=BAD_ROW, detail=detail)


def _on_one_clock(read: list[_Cells], columns: Mapping[str, int]) -> list[_Cells]:
    """In a table over several files Raven counts from the first one; only the file offset says where in its own."""
    if len({cells.row.recording for cells in read}) < 2 or "file_offset" in columns:
        return read
    detail = "one table over several files has to have Raven's column 'File Offset (s)'"
    return [replace(cells, row=_bad(cells.row, detail)) for cells in read]


def _one_view(read: list[_Cells], raw: list[list[str]], columns: Mapping[str, int]) -> list[_Cells]:
    """Raven writes a selection once for each of its views; the first row counts."""
    seen: dict[tuple[str, ...], int] = {}
    kept = []
    for cells, line in zip(read, raw, strict=True):
        key = (line[columns["selection"]].strip(), cells.row.recording, cells.begin, cells.end)
        first = seen.setdefault(key, cells.row.line)
        if "view" in columns and key[0] and first != cells.row.line and not cells.row.status:
            cells = replace(cells, row=replace(cells.row, status=REPEATED, detail=f"another view of line {first}"))
        kept.append(cells)
    return kept


def _timed(read: list[_Cells]) -> list[Annotation]:
    """The rows with their times as numbers. Beside decimal points a comma could mean anything."""
    has_points = any("." in time for cells in read for time in (cells.begin, cells.end, cells.file_offset))
    return [_with_times(cells, has_points=has_points) for cells in read]


def _with_times(cells: _Cells, *, has_points: bool) -> Annotation:
    if cells.row.status == BAD_ROW:
        return cells.row
    try:
        begin, end = (_seconds(time, has_points=has_points) for time in (cells.begin, cells.end))
        offset = _seconds(cells.file_offset, has_points=has_points) if cells.file_offset else begin
    except ValueError as error:
        return _bad(cells.row, str(error))
    if cells.has_duration and end < 0:
        return _bad(cells.row, f"a duration of {cells.end}")
    end += begin if cells.has_duration else 0
    if end < begin:
        return _bad(cells.row, f"ends at {cells.end}, before it begins at {cells.begin}")
    fault = name_fault(cells.row.label) or name_fault(cells.row.recording)
    if fault is not None or not cells.row.label:
        return _bad(cells.row, fault or "no label")
    return replace(cells.row, begin_s=offset, end_s=offset + (end - begin))


def _seconds(cell: str, *, has_points: bool) -> float:
    if _POINT.fullmatch(cell) and math.isfinite(float(cell)):
        return float(cell)
    if not _COMMA.fullmatch(cell):
        raise ValueError(f"{cell!r} is no number of seconds")
    if has_points:
        raise ValueError(f"{cell!r}: a decimal comma in a table with decimal points")
    return float(cell.replace(",", "."))
