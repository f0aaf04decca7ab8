"""A CSV that people made -> its rows as text, or an error that names lines; nothing is converted or skipped."""

import csv
import difflib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evensong.errors import DataError

_MOST_PROBLEMS = 20
_MOST_BYTES = 1 << 30
# What programs that export a survey write where nobody answered, and what people answer in place of an answer.
_EMPTY = ("", "-", "?", "#n/a", "<na>", "n/a", "n.a.", "na", "nan", "none", "null", "missing", "not available")
_DECLINED = ("no answer", "not sure", "don't know", "dont know", "do not know", "i don't know", "unknown")
BLANKS = frozenset((*_EMPTY, *_DECLINED, "prefer not to answer", "prefer not to say"))
_ALIKE = 0.8  # of a header cell and a column name; an id is nothing like a column name


@dataclass(frozen=True)
class TextTable:
    """The wanted columns of a CSV file.

    Args:
        path: the file.
        lines: line number at which each row starts; the header is line 1.
        values: column name to its cells, as written.
        header: every column's name.
    """

    path: Path
    lines: list[int]
    values: dict[str, list[str]]
    header: list[str]

    @property
    def n_other_columns(self) -> int:
        """Columns that nobody asked for."""
        return len(self.header) - len(self.values)


@dataclass
class Problems:
    """Everything wrong in one file, gathered so that one run shows it all."""

    path: Path
    found: list[str] = field(default_factory=list)

    def add(self, line: int, text: str) -> None:
        """Note a problem of one line; the text holds no cell's value where that may be a patient's id."""
        self.found.append(f"line {line}: {text}")

    def refuse(self) -> None:
        """Stop if anything was noted.

        Raises:
            DataError: lists the lines.
        """
        if self.found:
            shown = self.found[:_MOST_PROBLEMS]
            more = [f"and {len(self.found) - len(shown)} more"] if len(self.found) > len(shown) else []
            raise DataError("\n  ".join([f"{self.path}: {len(self.found)} problem(s)", *shown, *more]))


def answer_of(cell: str) -> str:
    """A cell as answers are compared: without outer spaces and upper case, and with a plain apostrophe."""
    return cell.strip().casefold().replace("\u2019", "'")


def read_table(path: Path, columns: Sequence[str], *, cure: str = "") -> TextTable:
    """Read a comma-separated UTF-8 file with a header; every cell stays the text it is.

    Accepted: a byte order mark, CRLF line ends, other columns, any column order, empty lines and rows of blank cells.

    Args:
        columns: names that must each stand exactly once in the header.
        cure: added where one of them is missing, such as the parameter that names it.

    Raises:
        DataError: the file is missing, empty, not UTF-8, holds NUL, has a bad header or no rows, or a row with
            another number of fields than the header. Cells are never repeated in the message.
    """
    text = _text(path)
    _check_separator(path, text, columns)
    rows, lines = _split(path, text)
    if not rows:
        raise DataError(f"{path}: the file is empty; expected the columns {', '.join(columns)}")
    header = [name.strip() for name in rows[0]]
    _check_header(path, header, columns, cure)
    problems = Problems(path)
    for line, row in zip(lines[1:], rows[1:], strict=True):
        if len(row) != len(header):
            problems.add(line, f"{len(row)} field(s), the header has {len(header)}")
    problems.refuse()
    if len(rows) == 1:
        raise DataError(f"{path}: there is a header and no row under it")
    values = {name: [row[header.index(name)] for row in rows[1:]] for name in columns}
    return TextTable(path, lines[1:], values, header)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: more than {_MOST_BYTES} bytes, which no table of files or patients needs")
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file is missing") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = error.start + 3 * raw.startswith(b"\xef\xbb\xbf")
        raise DataError(f"{path}: not UTF-8 at byte {offset}; save it as CSV UTF-8") from None
    if "\x00" in text:
        raise DataError(f"{path}: NUL byte on line {text[: text.index(chr(0))].count(chr(10)) + 1}")
    return text


def _split(path: Path, text: str) -> tuple[list[list[str]], list[int]]:
    """Rows that are not blank, with the line number at which each starts."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    start = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}: line {start}: {error}; check the quotes") from None
    return rows, lines


def _check_separator(path: Path, text: str, columns: Sequence[str]) -> None:
    header = text.lstrip("\r\n").split("\n", 1)[0]
    for separator, name in ((";", "semicolon"), ("\t", "tab")):
        if separator in header and "," not in header:
            raise DataError(
                f"{path}: expected comma-separated columns {', '.join(columns)}; the header is one field, separated by "
                f"a {name}: save the file with commas"
            )


def _check_header(path: Path, header: list[str], columns: Sequence[str], cure: str) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        said = [f"missing column(s) {', '.join(missing)}", _describe(header, columns, missing), cure]
        raise DataError(f"{path}: {'; '.join(part for part in said if part)}")
    named = [name for name in header if name]
    if len(set(named)) != len(named):
        first = {name: place for place, name in reversed(list(enumerate(header, 1))) if named.count(name) > 1}
        repeated = [_shown(place, name) for name, place in sorted(first.items())]
        raise DataError(f"{path}: column(s) repeated in the header: {', '.join(repeated)}")


def _describe(header: list[str], columns: Sequence[str], missing: Sequence[str]) -> str:
    """What the first line looks like; its cells are shown only where it surely is a header and not a patient's row."""
    if header[0].startswith("sep="):
        return "remove the first line, sep=, which is for Excel"
    near = [(name, _nearest(name, header)) for name in missing]
    advice = "; ".join(f"rename column {place} to {name}" for name, place in near if place)
    if advice or set(columns) & set(header):
        found = ", ".join(_shown(place, name) for place, name in enumerate(header, 1))
        return f"found {found}; {advice}" if advice else f"found {found}"
    return f"the first line holds {len(header)} field(s) and none of the column names: is the header missing?"


def _shown(place: int, name: str) -> str:
    """A header cell as a message shows it; one with a digit in it could be an id in a torn line."""
    return f"(column {place})" if not name or re.search(r"\d", name) else name


def _nearest(name: str, header: list[str]) -> int:
    """The position, from 1, of the header cell that is the wanted name in another spelling; 0 when none is."""
    plain = [re.sub(r"[^a-z0-9]", "", cell.casefold()) for cell in header]
    close = difflib.get_close_matches(re.sub(r"[^a-z0-9]", "", name.casefold()), plain, n=1, cutoff=_ALIKE)
    return plain.index(close[0]) + 1 if close else 0
