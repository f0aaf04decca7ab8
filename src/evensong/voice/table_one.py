"""Confounders by class, as the first table of a paper has them; counts of few patients are not told."""

from typing import Any

import numpy as np
import pandas as pd

from evensong.score.estimates import rounded
from evensong.score.scores import Bools, Floats
from evensong.score.within_folds import pooled_deviation
from evensong.voice.confounders import BLANK, grouped, is_numeric
from evensong.voice.disclosure import WITHHELD, is_small, told_parts
from evensong.voice.tables import CLASSES

_FEW = "a count of fewer than five patients would follow from it"
_NO_SPREAD = "all patients gave one answer"


def table_one(table: pd.DataFrame, positive: Bools) -> dict[str, Any]:
    """Every confounder by class.

    Args:
        table: of `confounders.read_confounders`, one row a patient.
        positive: (n_patients,) bool.

    Returns:
        By column: kind (numbers or categories), classes by name with counts (and mean, sd, median of numbers), and
        smd, the standardised mean difference: means over `pooled_deviation`, of categories Yang and Dalton's (SAS
        Global Forum 2012, 335), null with a reason where it would tell a small count.
    """
    return {str(name): _column(table[name], positive) for name in table}


def _column(column: "pd.Series[Any]", positive: Bools) -> dict[str, Any]:
    sides = {CLASSES[0]: ~positive, CLASSES[1]: positive}
    is_told = not any(is_small(int(rows.sum())) for rows in sides.values())
    kind, one, difference = (
        ("numbers", _numbers, _smd_numbers) if is_numeric(column) else ("categories", _categories, _smd_categories)
    )
    answers = column if is_numeric(column) else grouped(column)
    classes = {name: one(answers, rows, is_told=is_told) for name, rows in sides.items()}
    tree: dict[str, Any] = {"kind": kind, "classes": classes}
    if _hides(classes):
        return tree | {"smd": None, "reason": _FEW}
    smd = difference(answers, positive)
    return tree | ({"smd": rounded(smd)} if smd is not None else {"smd": None, "reason": _NO_SPREAD})


def _numbers(column: "pd.Series[Any]", rows: Bools, *, is_told: bool) -> dict[str, Any]:
    known = column[rows].dropna()
    tree: dict[str, Any] = _told({"n": len(known), "blank": int(rows.sum()) - len(known)}, is_told=is_told)
    shown = is_told and not is_small(len(known)) and len(known) > 0
    found = {"mean": known.mean(), "sd": known.std(ddof=1), "median": known.median()} if shown else {}
    return tree | {name: rounded(found[name]) if shown else None for name in ("mean", "sd", "median")}


def _categories(answers: "pd.Series[Any]", rows: Bools, *, is_told: bool) -> dict[str, Any]:
    """Counts of every answer that the column has, those nobody of the class gave too."""
    counts = {answer or "blank": int((answers[rows] == answer).sum()) for answer in sorted({*answers, BLANK})}
    return {"counts": _told(counts, is_told=is_told)}


def _told(counts: dict[str, int], *, is_told: bool) -> dict[str, int | str]:
    return told_parts(counts) if is_told else dict.fromkeys(counts, WITHHELD)


def _hides(classes: dict[str, dict[str, Any]]) -> bool:
    """Whether a number would tell a count that is withheld; a mean is of those who answered, and tells none."""
    return any(WITHHELD in one.get("counts", {}).values() or one.get("mean", 0) is None for one in classes.values())


def _smd_numbers(column: "pd.Series[Any]", positive: Bools) -> float | None:
    deviation = pooled_deviation(positive, np.asarray(column, np.float64))
    return float(column[positive].mean() - column[~positive].mean()) / deviation if deviation else None


def _smd_categories(answers: "pd.Series[Any]", positive: Bools) -> float | None:
    """Mahalanobis' distance of the shares of all answers but the first; never negative."""
    named = sorted(set(answers))[1:]
    if not named:
        return None
    shares: list[Floats] = [
        np.array([(answers[rows] == one).mean() for one in named]) for rows in (positive, ~positive)
    ]
    spread = np.mean([np.diag(share) - np.outer(share, share) for share in shares], axis=0)
    gap = shares[0] - shares[1]
    distance = float(gap @ np.linalg.pinv(spread, hermitian=True) @ gap)
    return float(np.sqrt(max(0.0, distance)))
