"""The published split folder: names, writing and reading."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from evensong.errors import IntegrityError
from evensong.run.text import write_csv, write_json
from evensong.voice.splits import COLUMNS, Splits

COMMON_NAME = "common_val_test_all_subdbs.csv"
CONTROL_NAME = "control/control_train.csv"
LABELS_NAME = "labels.csv"
ACCOUNTS_NAME = "accounts.json"
TRAIN_NAME = re.compile(r"subdb([1-9])_train_(\d{1,3})_(\d{1,3})\.csv")  # number, shares of label 0 and 1 in percent


def write_splits(folder: Path, splits: Splits, labels: Mapping[str, int | None]) -> None:
    """Write the split CSVs and the label of every surveyed patient (blank = no diagnosis).

    Args:
        folder: an empty or absent folder.
    """
    (folder / "control").mkdir(parents=True)
    write_csv(folder / COMMON_NAME, splits.common)
    write_csv(folder / CONTROL_NAME, splits.control)
    for k, table in splits.train.items():
        (folder / f"subdb{k}").mkdir()
        write_csv(folder / f"subdb{k}" / splits.file_names[k], table)
    rows = [(patient, "" if label is None else str(label)) for patient, label in sorted(labels.items())]
    write_csv(folder / LABELS_NAME, pd.DataFrame(rows, columns=["healthCode", "label"]))


def write_accounts(folder: Path, accounts: Mapping[str, Any]) -> None:
    """Write how many rows of the cohort's files became the patients and lists of this folder."""
    write_json(folder / ACCOUNTS_NAME, accounts)


def read_accounts(folder: Path) -> dict[str, Any]:
    """Read back what `write_accounts` wrote."""
    tree: dict[str, Any] = json.loads((folder / ACCOUNTS_NAME).read_text(encoding="utf-8"))
    return tree


def read_splits(folder: Path, subdbs: Sequence[int]) -> Splits:
    """Read back what `write_splits` wrote.

    Raises:
        IntegrityError: a sub-database is not there.
    """
    names: dict[int, str] = {}
    for k in subdbs:
        found = sorted(path.name for path in folder.glob(f"subdb{k}/subdb{k}_train_*.csv"))
        if len(found) != 1:
            raise IntegrityError(
                f"{folder}: {len(found)} training lists of sub-database {k}; run `dvc repro voice_splits`"
            )
        names[k] = found[0]
    return Splits(
        common=_read(folder / COMMON_NAME),
        train={k: _read(folder / f"subdb{k}" / name) for k, name in names.items()},
        control=_read(folder / CONTROL_NAME),
        file_names=names,
    )


def read_labels(folder: Path) -> dict[str, int | None]:
    """Every surveyed patient's label; None where the diagnosis is blank."""
    table = pd.read_csv(folder / LABELS_NAME, dtype=str, keep_default_na=False)
    return {
        patient: int(label) if label else None
        for patient, label in zip(table["healthCode"], table["label"], strict=True)
    }


def _read(path: Path) -> pd.DataFrame:
    table = pd.read_csv(
        path, dtype={"fold_iteration": "int64", "healthCode": "str", "subset": "str"}, keep_default_na=False
    )
    if list(table.columns) != COLUMNS:
        raise IntegrityError(f"{path}: its columns are not {', '.join(COLUMNS)}; run `dvc repro voice_splits`")
    return table
