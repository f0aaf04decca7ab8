"""Combined tables -> what is in none of them and why, the proof that no input row is lost, and counts for git.

The counts hold no id, and no count of one to four patients, told or implied.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from evensong.errors import IntegrityError
from evensong.learn.fold_table import SUBSETS
from evensong.voice.disclosure import HIDDEN, WITHHELD, is_small, told, told_parts, told_split
from evensong.voice.tables import CONTROL, IDS, Cohort, Joined

COLUMNS = ["source", "healthCode", "record_id", "column_id", "path", "split_list", "fold", "subset", "reason", "detail"]
_REASONS_OF_FILES = ("quarantined", "ignored", "duplicate")
_REASONS_OF_PATIENTS = ("no_label", "unlabelled", "not_in_split")
_PATIENT_REASONS = ("unlabelled", "no_image", "not_in_split")
_LIST_REASONS = ("no_label", "unlabelled", "no_image")
_COUNT_COLUMNS = ["subdb", "fold", "subset", "patients", "positives", "recordings"]
_LARGEST_GAP = 0.05  # between the shares of class 1 among training recordings and among training patients
_LARGEST_IMAGE_GAP = 0.2  # between the classes' shares of ready-made images


def dropped_rows(joined: Mapping[str, Joined], members: Mapping[str, pd.DataFrame], cohort: Cohort) -> pd.DataFrame:
    """List what the sub-databases do not use; the control arm's table does not count as use.

    Args:
        joined: every split list, from `tables.join_lists`.
        members: the combined tables, from `tables.member_tables`.

    Returns:
        `COLUMNS` as text, sorted. ``source`` is recording, patient or split; ``reason`` is quarantined, ignored,
        duplicate, no_label (not in the survey), unlabelled (blank diagnosis), no_image or not_in_split; ``detail``
        holds the scan's code.

    Raises:
        IntegrityError: an input row is neither in a table nor listed, or is both.
    """
    used = used_rows(members)
    in_tables = set(used["healthCode"])
    parts = [_dropped_recordings(in_tables, cohort), _dropped_patients(in_tables, cohort)]
    parts += [part.lost.assign(source="split", split_list=name) for name, part in joined.items()]
    table = pd.concat([part.astype(str) for part in parts]).reindex(columns=COLUMNS).fillna("")
    table = table.sort_values(COLUMNS).reset_index(drop=True)
    _check_inputs(table, used, cohort)
    n_images = cohort.images.groupby("healthCode").size()
    for name, member in members.items():
        _check_member(name, member, joined, n_images)
    return table


def used_rows(members: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Ids and label of every recording that a sub-database uses, once each."""
    columns = [*IDS, "label"]
    tables = [table[columns].drop_duplicates() for name, table in members.items() if name != CONTROL]
    return pd.concat(tables).drop_duplicates()


def _dropped_recordings(in_tables: set[str], cohort: Cohort) -> pd.DataFrame:
    rows = cohort.recordings
    lost = rows[(rows["status"] == "duplicate") | ~rows["healthCode"].isin(in_tables)]
    reasons = [
        "duplicate" if status == "duplicate" else cohort.fault(patient) or "not_in_split"
        for patient, status in zip(lost["healthCode"], lost["status"], strict=True)
    ]
    aside = cohort.quarantine
    others = pd.DataFrame({"path": aside["path"], "reason": aside["outcome"], "detail": aside["reason"]})
    return pd.concat([lost[[*IDS, "path"]].assign(reason=reasons), others]).fillna("").assign(source="recording")


def _dropped_patients(in_tables: set[str], cohort: Cohort) -> pd.DataFrame:
    lost = sorted(set(cohort.labels) - in_tables)
    reasons = [cohort.fault(patient) or "not_in_split" for patient in lost]
    return pd.DataFrame({"healthCode": lost, "reason": reasons}).assign(source="patient")


def _check_inputs(dropped: pd.DataFrame, used: pd.DataFrame, cohort: Cohort) -> None:
    """Listed = in a table + dropped, counted from the finished tables."""
    n_dropped = dropped["source"].value_counts()
    accounts = {
        "recording": (len(cohort.recordings) + len(cohort.quarantine), len(used)),
        "patient": (len(cohort.labels), used["healthCode"].nunique()),
    }
    for source, (n_listed, n_used) in accounts.items():
        if n_listed != n_used + int(n_dropped.get(source, 0)):
            raise IntegrityError(
                f"{source} rows: {n_listed} listed, but {n_used} in a table and {n_dropped.get(source, 0)} dropped"
            )


def _check_member(name: str, table: pd.DataFrame, joined: Mapping[str, Joined], n_images: "pd.Series[int]") -> None:
    """Each row of a member's training list and of the common list is in its table or lost, with all its images."""
    is_train = table["subset"] == "train"
    for list_name, rows in ((name, table[is_train]), ("common", table[~is_train])):
        part = joined[list_name]
        n_used = len(rows[["fold", "healthCode"]].drop_duplicates())
        if part.n_rows != n_used + len(part.lost):
            raise IntegrityError(
                f"{name}: {part.n_rows} rows of its {list_name} list, but {n_used} in its table and "
                f"{len(part.lost)} dropped"
            )
    whole = table.groupby(["fold", "healthCode"]).size()
    if not (whole == n_images.loc[whole.index.get_level_values("healthCode")].to_numpy()).all():
        raise IntegrityError(f"{name}: a patient is not repeated over all of their images")


def summarise_tables(members: Mapping[str, pd.DataFrame], dropped: pd.DataFrame, cohort: Cohort) -> dict[str, Any]:
    """Counts of patients and recordings, and what each sub-database trains on, averaged over folds."""
    used = used_rows(members)
    labels = used.groupby("healthCode")["label"].first()
    n_patients, n_positive = told_split(len(labels), int(labels.sum()))
    by_source = dropped.groupby(["source", "reason"])
    n_rows, n_people = by_source.size(), by_source["healthCode"].nunique()
    return {
        "folds": int(members[CONTROL]["fold"].nunique()),
        "patients": {
            "surveyed": told(len(cohort.labels)),
            "in_tables": n_patients,
            "positive_in_tables": n_positive,
            **told_parts(_pick(n_people, "patient", _PATIENT_REASONS)),
        },
        "split_patients_not_used": {
            reason: told(count) for reason, count in _pick(n_people, "split", _LIST_REASONS).items()
        },
        "recordings": {
            "listed": len(cohort.recordings) + len(cohort.quarantine),
            "in_tables": len(used),
            **_pick(n_rows, "recording", _REASONS_OF_FILES),
            **told_parts(
                _pick(n_rows, "recording", _REASONS_OF_PATIENTS), _pick(n_people, "recording", _REASONS_OF_PATIENTS)
            ),
        },
        "train": {name: _training(table) for name, table in members.items()},
    }


def _pick(counts: "pd.Series[int]", source: str, reasons: tuple[str, ...]) -> dict[str, int]:
    return {reason: int(counts.get((source, reason), 0)) for reason in reasons}


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


def describe(counts: Mapping[str, Any]) -> list[str]:
    """The counts of `summarise_tables` as lines to read."""
    patients, recordings, listed = counts["patients"], counts["recordings"], counts["split_patients_not_used"]
    lines = [
        f"{recordings['in_tables']} of {recordings['listed']} recordings and {patients['in_tables']} of "
        f"{patients['surveyed']} patients ({patients['positive_in_tables']} positive) are in the tables",
        "left out, one by one in combined/dropped.csv: recordings "
        f"{_listed(recordings, (*_REASONS_OF_FILES, *_REASONS_OF_PATIENTS))}; "
        f"patients {_listed(patients, _PATIENT_REASONS)}",
    ]
    if any(listed.values()):
        lines.append(f"NOTE: patients of the split lists that cannot be used: {_listed(listed, _LIST_REASONS)}")
    return lines


def _listed(counts: Mapping[str, Any], reasons: tuple[str, ...]) -> str:
    return ", ".join(f"{reason} {counts[reason]}" for reason in reasons if counts[reason]) or "none"


def notes(members: Mapping[str, pd.DataFrame], recordings: pd.DataFrame) -> list[str]:
    """What is allowed in the tables and could still mislead, a line each; no count of people in any.

    Args:
        members: combined table by member.
        recordings: the scan's recordings.csv.
    """
    lines = []
    uneven = [name for name in sorted(members) if _recordings_gap(members[name]) > _LARGEST_GAP]
    if uneven:
        lines.append(
            f"NOTE: in {', '.join(uneven)} the share of class 1 among the training recordings is over "
            f"{100 * _LARGEST_GAP:g} points off the one among the training patients, since people have unlike numbers "
            "of recordings; the network and the prior-corrected fusion go by recordings"
        )
    if _image_gap(used_rows(members), recordings) > _LARGEST_IMAGE_GAP:
        lines.append(
            f"NOTE: ready-made images are over {100 * _LARGEST_IMAGE_GAP:g} points more of one class's recordings than "
            "of the other's; a network can learn the tool that drew them in place of the voice"
        )
    return lines


def _recordings_gap(table: pd.DataFrame) -> float:
    """Mean over folds of the distance between both shares of class 1 in training."""
    train = table[table["subset"] == "train"]
    by_recording = train.groupby("fold")["label"].mean()
    by_patient = train.drop_duplicates(["fold", "healthCode"]).groupby("fold")["label"].mean()
    return float((by_recording - by_patient).abs().mean())


def _image_gap(used: pd.DataFrame, recordings: pd.DataFrame) -> float:
    """Distance between the two classes' shares of ready-made images; 0 where a class is missing."""
    kinds = used.merge(recordings[[*IDS, "kind"]], on=IDS, how="left")
    shares = (kinds["kind"] == "image").groupby(kinds["label"]).mean()
    return float(np.ptp(shares)) if len(shares) == 2 else 0.0
