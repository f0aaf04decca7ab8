"""How well technical traits of a patient's recordings alone tell the diagnosis: a model could learn those instead."""

import pandas as pd

from evensong.score.shortcuts import TRAITS, audit_shortcuts
from evensong.voice.disclosure import is_small
from evensong.voice.tables import IDS

_WORDS = ("container", "codec")
_NUMBERS = sorted({column for columns in TRAITS.values() for column in columns} - set(_WORDS))
_TRAITS = {**TRAITS, "recordings": ["n_recordings"]}


def audit_patients(used: pd.DataFrame, recordings: pd.DataFrame) -> dict[str, float | None]:
    """The audit of `score.shortcuts` with one row a patient.

    Args:
        used: ids and label of every recording in a table.
        recordings: the scan's recordings.csv.

    Returns:
        As `audit_shortcuts`; every score None where one to four patients of a class would be counted by it.
    """
    patients = _traits(used.merge(recordings, on=IDS, how="left", validate="one_to_one"))
    scores = audit_shortcuts(patients, _TRAITS)
    is_told = not any(is_small(count) for count in patients["class_name"].value_counts())
    return {name: score if is_told or name == "chance" else None for name, score in scores.items()}


def _traits(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a patient: medians of what is measured, the most frequent container and codec; images have neither."""
    by_patient = rows.assign(**{name: pd.to_numeric(rows[name]) for name in _NUMBERS}).groupby("healthCode")
    numbers = by_patient[_NUMBERS].median()
    words = by_patient[list(_WORDS)].agg(_most_frequent)
    facts = by_patient.agg(
        label=("label", "first"), pcm_sha256=("content_sha256", "min"), n_recordings=("path", "size")
    )
    patients = pd.concat([numbers, words, facts], axis=1).reset_index(names="source_id")
    return patients.assign(class_name=patients["label"].map({0: "false", 1: "true"}))


def _most_frequent(values: "pd.Series[str]") -> str:
    """The first of equals in the alphabet."""
    return str(values.mode().iloc[0])
