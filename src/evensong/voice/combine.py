"""Splits + labels + images -> one combined table a sub-database, every patient repeated over all their images."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from evensong.errors import DataError, IntegrityError
from evensong.voice.disclosure import positions
from evensong.voice.splits import Splits
from evensong.voice.tables import COMBINED_COLUMNS, SUBSETS, check_combined

CONTROL = "control"
IDS = ["healthCode", "record_id", "column_id"]


@dataclass(frozen=True)
class Cohort:
    """What the earlier stages know.

    Args:
        labels: every surveyed patient's label; None where the diagnosis is blank.
        recordings: the scan's recordings.csv.
        quarantine: the scan's quarantine.csv.
        images: mels.csv, one row a used recording.
    """

    labels: Mapping[str, int | None]
    recordings: pd.DataFrame
    quarantine: pd.DataFrame
    images: pd.DataFrame

    def fault(self, patient: str) -> str:
        """Why a patient cannot be in any table; empty when they can."""
        if patient not in self.labels:
            return "no_label"
        if self.labels[patient] is None:
            return "unlabelled"
        return "" if patient in self.with_image else "no_image"

    @cached_property
    def with_image(self) -> frozenset[str]:
        """Patients with at least one image."""
        return frozenset(self.images["healthCode"])


@dataclass(frozen=True)
class Joined:
    """One split list over its patients' images.

    Args:
        table: `COMBINED_COLUMNS`, not sorted.
        lost: split rows without label or image: healthCode, fold, subset, reason.
        n_rows: rows of the list.
    """

    table: pd.DataFrame
    lost: pd.DataFrame
    n_rows: int


def join_lists(splits: Splits, cohort: Cohort) -> dict[str, Joined]:
    """Join every split list: ``common``, ``control``, and ``subdb{k}`` for each sub-database.

    Raises:
        IntegrityError: the images are not those of the scan's used recordings.
    """
    used = cohort.recordings[cohort.recordings["status"] == "used"]
    if used[IDS].to_numpy().tolist() != cohort.images[IDS].to_numpy().tolist():
        raise IntegrityError(
            f"{len(used)} recordings are used and {len(cohort.images)} have an image, and they are not the same ones; "
            "run `dvc repro voice_tables`"
        )
    lists = {"common": splits.common, CONTROL: splits.control}
    lists |= {f"subdb{k}": splits.train[k] for k in sorted(splits.train)}
    return {name: _join(rows, cohort) for name, rows in lists.items()}


def member_tables(joined: Mapping[str, Joined]) -> dict[str, pd.DataFrame]:
    """Put each member's training rows and the common rows together, sorted by fold, subset and ids.

    Raises:
        DataError: a fold has no patient left in a subset or one class left to train on; all validation or all test
            patients are of one class.
        IntegrityError: a table breaks `tables.check_combined`.
    """
    common = joined["common"]
    folds = sorted(set(common.table["fold"]) | set(common.lost["fold"]))
    members = {
        name: _sorted(pd.concat([part.table, common.table], ignore_index=True))
        for name, part in joined.items()
        if name != "common"
    }
    for name, table in members.items():
        check_combined(table, f"the combined table of {name}")
        _check_complete(name, table, folds)
    return members


def _join(rows: pd.DataFrame, cohort: Cohort) -> Joined:
    faults = {patient: cohort.fault(patient) for patient in set(rows["healthCode"])}
    reason = rows["healthCode"].map(faults)
    kept = rows[reason == ""].merge(cohort.images[[*IDS, "image_rel_path"]], on="healthCode")
    table = kept.rename(columns={"fold_iteration": "fold"}).assign(
        health_code=kept["healthCode"], label=kept["healthCode"].map(cohort.labels).astype("int64")
    )
    lost = rows.rename(columns={"fold_iteration": "fold"}).assign(reason=reason)
    return Joined(table[COMBINED_COLUMNS], lost[lost["reason"] != ""], len(rows))


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    place = table["subset"].map({subset: place for place, subset in enumerate(SUBSETS)})
    order = table.assign(subset=place).sort_values(["fold", "subset", *IDS]).index
    return table.loc[order].reset_index(drop=True)


def _check_complete(name: str, table: pd.DataFrame, folds: list[int]) -> None:
    """Every fold needs patients in each subset and both classes to learn from, all folds together both to judge by."""
    problems = []
    for subset in SUBSETS:
        present = set(table.loc[table["subset"] == subset, "fold"])
        if set(folds) - present:
            problems.append(f"no {subset} patient is left in fold {positions(set(folds) - present)}")
    training = table[table["subset"] == "train"].groupby("fold")["label"].nunique()
    if (training < 2).any():
        problems.append(f"only one class is left to train on in fold {positions(training.index[training < 2])}")
    classes = table.groupby("subset")["label"].nunique()
    one_class = [subset for subset in ("val", "test") if classes.get(subset, 0) == 1]
    if one_class:
        problems.append(f"only one class is left in {' and in '.join(one_class)}, over all folds")
    if problems:
        raise DataError(
            f"{name}: {'; '.join(problems)}, once patients without a diagnosis or a usable recording are out. "
            "Complete the cohort or the given split CSVs"
        )
