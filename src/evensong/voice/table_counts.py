"""Combined tables -> aggregates that may stand in git: no id, and no cell of one to four patients."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from evensong.voice.combine import CONTROL, Cohort
from evensong.voice.disclosure import HIDDEN, told, told_split
from evensong.voice.tables import SUBSETS

_RECORDING_REASONS = ("quarantined", "ignored", "duplicate", "no_label", "unlabelled", "not_in_split")
_PATIENT_REASONS = ("unlabelled", "no_image", "not_in_split")


def summarise_tables(members: Mapping[str, pd.DataFrame], dropped: pd.DataFrame, cohort: Cohort) -> dict[str, Any]:
    """Counts of patients and recordings, and what each sub-database trains on, averaged over folds."""
    tables = pd.concat([table for name, table in members.items() if name != CONTROL])
    labels = tables.groupby("healthCode")["label"].first()
    n_patients, n_positive = told_split(len(labels), int(labels.sum()))
    reasons = {source: rows["reason"].value_counts() for source, rows in dropped.groupby("source")}
    lost_patients = reasons.get("patient", pd.Series(dtype="int64"))
    lost_recordings = reasons.get("recording", pd.Series(dtype="int64"))
    return {
        "folds": int(tables["fold"].nunique()),
        "patients": {
            "surveyed": told(len(cohort.labels)),
            "in_tables": n_patients,
            "positive_in_tables": n_positive,
            **{reason: told(int(lost_patients.get(reason, 0))) for reason in _PATIENT_REASONS},
        },
        "recordings": {
            "listed": len(cohort.recordings) + len(cohort.quarantine),
            "in_tables": len(tables[["healthCode", "record_id", "column_id"]].drop_duplicates()),
            **{reason: int(lost_recordings.get(reason, 0)) for reason in _RECORDING_REASONS},
        },
        "train": {name: _training(table) for name, table in members.items()},
    }


def count_table(members: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Patients, positives and recordings of every cell.

    Returns:
        subdb, fold, subset, patients, positives, recordings; ``<5`` stands for 1 to 4 patients, for positives that
        would tell such a number, and for the recordings of so few patients.
    """
    rows = []
    for name in sorted(members):
        for fold in sorted(set(members[name]["fold"])):
            rows += [_cell(members[name], name, fold, subset) for subset in SUBSETS]
    return pd.DataFrame(rows)


def _cell(table: pd.DataFrame, name: str, fold: int, subset: str) -> dict[str, Any]:
    cell = table[(table["fold"] == fold) & (table["subset"] == subset)]
    labels = cell.groupby("healthCode")["label"].first()
    n_patients, n_positive = told_split(len(labels), int(labels.sum()))
    return {
        "subdb": name,
        "fold": fold,
        "subset": subset,
        "patients": n_patients,
        "positives": n_positive,
        "recordings": HIDDEN if n_patients == HIDDEN else len(cell),
    }


def _training(table: pd.DataFrame) -> dict[str, Any]:
    """Mean size and share of positives of one member's training sets."""
    train = table[table["subset"] == "train"]
    patients = train.groupby(["fold", "healthCode"])["label"].first().groupby("fold")
    return {
        "patients_mean": round(float(patients.size().mean()), 2),
        "recordings_mean": round(float(train.groupby("fold").size().mean()), 2),
        "positive_share_mean": round(float(patients.mean().mean()), 4),
    }
