"""AUROC within folds: folds are different models, so an item is compared with those of its own fold alone."""

from typing import NamedTuple

import numpy as np

from evensong.score.scores import Bools, Floats, Ints


class WithinFolds(NamedTuple):
    """The share of pairs that are ranked rightly, over all pairs of a positive and a negative of one fold.

    Attributes:
        value: 0 to 1, a tie counting one half; NaN where no fold holds both classes.
        influence: (n_items,) what each item moves the value by; its squares add up to the value's variance, as in
            DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), with the folds' pairs taken together.
        n_pairs: pairs compared.
        n_folds: folds that hold both classes; the others compare nothing.
    """

    value: float
    influence: Floats
    n_pairs: int
    n_folds: int


def auroc_within(positive: Bools, scores: Floats, folds: Ints) -> WithinFolds:
    """Compare every positive with every negative of its fold.

    Args:
        positive: (n_items,) bool, the truth.
        scores: (n_items,) finite, larger = more positive; on one scale within a fold, not between folds.
        folds: (n_items,) int; one fold for all gives the pooled AUROC.
    """
    won, compared = np.zeros(len(scores)), np.zeros(len(scores))
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        ours, theirs = rows[positive[rows]], rows[~positive[rows]]
        won[ours], compared[ours] = _below(scores[ours], scores[theirs]), len(theirs)
        won[theirs], compared[theirs] = len(ours) - _below(scores[theirs], scores[ours]), len(ours)
    n_pairs = int(compared[positive].sum())
    n_folds = len(np.unique(folds[positive & (compared > 0)]))
    if not n_pairs:
        return WithinFolds(float("nan"), np.full(len(scores), np.nan), 0, 0)
    value = float(won[positive].sum() / n_pairs)
    return WithinFolds(value, (won - value * compared) / n_pairs, n_pairs, n_folds)


def _below(scores: Floats, others: Floats) -> Floats:
    """(n,) how many of the others lie below each score; equal ones count one half."""
    ranked = np.sort(others)
    return (np.searchsorted(ranked, scores, "left") + np.searchsorted(ranked, scores, "right")) / 2
