"""AUROC among pairs that are alike in other things: what a score still tells where age, say, cannot."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evensong.score.scores import Bools, Floats, Ints
from evensong.score.within_folds import WithinFolds

_EXACT = 1e-9  # that rounding may add to a distance


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

    The variance is DeLong's for a ratio of sums over pairs, as in `within_folds.auroc_within`, which this is without
    traits. An item may stand in several pairs, or in none.

    Args:
        positive: (n_items,) bool, the truth.
        scores: (n_items,) finite, larger = more positive; on one scale within a fold.
        folds: (n_items,) int; one fold for all compares over all items.
        traits: what both of a pair must agree in.
    """
    won, compared = np.zeros(len(scores)), np.zeros(len(scores))
    n_pairs, used = 0, set()
    for place in np.flatnonzero(positive):
        agrees = ~positive & (folds == folds[place])
        for trait in traits:
            agrees &= np.abs(trait.values - trait.values[place]) <= trait.caliper + _EXACT
        theirs = np.flatnonzero(agrees)
        wins = (scores[theirs] < scores[place]) + (scores[theirs] == scores[place]) / 2
        won[place], compared[place] = wins.sum(), len(theirs)
        won[theirs] += wins
        compared[theirs] += 1
        n_pairs += len(theirs)
        used |= {int(folds[place])} if len(theirs) else set()
    if not n_pairs:
        return MatchedPairs(WithinFolds(float("nan"), np.full(len(scores), np.nan), 0, 0), compared > 0)
    value = float(won[positive].sum() / n_pairs)
    return MatchedPairs(WithinFolds(value, (won - value * compared) / n_pairs, n_pairs, len(used)), compared > 0)


def pooled_deviation(positive: Bools, values: Floats) -> float:
    """Root of the mean of both classes' sample variances, NaN values left out; 0 where a class has fewer than two."""
    parts = [values[rows & ~np.isnan(values)] for rows in (positive, ~positive)]
    return float(np.sqrt(np.mean([part.var(ddof=1) for part in parts]))) if min(map(len, parts)) > 1 else 0.0
