"""A filled-in review -> annotations that may train and never test, and precision by class and threshold."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from evensong.errors import ParamsError
from evensong.intake.csv_tables import Problems, read_table
from evensong.intake.names import counted, name_fault, nfc
from evensong.listen.outputs import write_table
from evensong.listen.segments import COLUMNS
from evensong.score.intervals import wilson

ANNOTATIONS = {"file": str, "begin_s": float, "end_s": float, "label": str, "annotator": str, "reviewed": str}
PRECISION = {
    **{"class": str, "threshold": float, "reviewed": int, "right": int},
    **dict.fromkeys(("precision", "low", "high"), float),
}
_RIGHT = frozenset({"right", "r", "yes", "y", "true", "1", "correct"})
_WRONG = frozenset({"wrong", "w", "no", "n", "false", "0", "incorrect"})
_TENTHS = tuple(n / 10 for n in range(1, 10))


@dataclass(frozen=True)
class Verdict:
    """One detection that a person has listened to.

    Attributes:
        label: what sounds there; empty where only the class is known to be wrong.
        weight: detections that it stands for; None where it was not drawn at random.
    """

    file: str
    begin_s: float
    end_s: float
    class_name: str
    score: float
    weight: float | None
    is_right: bool
    label: str


class Precision(NamedTuple):
    """What part of a class's detections is right, of those that reach a threshold; None without a random sample."""

    class_name: str
    threshold: float
    n_reviewed: int
    n_right: int
    precision: float | None
    low: float | None
    high: float | None


def review(path: Path, *, annotator: str, confidence: float = 0.95) -> Iterator[str]:
    """Write annotations.csv and precision.csv beside a review, and tell of them.

    Args:
        annotator: who has listened; may be empty.

    Raises:
        DataError: the table is not what `predict --segments` writes, or a row is filled in wrongly.
        ParamsError: the confidence is no share.
    """
    if not 0.5 <= confidence < 1:
        raise ParamsError(f"--confidence {confidence:g}: a share from 0.5 to under 1")
    verdicts, n_rows = read_review(path)
    rows = [[one.file, one.begin_s, one.end_s, one.label, annotator, "true"] for one in verdicts if one.label]
    write_table(path.with_name("annotations.csv"), ANNOTATIONS, rows)
    table = precision_table(verdicts, confidence)
    write_table(path.with_name("precision.csv"), PRECISION, [list(one) for one in table])
    yield f"{len(verdicts)} of {counted(n_rows, 'row')} reviewed, {sum(one.is_right for one in verdicts)} right"
    if 0 < len(verdicts) < n_rows:
        yield "precision takes the others as left out by chance: listen to all, or to the first ones of a shuffled list"
    yield from (_told(one, confidence) for one in table)
    yield f"{counted(len(rows), 'annotation')} in {path.with_name('annotations.csv')}: put it into data/field, with the"
    yield "recordings that it names, and set night.sources; they may train, and are never tested"


def _told(one: Precision, confidence: float) -> str:
    start = f"{one.class_name} from {one.threshold:g}: {one.n_right} of {one.n_reviewed} right"
    if one.precision is None:
        return f"{start}; no estimate, the likeliest were chosen"
    return f"{start}, precision {one.precision:.2f} ({confidence:.0%} interval {one.low:.2f} to {one.high:.2f})"


def read_review(path: Path) -> tuple[list[Verdict], int]:
    """The rows that are filled in, and how many there are.

    Raises:
        DataError: lists every row that is filled in wrongly.
    """
    table = read_table(path, list(COLUMNS))
    problems = Problems(path)
    verdicts = []
    for line, *cells in zip(table.lines, *(table.values[name] for name in COLUMNS), strict=True):
        row = dict(zip(COLUMNS, (cell.strip() for cell in cells), strict=True))
        try:
            if row["verdict"] or row["other_label"]:
                verdicts.append(_verdict(row))
        except ValueError as error:
            problems.add(line, str(error))
    problems.refuse()
    return verdicts, len(table.lines)


def _verdict(row: dict[str, str]) -> Verdict:
    said, other = row["verdict"].casefold(), nfc(row["other_label"])
    if said and said not in _RIGHT | _WRONG:
        raise ValueError(f"verdict {row['verdict']!r}; write right or wrong, and another label under other_label")
    if said in _RIGHT and other:
        raise ValueError("right, and another label; is it wrong?")
    if fault := name_fault(other):
        raise ValueError(fault)
    name = _without_apostrophe(row["class"])
    begin_s, end_s, score = (_number(row, key) for key in ("begin_s", "end_s", "score"))
    weight = _number(row, "weight") if row["weight"] else None
    is_right = said in _RIGHT
    file = _without_apostrophe(row["file"])
    return Verdict(file, begin_s, end_s, name, score, weight, is_right, name if is_right else other)


def _without_apostrophe(cell: str) -> str:
    """A text as it was before a table for spreadsheets got an apostrophe before it."""
    return cell[1:] if cell[:2] in ("'=", "'+", "'-", "'@") else cell


def _number(row: dict[str, str], key: str) -> float:
    value = float(row[key])
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{key} {row[key]!r}; leave the columns before verdict as they were")
    return value


def precision_table(verdicts: Sequence[Verdict], confidence: float) -> list[Precision]:
    """By class, at its lowest score and at every tenth above it, as long as something reaches it."""
    table = []
    for name in sorted({one.class_name for one in verdicts}):
        own = [one for one in verdicts if one.class_name == name]
        lowest = math.floor(min(one.score for one in own) * 100) / 100
        for threshold in (lowest, *(tenth for tenth in _TENTHS if tenth > lowest)):
            if over := [one for one in own if one.score >= threshold]:
                table.append(_precision(name, threshold, over, confidence))
    return table


def _precision(name: str, threshold: float, over: Sequence[Verdict], confidence: float) -> Precision:
    """The share of right ones, each weighted by what it stands for.

    Wilson's interval with Student's t, for as many detections as the weights leave in effect (Kish, 1965). It takes
    detections as independent: those of one recording may be right or wrong together, and then it is too short.
    """
    n_right = sum(one.is_right for one in over)
    if any(one.weight is None for one in over):
        return Precision(name, threshold, len(over), n_right, None, None, None)
    weights = np.array([one.weight for one in over], dtype=np.float64)
    share = float(weights @ [one.is_right for one in over] / weights.sum())
    n_effective = float(weights.sum() ** 2 / np.square(weights).sum())
    t = float(stdtrit(max(len(over) - 1, 1), (1 + confidence) / 2))
    low, high = wilson(share, n_effective, t)
    shown: list[Any] = [float(f"{value:.6g}") for value in (share, low, high)]
    return Precision(name, threshold, len(over), n_right, *shown)
