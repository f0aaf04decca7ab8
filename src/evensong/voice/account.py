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
_REASONS_OF_PATIENTS = ("no_label", "unlabelled", "not_in_split", "max_recordings")
_PATIENT_REASONS = ("unlabelled", "no_image", "not_in_split")
_LIST_REASONS = ("no_label", "unlabelled", "no_image")
_COUNT_COLUMNS = ["subdb", "fold", "subset", "patients", "positives", "recordings"]
_LARGEST_GAP = 0.05  # between the shares of class 1 among training recordings and among training patients
_LARGEST_PART = 0.2  # of a class's training recordings in a fold that one patient may hold without a word
_LARGEST_IMAGE_GAP = 0.2  # between the classes' shares of ready-made images


def dropped_rows(joined: Mapping[str, Joined], members: Mapping[str, pd.DataFrame], cohort: Cohort) -> pd.DataFrame:
    """List what the sub-databases do not use; the control arm's table does not count as use.

    Args:
        joined: every split list, from `tables.join_lists`.
        members: the combined tables, from `tables.member_tables`.

    Returns:
        `COLUMNS` as text, sorted. ``source`` is recording, patient or split; ``reason`` is quarantined, ignored,
        duplicate, no_label (not in the survey), unlabelled (blank diagnosis), no_image, not_in_split or
        max_recordings (over that number, and in no validation or test list); ``detail`` holds the scan's code.

    Raises:
        IntegrityError: an input row is neither in a table nor listed, or is both.
    """
    used = used_rows(members)
    parts = [_dropped_recordings(used, cohort), _dropped_patients(set(used["healthCode"]), cohort)]
    parts += [part.lost.assign(source="split", split_list=name) for name, part in joined.items()]
    table = pd.concat([part.astype(str) for part in parts]).reindex(columns=COLUMNS).fillna("")
    table = table.sort_values(COLUMNS).reset_index(drop=True)
    _check_inputs(table, used, cohort)
    for name, member in members.items():
        _check_member(name, member, joined, cohort)
    return table


def used_rows(members: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Ids and label of every recording that a sub-database uses, once each."""
    columns = [*IDS, "label"]
    tables = [table[columns].drop_duplicates() for name, table in members.items() if name != CONTROL]
    return pd.concat(tables).drop_duplicates()


def _dropped_recordings(used: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    rows, in_tables = cohort.recordings, set(used["healthCode"])
    is_used = pd.MultiIndex.from_frame(rows[IDS]).isin(pd.MultiIndex.from_frame(used[IDS]))
    lost = rows[(rows["status"] == "duplicate") | ~is_used]
    reasons = [
        "duplicate"
        if status == "duplicate"
        else cohort.fault(patient) or ("max_recordings" if patient in in_tables else "not_in_split")
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


def _check_member(name: str, table: pd.DataFrame, joined: Mapping[str, Joined], cohort: Cohort) -> None:
    """Each row of a member's training list and of the common list is in its table or lost, with all its images."""
    is_train = table["subset"] == "train"
    for list_name, rows, images in (
        (name, table[is_train], cohort.trainable),
        ("common", table[~is_train], cohort.images),
    ):
        part = joined[list_name]
        found = rows.groupby(["fold", "healthCode"]).size()
        if part.n_rows != len(found) + len(part.lost):
            raise IntegrityError(
                f"{name}: {part.n_rows} rows of its {list_name} list, but {len(found)} in its table and "
                f"{len(part.lost)} dropped"
            )
        wanted = images.groupby("healthCode").size().loc[found.index.get_level_values("healthCode")]
        if not (found.to_numpy() == wanted.to_numpy()).all():
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
        "not_trained_on": _capped(cohort),
    }


def _capped(cohort: Cohort) -> dict[str, int | str]:
    """Recordings over ``voice.tables.max_recordings``, and whose they are; no few patients are told by them."""
    over = cohort.images.drop(cohort.trainable.index)
    n_patients = over["healthCode"].nunique()
    return {"patients": told(n_patients), "recordings": WITHHELD if is_small(n_patients) else len(over)}


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
    if counts["not_trained_on"]["patients"]:
        over = "recordings {recordings}, of {patients} patients".format(**counts["not_trained_on"])
        lines.append(f"not trained on, over voice.tables.max_recordings: {over}")
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
            "of recordings (voice.tables.max_recordings caps them); the network and the prior-corrected fusion go by "
            "recordings"
        )
    led = [name for name in sorted(members) if _is_led(members[name])]
    if led:
        lines.append(
            f"NOTE: in {', '.join(led)} one patient has over {100 * _LARGEST_PART:g} % of a class's training "
            "recordings in a fold, and over twice as many as most: the network may learn that voice in place of the "
            "class; set voice.tables.max_recordings"
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


def _is_led(table: pd.DataFrame) -> bool:
    """Whether one patient has a large part of a class's training recordings in a fold, and many more than most."""
    train = table[table["subset"] == "train"]
    counts = train.groupby(["fold", "label", "healthCode"]).size()
    of_class = counts.groupby(["fold", "label"])
    usual = counts.groupby("fold").transform("median")
    return bool(((counts > _LARGEST_PART * of_class.transform("sum")) & (counts > 2 * usual)).any())


def _image_gap(used: pd.DataFrame, recordings: pd.DataFrame) -> float:
    """Distance between the two classes' shares of ready-made images; 0 where a class is missing."""
    kinds = used.merge(recordings[[*IDS, "kind"]], on=IDS, how="left")
    shares = (kinds["kind"] == "image").groupby(kinds["label"]).mean()
    return float(np.ptp(shares)) if len(shares) == 2 else 0.0
