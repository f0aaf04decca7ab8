"""Problems of single files -> a message by name; or, where a name is a patient's id, counts and one local file."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from evensong.intake.names import printable
from evensong.run.text import write_csv

_MOST_NAMED = 20


class FileProblem(NamedTuple):
    """What is wrong with one file; a row of the local file."""

    path: str
    reason: str = ""
    detail: str = ""


# What is wrong in all and the single problems -> the text of the error.
Tell = Callable[[str, Sequence[FileProblem]], str]


def tell_names(message: str, problems: Sequence[FileProblem]) -> str:
    """The message and the first problems by name; for names that anybody may read."""
    named = [": ".join(filter(None, (printable(path), *why))) for path, *why in problems[:_MOST_NAMED]]
    more = [f"and {len(problems) - _MOST_NAMED} more"] if len(problems) > _MOST_NAMED else []
    return "\n  ".join([f"{message}:", *named, *more])


def tell_counts(message: str, problems: Sequence[FileProblem]) -> str:
    """The message and how many problems of each kind there are; no name."""
    counts = Counter(problem.reason for problem in problems)
    return f"{message}: {', '.join(f'{reason} {count}' for reason, count in sorted(counts.items()))}"


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
