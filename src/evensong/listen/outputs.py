"""Scores of recordings -> tables that grow as they come, each under its name only when it is complete."""

import csv
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np

from evensong.errors import InputFault, ParamsError
from evensong.intake.names import printable
from evensong.listen.events import Event, write_selections
from evensong.score.detection import Scores
from evensong.run.text import plain_cell

_LONGEST_NAME = 255  # bytes, on every common file system


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes its name, and the place of an older one, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own length, whatever the longest is that the file system takes
    part = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as handle:
            yield handle
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class WindowTable:
    """One row a window: file, times, likeliest class and its probability, and one probability a class."""

    def __init__(self, handle: TextIO, classes: Sequence[str]) -> None:
        self._rows = csv.writer(handle, lineterminator="\n")
        self._classes = classes
        # A class may be called "file": the prefix keeps its column apart.
        self._rows.writerow(["file", "begin_s", "end_s", "top_class", "top_score", *(f"p_{name}" for name in classes)])

    @classmethod
    @contextmanager
    def opened(cls, path: Path | None, classes: Sequence[str]) -> Iterator[Self]:
        """Write to a file, or to standard output where there is none."""
        if path is None:
            yield cls(sys.stdout, classes)
            return
        with replacing(path) as handle:
            yield cls(handle, classes)

    def add(self, path: Path, scores: Scores) -> None:
        """Add the windows of one recording; cells of a window without sound stay empty."""
        file = plain_cell(str(path))
        for begin_s, end_s, probs in zip(scores.begins_s, scores.ends_s, scores.probs, strict=True):
            times = [f"{begin_s:.6f}", f"{end_s:.6f}"]
            if np.isnan(probs[0]):
                self._rows.writerow([file, *times, *[""] * (2 + len(probs))])
                continue
            top, shown = int(probs.argmax()), [f"{value:.6g}" for value in probs]
            self._rows.writerow([file, *times, plain_cell(self._classes[top]), shown[top], *shown])


class QuarantineTable:
    """One row a refused recording: file, reason, detail. Without an output file there is none to write."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self._write("file", "reason", "detail")

    @staticmethod
    def path_beside(out: Path) -> Path:
        """The quarantine table of an output table."""
        return out.with_name(f"{out.stem}.quarantine.csv")

    @classmethod
    @contextmanager
    def opened(cls, out: Path | None) -> Iterator[Self]:
        """Write beside the output table; with its header alone where nothing was refused."""
        if out is None:
            yield cls(None)
            return
        with replacing(cls.path_beside(out)) as handle:
            yield cls(csv.writer(handle, lineterminator="\n"))

    def add(self, path: Path, fault: InputFault) -> None:
        """Add one recording."""
        self._write(plain_cell(printable(str(path))), fault.reason, fault.detail)

    def _write(self, *cells: str) -> None:
        if self._rows is not None:
            self._rows.writerow(cells)


class SelectionTables:
    """One Raven selection table a recording, in the recordings' own folders below the given one.

    Args:
        folder: where the tables go; None for none.
        names: of the recordings by their paths, below the folders that were named.
        band_hz: lowest and highest frequency the model hears.

    Raises:
        ParamsError: two recordings would write one table, or a table's name would be too long.
    """

    def __init__(self, folder: Path | None, names: dict[Path, Path], band_hz: tuple[float, float]) -> None:
        self._names, self._band_hz = names, band_hz
        self._tables: dict[Path, Path] = {}
        if folder is None:
            return
        taken: dict[str, Path] = {}
        for path, name in names.items():
            table = folder / name.parent / f"{name.stem}.Table.1.selections.txt"  # as Raven names them
            other = taken.setdefault(str(table).casefold(), path)
            if other != path:
                raise ParamsError(f"--raven: {other} and {path} would both be written to {table}; run them apart")
            if len(os.fsencode(table.name)) > _LONGEST_NAME:
                raise ParamsError(
                    f"--raven: {table.name} is longer than a file name may be; shorten the recording's name"
                )
            self._tables[path] = table

    def add(self, path: Path, events: Sequence[Event]) -> None:
        """Write the table of one recording, where tables are asked for."""
        if path in self._tables:
            with replacing(self._tables[path]) as handle:
                write_selections(handle, events, recording=self._names[path].name, band_hz=self._band_hz)
