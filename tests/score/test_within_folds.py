"""AUROC within folds: against scikit-learn fold by fold, DeLong by hand, and folds of unlike scales."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from evensong.schemas import Evaluate
from evensong.score.estimates import Units, binary_scores, make_bootstrap, score
from evensong.score.within_folds import auroc_within

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
