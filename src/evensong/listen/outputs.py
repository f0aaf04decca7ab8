"""Detections -> tables, and labels for Raven, Audacity and BirdNET's tools; each file has its name when it is whole."""

import csv
import hashlib
import importlib
import importlib.util
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from evensong.errors import ParamsError, ResourceError
from evensong.listen.found import Columns, Event, Found
from evensong.run.text import plain_cell

# Raven's own columns, then what it takes as annotations.
RAVEN = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin File", "Annotation", "Confidence", "Windows"),
)
RAVEN_OF_MANY = (*RAVEN, "Begin Path", "File Offset (s)")
RAVEN_NAME, AUDACITY_NAME = ".Table.1.selections.txt", ".labels.txt"
BIRDNET = {"Start (s)": float, "End (s)": float, "Scientific name": str, "Common name": str, "Confidence": float}
HOURS, NIGHTS = "hours.csv", "nights.csv"
_TABLES = (".csv", ".jsonl", ".parquet")
_LONGEST_NAME = 255  # bytes, on every common file system
_PARQUET_ROWS = 1 << 16


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hand out a path to write; the file takes its name, and the place of an older one, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own length, whatever the longest is that the file system takes
    part = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as handle:
        yield handle


def check_table(path: Path | None, option: str) -> None:
    """Refuse before hours of scoring what would fail after them.

    Raises:
        ParamsError: the path is a folder, or its name is of no table that can be written.
        ResourceError: Parquet is asked for, and the package that writes it is not installed.
    """
    if path is not None and path.is_dir():
        raise ParamsError(f"{option} {path}: a folder; name a file in it")
    if path is not None and path.suffix.lower() not in _TABLES:
        raise ParamsError(f"{option} {path}: the name must end in {', '.join(_TABLES[:-1])} or {_TABLES[-1]}")
    if path is not None and path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ResourceError(f"{option} {path}: Parquet needs pyarrow; install it with: pip install pyarrow")


def check_apart(places: Iterable[tuple[str, Path]]) -> None:
    """Refuse what would overwrite one output with another.

    Args:
        places: files and folders, each with the option that asks for it.

    Raises:
        ParamsError: two options come to one place, by links or by case alone, too.
    """
    taken: dict[str, str] = {}
    for option, path in places:
        other = taken.setdefault(os.path.realpath(path).casefold(), option)
        if other != option:
            raise ParamsError(f"{option} {path}: that is a place of {other}; name another")


def write_table(path: Path | None, columns: Columns, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV, or as Parquet (.parquet) or JSON lines (.jsonl) where the name says so.

    Args:
        path: None for CSV on standard output.
        columns: str, float or int by name.
        rows: cells in the order of the columns, None for an empty one; read once.
    """
    if path is None:
        _write_csv(sys.stdout, columns, rows)
    elif path.suffix.lower() == ".parquet":
        with replacing(path) as part:
            _write_parquet(part, columns, rows)
    else:
        with _text(path) as handle:
            if path.suffix.lower() == ".jsonl":
                for row in rows:
                    handle.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")
            else:
                _write_csv(handle, columns, rows)


def _write_csv(handle: TextIO, columns: Columns, rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(handle, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([plain_cell(cell) for cell in row] for row in rows)


def _write_parquet(path: Path, columns: Columns, rows: Iterable[Sequence[Any]]) -> None:
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    kinds = {str: arrow.string(), float: arrow.float64(), int: arrow.int64()}
    schema = arrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(itertools.islice(rows, _PARQUET_ROWS)):
            writer.write_table(arrow.table(list(zip(*batch, strict=True)), schema=schema))


def write_birdnet(path: Path, found: Iterable[Found]) -> None:
    """The columns of BirdNET-Analyzer's CSV results, one table with its column File; a class is both of its names."""
    rows = [
        [begin_s, end_s, name, name, score, str(recording.path)]
        for recording in found
        for begin_s, end_s, name, score in (event.rounded() for event in recording.events)
    ]
    write_table(path, {**BIRDNET, "File": str}, rows)


def names_beside(folder: Path | None, names: Mapping[Path, Path], ending: str, option: str) -> dict[Path, Path]:
    """One file a recording, in the recordings' own folders below the given one.

    Args:
        folder: where the files go; None for none.
        names: of the recordings by their paths.
        ending: what takes the place of the recording's extension.

    Raises:
        ParamsError: two recordings would write one file, a name would be too long, or the folder is a file.
    """
    if folder is None:
        return {}
    if folder.exists() and not folder.is_dir():
        raise ParamsError(f"{option} {folder}: a file; name a folder")
    taken: dict[str, Path] = {}
    tables = {path: folder / name.parent / f"{name.stem}{ending}" for path, name in names.items()}
    for path, table in tables.items():
        other = taken.setdefault(str(table).casefold(), path)
        if other != path:
            raise ParamsError(f"{option}: {other} and {path} would both be written to {table}; run them apart")
        if len(os.fsencode(table.name)) > _LONGEST_NAME:
            raise ParamsError(f"{option}: {table.name} is longer than a file name may be; shorten the recording's name")
    return tables


def write_raven(path: Path, recording: Found, band_hz: tuple[float, float]) -> None:
    """One recording's selection table; without detections it holds its header alone.

    Args:
        band_hz: lowest and highest frequency the model hears; every selection spans it.
    """
    with _text(path) as handle:
        rows = _raven_table(handle, RAVEN)
        for number, event in enumerate(recording.events, start=1):
            rows.writerow(_selection(number, event, 0.0, recording, band_hz))


def write_raven_of_many(path: Path, found: Iterable[Found], band_hz: tuple[float, float]) -> None:
    """One selection table of all recordings, as Raven opens them together: its times run on from one to the next."""
    number, offset_s = 0, 0.0
    with _text(path) as handle:
        rows = _raven_table(handle, RAVEN_OF_MANY)
        for recording in found:
            for event in recording.events:
                number += 1
                row = _selection(number, event, offset_s, recording, band_hz)
                rows.writerow((*row, str(recording.path), f"{event.begin_s:.6f}"))
            offset_s += recording.seconds


def _raven_table(handle: TextIO, columns: Sequence[str]) -> Any:
    """A table by tabs without any quotes: Raven knows none."""
    rows = csv.writer(handle, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    rows.writerow(columns)
    return rows


def _selection(
    number: int, event: Event, offset_s: float, recording: Found, band_hz: tuple[float, float]
) -> tuple[object, ...]:
    low, high = (f"{hz:g}" for hz in band_hz)
    begin, end = f"{offset_s + event.begin_s:.6f}", f"{offset_s + event.end_s:.6f}"
    own = (recording.name.name, event.class_name, f"{event.score:.6f}", event.n_windows)
    return number, "Spectrogram 1", 1, begin, end, low, high, *own


def write_audacity(path: Path, recording: Found) -> None:
    """One recording's label track; empty without detections."""
    with _text(path) as handle:
        handle.writelines(f"{one.begin_s:.6f}\t{one.end_s:.6f}\t{one.class_name}\n" for one in recording.events)
