import math

import numpy as np
import pytest

from evensong.learn.estimates import Units, binary_scores, make_bootstrap, multiclass_scores, points_of, score
from evensong.learn.intervals import Bootstrap
from evensong.schemas import Evaluate

SETTINGS = Evaluate(seed=1, n_bootstrap=300, confidence=0.95)


def units_of(labels, positive, groups):
    positive = np.asarray(positive, dtype=float)
    probabilities = np.column_stack([1 - positive, positive])
    return Units(np.asarray(labels), probabilities, (positive >= 0.5).astype(int), [str(group) for group in groups])


def weights_of(groups, settings=SETTINGS, label="voice"):
    rows = []
    Bootstrap(groups, settings, label).draws(lambda weights: rows.append(weights) or {"x": weights[:, 0]})
    return np.concatenate(rows)


def test_draws_take_whole_groups_as_many_as_there_are():
    weights = weights_of(["a", "a", "b", "c", "c", "c"])
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, 0] + weights[:, 2] + weights[:, 3] == 3).all()


def test_draws_follow_seed_and_label_and_not_the_order_of_items():
    groups = ["c", "a", "b", "d", "a"]
    first = weights_of(groups)
    order = [2, 0, 4, 1, 3]
    assert (weights_of([groups[i] for i in order]) == first[:, order]).all()
    assert (weights_of(groups, label="night") != first).any()
    assert (weights_of(groups, SETTINGS.model_copy(update={"seed": 2})) != first).any()


def test_draws_do_not_depend_on_how_they_are_chunked(monkeypatch):
    groups = [f"g{i % 7}" for i in range(20)]
    whole = weights_of(groups)
    monkeypatch.setattr("evensong.learn.intervals._MAX_CHUNK", 50)
    assert (weights_of(groups) == whole).all()


def test_draws_are_the_ones_of_every_release():
    # Regression: another stream of numbers would change every published interval.
    assert weights_of(["a", "b", "c", "d"])[:3].tolist() == [[2, 1, 0, 1], [3, 0, 0, 1], [0, 2, 1, 1]]


def test_interval_is_the_percentile_interval():
    bootstrap = Bootstrap(["a", "b"], SETTINGS, "x")
    interval = bootstrap.interval(np.arange(101.0))
    assert (interval.low, interval.high) == (pytest.approx(2.5), pytest.approx(97.5))


def test_interval_of_one_group_is_null_with_a_reason():
    interval = Bootstrap(["a", "a"], SETTINGS, "x").interval(np.ones(300))
    assert interval == (None, None, "fewer than two groups to draw from")


def test_interval_of_a_score_undefined_in_many_draws_is_null_with_a_reason():
    draws = np.ones(100)
    draws[:11] = np.nan
    assert Bootstrap(["a", "b"], SETTINGS, "x").interval(draws).reason == "undefined in 11 of 100 draws"
    draws[0] = 1
    assert Bootstrap(["a", "b"], SETTINGS, "x").interval(draws).low == 1


def test_estimate_lies_in_its_interval():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    units = units_of(labels, np.clip(0.3 * labels + rng.random(120) * 0.7, 0, 1), np.arange(120) // 2)
    estimates = score(units, binary_scores, make_bootstrap(units, SETTINGS, "x")).estimates()
    assert estimates["calibration_error"][1:] == (None, None, "no interval: resampling biases it upwards")
    for name in set(estimates) - {"calibration_error"}:
        assert 0 <= estimates[name].low <= estimates[name].value <= estimates[name].high <= 1, name


def test_one_class_in_the_truth_is_null_with_a_reason_and_accuracy_stays():
    units = units_of([1, 1, 1], [0.2, 0.6, 0.9], "abc")
    estimates = score(units, binary_scores, make_bootstrap(units, SETTINGS, "x")).estimates()
    for name in ("auroc", "auprc", "balanced_accuracy", "macro_f1", "mcc", "specificity"):
        assert estimates[name] == (None, None, None, "one class in the truth")
    assert estimates["accuracy"].value == pytest.approx(2 / 3)
    assert estimates["sensitivity"].value == pytest.approx(2 / 3)


@pytest.mark.parametrize("score_set", [binary_scores, multiclass_scores])
def test_no_items_are_null_with_a_reason(score_set):
    units = Units(np.zeros(0, int), np.zeros((0, 2)), np.zeros(0, int), [])
    estimates = score(units, score_set, make_bootstrap(units, SETTINGS, "x")).estimates()
    assert set(estimates.values()) == {(None, None, None, "no items")}
    assert set(points_of(units, score_set).values()) == {None}
    assert estimates["accuracy"].tree() == {"value": None, "low": None, "high": None, "reason": "no items"}


def test_difference_of_a_method_with_itself_is_exactly_zero():
    units = units_of([0, 1, 0, 1, 1], [0.1, 0.4, 0.6, 0.7, 0.8], "abcde")
    bootstrap = make_bootstrap(units, SETTINGS, "x")
    one, two = (score(units, binary_scores, bootstrap) for _ in range(2))
    assert one.minus(two, "brier")[:3] == (0, 0, 0)


def test_paired_difference_is_narrower_than_an_unpaired_one():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 80)
    first = np.clip(0.3 * labels + 0.7 * rng.random(80), 0, 1)
    second = np.clip(first + 0.02 * rng.normal(size=80), 0, 1)
    units = [units_of(labels, positive, range(80)) for positive in (first, second)]
    bootstrap = make_bootstrap(units[0], SETTINGS, "x")
    one, two = (score(each, binary_scores, bootstrap) for each in units)
    paired = one.minus(two, "auroc")
    assert paired.high - paired.low < 0.3 * (one.estimate("auroc").high - one.estimate("auroc").low)


def test_difference_of_unpaired_scores_is_refused():
    units = units_of([0, 1], [0.1, 0.4], "ab")
    one, two = (score(units, binary_scores, make_bootstrap(units, SETTINGS, "x")) for _ in range(2))
    with pytest.raises(ValueError, match="one Bootstrap"):
        one.minus(two, "auroc")


def test_intervals_hold_the_true_value_about_as_often_as_they_say():
    # The long run with more cohorts and scores is bench/interval_coverage.py. Here: 200 cohorts of 60 people with two
    # recordings each that resemble each other; normal scores 1.2 apart, so that the true AUROC is known.
    n_simulations, hits = 200, {"groups": 0, "items": 0}
    true_auroc = 0.5 * (1 + math.erf(1.2 / np.sqrt(2 * (1 + 0.6**2)) / np.sqrt(2)))
    rng = np.random.default_rng(7)
    settings = SETTINGS.model_copy(update={"n_bootstrap": 400})
    person = np.repeat(np.arange(60), 2)
    labels = (person % 3 == 0).astype(int)
    for simulation in range(n_simulations):
        value = (1.2 * labels) + rng.normal(size=60)[person] + 0.6 * rng.normal(size=120)
        for kind, groups in (("groups", person), ("items", range(120))):
            units = units_of(labels, 1 / (1 + np.exp(-value)), groups)
            bootstrap = Bootstrap(units.groups, settings, f"simulation {simulation}")
            draws = bootstrap.draws(lambda weights, units=units: {"auroc": binary_scores(units, weights)["auroc"]})
            interval = bootstrap.interval(draws["auroc"])
            hits[kind] += interval.low <= true_auroc <= interval.high
    assert 0.90 <= hits["groups"] / n_simulations <= 0.985
    assert hits["items"] / n_simulations < 0.90  # pretending that recordings are independent
