"""AUROC over some pairs: of one fold, since folds are different models; and alike in other things, such as age."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evensong.score.scores import Bools, Floats, Ints

_EXACT = 1e-9  # that rounding may add to a distance


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
    return _summary(positive, folds, won, compared)


class Trait(NamedTuple):
    """What two items must agree in.

    Attributes:
        values: (n_items,) float64 numbers or codes of categories; NaN, where nothing is known, agrees with nothing.
        caliper: the largest distance that still agrees; 0 for categories.
    """

    values: Floats
    caliper: float = 0.0


class MatchedPairs(NamedTuple):
    """`WithinFolds` over the pairs that agree, and which items stand in such a pair.

    Attributes:
        within: value, influence, n_pairs and n_folds.
        in_pair: (n_items,) bool.
    """

    within: WithinFolds
    in_pair: Bools


def auroc_matched(positive: Bools, scores: Floats, folds: Ints, traits: Sequence[Trait]) -> MatchedPairs:
    """Compare every positive with the negatives of its fold that agree with it in every trait.

    What a score still tells where age, say, cannot. Without traits it is `auroc_within`. An item may stand in several
    pairs, or in none.

    Args:
        positive: (n_items,) bool, the truth.
        scores: (n_items,) finite, larger = more positive; on one scale within a fold.
        folds: (n_items,) int; one fold for all compares over all items.
        traits: what both of a pair must agree in.
    """
    won, compared = np.zeros(len(scores)), np.zeros(len(scores))
    for place in np.flatnonzero(positive):
        agrees = ~positive & (folds == folds[place])
        for trait in traits:
            agrees &= np.abs(trait.values - trait.values[place]) <= trait.caliper + _EXACT
        theirs = np.flatnonzero(agrees)
        wins = (scores[theirs] < scores[place]) + (scores[theirs] == scores[place]) / 2
        won[place], compared[place] = wins.sum(), len(theirs)
        won[theirs] += wins
        compared[theirs] += 1
    return MatchedPairs(_summary(positive, folds, won, compared), compared > 0)


def pooled_deviation(positive: Bools, values: Floats) -> float:
    """Root of the mean of both classes' sample variances, NaN values left out; 0 where a class has fewer than two."""
    parts = [values[rows & ~np.isnan(values)] for rows in (positive, ~positive)]
    return float(np.sqrt(np.mean([part.var(ddof=1) for part in parts]))) if min(map(len, parts)) > 1 else 0.0


def _summary(positive: Bools, folds: Ints, won: Floats, compared: Floats) -> WithinFolds:
    """Of each item's pairs: how many the positive one of them has won, and how many there are."""
    n_pairs = int(compared[positive].sum())
    if not n_pairs:
        return WithinFolds(float("nan"), np.full(len(won), np.nan), 0, 0)
    value = float(won[positive].sum() / n_pairs)
    n_folds = len(np.unique(folds[positive & (compared > 0)]))
    return WithinFolds(value, (won - value * compared) / n_pairs, n_pairs, n_folds)


def _below(scores: Floats, others: Floats) -> Floats:
    """(n,) how many of the others lie below each score; equal ones count one half."""
    ranked = np.sort(others)
    return (np.searchsorted(ranked, scores, "left") + np.searchsorted(ranked, scores, "right")) / 2
