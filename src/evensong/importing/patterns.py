"""File names -> the patterns that find a source in them, and how many sources each makes. Nothing is chosen."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from evensong.night.patterns import find_in_names

# From the most to the least particular: what databases and recorders write, then what people do.
KNOWN = {
    r"^\d-(\d+)-": "the recording that ESC cut it from",
    r"^(XC\d+)": "the xeno-canto recording",
    r"^(.+?)_take\d+$": "what stands before _take",
    r"^(.+?)_\d{8}[_T]\d{6}": "the recorder, before date and time",
    r"^(?:.*_)?(\d{8})[_T]\d{6}": "the day, of date and time",
    r"(?i)^(.+?)[-_ .]*(?:take|seg|segment|part|clip|chunk|call|rec)[-_ .]*\d+$": "what stands before take, part, clip",
    r"^(.+?)[-_ ]\(?\d+\)?$": "what stands before the last number",
    r"^([^-_ ]+)[-_ ]": "what stands before the first - or _",
}
FOLDS = (r"^(\d)-", r"^[Ff]old_?(\d+)[-_]", r"[-_][Ff]old_?(\d+)")
_EACH_CLASS = 3  # sources, one for each split


class Candidate(NamedTuple):
    """A pattern for night.scan.group_pattern; None makes each clip a source of its own.

    Attributes:
        n_found: clips in whose name it finds a source.
        n_sources: different ones.
        n_largest: clips of the largest source.
        few: classes of fewer than three sources; none where files have no class.
        shared: sources with clips in several classes.
    """

    pattern: str | None
    meaning: str
    n_clips: int
    n_found: int
    n_sources: int
    n_largest: int
    few: list[str]
    shared: int

    @property
    def fits(self) -> bool:
        """Whether every clip gets a source."""
        return self.n_found == self.n_clips


def candidates(class_of: Mapping[str, str], own: str | None = None) -> list[Candidate]:
    """Every known pattern that finds something, and last each clip alone.

    Args:
        class_of: class by path of a clip.
        own: the user's pattern, which stands first.

    Returns:
        Those that fit first; of two that make the same sources of the clips, one.

    Raises:
        ParamsError: the user's pattern takes too long.
    """
    named = {**({own: "yours"} if own is not None else {}), **{key: why for key, why in KNOWN.items() if key != own}}
    made: dict[tuple[tuple[str, str | None], ...], Candidate] = {}
    for pattern, meaning in named.items():
        found = find_in_names("--group-pattern", pattern, class_of)
        division = _division(found)
        if pattern == own or (any(found.values()) and division not in made and len(set(found.values())) > 1):
            made[division] = _candidate(pattern, meaning, found, class_of)
    alone = _candidate(None, "every file is independent of every other", {path: path for path in class_of}, class_of)
    # one that gives each clip a source of its own says no more than null
    kept = [one for one in made.values() if one.meaning == "yours" or one.n_sources < one.n_found]
    return [*sorted(kept, key=lambda one: (one.meaning != "yours", not one.fits)), alone]


def fold_pattern(folds: Mapping[str, str]) -> str | None:
    """The pattern that finds in every name the fold that the table gives it, or None.

    Args:
        folds: the table's fold by path.
    """
    for pattern in FOLDS if folds else ():
        if find_in_names("night.index.fold_pattern", pattern, folds) == dict(folds):
            return pattern
    return None


def _division(found: Mapping[str, str | None]) -> tuple[tuple[str, str | None], ...]:
    """Which clips are together, whatever their source is called."""
    first: dict[str | None, str] = {}
    return tuple((path, None if value is None else first.setdefault(value, path)) for path, value in found.items())


def _candidate(
    pattern: str | None, meaning: str, found: Mapping[str, str | None], class_of: Mapping[str, str]
) -> Candidate:
    sources = Counter(source for source in found.values() if source is not None)
    pairs = {(source, class_of[path]) for path, source in found.items() if source is not None}
    of_class, of_source = Counter(name for _, name in pairs), Counter(source for source, _ in pairs)
    few = sorted(name for name in set(class_of.values()) if name and of_class[name] < _EACH_CLASS)
    n_shared = sum(n > 1 for n in of_source.values())
    largest = max(sources.values(), default=0)
    return Candidate(pattern, meaning, len(found), sources.total(), len(sources), largest, few, n_shared)
