"""File names -> who was recorded, when and with which task; ids are compared exactly as written."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from evensong.errors import DataError, InputFault
from evensong.intake.names import name_fault, nfc

# The first two parts hold no underscore; the third may, but no space or bracket: browsers and file managers
# mark a second copy of a file with them ("name (1).jpg", "name copy.jpg").
_NAME = re.compile(r"([^_]+)_([^_]+)_([^\s()\[\]]+)\.([^.\s]+)")
_COPY = re.compile(r"(copy of|kopie von|copie de|copia de) ", re.IGNORECASE)  # as sharing services name a copy
_MOST_NAMED = 20


class RecordingName(NamedTuple):
    """The parts of ``{healthCode}_{record_id}_{column_id}.ext``; the extension is in lower case, with its dot."""

    health_code: str
    record_id: str
    column_id: str
    suffix: str

    @property
    def item_id(self) -> str:
        """The name without its extension."""
        return f"{self.health_code}_{self.record_id}_{self.column_id}"


def parse_name(name: str) -> RecordingName:
    """Split a file name into its ids, from its start to its end.

    Args:
        name: the file's name without folders.

    Raises:
        InputFault: Q_NAME; the name has another form, or holds a character that no name may hold.
    """
    fault = _character_fault(name)
    if fault is not None:
        raise InputFault("Q_NAME", fault)
    match = _NAME.fullmatch(name)
    if match is None or _COPY.match(name):
        raise InputFault("Q_NAME", "the name is not {healthCode}_{record_id}_{column_id}.extension")
    health_code, record_id, column_id, suffix = match.groups()
    return RecordingName(health_code, record_id, column_id, f".{suffix.lower()}")


def id_problem(value: str) -> str | None:
    """Say why a table cell cannot be a healthCode, without repeating it; None when it can."""
    if not value.strip():
        return "the healthCode is empty"
    if "_" in value:
        return "the healthCode holds an underscore, which separates the parts of a recording's file name"
    fault = _character_fault(value)
    return f"the healthCode cannot be used ({fault})" if fault else None


def _character_fault(name: str) -> str | None:
    return name_fault(name) or ("a slash or a backslash in the name" if re.search(r"[/\\]", name) else None)


@dataclass(frozen=True)
class Located:
    """Where ids stand, so that a message can point at them without showing them.

    Args:
        where: the table or folder.
        lines: id to the line of its first appearance.
    """

    where: str
    lines: Mapping[str, int]


def locate(ids: Iterable[str], path: Path) -> Located:
    """The line of a table on which each id stands first; the header is line 1."""
    first: dict[str, int] = {}
    for line, identifier in enumerate(ids, start=2):
        first.setdefault(identifier, line)
    return Located(str(path), first)


def case_twins(ids: Iterable[str]) -> list[list[str]]:
    """The ids that differ from others only in case, outer spaces or Unicode composition, those of one in a list.

    Why: they are compared as written, so such a pair would be joined to nothing, or hide a leak.
    """
    spellings: dict[str, dict[str, None]] = defaultdict(dict)
    for identifier in ids:
        spellings[nfc(nfc(identifier).strip().casefold())][identifier] = None
    return [list(found) for found in spellings.values() if len(found) > 1]


def describe_twins(n_twins: int, what: str = "healthCode") -> str:
    """What to do about `case_twins`."""
    return (
        f"{n_twins} {what}(s) are written in ways that differ only in upper and lower case, outer spaces or accents' "
        "encoding; write each one the same everywhere"
    )


def refuse_case_twins(sources: Sequence[Located]) -> None:
    """Refuse `case_twins` among the ids of all tables.

    Raises:
        DataError: names both places of every pair.
    """
    places: dict[str, str] = {}
    for source in sources:
        for identifier, line in source.lines.items():
            places.setdefault(identifier, f"{source.where} line {line}")
    twins = [" and ".join(places[spelling] for spelling in found) for found in case_twins(places)]
    if twins:
        more = f"; and {len(twins) - _MOST_NAMED} more" if len(twins) > _MOST_NAMED else ""
        raise DataError(f"{describe_twins(len(twins))}: {'; '.join(twins[:_MOST_NAMED])}{more}")
