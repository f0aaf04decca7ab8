"""AUROC within folds: against scikit-learn fold by fold, DeLong by hand, folds of unlike scales, and alike pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from evensong.schemas import Evaluate
from evensong.score.estimates import Units, binary_scores, make_bootstrap, score
from evensong.score.within_folds import Trait, auroc_matched, auroc_within, pooled_deviation

SETTINGS = Evaluate(seed=1, n_bootstrap=200, confidence=0.95)


@st.composite
def cohorts(draw):
    n = draw(st.integers(2, 40))
    labels = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    scores = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))
    folds = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    return np.array(labels), np.array(scores) / 6, np.array(folds)


def units_of(positive, scores, folds, groups=None):
    probabilities = np.column_stack([1 - scores, scores])
    names = [str(group) for group in (range(len(scores)) if groups is None else groups)]
    return Units(positive.astype(int), probabilities, (scores >= 0.5).astype(int), names, folds)


def scored(*cohort):
    units = units_of(*cohort)
    return score(units, binary_scores, make_bootstrap(units, SETTINGS, "voice"))


@given(cohorts())
def test_it_is_the_mean_of_the_folds_by_their_pairs(cohort):
    positive, scores, folds = cohort
    rows = [folds == fold for fold in np.unique(folds) if len(set(positive[folds == fold])) == 2]
    found = auroc_within(positive, scores, folds)
    n_pairs = [int(positive[row].sum() * (~positive[row]).sum()) for row in rows]
    assert (found.n_pairs, found.n_folds) == (sum(n_pairs), len(rows))
    if rows:
        aurocs = [roc_auc_score(positive[row], scores[row]) for row in rows]
        assert found.value == pytest.approx(np.average(aurocs, weights=n_pairs))
        assert found.influence.sum() == pytest.approx(0, abs=1e-9)
    else:
        assert np.isnan(found.value)


@given(cohorts(), st.lists(st.integers(-3, 3), min_size=5, max_size=5))
def test_a_scale_of_its_own_in_each_fold_changes_nothing(cohort, shifts):
    positive, scores, folds = cohort
    moved = 2.0 ** np.array(shifts)[folds] * scores + np.array(shifts)[folds]
    ours, theirs = auroc_within(positive, scores, folds), auroc_within(positive, moved, folds)
    assert (ours.n_pairs, ours.n_folds) == (theirs.n_pairs, theirs.n_folds)
    assert np.array_equal(ours.influence, theirs.influence, equal_nan=True)


def test_a_cohort_that_every_fold_separates_has_one_and_pooled_less():
    positive = np.tile([True, False, False], 10)
    folds = np.repeat([0, 1, 2], 10)
    scores = np.where(positive, 0.1, 0.05) + 0.3 * folds
    found = scored(positive, scores, folds)
    assert found.points["auroc"] == 1
    assert found.points["auroc_pooled"] < 0.8
    assert found.estimate("auroc").low > found.points["auroc_pooled"]


def test_variance_of_one_fold_is_delongs():
    # Positives 3, 5, 6; negatives 1, 4: each positive wins 1/2, 1, 1 of its pairs, each negative loses 3, 2 of 3.
    # A = 5/6; S10 = ((1/3)^2 + 2 (1/6)^2) / 2 = 1/12, S01 = 2 (1/6)^2 = 1/18; S10 / 3 + S01 / 2 = 1/18.
    positive, scores = np.array([True, True, True, False, False]), np.array([3.0, 5, 6, 1, 4]) / 10
    found = scored(positive, scores, np.zeros(5, int))
    influence = found.influences["auroc"]
    variance = found.bootstrap._influence_variance(influence)
    assert found.points["auroc"] == pytest.approx(5 / 6)
    assert variance == pytest.approx(1 / 18)


def test_items_of_one_patient_move_together():
    positive, scores = np.tile([True, False], 8), np.tile([0.6, 0.3, 0.4, 0.5], 4)
    folds = np.zeros(16, int)
    alone = scored(positive, scores, folds).estimate("auroc")
    grouped = scored(positive, scores, folds, [2 * (item // 4) + item % 2 for item in range(16)]).estimate("auroc")
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > alone.high - alone.low


def test_no_fold_with_both_classes_is_null_with_the_reason():
    found = scored(np.array([True, True, False, False]), np.array([0.9, 0.8, 0.2, 0.1]), np.array([0, 0, 1, 1]))
    assert found.estimate("auroc") == (None, None, None, "no fold holds both classes")
    assert found.estimate("auroc_pooled").value == 1


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
