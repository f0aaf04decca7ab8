"""Combined tables -> aggregates that may stand in git: no id, and no count of one to four patients, told or implied."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from evensong.voice.combine import CONTROL, Cohort
from evensong.voice.disclosure import HIDDEN, WITHHELD, is_small, told, told_parts, told_split
from evensong.voice.dropped import used_rows
from evensong.voice.tables import SUBSETS

_REASONS_OF_FILES = ("quarantined", "ignored", "duplicate")
_REASONS_OF_PATIENTS = ("no_label", "unlabelled", "not_in_split")
_PATIENT_REASONS = ("unlabelled", "no_image", "not_in_split")
_FILE_REASONS = (*_REASONS_OF_FILES, *_REASONS_OF_PATIENTS)
_COUNT_COLUMNS = ["subdb", "fold", "subset", "patients", "positives", "recordings"]
_LIST_REASONS = ("no_label", "unlabelled", "no_image")


def summarise_tables(members: Mapping[str, pd.DataFrame], dropped: pd.DataFrame, cohort: Cohort) -> dict[str, Any]:
    """Counts of patients and recordings, and what each sub-database trains on, averaged over folds."""
    used = used_rows(members)
    labels = used.groupby("healthCode")["label"].first()
    n_patients, n_positive = told_split(len(labels), int(labels.sum()))
    return {
        "folds": int(members[CONTROL]["fold"].nunique()),
        "patients": {
            "surveyed": told(len(cohort.labels)),
            "in_tables": n_patients,
            "positive_in_tables": n_positive,
            **told_parts(_patients(dropped, "patient", _PATIENT_REASONS)),
        },
        "split_patients_not_used": {
            reason: told(count) for reason, count in _patients(dropped, "split", _LIST_REASONS).items()
        },
        "recordings": {
            "listed": len(cohort.recordings) + len(cohort.quarantine),
            "in_tables": len(used),
            **_recordings(dropped, _REASONS_OF_FILES),
            **told_parts(
                _recordings(dropped, _REASONS_OF_PATIENTS), _patients(dropped, "recording", _REASONS_OF_PATIENTS)
            ),
        },
        "train": {name: _training(table) for name, table in members.items()},
    }


def describe(counts: Mapping[str, Any]) -> list[str]:
    """The counts of `summarise_tables` as lines to read."""
    patients, recordings, listed = counts["patients"], counts["recordings"], counts["split_patients_not_used"]
    lines = [
        f"{recordings['in_tables']} of {recordings['listed']} recordings and {patients['in_tables']} of "
        f"{patients['surveyed']} patients ({patients['positive_in_tables']} positive) are in the tables",
        f"left out, one by one in combined/dropped.csv: recordings {_told(recordings, _FILE_REASONS)}; "
        f"patients {_told(patients, _PATIENT_REASONS)}",
    ]
    if any(listed.values()):
        lines.append(f"NOTE: patients of the split lists that cannot be used: {_told(listed, _LIST_REASONS)}")
    return lines


def _told(counts: Mapping[str, Any], reasons: tuple[str, ...]) -> str:
    return ", ".join(f"{reason} {counts[reason]}" for reason in reasons if counts[reason]) or "none"


def count_table(members: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Patients, positives and recordings of every cell.

    Why whole columns: the subsets of a fold add up to the cohort and the folds share their patients, so a count that
    is left out in one cell follows from those in others.

    Returns:
        subdb, fold, subset, patients, positives, recordings. Every cell of positives is ``withheld`` where one cell
        has one to four patients of a class, and all three counts where one cell has so few patients.
    """
    counts = pd.concat([_cells(members[name]).assign(subdb=name) for name in sorted(members)], ignore_index=True)
    few_patients = bool(counts["patients"].map(is_small).any())
    few_of_a_class = counts["positives"].map(is_small) | (counts["patients"] - counts["positives"]).map(is_small)
    withheld = ["positives"] if few_patients or few_of_a_class.any() else []
    withheld += ["patients", "recordings"] if few_patients else []
    told_table: pd.DataFrame = counts[_COUNT_COLUMNS].assign(**dict.fromkeys(withheld, WITHHELD))
    return told_table


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """fold, subset, patients, positives, recordings; one row a fold and subset."""
    cell = ["fold", "subset"]
    patients = table.drop_duplicates([*cell, "healthCode"]).groupby(cell)["label"].agg(patients="size", positives="sum")
    counts = patients.assign(recordings=table.groupby(cell).size())
    every = pd.MultiIndex.from_product([sorted(set(table["fold"])), SUBSETS], names=cell)
    full: pd.DataFrame = counts.reindex(every, fill_value=0).reset_index()
    return full


def _patients(dropped: pd.DataFrame, source: str, reasons: tuple[str, ...]) -> dict[str, int]:
    """How many patients the rows of one source are of, by reason."""
    rows = dropped[dropped["source"] == source]
    return {reason: int(rows.loc[rows["reason"] == reason, "healthCode"].nunique()) for reason in reasons}


def _recordings(dropped: pd.DataFrame, reasons: tuple[str, ...]) -> dict[str, int]:
    rows = dropped[dropped["source"] == "recording"]
    return {reason: int((rows["reason"] == reason).sum()) for reason in reasons}


def _training(table: pd.DataFrame) -> dict[str, Any]:
    """Mean size and share of positives of one member's training sets; hidden where a fold's cell would be."""
    train = table[table["subset"] == "train"]
    patients = train.groupby(["fold", "healthCode"])["label"].first().groupby("fold")
    cells = [told_split(len(labels), int(labels.sum())) for _, labels in patients]
    is_few = any(n_patients == HIDDEN for n_patients, _ in cells)
    tells_few = any(n_positive == HIDDEN for _, n_positive in cells)
    return {
        "patients_mean": HIDDEN if is_few else round(float(patients.size().mean()), 2),
        "recordings_mean": HIDDEN if is_few else round(float(train.groupby("fold").size().mean()), 2),
        "positive_share_mean": HIDDEN if tells_few else round(float(patients.mean().mean()), 4),
    }
