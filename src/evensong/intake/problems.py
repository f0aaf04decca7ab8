"""Problems of single files -> a message by name; or, where a name is a patient's id, counts and one local file."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from evensong.errors import DataError
from evensong.intake.names import printable, tally
from evensong.run.text import write_csv

_MOST_NAMED = 20


class FileProblem(NamedTuple):
    """What is wrong with one file; a row of the local file."""

    path: str
    reason: str = ""
    detail: str = ""


# What is wrong in all and the single problems -> the text of the error.
Tell = Callable[[str, Sequence[FileProblem]], str]


class Gathered:
    """Refusals by checks that do not hang on each other, so that one run tells them all: ``with gathered: check()``."""

    def __init__(self) -> None:
        self._messages: list[str] = []

    def __enter__(self) -> None:
        """Begin one check."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, DataError):
            self._messages.append(str(error))
        return isinstance(error, DataError)

    def refuse(self) -> None:
        """Stop if a check refused.

        Raises:
            DataError: with the messages of all.
        """
        if self._messages:
            raise DataError("\nalso: ".join(self._messages))


def tell_names(message: str, problems: Sequence[FileProblem]) -> str:
    """The message and the first problems by name; for names that anybody may read."""
    named = [": ".join(filter(None, (printable(path), *why))) for path, *why in problems[:_MOST_NAMED]]
    more = [f"and {len(problems) - _MOST_NAMED} more"] if len(problems) > _MOST_NAMED else []
    return "\n  ".join([f"{message}:", *named, *more])


def tell_counts(message: str, problems: Sequence[FileProblem]) -> str:
    """The message and how many problems of each kind there are; no name."""
    return f"{message}: {tally(Counter(problem.reason for problem in problems))}"


def problem_file(path: Path) -> Tell:
    """Tell counts, and write the names into a file that only its owner can read.

    An earlier run's file is removed at once, so one that is there belongs to the last run, and that failed.
    """
    path.unlink(missing_ok=True)

    def tell(message: str, problems: Sequence[FileProblem]) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        rows = [(printable(problem.path), problem.reason, printable(problem.detail)) for problem in problems]
        write_csv(path, pd.DataFrame(rows, columns=FileProblem._fields), for_people=True)
        return f"{tell_counts(message, problems)}; each one by name in {path}"

    return tell
