"""Splits + labels + images -> one combined table a sub-database; and a combined CSV -> what training reads.

In a combined table every patient is repeated over all their images, in every fold; over the drawn ones where training
has a cap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from evensong.errors import DataError, IntegrityError
from evensong.keys import keyed_hash
from evensong.learn.fold_table import SUBSETS
from evensong.voice.disclosure import positions

if TYPE_CHECKING:
    from evensong.voice.splits import Splits

IDS = ["healthCode", "record_id", "column_id"]
COMBINED_COLUMNS = ["healthCode", "health_code", "record_id", "column_id", "image_rel_path", "label", "fold", "subset"]
CONTROL = "control"
CLASSES = ["false", "true"]  # in label order


@dataclass(frozen=True)
class Cohort:
    """What the earlier stages know.

    Args:
        labels: every surveyed patient's label; None where the diagnosis is blank.
        recordings: the scan's recordings.csv.
        quarantine: the scan's quarantine.csv.
        images: mels.csv, one row a used recording.
        trainable: the rows of these that may be trained on, from `draw_trainable`.
    """

    labels: Mapping[str, int | None]
    recordings: pd.DataFrame
    quarantine: pd.DataFrame
    images: pd.DataFrame
    trainable: pd.DataFrame

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


def draw_trainable(images: pd.DataFrame, max_recordings: int | None, seed: int) -> pd.DataFrame:
    """At most so many rows of each patient, in the order of the table; the same in every fold and sub-database.

    Each patient's draw is their own: it does not change with other patients.
    """
    if max_recordings is None:
        return images
    keys = [keyed_hash(seed, "max_recordings", *ids) for ids in images[IDS].itertuples(index=False)]
    drawn = images.assign(key=keys).sort_values("key").groupby("healthCode").head(max_recordings)
    return images[images.index.isin(drawn.index)]


def join_lists(splits: "Splits", cohort: Cohort) -> dict[str, Joined]:
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
    return {
        name: _join(
            rows.rename(columns={"fold_iteration": "fold"}),
            cohort,
            cohort.images if name == "common" else cohort.trainable,
        )
        for name, rows in lists.items()
    }


def _join(rows: pd.DataFrame, cohort: Cohort, images: pd.DataFrame) -> Joined:
    faults = {patient: cohort.fault(patient) for patient in set(rows["healthCode"])}
    reason = rows["healthCode"].map(faults)
    kept = rows[reason == ""].merge(images[[*IDS, "image_rel_path"]], on="healthCode")
    table = kept.assign(health_code=kept["healthCode"], label=kept["healthCode"].map(cohort.labels).astype("int64"))
    return Joined(table[COMBINED_COLUMNS], rows.assign(reason=reason)[reason != ""], len(rows))


def member_tables(joined: Mapping[str, Joined]) -> dict[str, pd.DataFrame]:
    """Put each member's training rows and the common rows together, sorted by fold, subset and ids.

    Raises:
        DataError: a fold has no patient left in a subset or one class left to train on; all validation or all test
            patients are of one class.
        IntegrityError: a table breaks `check_combined`.
    """
    common = joined["common"]
    folds = set(common.table["fold"]) | set(common.lost["fold"])
    members = {
        name: _sorted(pd.concat([part.table, common.table])) for name, part in joined.items() if name != "common"
    }
    for name, table in members.items():
        check_combined(table, f"the combined table of {name}")
        _check_complete(name, table, folds)
    return members


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    place = table["subset"].map(SUBSETS.index)
    return table.assign(place=place).sort_values(["fold", "place", *IDS], ignore_index=True)[COMBINED_COLUMNS]


def _check_complete(name: str, table: pd.DataFrame, folds: set[int]) -> None:
    """Every fold needs patients in each subset and both classes to learn from, all folds together both to judge by."""
    problems = []
    for subset in SUBSETS:
        absent = folds - set(table.loc[table["subset"] == subset, "fold"])
        if absent:
            problems.append(f"no {subset} patient is left in fold {positions(absent)}")
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


def read_combined(path: Path) -> pd.DataFrame:
    """A combined CSV, checked; ids as text, label and fold int64.

    Raises:
        DataError: it cannot be read.
        IntegrityError: `check_combined` refuses it.
    """
    types = dict.fromkeys(COMBINED_COLUMNS, "str") | {"label": "int64", "fold": "int64"}
    try:
        combined = pd.read_csv(path, dtype=types, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable table ({type(error).__name__}); run voice_tables") from None
    check_combined(combined, str(path))
    return combined


def check_combined(combined: pd.DataFrame, where: str) -> None:
    """Check what every later number rests on, where a table is written and where it is read.

    Raises:
        IntegrityError: other columns; a label or subset that is none; a patient with two labels, or in two subsets of
            one fold; an image twice in a fold. The message holds no id.
    """
    if list(combined.columns) != COMBINED_COLUMNS:
        raise IntegrityError(f"{where}: its columns are not {','.join(COMBINED_COLUMNS)}")
    in_fold = combined.groupby(["fold", "healthCode"])
    counts = {
        "rows with a label other than 0 and 1": int((~combined["label"].isin([0, 1])).sum()),
        "rows with an unknown subset": int((~combined["subset"].isin(SUBSETS)).sum()),
        "rows whose healthCode and health_code differ": int((combined["healthCode"] != combined["health_code"]).sum()),
        "patients with two labels": int((combined.groupby("healthCode")["label"].nunique() > 1).sum()),
        "patients in two subsets of one fold": int((in_fold["subset"].nunique() > 1).sum()),
        "images repeated in one fold": int(combined.duplicated(["fold", *IDS]).sum()),
    }
    wrong = [f"{count} {what}" for what, count in counts.items() if count]
    if wrong:
        raise IntegrityError(f"{where}: {'; '.join(wrong)}; nothing trained on it could be believed")


def item_ids(combined: pd.DataFrame) -> "pd.Series[str]":
    """The item_id of every row: its file name without the extension."""
    return combined["healthCode"] + "_" + combined["record_id"] + "_" + combined["column_id"]


def read_fold_table(combined_csv: Path, mels_csv: Path) -> pd.DataFrame:
    """Join a combined CSV with the rows of the packed image array.

    Returns:
        row (int64), item_id, group (the patient), label (int64, 0 or 1), is_original (always True), fold (int64),
        subset; one row an item and fold, in the order of the combined CSV.

    Raises:
        DataError: the combined CSV cannot be read.
        IntegrityError: the two files do not belong together, or `check_combined` refuses the first.
    """
    combined = read_combined(combined_csv)
    images = pd.read_csv(mels_csv, dtype=str, keep_default_na=False)
    row_of = pd.Series(images["row"].astype("int64").to_numpy(), index=images["item_id"])
    ids = item_ids(combined)
    rows = ids.map(row_of)
    if rows.isna().any() or not row_of.index.is_unique:
        raise IntegrityError(
            f"{combined_csv}: {int(rows.isna().sum())} rows have no image in {mels_csv}; run `dvc repro voice_tables`"
        )
    return pd.DataFrame(
        {
            "row": rows.astype("int64"),
            "item_id": ids,
            "group": combined["healthCode"],
            "label": combined["label"],
            "is_original": True,
            "fold": combined["fold"],
            "subset": combined["subset"],
        }
    )
