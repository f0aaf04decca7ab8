"""What a user's regular expression finds in file names, each name within a time limit."""

import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import NoReturn

from evensong.errors import ParamsError
from evensong.intake.names import nfc

_SECONDS_A_NAME = 10.0


def find_in_names(parameter: str, pattern: str, paths: Iterable[str]) -> dict[str, str | None]:
    """Search every file's name, without its extension, for the pattern's one group.

    Args:
        parameter: the pattern's dotted name, for the message.
        pattern: regular expression with one group.

    Returns:
        What the group holds by path; None where the pattern does not match or the group is empty.

    Raises:
        ParamsError: a name takes longer than ten seconds, as with one repeat inside another.
    """
    found = {}
    for number, path in enumerate(paths, start=1):
        name = nfc(PurePosixPath(path).stem)
        with _time_limit(
            f"{parameter} {pattern!r} is not done with file name {number} ({len(name)} characters) after "
            f"{_SECONDS_A_NAME:g} s; write it without a repeat inside a repeat, such as (a+)+"
        ):
            match = re.search(pattern, name)
        found[path] = (match.group(1) or None) if match else None
    return found


@contextmanager
def _time_limit(message: str) -> Iterator[None]:
    """Stop the block by an alarm: `re` looks for signals while it matches."""

    def stop(*_: object) -> NoReturn:
        raise ParamsError(message)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS_A_NAME)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
