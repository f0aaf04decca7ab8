"""Labelled patients -> ten-fold splits common to all sub-databases, and each sub-database's training patients.

Every draw is a rank by a keyed hash of the patient, so nothing depends on the order of files or rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import pandas as pd

from evensong.errors import DataError
from evensong.keys import keyed_hash

COLUMNS = ["fold_iteration", "healthCode", "subset"]
SUBSETS = ("train", "val", "test")


@dataclass(frozen=True)
class Splits:
    """Who is trained, validated and tested on in each fold; every table has the columns `COLUMNS`, sorted.

    Args:
        common: validation and test patients, the same for every sub-database.
        train: sub-database number to its training patients.
        control: all training patients, at natural prevalence.
        file_names: sub-database number to its file name, such as ``subdb3_train_70_30.csv``.
    """

    common: pd.DataFrame
    train: dict[int, pd.DataFrame]
    control: pd.DataFrame
    file_names: dict[int, str]


def make_splits(
    labels: Mapping[str, int], subdbs: Sequence[int], *, n_folds: int, seed: int, n_diagnosed: int = 0
) -> Splits:
    """Split patients by stratified k-fold: fold i tests its own patients and validates on those of fold i + 1.

    Sub-database k trains on a share of 10 k % positives: patients of the class that is too frequent are left out
    at random, as few as possible, from the fold's training patients only.

    Args:
        labels: healthCode to 0 or 1, patients with a usable recording only.
        subdbs: the sub-databases to make, 1 to 9; one does not depend on the others.
        n_diagnosed: surveyed patients with a diagnosis, recorded or not; only an error's advice rests on it.

    Raises:
        DataError: fewer than three folds, or a class with fewer patients than there are folds; says which number of
            folds would work.
    """
    _check_folds(labels, n_folds, n_diagnosed)
    folds = assign_folds(labels, n_folds=n_folds, seed=seed)
    common: list[tuple[int, str, str]] = []
    control: list[tuple[int, str, str]] = []
    train: dict[int, list[tuple[int, str, str]]] = {k: [] for k in subdbs}
    for fold in range(n_folds):
        subset_of = {fold: "test", (fold + 1) % n_folds: "val"}
        common += [(fold, patient, subset_of[own]) for patient, own in folds.items() if own in subset_of]
        training = {patient: labels[patient] for patient, own in folds.items() if own not in subset_of}
        control += [(fold, patient, "train") for patient in training]
        for k in subdbs:
            train[k] += [(fold, patient, "train") for patient in undersample(training, k, fold=fold, seed=seed)]
    return Splits(
        common=as_table(common),
        train={k: as_table(rows) for k, rows in train.items()},
        control=as_table(control),
        file_names={k: train_file_name(k) for k in subdbs},
    )


def assign_folds(labels: Mapping[str, int], *, n_folds: int, seed: int) -> dict[str, int]:
    """Give each patient the fold that tests them.

    Folds differ by at most one patient, and by at most one patient of each class: the positives are dealt
    like cards, and the others go on where they end.
    """
    dealt = sorted(labels, key=lambda patient: (-labels[patient], keyed_hash(seed, "fold", patient), patient))
    return {patient: place % n_folds for place, patient in enumerate(dealt)}


def undersample(labels: Mapping[str, int], k: int, *, fold: int, seed: int) -> list[str]:
    """Choose the training patients of sub-database k in one fold, sorted by healthCode.

    Args:
        labels: the fold's training patients, both classes present.
        k: 1 to 9; the share of positives is k / 10.
    """
    by_class = {label: [patient for patient in labels if labels[patient] == label] for label in (0, 1)}
    n_positive, n_negative = choose_counts(len(by_class[1]), len(by_class[0]), k)
    chosen: list[str] = []
    for label, n_kept in ((0, n_negative), (1, n_positive)):
        chosen += sorted(by_class[label], key=lambda patient: (keyed_hash(seed, f"subdb{k}", fold, patient), patient))[
            :n_kept
        ]
    return sorted(chosen)


def choose_counts(n_positive: int, n_negative: int, k: int) -> tuple[int, int]:
    """How many patients of each class to keep for a positives' share as near to k / 10 as whole patients allow.

    One class is kept whole; of two equally near shares the one with more patients wins.

    Returns:
        Positives and negatives kept, at least one of each.
    """
    target = Fraction(k, 10)
    if n_positive * (10 - k) > k * n_negative:
        return _nearest(n_negative * target / (1 - target), n_positive, n_negative, target), n_negative
    return n_positive, _nearest(n_positive * (1 - target) / target, n_negative, n_positive, 1 - target)


def train_file_name(k: int) -> str:
    """The training list's file name: shares of label 0 and label 1 in percent."""
    return f"subdb{k}_train_{100 - 10 * k}_{10 * k}.csv"


def as_table(rows: Sequence[tuple[int, str, str]]) -> pd.DataFrame:
    """Rows of (fold, healthCode, subset) as a sorted table."""
    table = pd.DataFrame(sorted(rows), columns=COLUMNS)
    return table.astype({"fold_iteration": "int64", "healthCode": "str", "subset": "str"})


def _nearest(exact: Fraction, available: int, others: int, target: Fraction) -> int:
    """The whole number next to `exact` whose share of all kept patients is nearest to the target."""
    floor = exact.numerator // exact.denominator
    candidates = {min(max(count, 1), available) for count in (floor, floor + 1)}
    return min(candidates, key=lambda count: (abs(Fraction(count, count + others) - target), -count))


def _check_folds(labels: Mapping[str, int], n_folds: int, n_diagnosed: int) -> None:
    if n_folds < 3:
        raise DataError(
            f"voice.splits.n_folds is {n_folds}, but training, validation and test take a fold each; set it to 3 or "
            "more"
        )
    n_positive = sum(labels.values())
    smaller = min(n_positive, len(labels) - n_positive)
    if smaller < 3:
        advice = (
            "Are the healthCodes in the survey and in the file names those of the same people?"
            if 2 * len(labels) < n_diagnosed
            else "The diagnoses are nearly all of one class; add patients of the other"
        )
        raise DataError(
            f"patients with a diagnosis and a usable recording: {len(labels)}, but one of the two classes has fewer "
            f"than three; training, validation and test need one each. {advice}"
        )
    if smaller < n_folds:
        raise DataError(
            f"voice.splits.n_folds is {n_folds}, but the smaller class has fewer patients with a usable recording "
            f"than that; set voice.splits.n_folds to {smaller} or less (at least 3)"
        )
