"""Reads what a training folder holds, and refuses anything that would make a score wrong.

Messages name a file, a line and a count, never an item or a group: their names can identify patients.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from evensong.errors import DataError
from evensong.score.scores import Bools, Floats, Ints

BASELINE = "baseline"  # the arm that is always there
FUSED = "_fused"  # ends the name of an embedding's arm that was averaged with the network
KEY_COLUMNS = ["fold", "subset", "item_id"]
HISTORY_COLUMNS = ["fold", "epoch", "learning_rate", "train_loss", "val_loss", "val_macro_f1"]
_COLUMNS = [*KEY_COLUMNS, "group", "is_original", "label"]
_SUM_TOLERANCE = 1e-5  # float32 softmax, written with nine digits


@dataclass(frozen=True)
class Predictions:
    """One row a prediction, sorted by fold, subset and item; no item twice in a fold.

    Attributes:
        table: columns fold, subset ('val' or 'test'), item_id, group, is_original (bool), label.
        probabilities: (n_rows, n_classes) float64, rows sum to 1.
    """

    table: pd.DataFrame
    probabilities: Floats

    def where(self, keep: "Bools | pd.Series[bool]") -> Self:
        """The rows where ``keep`` is true, in the same order."""
        mask = np.asarray(keep, dtype=bool)
        return type(self)(self.table[mask].reset_index(drop=True), self.probabilities[mask])

    def subset(self, name: str) -> Self:
        """The rows of 'val' or 'test'."""
        return self.where(self.table["subset"] == name)

    def replaced(self, probabilities: Floats) -> Self:
        """The same rows with other probabilities (n_rows, n_classes)."""
        return type(self)(self.table, probabilities)

    @property
    def labels(self) -> Ints:
        """(n_rows,) int64 true class."""
        return self.table["label"].to_numpy(dtype=np.int64)

    @property
    def folds(self) -> list[int]:
        """The folds that have rows, ascending."""
        return sorted(int(fold) for fold in self.table["fold"].unique())

    def by_group(self) -> Self:
        """Mean probability over the items of each group: one row a fold, subset, group and label.

        The label is part of the key because a group such as a recording site can hold several classes;
        a patient has one. ``item_id`` of a result row is its group.
        """
        keys = ["fold", "subset", "group", "label"]
        order = self.table.sort_values(keys, kind="stable").index.to_numpy()
        ranked = self.table.loc[order].reset_index(drop=True)
        is_first = ranked[keys].ne(ranked[keys].shift()).any(axis=1).to_numpy()
        starts = np.flatnonzero(is_first)
        sizes = np.diff(np.append(starts, len(ranked)))
        sums = np.add.reduceat(self.probabilities[order], starts, axis=0) if len(starts) else self.probabilities
        groups = ranked[is_first].reset_index(drop=True).assign(is_original=True)
        groups["item_id"] = groups["group"]
        return type(self)(groups, sums / sizes[:, None])


@dataclass(frozen=True)
class TrainingRun:
    """Everything a training folder says about its folds.

    Attributes:
        classes: class names in label order.
        predictions: validation and test predictions of every fold.
        folds: one row a trained fold: fold, epochs, selected_epoch, n_train, n_val, n_test, train_share_0, ..., and
            n_folds, how many folds there are, trained or not.
        history: one row a fold and epoch.
    """

    classes: list[str]
    predictions: Predictions
    folds: pd.DataFrame
    history: pd.DataFrame

    @property
    def part(self) -> str:
        """What was trained of the folds that there are, such as ``1 of 10 folds``; empty for all of them.

        Raises:
            DataError: folds.csv does not say how many there are.
        """
        if "n_folds" not in self.folds.columns:
            raise DataError("folds.csv has no column n_folds; run the training again")
        n_trained, n_folds = len(self.folds), int(self.folds["n_folds"].max())
        return "" if n_trained == n_folds else f"{n_trained} of {n_folds} folds"


def in_part(what: int | str, part: str) -> int | str:
    """A count or a name as people read it: with the `TrainingRun.part` that it is of, where that is not all."""
    return f"{what} in {part}" if part else what


def read_run(folder: Path) -> TrainingRun:
    """Read one training folder and check that its files agree with each other.

    Raises:
        DataError: a file is missing or malformed, or the predictions are not exactly one per item, fold and subset.
    """
    classes, predictions, folds = _read_predicted(folder)
    history = _read_table(folder / "history.csv", HISTORY_COLUMNS)
    return TrainingRun(classes, predictions, folds, history)


def read_arms(folder: Path, run: TrainingRun) -> dict[str, Predictions]:
    """Read what the baseline and every other arm predicted for the rows of a training run.

    Args:
        folder: holds one folder an arm.
        run: any run over the same folds.

    Returns:
        Predictions by name of the arm, sorted by name; each with the rows of ``run``, or with its originals alone.

    Raises:
        DataError: as `read_run`, or an arm has other classes or predicted other rows.
    """
    arms = {}
    for name in sorted({BASELINE, *(home.name for home in folder.glob("*/"))}):
        classes, arms[name], _ = _read_predicted(folder / name)
        if classes != run.classes:
            raise DataError(f"{folder / name}: its classes are not those of the network; run the stages of both again")
        is_bare = bool(arms[name].table["is_original"].all())
        check_same_rows("the network", originals_of(run.predictions) if is_bare else run.predictions, name, arms[name])
    return arms


def originals_of(predictions: Predictions) -> Predictions:
    """The rows that are no copies."""
    return predictions.where(predictions.table["is_original"])


def fused_arms(network: Predictions, arms: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """What the network and each embedding say together: the mean of their probabilities, on originals."""
    own = originals_of(network)
    others = {name: originals_of(arm).probabilities for name, arm in arms.items() if name != BASELINE}
    return {f"{name}{FUSED}": own.replaced((own.probabilities + other) / 2) for name, other in others.items()}


def _read_predicted(folder: Path) -> tuple[list[str], Predictions, pd.DataFrame]:
    classes = _read_classes(folder / "classes.json")
    predictions = read_predictions(folder / "predictions.csv", len(classes))
    folds = _read_table(folder / "folds.csv", ["fold", "n_train", "n_val", "n_test"])
    folds = folds.sort_values("fold").reset_index(drop=True)
    _check_counts(folder, predictions, folds)
    return classes, predictions, folds


def check_same_rows(first_name: str, first: Predictions, name: str, other: Predictions) -> None:
    """Refuse two that did not predict the same items, of the same groups, in the same folds and subsets.

    A patient tested in a fold by one and trained on in that fold by the other would be compared or fused unseen.

    Raises:
        DataError: says how many rows differ, never which.
    """
    # Both are sorted by key without repeats, so equal key sets are equal columns.
    keys, other_keys = (frame.table.set_index(KEY_COLUMNS).index for frame in (first, other))
    n_lacking, n_more = len(keys.difference(other_keys)), len(other_keys.difference(keys))
    if n_lacking or n_more:
        raise DataError(
            f"{name} cannot stand beside {first_name}: it lacks {n_lacking} predictions that {first_name} has and "
            f"holds {n_more} that it has not; run the stages from the splits on again"
        )
    differing = (first.table[["group", "label"]] != other.table[["group", "label"]]).any(axis=1)
    if differing.any():
        raise DataError(f"{name} cannot stand beside {first_name}: they disagree on {differing.sum()} labels")


def read_model_facts(folder: Path, fold: int) -> dict[str, Any]:
    """What a paper says of a fold's model, from its card and the header of its weights.

    Returns:
        name, network_input, stored_input, mels, n_values (numbers stored, batch statistics included), n_bytes.

    Raises:
        DataError: the card or the weights cannot be read.
    """
    home = folder / f"fold_{fold:02d}"
    weights = home / "model.safetensors"
    try:
        card = json.loads((home / "model.json").read_text(encoding="utf-8"))
        facts = {"name": card["model"]} | {name: card[name] for name in ("network_input", "stored_input", "mels")}
        with safe_open(weights, framework="numpy") as stored:
            sizes = [math.prod(stored.get_slice(name).get_shape()) for name in stored.keys()]  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(f"{home}: no readable model ({type(error).__name__}); run the training again") from error
    return facts | {"n_values": sum(sizes), "n_bytes": weights.stat().st_size}


def read_predictions(path: Path, n_classes: int) -> Predictions:
    """Read a predictions file.

    Args:
        n_classes: number of probability columns p0, p1, ... that must be there.

    Raises:
        DataError: a column is missing or unknown, a value is not what it must be, probabilities are not finite or do
            not sum to 1, an item is predicted twice in a fold, or a group stands in validation and test of one fold.
    """
    probability_columns = [f"p{label}" for label in range(n_classes)]
    table = _read_table(path, [*_COLUMNS, *probability_columns], is_text=True)
    whole = {"fold": None, "is_original": 2, "label": n_classes}
    for column, bound in whole.items():
        table[column] = _whole_numbers(path, table[column], bound)
    _refuse(path, ~table["subset"].isin(["val", "test"]), "subset is neither 'val' nor 'test'")
    _refuse(path, (table["item_id"] == "") | (table["group"] == ""), "item or group is empty")
    probabilities = np.column_stack([_numbers(path, table[column]) for column in probability_columns])
    _refuse(path, (probabilities < 0).any(axis=1) | (probabilities > 1).any(axis=1), "a probability outside 0 to 1")
    _refuse(path, np.abs(probabilities.sum(axis=1) - 1) > _SUM_TOLERANCE, "probabilities do not sum to 1")
    _check_keys(path, table)
    table = table[_COLUMNS].assign(is_original=table["is_original"] == 1)
    order = table.sort_values(KEY_COLUMNS, kind="stable").index.to_numpy()
    return Predictions(table.loc[order].reset_index(drop=True), probabilities[order])


def _check_keys(path: Path, table: pd.DataFrame) -> None:
    _refuse(path, table.duplicated(["fold", "item_id"]), "an item is predicted twice in one fold")
    n_subsets = table.groupby(["fold", "group"])["subset"].transform("nunique")
    _refuse(path, n_subsets > 1, "a group is in validation and in test of one fold")
    first = table.groupby("item_id")[["label", "group"]].transform("first")
    _refuse(
        path, (first != table[["label", "group"]]).any(axis=1), "an item has another label or group in another fold"
    )


def _check_counts(folder: Path, predictions: Predictions, folds: pd.DataFrame) -> None:
    found = predictions.table.groupby(["fold", "subset"]).size()
    if sorted({int(fold) for fold, _ in found.index}) != sorted(folds["fold"].tolist()):
        raise DataError(f"{folder}: predictions.csv and folds.csv do not hold the same folds; run its stage again")
    for row in folds.itertuples():
        for subset, expected in (("val", row.n_val), ("test", row.n_test)):
            n_found = int(found.get((row.fold, subset), 0))
            if n_found != expected:
                raise DataError(
                    f"{folder}/predictions.csv: fold {row.fold} has {n_found} {subset} predictions, folds.csv says "
                    f"{expected}; run its stage again"
                )


def _read_classes(path: Path) -> list[str]:
    try:
        classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as a list of classes; run its stage again") from error
    if not (isinstance(classes, list) and len(classes) >= 2 and all(isinstance(name, str) for name in classes)):
        raise DataError(f"{path}: needs at least two class names")
    return classes


def _read_table(path: Path, columns: list[str], *, is_text: bool = False) -> pd.DataFrame:
    """Read a CSV with at least the given columns; as text, with exactly these and every cell as it is written."""
    try:
        if is_text:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        else:
            table = pd.read_csv(path, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run its stage again") from error
    except ValueError as error:  # parser and encoding errors; their text can quote a row
        raise DataError(f"{path}: is not a well-formed CSV; run its stage again") from error
    missing = [column for column in columns if column not in table.columns]
    n_unknown = sum(column not in columns for column in table.columns) if is_text else 0
    if missing or n_unknown:
        raise DataError(f"{path}: columns missing: {missing or 'none'}, not known: {n_unknown}")
    return table


def _numbers(path: Path, column: "pd.Series[str]") -> Floats:
    """Parse text as Python does, which is exact; pandas' parsers differ in the last digit."""
    values = np.array([_number(text) for text in column], dtype=np.float64)
    _refuse(path, ~np.isfinite(values), f"{column.name} is not a finite number")
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _whole_numbers(path: Path, column: "pd.Series[str]", bound: int | None) -> Ints:
    values = _numbers(path, column)
    high = np.inf if bound is None else bound
    allowed = "0 or more" if bound is None else f"0 to {bound - 1}"
    _refuse(path, (values < 0) | (values >= high) | (values % 1 != 0), f"{column.name} is not a whole number {allowed}")
    return values.astype(np.int64)


def _refuse(path: Path, bad: "np.bool_ | Bools | pd.Series[bool]", what: str) -> None:
    rows = np.flatnonzero(np.asarray(bad))
    if len(rows):
        raise DataError(f"{path}: line {rows[0] + 2}: {what} ({len(rows)} such lines); run its stage again")
