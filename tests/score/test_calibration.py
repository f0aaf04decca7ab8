"""Platt's map of softmax probabilities: its shape, what it learns, and two classes that sound at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax

from evensong.score.calibration import Calibration, fit

probs = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(probs=probs, slope=st.floats(0.01, 20), intercept=st.floats(-20, 20))
def test_a_map_never_falls_and_stays_a_probability(probs: list[float], slope: float, intercept: float) -> None:
    mapped = Calibration(slope, intercept)(np.sort(probs))
    assert (np.diff(mapped) >= 0).all()
    assert ((mapped >= 0) & (mapped <= 1)).all()


@given(probs=probs)
def test_without_a_fit_a_map_changes_nothing(probs: list[float]) -> None:
    np.testing.assert_allclose(Calibration()(np.array(probs)), probs, atol=2e-7)


def test_a_window_without_sound_stays_without_a_score() -> None:
    assert np.isnan(Calibration(2.0, 1.0)(np.array([np.nan, 0.5]))).tolist() == [True, False]


def test_what_softmax_says_too_low_is_learned() -> None:
    """Windows drawn so that log-odds of 1.5 x + 2 are true."""
    rng = np.random.default_rng(0)
    x = rng.normal(-1, 2, 4_000)
    found = fit(expit(x), rng.random(x.size) < expit(1.5 * x + 2))
    assert found is not None
    assert (found.slope, found.intercept) == (pytest.approx(1.5, abs=0.15), pytest.approx(2, abs=0.15))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_a_fit_rises_or_is_none_and_is_blind_to_order(windows: list[tuple[float, bool]]) -> None:
    own, is_there = np.array([prob for prob, _ in windows]), np.array([there for _, there in windows])
    found, turned = fit(own, is_there), fit(own[::-1], is_there[::-1])
    assert (found is None) == (turned is None)
    if found is not None and turned is not None:
        assert found.slope > 0
        np.testing.assert_allclose(found(own), turned(own), atol=1e-4)


@pytest.mark.parametrize("is_there", [[True] * 4, [False] * 4, [True, True, False, False]])
def test_nothing_is_fitted_to_windows_of_one_kind_or_the_wrong_way_round(is_there: list[bool]) -> None:
    assert fit(np.array([0.1, 0.2, 0.8, 0.9]), np.array(is_there)) is None


def test_separable_windows_give_a_finite_map() -> None:
    found = fit(np.array([0.0, 0.0, 1.0, 1.0]), np.array([False, False, True, True]))
    assert found is not None
    assert np.isfinite([found.slope, found.intercept]).all()


def test_two_classes_at_once_both_reach_one_half() -> None:
    """Owl, frog or both sound over a background that is always there; softmax can give one half to one of them only."""
    rng = np.random.default_rng(1)
    is_there = rng.random((3_000, 2)) < 0.3
    evidence = np.where(is_there, 4.0, -2.0) + rng.normal(0, 1, is_there.shape)
    softmaxed = softmax(np.column_stack([evidence, np.full(len(evidence), 1.5)]), axis=1)[:, :2]
    train, test = slice(0, 1_500), slice(1_500, None)
    maps = [fit(softmaxed[train, label], is_there[train, label]) for label in (0, 1)]
    mapped = np.column_stack([one(softmaxed[test, label]) for label, one in enumerate(maps) if one is not None])
    both = is_there[test].all(axis=1)
    assert not (softmaxed > 0.5).all(axis=1).any()
    assert (mapped[both] >= 0.5).all(axis=1).mean() > 0.5  # of softmax: none
    assert (mapped[~both] >= 0.5).all(axis=1).mean() < 0.02
    # a score is the share of windows that hold the class
    for low in (0.2, 0.4, 0.6, 0.8):
        chosen = (mapped >= low) & (mapped < low + 0.2)
        assert logit(np.clip(is_there[test][chosen].mean(), 0.01, 0.99)) == pytest.approx(
            logit(mapped[chosen].mean()), abs=1.2
        )
