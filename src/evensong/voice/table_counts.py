"""Combined tables -> aggregates that may stand in git: no id, and no cell of one to four patients."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from evensong.voice.combine import CONTROL, Cohort
from evensong.voice.disclosure import HIDDEN, told, told_split
from evensong.voice.tables import SUBSETS

_RECORDING_REASONS = ("quarantined", "ignored", "duplicate", "no_label", "unlabelled", "not_in_split")
_REASONS_OF_PATIENTS = ("no_label", "unlabelled", "not_in_split")
_PATIENT_REASONS = ("unlabelled", "no_image", "not_in_split")


def summarise_tables(members: Mapping[str, pd.DataFrame], dropped: pd.DataFrame, cohort: Cohort) -> dict[str, Any]:
    """Counts of patients and recordings, and what each sub-database trains on, averaged over folds."""
    tables = pd.concat([table for name, table in members.items() if name != CONTROL])
    labels = tables.groupby("healthCode")["label"].first()
    n_patients, n_positive = told_split(len(labels), int(labels.sum()))
    lost_patients = dropped.loc[dropped["source"] == "patient", "reason"].value_counts()
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
            **{reason: _recordings(dropped, reason) for reason in _RECORDING_REASONS},
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


def _recordings(dropped: pd.DataFrame, reason: str) -> int | str:
    """Recordings lost for one reason; hidden where few patients are lost for it."""
    lost = dropped[(dropped["source"] == "recording") & (dropped["reason"] == reason)]
    is_of_few = reason in _REASONS_OF_PATIENTS and told(lost["healthCode"].nunique()) == HIDDEN
    return HIDDEN if is_of_few else len(lost)


def _training(table: pd.DataFrame) -> dict[str, Any]:
    """Mean size and share of positives of one member's training sets; hidden where a fold's cell would be."""
    train = table[table["subset"] == "train"]
    patients = train.groupby(["fold", "healthCode"])["label"].first().groupby("fold")
    cells = [told_split(len(labels), int(labels.sum())) for _, labels in patients]
    is_small = any(n_patients == HIDDEN for n_patients, _ in cells)
    tells_few = any(n_positive == HIDDEN for _, n_positive in cells)
    return {
        "patients_mean": HIDDEN if is_small else round(float(patients.size().mean()), 2),
        "recordings_mean": HIDDEN if is_small else round(float(train.groupby("fold").size().mean()), 2),
        "positive_share_mean": HIDDEN if tells_few else round(float(patients.mean().mean()), 4),
    }
