"""Predictions of the sub-database members in, fused patient predictions out.

Members are joined on fold, subset and item, never on position. The weights of members in a fold rest on validation
patients who are not tested in that fold. The best single member, which fusion must beat, is one for all folds:
members do not share a scale, so that one that changed from fold to fold would rank patients of different folds badly.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evensong.errors import DataError
from evensong.score.predictions import Predictions, TrainingRun, check_same_rows
from evensong.score.within_folds import auroc_within
from evensong.score.scores import Floats
from evensong.voice.patients import HALF, Level, check_one_label, decide, level_of, two_columns

METHODS = ("soft_mean", "majority", "prior_corrected", "validation_weighted")
_SMALLEST = 1e-6  # probabilities are kept this far from 0 and 1 before their log-odds are taken


@dataclass(frozen=True)
class Members:
    """Members whose predictions have been joined.

    Attributes:
        names: names of the members, such as 'subdb3'.
        images: per member, the predictions by image; all with the same rows.
        patients: per member, the predictions by patient; all with the same rows.
        train_shares: (n_members, n_folds) share of class 1 among the training items, in the order of ``folds``.
        folds: fold numbers, ascending.
        part: what these are of the folds that there are, see `TrainingRun.part`.
    """

    names: list[str]
    images: list[Predictions]
    patients: list[Predictions]
    train_shares: Floats
    folds: list[int]
    part: str


def join_members(runs: Mapping[str, TrainingRun]) -> Members:
    """Join runs that predicted the same images in the same folds and subsets.

    Raises:
        DataError: members differ in their rows, labels or patients; a run lacks its training class shares.
    """
    names = list(runs)
    first = runs[names[0]].predictions
    for name, run in runs.items():
        if len(run.classes) != 2:
            raise DataError(f"{name}: fusion needs two classes, the training has {len(run.classes)}")
        check_same_rows(names[0], first, name, run.predictions)
    check_one_label(first)
    images = [run.predictions for run in runs.values()]
    shares = np.array([_train_shares(name, run) for name, run in runs.items()])
    return Members(names, images, [member.by_group() for member in images], shares, first.folds, runs[names[0]].part)


def fuse(members: Members) -> dict[str, Level]:
    """Every fused prediction of the members by patient: `METHODS`, then 'best_single'.

    Thresholds are chosen on the fused validation patients; for the majority it is half of the members.
    """
    return {
        "soft_mean": level_of(soft_mean(members)),
        "majority": level_of(majority(members))._replace(thresholds=dict.fromkeys(members.folds, HALF)),
        "prior_corrected": level_of(prior_corrected(members)),
        "validation_weighted": level_of(weighted_mean(members, member_weights(validation_aurocs(members)))),
        "best_single": level_of(members.patients[best_member(members)]),
    }


def soft_mean(members: Members) -> Predictions:
    """Mean probability over the members."""
    return members.patients[0].replaced(np.mean([member.probabilities for member in members.patients], axis=0))


def majority(members: Members) -> Predictions:
    """Share of the members that vote for class 1, each at its own fold threshold; a tie counts as class 1."""
    votes = [decide(member, level_of(member).thresholds) for member in members.patients]
    return members.patients[0].replaced(two_columns(np.mean(votes, axis=0)))


def prior_corrected(members: Members) -> Predictions:
    """Soft mean after each member's log-odds were moved from its training share of class 1 to the natural one.

    Members learned different priors, so their plain probabilities do not mean the same. They learned
    from recordings, so their share is of these; the natural one is of patients, see `natural_share`.
    """
    natural = natural_share(members)
    fold_at = np.searchsorted(members.folds, members.images[0].table["fold"].to_numpy())
    corrected = []
    for member, shares in zip(members.images, members.train_shares, strict=True):
        odds = _log_odds(member.probabilities[:, 1]) - _log_odds(shares)[fold_at] + _log_odds(np.array(natural))
        corrected.append(1 / (1 + np.exp(-odds)))
    return members.images[0].replaced(two_columns(np.mean(corrected, axis=0))).by_group()


def weighted_mean(members: Members, weights: Floats) -> Predictions:
    """Mean probability with weights (n_members, n_folds) that sum to 1 in each fold."""
    fold_at = np.searchsorted(members.folds, members.patients[0].table["fold"].to_numpy())
    stacked = np.stack([member.probabilities for member in members.patients])
    return members.patients[0].replaced((weights[:, fold_at, None] * stacked).sum(axis=0))


def validation_aurocs(members: Members) -> Floats:
    """(n_members, n_folds) AUROC on the evidence for each fold; NaN where it is undefined.

    The evidence for a fold is the validation patients of all folds, less those tested in this fold: one fold's own
    validation is too small to rank members, and nothing tested in a fold may choose for it.
    """
    table = members.patients[0].table
    is_val, folds = (table["subset"] == "val").to_numpy(), table["fold"].to_numpy(np.int64)
    values = np.full((len(members.names), len(members.folds)), np.nan)
    for column, fold in enumerate(members.folds):
        tested = table.loc[(table["subset"] == "test") & (table["fold"] == fold), "group"]
        rows = is_val & ~table["group"].isin(tested).to_numpy()
        positive = members.patients[0].labels[rows] == 1
        for row, member in enumerate(members.patients):
            values[row, column] = auroc_within(positive, member.probabilities[rows, 1], folds[rows]).value
    return values


def best_member(members: Members) -> int:
    """Position of the member with the highest AUROC over the validation patients of all folds; the first of equals.

    Every tested patient is a validation patient of some fold, so that this choice favours the single member and
    never the fusion that is compared with it.
    """
    validation = [member.subset("val") for member in members.patients]
    aurocs = [
        auroc_within(val.labels == 1, val.probabilities[:, 1], val.table["fold"].to_numpy(np.int64)).value
        for val in validation
    ]
    return int(np.nan_to_num(aurocs, nan=0.0).argmax())


def member_weights(aurocs: Floats) -> Floats:
    """(n_members, n_folds) weights in proportion to AUROC above chance; equal ones where no member is above it."""
    gains = np.maximum(np.nan_to_num(aurocs, nan=0.5) - 0.5, 0)
    totals = gains.sum(axis=0)
    equal = np.full_like(gains, 1 / len(gains))
    return np.where(totals > 0, gains / np.where(totals > 0, totals, 1), equal)


def natural_share(members: Members) -> float:
    """Share of class 1 among the validation patients of all folds, each counted once; one half where undefined."""
    patients = members.patients[0].subset("val").table.drop_duplicates("group")
    share = float(patients["label"].mean()) if len(patients) else 0.5
    return share if 0 < share < 1 else 0.5


def _train_shares(name: str, run: TrainingRun) -> list[float]:
    if "train_share_1" not in run.folds.columns:
        raise DataError(f"{name}: folds.csv has no column train_share_1; run the training again")
    shares = run.folds.sort_values("fold")["train_share_1"].astype(float).tolist()
    if not all(0 < share < 1 for share in shares):
        raise DataError(f"{name}: folds.csv: train_share_1 must lie between 0 and 1 in every fold")
    return shares


def _log_odds(share: Floats) -> Floats:
    bounded = np.clip(share, _SMALLEST, 1 - _SMALLEST)
    return np.log(bounded / (1 - bounded))
