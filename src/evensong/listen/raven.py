"""Events -> a selection table as Raven reads and writes it: tab-separated text, one file a recording."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from evensong.listen.events import Event
from evensong.errors import DataError

# Raven's own columns, then what it takes as annotations.
COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "Annotation",
    "Confidence",
    "Windows",
)


def table_name(recording: Path) -> str:
    """The file name of a recording's table."""
    return f"{recording.stem}.Table.1.selections.txt"  # as Raven names them


def write_selections(handle: TextIO, events: Sequence[Event], *, recording: str, band_hz: tuple[float, float]) -> None:
    """Write one selection table; without events it holds its header alone.

    Args:
        handle: text file, opened with ``newline=""``.
        events: of one recording.
        recording: name of its file, without tabs or line breaks.
        band_hz: lowest and highest frequency the model hears; every selection spans it.
    """
    low, high = (f"{hz:g}" for hz in band_hz)
    rows = csv.writer(handle, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    rows.writerow(COLUMNS)
    for number, event in enumerate(events, start=1):
        begin, end = f"{event.begin_s:.6f}", f"{event.end_s:.6f}"
        own = (recording, event.class_name, f"{event.score:.6f}", event.n_windows)
        rows.writerow((number, "Spectrogram 1", 1, begin, end, low, high, *own))


def read_selections(path: Path) -> list[Event]:
    """Read a table that `write_selections` wrote, edited or not, less any Waveform rows that Raven adds.

    Raises:
        DataError: a column is missing, or a cell is no number where one must be.
    """
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
        try:
            return [_event(row) for row in rows if not row["View"].startswith("Waveform")]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not a selection table of evensong predict ({error})") from error


def _event(row: dict[str, str]) -> Event:
    return Event(
        begin_s=float(row["Begin Time (s)"]),
        end_s=float(row["End Time (s)"]),
        class_name=row["Annotation"],
        score=float(row["Confidence"]),
        n_windows=int(row["Windows"]),
    )
