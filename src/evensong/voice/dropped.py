"""What is in no combined table, with the reason; and the proof that no input row is lost."""

from collections.abc import Mapping

import pandas as pd

from evensong.errors import IntegrityError
from evensong.voice.combine import CONTROL, IDS, Cohort, Joined

COLUMNS = [
    *("source", "healthCode", "record_id", "column_id", "path"),
    *("split_list", "fold", "subset", "reason", "detail"),
]


def dropped_rows(joined: Mapping[str, Joined], members: Mapping[str, pd.DataFrame], cohort: Cohort) -> pd.DataFrame:
    """List what the sub-databases do not use; the control arm's table does not count as use.

    Args:
        joined: every split list, from `combine.join_lists`.
        members: the combined tables, from `combine.member_tables`.

    Returns:
        `COLUMNS` as text, sorted. ``source`` is recording, patient or split; ``reason`` is quarantined, ignored,
        duplicate, no_label (not in the survey), unlabelled (blank diagnosis), no_image or not_in_split; ``detail``
        holds the scan's code.

    Raises:
        IntegrityError: an input row is neither in a table nor listed, or is both.
    """
    in_tables = set(used_rows(members)["healthCode"])
    parts = [_recordings(in_tables, cohort), _patients(in_tables, cohort)]
    parts += [part.lost.assign(source="split", split_list=name) for name, part in joined.items()]
    table = pd.concat([part.astype(str) for part in parts]).reindex(columns=COLUMNS).fillna("")
    table = table.sort_values(COLUMNS).reset_index(drop=True)
    _check_accounts(table, joined, members, cohort)
    return table


def used_rows(members: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Ids and label of every recording that a sub-database uses, once each."""
    columns = [*IDS, "label"]
    tables = [table[columns].drop_duplicates(columns) for name, table in members.items() if name != CONTROL]
    return pd.concat(tables).drop_duplicates(columns)


def _recordings(in_tables: set[str], cohort: Cohort) -> pd.DataFrame:
    rows = cohort.recordings
    is_duplicate = rows["status"] == "duplicate"
    lost = rows[is_duplicate | ~rows["healthCode"].isin(in_tables)]
    reasons = [
        "duplicate" if status == "duplicate" else cohort.fault(patient) or "not_in_split"
        for patient, status in zip(lost["healthCode"], lost["status"], strict=True)
    ]
    aside = cohort.quarantine
    others = pd.DataFrame({"path": aside["path"], "reason": aside["outcome"], "detail": aside["reason"]})
    return pd.concat([lost[[*IDS, "path"]].assign(reason=reasons), others]).fillna("").assign(source="recording")


def _patients(in_tables: set[str], cohort: Cohort) -> pd.DataFrame:
    lost = sorted(set(cohort.labels) - in_tables)
    reasons = [cohort.fault(patient) or "not_in_split" for patient in lost]
    return pd.DataFrame({"healthCode": lost, "reason": reasons}).assign(source="patient")


def _check_accounts(
    dropped: pd.DataFrame, joined: Mapping[str, Joined], members: Mapping[str, pd.DataFrame], cohort: Cohort
) -> None:
    """Listed = in a table + dropped, counted from the finished tables."""
    used = used_rows(members)
    n_dropped = dropped["source"].value_counts()
    n_images = cohort.images.groupby("healthCode").size()
    accounts = {
        "recording": (len(cohort.recordings) + len(cohort.quarantine), len(used)),
        "patient": (len(cohort.labels), used["healthCode"].nunique()),
    }
    for source, (n_listed, n_used) in accounts.items():
        if n_listed != n_used + int(n_dropped.get(source, 0)):
            raise IntegrityError(
                f"{source} rows: {n_listed} listed, but {n_used} in a table and {n_dropped.get(source, 0)} dropped"
            )
    for name, table in members.items():
        _check_lists(name, table, joined)
        whole = table.groupby(["fold", "healthCode"]).size()
        if not (whole == n_images.loc[whole.index.get_level_values("healthCode")].to_numpy()).all():
            raise IntegrityError(f"{name}: a patient is not repeated over all of their images")


def _check_lists(name: str, table: pd.DataFrame, joined: Mapping[str, Joined]) -> None:
    """Each row of a member's training list and of the common list is in its table or lost."""
    is_train = table["subset"] == "train"
    for list_name, rows in ((name, table[is_train]), ("common", table[~is_train])):
        part = joined[list_name]
        n_used = len(rows[["fold", "healthCode"]].drop_duplicates())
        if part.n_rows != n_used + len(part.lost):
            raise IntegrityError(
                f"{name}: {part.n_rows} rows of its {list_name} list, but {n_used} in its table and "
                f"{len(part.lost)} dropped"
            )
