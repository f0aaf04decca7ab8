"""Survey columns that could explain a diagnosis -> one row a patient, numbers or answers; blanks stay blank."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evensong.errors import DataError
from evensong.intake.csv_tables import BLANKS, Problems, answer_of, read_table
from evensong.score.scores import Bools, Floats
from evensong.voice.cohort import HEALTH_CODE
from evensong.voice.disclosure import SMALLEST_COUNT, positions

BLANK, OTHER = "", "other"
_FEWEST_NUMBERS = 6  # distinct ones; fewer are codes of categories
_MOST_ANSWERS = 20
_CURE = "voice.confounders names columns of the survey; [] for none"
_USUAL = ("age", "sex", "gender", "device")


def choose_confounders(
    path: Path, columns: Sequence[str] | None, label_column: str, patients: Iterable[str]
) -> tuple[list[str], dict[str, str]]:
    """The columns that are named; or, where none are, the usual ones that the survey has.

    Args:
        columns: as in `voice.confounders`.

    Returns:
        The columns; and by name of every usual one that is there and cannot be used, why.

    Raises:
        DataError: as of `read_confounders`, where columns are named.
    """
    wanted = list(patients)
    if columns is not None:
        read_confounders(path, columns, label_column, wanted)
        return list(columns), {}
    header = set(read_table(path, (HEALTH_CODE,)).header) - {label_column}
    chosen, unread = [], {}
    for name in [name for name in _USUAL if name in header]:
        try:
            read_confounders(path, [name], label_column, wanted)
            chosen.append(name)
        except DataError as error:
            unread[name] = str(error)
    return chosen, unread


def read_confounders(path: Path, columns: Sequence[str], label_column: str, patients: Iterable[str]) -> pd.DataFrame:
    """Read the columns for these patients.

    A column is of numbers where every answer is one and at least six differ, else of categories, in lower case. What
    `csv_tables.BLANKS` lists is no answer; a repeated patient's blank gives way to an answer.

    Args:
        path: the survey.
        label_column: that of the diagnosis, which is no confounder.

    Returns:
        One row a patient, sorted by healthCode, which is the index; float64 columns with NaN where blank, and columns
        of text with `BLANK`.

    Raises:
        DataError: a column is missing, is an id or the diagnosis, holds too many different answers, or a patient gave
            two. Names lines, never ids or answers.
    """
    wanted = sorted(set(patients))
    if taken := sorted({HEALTH_CODE, label_column} & set(columns)):
        raise DataError(f"voice.confounders names {', '.join(taken)}, which cannot explain the diagnosis; take it out")
    if not columns:
        return pd.DataFrame(index=pd.Index(wanted, name=HEALTH_CODE))
    table = read_table(path, (HEALTH_CODE, *columns), cure=_CURE)
    problems = Problems(path)
    found = {
        name: _column(table.values[HEALTH_CODE], table.values[name], table.lines, set(wanted), name, problems)
        for name in columns
    }
    problems.refuse()
    answers = pd.DataFrame(found, index=pd.Index(wanted, name=HEALTH_CODE)).fillna(BLANK)
    return answers.apply(_typed)


def _column(
    ids: Sequence[str], cells: Sequence[str], lines: Sequence[int], wanted: set[str], name: str, problems: Problems
) -> dict[str, str]:
    """Each patient's one answer; notes those who gave two, and columns that are neither numbers nor categories."""
    given: dict[str, dict[str, int]] = defaultdict(dict)
    for patient, cell, line in zip(ids, cells, lines, strict=True):
        answer = answer_of(cell)
        if patient in wanted and answer not in BLANKS:
            given[patient].setdefault(answer, line)
    for answers in given.values():
        if len({_number(answer) if _is_number(answer) else answer for answer in answers}) > 1:
            where = positions(answers.values())
            problems.add(min(answers.values()), f"the patient of lines {where} gave two answers in {name}; keep one")
    words = {answer: line for answers in given.values() for answer, line in answers.items() if not _is_number(answer)}
    if len({answer for answers in given.values() for answer in answers}) > _MOST_ANSWERS and words:
        problems.found.insert(
            0,
            f"{name}: more than {_MOST_ANSWERS} different answers, of which {len(words)} are no numbers (lines "
            f"{positions(words.values())}): make it numbers or fewer categories, or take it out of voice.confounders",
        )
    return {patient: next(iter(answers)) for patient, answers in given.items()}


def _typed(answers: "pd.Series[str]") -> "pd.Series[Any]":
    known = answers[answers != BLANK]
    if known.map(_is_number).all() and known.map(_number).nunique() >= _FEWEST_NUMBERS:
        return answers.map(lambda answer: _number(answer) if answer else np.nan).astype("float64")
    return answers


def _is_number(answer: str) -> bool:
    return bool(np.isfinite(_number(answer)))


def _number(answer: str) -> float:
    """A decimal number; NaN for anything else, such as 1_000 and inf."""
    try:
        return float(answer) if not set(answer) & set("_in") else float("nan")
    except ValueError:
        return float("nan")


def is_numeric(column: "pd.Series[Any]") -> bool:
    """Whether a column of `read_confounders` is of numbers."""
    return bool(pd.api.types.is_float_dtype(column))


def common_answers(column: "pd.Series[Any]") -> list[str]:
    """The answers that at least five patients gave, sorted; rarer ones are joined as `OTHER`, and never named."""
    counts = column[column != BLANK].value_counts()
    return sorted(str(answer) for answer in counts.index[counts >= SMALLEST_COUNT])


def grouped(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Each patient's answer, `OTHER` or `BLANK`."""
    return column.where(column.isin([*common_answers(column), BLANK]), OTHER)


def encode(table: pd.DataFrame, fitted: Bools) -> Floats:
    """(n_patients, n_features) what a linear model reads, scaled by the fitted rows alone.

    Numbers are standardised, a blank being the mean and a column of its own; categories have a column each.

    Args:
        table: some columns of `read_confounders`, with repeated rows where a patient stands in several folds.
        fitted: (n_patients,) bool.
    """
    parts: list[Floats] = [np.zeros((len(table), 0))]
    for name in table:
        column = table[name]
        if is_numeric(column):
            known = column[fitted].dropna()
            spread = float(known.std(ddof=0)) if len(known) else 0.0
            scaled = (column - known.mean()) / (spread or 1.0)
            parts.append(np.column_stack([scaled.fillna(0.0), column.isna()]).astype(np.float64))
        else:
            answers = grouped(column)
            parts.append(np.column_stack([answers == answer for answer in sorted(set(answers))]).astype(np.float64))
    return np.column_stack(parts)
