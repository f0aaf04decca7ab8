import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from evensong.score import clinical

# Worked by hand: 231 and 27 of 258 ill, 32 and 54 of 86 well.
COUNTS = clinical.Counts(231, 27, 32, 54)


def ends(estimate):
    return pytest.approx(estimate[:3], abs=5e-4)


def test_decisions_are_counted():
    positive = np.array([1, 1, 1, 0, 0], bool)
    assert clinical.count_decisions(positive, np.array([1, 1, 0, 1, 0], bool)) == (2, 1, 1, 1)


def test_rates_and_likelihood_ratios_by_hand():
    found = clinical.decision_scores(COUNTS, 0.95)
    assert ends(found["sensitivity"]) == (0.8953, 0.8521, 0.9271)
    assert ends(found["specificity"]) == (0.6279, 0.5224, 0.7226)
    assert ends(found["ppv"]) == (0.8783, 0.8335, 0.9124)
    assert ends(found["npv"]) == (0.6667, 0.5587, 0.7600)
    # 0.8953 / 0.3721, and exp of 1.96 times the root of 1/231 - 1/258 + 1/32 - 1/86 = 0.02007 to either side
    assert ends(found["lr_positive"]) == (2.4063, 1.8228, 3.1765)
    assert ends(found["lr_negative"]) == (0.1667, 0.1126, 0.2467)


@pytest.mark.parametrize(
    ("counts", "name", "value", "reason"),
    [
        ((5, 0, 0, 5), "lr_positive", None, "a cell of the table is empty"),
        ((5, 0, 1, 4), "lr_negative", 0.0, "a cell of the table is empty"),
        ((0, 5, 0, 5), "ppv", None, "nobody was called positive"),
        ((5, 0, 5, 0), "npv", None, "nobody was called negative"),
        ((0, 0, 1, 5), "sensitivity", None, "no positive patient"),
        ((0, 0, 1, 5), "lr_positive", None, "one class in the truth"),
    ],
)
def test_what_cannot_be_said_has_a_reason(counts, name, value, reason):
    assert clinical.decision_scores(clinical.Counts(*counts), 0.95)[name] == (value, None, None, reason)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1), st.sampled_from([0.5, 0.9, 0.95, 1.0]))
def test_a_specificity_is_reached_by_the_lowest_such_threshold(items, wanted):
    positive = np.array([item[0] for item in items])
    scores = np.array([item[1] / 21 for item in items])
    cut = clinical.specificity_threshold(positive, scores, wanted)
    if positive.all():
        assert cut is None
        return
    assert 0 < cut < 1
    assert cut not in scores
    assert (scores[~positive] < cut).mean() >= wanted - 1e-9
    below = scores[scores < cut].max()
    assert (scores[~positive] < below).mean() < wanted


def groups(*sizes):
    """Truths and probabilities of groups of (n, n positive, probability)."""
    truth = [one for n, k, _ in sizes for one in [True] * k + [False] * (n - k)]
    return np.array(truth), np.repeat([p for *_, p in sizes], [n for n, *_ in sizes])


def test_calibration_of_perfect_probabilities_is_one_and_zero():
    found = clinical.calibration_line(*groups((8, 2, 0.25), (8, 6, 0.75)), 0.95)
    assert found["calibration_slope"].value == pytest.approx(1)
    assert found["calibration_intercept"].value == pytest.approx(0)
    # 16 patients of variance 3/16: information 3 of the intercept, and 3 * logit(0.75)^2 of the slope
    half = 1.959964 / np.sqrt(3)
    assert found["calibration_intercept"].high == pytest.approx(half)
    assert found["calibration_slope"].high == pytest.approx(1 + half / logit(0.75))


@given(st.floats(0.25, 4), st.floats(-2, 2))
def test_calibration_finds_what_was_done_to_the_log_odds(slope, shift):
    positive, perfect = groups((20, 2, 0.1), (20, 8, 0.4), (20, 16, 0.8))
    stretched = clinical.calibration_line(positive, expit(logit(perfect) / slope), 0.95)
    assert stretched["calibration_slope"].value == pytest.approx(slope, rel=1e-6)
    moved = clinical.calibration_line(positive, expit(logit(perfect) - shift), 0.95)
    assert moved["calibration_intercept"].value == pytest.approx(shift, abs=1e-6)


@given(st.floats(1e-4, 100), st.floats(-6, 6))
def test_scores_close_together_separate_nobody_and_have_a_slope(spread, middle):
    positive, perfect = groups((20, 2, 0.1), (20, 8, 0.4), (20, 16, 0.8))
    found = clinical.calibration_line(positive, expit(middle + spread * logit(perfect)), 0.95)["calibration_slope"]
    if abs(middle) + 2.5 * spread < 13.8:  # where no probability is clipped
        assert found.value == pytest.approx(1 / spread, rel=1e-4)
        whole = clinical.calibration_line(positive, perfect, 0.95)["calibration_slope"]
        assert found.low == pytest.approx(whole.low / spread, rel=1e-3)


def test_calibration_that_cannot_be_fitted_has_a_reason():
    apart = clinical.calibration_line(*groups((5, 0, 0.2), (5, 5, 0.8)), 0.95)
    assert apart["calibration_slope"] == (None, None, None, "the probabilities separate the classes")
    assert apart["calibration_intercept"].value == pytest.approx(0)
    alike = clinical.calibration_line(*groups((5, 2, 0.5)), 0.95)
    assert alike["calibration_slope"].reason == "one probability for all"
    assert clinical.calibration_line(*groups((5, 5, 0.5)), 0.95)["calibration_intercept"].value is None


def test_net_benefit_by_hand():
    positive = np.array([1, 1, 0, 0, 0], bool)
    scores = np.array([0.9, 0.4, 0.6, 0.2, 0.1])
    found = clinical.net_benefit(positive, scores, np.array([0.2, 0.5, 0.8]))
    # at 0.2: 2 true, 2 false at odds 1/4; at 0.5: 1 true, 1 false at odds 1; at 0.8: 1 true
    np.testing.assert_allclose(found, [2 / 5 - 2 / 5 / 4, 0, 1 / 5])


def test_treating_all_breaks_even_at_the_prevalence():
    positive = np.array([1, 0, 0, 0], bool)
    assert clinical.net_benefit(positive, np.ones(4), np.array([0.25]))[0] == pytest.approx(0)
