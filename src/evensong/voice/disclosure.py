"""What may be told about patients outside the cached tables: positions and large enough counts, never ids."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from evensong.errors import ResourceError

SMALLEST_COUNT = 5
HIDDEN = f"<{SMALLEST_COUNT}"
_MOST_POSITIONS = 40


def told(n_patients: int) -> int | str:
    """A count of patients as files in git show it: 1 to 4 become ``<5``."""
    return HIDDEN if 0 < n_patients < SMALLEST_COUNT else n_patients


def told_split(n_patients: int, n_positive: int) -> tuple[int | str, int | str]:
    """Patients and positives of one cell.

    The positives are hidden too when the patients or the others are few, since one follows from the other two.
    """
    small = {told(n_patients), told(n_positive), told(n_patients - n_positive)}
    return told(n_patients), HIDDEN if HIDDEN in small else n_positive


def positions(numbers: Iterable[int], most: int = _MOST_POSITIONS) -> str:
    """Sorted numbers as compact text: ``3, 5-9, 12``, cut after `most` ranges."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


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
