"""Patients with near-equal recordings: told by count, refused under two labels, kept in one fold if so wanted."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from evensong.errors import DataError
from evensong.intake.tables import read_own_table
from evensong.intake.problems import Tell
from evensong.intake.twins import Recording, find_twins, joined, refuse_wide
from evensong.schemas import VoiceScan
from evensong.voice.disclosure import told

TWINS_NAME = "near_duplicates.csv"


def near_equal_recordings(
    root: Path, rows: Sequence[Mapping[str, Any]], settings: VoiceScan, *, workers: int, tell: Tell
) -> pd.DataFrame:
    """Pairs of recordings from different patients that hold nearly the same sound, as `find_twins` has them.

    Args:
        rows: of the scan, sorted; images and duplicates are left out.

    Raises:
        DataError: more than three patients are joined, and are to be kept together.
        IntegrityError: a file cannot be read any more.
    """
    recordings = [
        Recording(root / row["path"], row["path"], row["healthCode"], row["landmarks"], row["duration_s"])
        for row in rows
        if row["kind"] == "audio" and row["status"] == "used"
    ]
    twins = find_twins(recordings, settings, workers=workers, tell=tell)
    if settings.near_duplicates == "group":
        refuse_wide(twins, "patient", "voice.scan", tell)
    return twins


def n_alike(twins: pd.DataFrame) -> int:
    """Patients with a recording nearly equal to another patient's."""
    return len({*twins["owner"], *twins["owner_of_copy_of"]})


def twin_notes(twins: pd.DataFrame, settings: VoiceScan) -> list[str]:
    """A line where recordings of different patients are nearly equal; counts only."""
    if twins.empty:
        return []
    are_kept = settings.near_duplicates == "group"
    cure = "they stay in one fold" if are_kept else "voice.scan.near_duplicates: group keeps them in one fold"
    return [
        f"NOTE: {told(n_alike(twins))} patients have a recording nearly equal to another patient's, by name in the "
        f"scan's {TWINS_NAME}: one person under two ids, or one file twice? {cure}"
    ]


def read_twins(folder: Path) -> list[tuple[str, str]]:
    """Pairs of patients with near-equal recordings, sorted.

    Args:
        folder: of the scan.

    Raises:
        IntegrityError: its list is missing, or not what the scan writes.
    """
    table = read_own_table(folder / TWINS_NAME, texts=("owner", "owner_of_copy_of"))
    pairs = zip(table["owner"], table["owner_of_copy_of"], strict=True)
    return sorted({(min(pair), max(pair)) for pair in pairs})


def refuse_opposite(pairs: list[tuple[str, str]], labels: Mapping[str, int], folder: Path) -> None:
    """One sound cannot have two diagnoses.

    Raises:
        DataError: says where the list lies; no id.
    """
    opposed = {patient for pair in pairs if len({labels[one] for one in pair if one in labels}) > 1 for patient in pair}
    if opposed:
        raise DataError(
            f"nearly equal recordings under {told(len(opposed))} patients of opposite labels, so one of them is wrong; "
            f"the pairs are in {folder / TWINS_NAME}: listen, remove the wrong recordings, or set "
            "voice.scan.near_duplicates: ignore where both are right"
        )


def leaders_of(pairs: list[tuple[str, str]], labels: Mapping[str, int]) -> dict[str, str]:
    """The patient that each other one of a group follows: the first of those with a label."""
    leaders: dict[str, str] = {}
    for group in joined(pairs):
        first, *others = [patient for patient in group if patient in labels] or [""]
        leaders |= dict.fromkeys(others, first)
    return leaders


def parted(pairs: list[tuple[str, str]], common: pd.DataFrame, control: pd.DataFrame) -> list[str]:
    """A line where lists train on one patient of a pair and validate or test on the other in one fold."""
    table = pd.concat([common, control], ignore_index=True)
    place = dict(zip(zip(table["fold_iteration"], table["healthCode"], strict=True), table["subset"], strict=True))
    folds = table["fold_iteration"].unique()
    torn = {
        patient
        for fold, (one, other) in product(folds, pairs)
        if len({place.get((fold, one)), place.get((fold, other))} - {None}) > 1
        for patient in (one, other)
    }
    line = (
        f"NOTE: {told(len(torn))} patients lie apart in a fold from one with a nearly equal recording, so scores may "
        "be too good"
    )
    return [line] if torn else []
