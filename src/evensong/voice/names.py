"""File names -> who was recorded, when and with which task; ids are compared exactly as written."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from evensong.errors import DataError, InputFault

# The first two parts hold no underscore; the third may, but no space or bracket: browsers and file managers
# mark a second copy of a file with them ("name (1).jpg", "name copy.jpg").
_NAME = re.compile(r"([^_]+)_([^_]+)_([^\s()\[\]]+)\.([^.\s]+)")
_COPY = re.compile(r"(copy of|kopie von|copie de|copia de) ", re.IGNORECASE)  # as sharing services name a copy
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\]")
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
        InputFault: Q_NAME; the name has another form, or holds a control character, a slash or a backslash.
    """
    if _FORBIDDEN.search(name):
        raise InputFault("Q_NAME", "the name holds a control character, a backslash, or bytes that are not UTF-8")
    match = _NAME.fullmatch(name)
    if match is None or _COPY.match(name):
        raise InputFault("Q_NAME", "the name is not {healthCode}_{record_id}_{column_id}.extension")
    health_code, record_id, column_id, suffix = match.groups()
    return RecordingName(health_code, record_id, column_id, f".{suffix.lower()}")


def suffix_of(path: str) -> str:
    """The extension in lower case with its dot; empty where there is none."""
    return PurePosixPath(path).suffix.lower()


def id_problem(value: str) -> str | None:
    """Say why a table cell cannot be a healthCode, without repeating it; None when it can."""
    if not value.strip():
        return "the healthCode is empty"
    if "_" in value:
        return "the healthCode holds an underscore, which separates the parts of a recording's file name"
    if _FORBIDDEN.search(value):
        return "the healthCode holds a control character, a slash or a backslash"
    return None


@dataclass(frozen=True)
class Located:
    """Where ids stand, so that a message can point at them without showing them.

    Args:
        where: the table or folder.
        unit: what a number counts there, such as ``line``.
        numbers: id to the number of its first appearance.
    """

    where: str
    unit: str
    numbers: Mapping[str, int]


def refuse_case_twins(sources: Sequence[Located], what: str = "healthCode") -> None:
    """Refuse ids that differ only in case, outer spaces or Unicode composition.

    Why: they are compared as written, so such a pair would be joined to nothing, or hide a leak.

    Raises:
        DataError: names both places of every pair.
    """
    spellings: dict[str, dict[str, str]] = defaultdict(dict)
    for source in sources:
        for identifier, number in source.numbers.items():
            place = f"{source.where} {source.unit} {number}"
            spellings[_folded(identifier)].setdefault(identifier, place)
    twins = [" and ".join(places.values()) for places in spellings.values() if len(places) > 1]
    if twins:
        more = f"; and {len(twins) - _MOST_NAMED} more" if len(twins) > _MOST_NAMED else ""
        raise DataError(
            f"{len(twins)} {what}(s) are written in ways that differ only in upper and lower case, outer spaces or "
            f"accents' encoding; write each one the same everywhere: {'; '.join(twins[:_MOST_NAMED])}{more}"
        )


def _folded(identifier: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", identifier).strip().casefold())
