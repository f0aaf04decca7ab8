import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.score.matched_pairs import Trait, auroc_matched, pooled_deviation
from evensong.score.within_folds import auroc_within

ITEMS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=12
)


def columns(items):
    positive, scores, folds, values = (np.array(column) for column in zip(*items, strict=True))
    return positive.astype(bool), scores.astype(float), folds, np.where(values == 4, np.nan, values)


@given(ITEMS)
def test_without_traits_it_is_the_auroc_within_folds(items):
    positive, scores, folds, _ = columns(items)
    found, wanted = auroc_matched(positive, scores, folds, []).within, auroc_within(positive, scores, folds)
    assert found.value == pytest.approx(wanted.value, nan_ok=True)
    np.testing.assert_allclose(found.influence, wanted.influence, atol=1e-12)
    assert found[2:] == wanted[2:]


@given(ITEMS, st.integers(0, 2))
def test_only_pairs_that_agree_are_compared(items, caliper):
    positive, scores, folds, values = columns(items)
    pairs = [
        (i, j)
        for i in np.flatnonzero(positive)
        for j in np.flatnonzero(~positive)
        if folds[i] == folds[j] and abs(values[i] - values[j]) <= caliper
    ]
    found = auroc_matched(positive, scores, folds, [Trait(values, caliper)])
    assert found.within.n_pairs == len(pairs)
    assert set(np.flatnonzero(found.in_pair)) == {item for pair in pairs for item in pair}
    wins = [(scores[i] > scores[j]) + (scores[i] == scores[j]) / 2 for i, j in pairs]
    assert found.within.value == pytest.approx(np.mean(wins) if wins else np.nan, nan_ok=True)
    if pairs:
        assert found.within.influence.sum() == pytest.approx(0)


def test_a_pair_agrees_in_every_trait_and_rounding_does_not_part_it():
    positive = np.array([True, False, False])
    traits = [Trait(np.array([0.3, 0.1, 0.1]), 0.2), Trait(np.array([1.0, 1.0, 2.0]))]  # 0.3 - 0.1 is above 0.2
    found = auroc_matched(positive, np.array([0.5, 0.4, 0.9]), np.zeros(3, int), traits)
    assert (found.within.value, found.within.n_pairs) == (1.0, 1)


def test_pooled_deviation_by_hand():
    positive = np.array([True, True, False, False, False])
    assert pooled_deviation(positive, np.array([1.0, 3.0, 0.0, 4.0, np.nan])) == pytest.approx(np.sqrt((2 + 8) / 2))
    assert pooled_deviation(positive, np.array([1.0, np.nan, 0.0, 4.0, np.nan])) == 0
