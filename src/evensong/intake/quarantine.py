"""What a scan does not use -> one table, with a reason a row, and the share that is too much."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from evensong.errors import DataError
from evensong.intake.listing import Entry, sort_key
from evensong.intake.names import printable
from evensong.intake.opening import Opened
from evensong.intake.problems import FileProblem, Tell
from evensong.schemas import AudioLimits, NightCut

Limits = AudioLimits | NightCut
QUARANTINE_COLUMNS = ["path", "outcome", "reason", "detail", "size", "sha256"]


def quarantine_table(root: Path, entries: Iterable[Entry], opened: Iterable[Opened]) -> pd.DataFrame:
    """QUARANTINE_COLUMNS, one row an entry that is set aside by its name or refused by its content, sorted by path."""
    rows = [(one.path, "quarantined", one.reason, one.detail, one.size, one.sha256) for one in opened if one.reason]
    rows += [
        (entry.path, entry.outcome, entry.reason, entry.detail, _size(root / entry.path), "")
        for entry in entries
        if entry.outcome != "candidate"
    ]
    rows.sort(key=lambda row: sort_key(row[0]))
    return pd.DataFrame([(printable(row[0]), *row[1:]) for row in rows], columns=QUARANTINE_COLUMNS)


def check_budget(
    quarantine: pd.DataFrame, entries: Iterable[Entry], limits: Limits, what: str, section: str, tell: Tell
) -> None:
    """Stop when more is refused than a few.

    Args:
        limits: max_quarantined is the largest refused share of the entries that are meant for the track.
        what: the track's files, in the plural.
        section: of params.yaml, where the limits are set.

    Raises:
        DataError: tells every refused file, and the limits that refused some.
    """
    refused = quarantine[quarantine["outcome"] == "quarantined"]
    n_inputs = sum(entry.is_input for entry in entries)
    if len(refused) > limits.max_quarantined * n_inputs:
        problems = [FileProblem(*row) for row in refused[["path", "reason", "detail"]].itertuples(index=False)]
        message = (
            f"{len(refused)} of {n_inputs} {what} cannot be used, more than {section}.max_quarantined "
            f"({limits.max_quarantined:g} of the files) allows; repair or remove them, or change "
            f"{', '.join([f'{section}.max_quarantined', *_deciding(problems, limits, section)])}"
        )
        raise DataError(tell(message, problems))


def _deciding(problems: Iterable[FileProblem], limits: Limits, section: str) -> list[str]:
    """The limits that refused a file, each with the reason it gives: a detail names the limit that decided."""
    found = {(name, one.reason) for one in problems for name in type(limits).model_fields if name in one.detail}
    return [f"{section}.{name} ({getattr(limits, name)}, {reason})" for name, reason in sorted(found)]


def count_reasons(quarantine: pd.DataFrame, outcome: str) -> dict[str, int]:
    """How many entries have each reason, among those of one outcome."""
    reasons = quarantine.loc[quarantine["outcome"] == outcome, "reason"]
    return {str(reason): int(count) for reason, count in reasons.value_counts().sort_index().items()}


def _size(path: Path) -> int | str:
    try:
        return path.stat(follow_symlinks=False).st_size if path.is_file() and not path.is_symlink() else ""
    except OSError:
        return ""
