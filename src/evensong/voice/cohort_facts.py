"""The combined table of a sub-database in; how many patients and recordings each fold holds, and how many are positive.

A cached output may hold exact counts; nothing of this goes to git.
"""

from typing import Any

import numpy as np
import pandas as pd

from evensong.errors import DataError
from evensong.learn.fold_table import SUBSETS
from evensong.score.estimates import rounded
from evensong.score.predictions import Predictions
from evensong.voice.tables import IDS, item_ids


def check_predicted(combined: pd.DataFrame, predictions: Predictions, where: str) -> None:
    """Refuse predictions that are not exactly one for each validation and test row of the trained folds.

    Raises:
        DataError: says how many are missing or too many, never which.
    """
    rows = combined[combined["fold"].isin(predictions.folds) & (combined["subset"] != "train")]
    wanted = pd.MultiIndex.from_arrays([rows["fold"], rows["subset"], item_ids(rows), rows["label"]])
    table = predictions.table
    found = pd.MultiIndex.from_arrays([table["fold"], table["subset"], table["item_id"], table["label"]])
    n_missing, n_more = len(wanted.difference(found)), len(found.difference(wanted))
    if n_missing or n_more:
        raise DataError(
            f"{where}: {n_missing} validation and test rows of the combined table have no prediction and {n_more} "
            "predictions have no row; run the training again"
        )


def cohort_facts(combined: pd.DataFrame, folds: list[int]) -> dict[str, Any]:
    """Counts and shares of class 1, in all and by fold and subset.

    Args:
        combined: from `tables.read_combined`.
        folds: those that were trained.
    """
    combined = combined[combined["fold"].isin(folds)]
    per_fold = [
        {"fold": fold} | {subset: _counts(_part(combined, fold, subset)) for subset in SUBSETS} for fold in folds
    ]
    trained = [_counts(_part(combined, fold, "train")) for fold in folds]
    return {
        "all": _counts(combined),
        "test": _counts(combined[combined["subset"] == "test"]),
        "train_mean": {name: rounded(float(np.mean([counts[name] for counts in trained]))) for name in trained[0]},
        "per_fold": per_fold,
    }


def _part(combined: pd.DataFrame, fold: int, subset: str) -> pd.DataFrame:
    return combined[(combined["fold"] == fold) & (combined["subset"] == subset)]


def _counts(rows: pd.DataFrame) -> dict[str, Any]:
    """Patients and recordings, how many of class 1, and the shares; each counts once, whatever folds it is in."""
    images = rows.drop_duplicates(IDS)
    patients = rows.drop_duplicates("healthCode")
    found: dict[str, Any] = {}
    for name, items in (("patients", patients), ("recordings", images)):
        n_positive = int(items["label"].sum())
        found |= {f"n_{name}": len(items), f"n_positive_{name}": n_positive}
        found[f"prevalence_{name}"] = rounded(n_positive / len(items)) if len(items) else None
    return found
