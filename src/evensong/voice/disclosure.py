"""What may be told about patients outside the cached tables: positions and large enough counts, never ids.

A count of patients under five is not told, nor are the counts from which it would follow. Exact numbers are in the
cached tables. Files are counted as they are, except where they are told apart by what is known of their patients.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from evensong.errors import ResourceError

SMALLEST_COUNT = 5
HIDDEN = f"<{SMALLEST_COUNT}"
WITHHELD = "withheld"  # any number: a small one, or one from which a small one would follow
_MOST_POSITIONS = 40


def told(n_patients: int) -> int | str:
    """A count of patients as files in git show it: 1 to 4 become ``<5``."""
    return HIDDEN if is_small(n_patients) else n_patients


def told_split(n_patients: int, n_positive: int) -> tuple[int | str, int | str]:
    """Patients and positives of one cell.

    The positives are hidden too when the patients or the others are few, since one follows from the other two.
    """
    small = {told(n_patients), told(n_positive), told(n_patients - n_positive)}
    return told(n_patients), HIDDEN if HIDDEN in small else n_positive


def is_small(n_patients: int) -> bool:
    """Whether a count of patients is one to four."""
    return 0 < n_patients < SMALLEST_COUNT


def untold_scores(n_patients: int, n_positive: int) -> frozenset[str]:
    """Scores that are shares of one class, where a class has so few patients that a share would count them."""
    few = is_small(n_positive) or is_small(n_patients - n_positive)
    return frozenset({"sensitivity", "specificity"}) if few else frozenset()


def told_parts(counts: Mapping[str, int], n_patients: Mapping[str, int] | None = None) -> dict[str, int | str]:
    """The parts of a sum that the reader knows, without those of few patients.

    Parts of one to four patients are withheld, and then the smallest of the others until those withheld are not all
    equal: exchanging two of them shows the same, so none follows from the rest.

    Args:
        counts: what is told, by name; two parts at least.
        n_patients: how many patients each part is of; the counts themselves when absent.
    """
    sizes = {name: ((n_patients or counts)[name], counts[name]) for name in counts}
    withheld = {name for name, (patients, _) in sizes.items() if is_small(patients)}
    while len({sizes[name] for name in withheld}) == 1 and len(withheld) < len(sizes):
        smallest = min(size for name, size in sizes.items() if name not in withheld)
        withheld |= {name for name, size in sizes.items() if size == smallest}
    return {name: WITHHELD if name in withheld else count for name, count in counts.items()}


def positions(numbers: Iterable[int]) -> str:
    """Sorted numbers as compact text: ``3, 5-9, 12``, cut after forty ranges."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    more = f" and {len(texts) - _MOST_POSITIONS} more" if len(texts) > _MOST_POSITIONS else ""
    return ", ".join(texts[:_MOST_POSITIONS]) + more


@contextmanager
def unnamed_os_errors(doing: str) -> Iterator[None]:
    """Turn a system error into one that does not carry the file's name, which holds a healthCode.

    Raises:
        ResourceError: the system refused; says what was being done and why it failed.
    """
    try:
        yield
    except OSError as error:
        raise ResourceError(f"{doing}: {error.strerror or type(error).__name__}") from None
