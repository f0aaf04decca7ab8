import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evensong.schemas import Evaluate
from evensong.score.estimates import Units, binary_scores, make_bootstrap, multiclass_scores, points_of, score
from evensong.score.intervals import Bootstrap, wilson
from evensong.score.probability_scores import auroc

SETTINGS = Evaluate(seed=1, n_bootstrap=300, confidence=0.95)


def units_of(labels, positive, groups):
    positive = np.asarray(positive, dtype=float)
    probabilities = np.column_stack([1 - positive, positive])
    return Units(
        np.asarray(labels),
        probabilities,
        (positive >= 0.5).astype(int),
        [str(group) for group in groups],
        np.zeros(len(labels), int),
    )


def bootstrap_of(groups, settings=SETTINGS, label="voice", labels=None):
    return Bootstrap(groups, np.arange(len(groups)) % 2 if labels is None else np.asarray(labels), settings, label)


def weights_of(groups, settings=SETTINGS, label="voice"):
    rows = []
    bootstrap_of(groups, settings, label).draws(lambda weights: rows.append(weights) or {"x": weights[:, 0]})
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
    monkeypatch.setattr("evensong.score.intervals._MAX_CHUNK", 50)
    assert (weights_of(groups) == whole).all()


def test_draws_are_the_ones_of_every_release():
    # Regression: another stream of numbers would change every published interval.
    assert weights_of(["a", "b", "c", "d"])[:3].tolist() == [[2, 0, 2, 0], [1, 0, 1, 2], [0, 2, 2, 0]]


def test_wilson_interval_by_hand():
    # Half of 4, two standard errors: centre (0.5 + 4/8) / (1 + 4/4) = 0.5; half 2/2 * sqrt(0.25/4 + 4/64) = sqrt(1/8).
    assert wilson(0.5, 4, 2) == pytest.approx((0.5 - math.sqrt(1 / 8), 0.5 + math.sqrt(1 / 8)))
    # All of 12: n / (n + t^2) to 1.
    assert wilson(1, 12, 2) == (pytest.approx(12 / 16), 1)


@given(st.integers(1, 500), st.data())
def test_wilson_interval_equals_scipy(n_items, data):
    n_right = data.draw(st.integers(0, n_items))
    expected = stats.binomtest(n_right, n_items).proportion_ci(0.9, method="wilson")
    found = wilson(n_right / n_items, n_items, stats.norm.ppf(0.95))
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found[0] <= n_right / n_items <= found[1] <= 1


def test_interval_takes_the_number_of_items_from_the_draws():
    # Draws whose variance times 40/39 is 0.01 are those of 0.8 * 0.2 / 0.01 = 16 independent items.
    draws = np.array([0.0, 1.0] * 50)
    draws = 0.8 + (draws - draws.mean()) / draws.std(ddof=1) * math.sqrt(0.01 * 39 / 40)
    bootstrap = bootstrap_of([str(group) for group in range(40)])
    interval = bootstrap.interval(0.8, draws)
    assert interval[:2] == pytest.approx(wilson(0.8, 16, stats.t.ppf(0.975, 39)))
    # The same on another scale: 0.8 of 0 to 1 is 0.6 of -1 to 1.
    scaled = bootstrap.interval(0.6, 2 * draws - 1, bounds=(-1, 1))
    assert scaled[:2] == pytest.approx([2 * end - 1 for end in interval[:2]])


def test_interval_of_independent_items_is_that_of_a_proportion():
    right = np.arange(60) % 5 != 0
    bootstrap = bootstrap_of(range(60), SETTINGS.model_copy(update={"n_bootstrap": 5_000}))
    draws = bootstrap.draws(lambda weights: {"accuracy": weights @ right / weights.sum(axis=1)})
    expected = stats.binomtest(48, 60).proportion_ci(0.95, method="wilson")
    assert bootstrap.interval(0.8, draws["accuracy"])[:2] == pytest.approx((expected.low, expected.high), abs=0.01)


def test_copies_of_a_group_do_not_narrow_its_interval():
    labels, positive = [0, 1] * 15, np.linspace(0.2, 0.9, 30)
    once = units_of(labels, positive, range(30))
    thrice = units_of(np.repeat(labels, 3), np.repeat(positive, 3), np.repeat(np.arange(30), 3))
    one, three = (score(units, binary_scores, make_bootstrap(units, SETTINGS, "x")) for units in (once, thrice))
    for name in ("accuracy", "macro_f1", "auroc"):
        assert three.estimate(name)[:3] == pytest.approx(one.estimate(name)[:3], abs=1e-9), name


def test_model_without_an_error_is_not_certain():
    # 4 positive and 8 negative patients, all told apart: every draw is 1. Four count: 4 / (4 + t^2) to 1.
    labels = np.repeat([1, 0], [4, 8])
    units = units_of(labels, labels, range(12))
    estimates = score(units, binary_scores, make_bootstrap(units, SETTINGS, "x")).estimates()
    t = stats.t.ppf(0.975, 11)
    for name in ("auroc", "sensitivity", "balanced_accuracy"):
        assert estimates[name][:3] == (1, pytest.approx(4 / (4 + t**2)), 1), name
    # The same patients the wrong way round: the correlation is -1, on its own scale from -1 to 1.
    upside_down = units_of(labels, 1 - labels, range(12))
    mcc = score(upside_down, binary_scores, make_bootstrap(upside_down, SETTINGS, "x")).estimate("mcc")
    assert mcc[:3] == (-1, -1, pytest.approx(2 * (1 - 4 / (4 + t**2)) - 1))
    # Three classes of 2 sources: six count.
    labels = np.repeat([0, 1, 2], 2)
    units = Units(labels, np.eye(3)[labels], labels, list("abcdef"))
    accuracy = score(units, multiclass_scores, make_bootstrap(units, SETTINGS, "x")).estimate("accuracy")
    assert accuracy[:3] == (1, pytest.approx(6 / (6 + stats.t.ppf(0.975, 5) ** 2)), 1)


def test_difference_interval_is_t_times_the_standard_error():
    draws = np.array([0.0, 0.2] * 50)
    bootstrap = bootstrap_of([str(group) for group in range(40)])
    half = stats.t.ppf(0.975, 39) * math.sqrt(0.01 * 100 / 99 * 40 / 39)
    assert bootstrap.difference_interval(0.1, draws) == (pytest.approx(0.1 - half), pytest.approx(0.1 + half), None)


@pytest.mark.parametrize("kind", ["interval", "difference_interval"])
def test_interval_of_one_group_is_null_with_a_reason(kind):
    bootstrap = bootstrap_of(["a", "a"])
    assert getattr(bootstrap, kind)(1, np.ones(300)) == (None, None, "fewer than two groups to draw from")


@pytest.mark.parametrize("kind", ["interval", "difference_interval"])
def test_interval_of_a_score_undefined_in_many_draws_is_null_with_a_reason(kind):
    draws = np.linspace(0.4, 0.6, 100)
    draws[:11] = np.nan
    interval = getattr(bootstrap_of(["a", "b"]), kind)
    assert interval(0.5, draws).reason == "undefined in 11 of 100 draws"
    draws[0] = 0.5
    assert interval(0.5, draws).low < 0.5


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


def auroc_alone(units, weights):
    return {"auroc": auroc(units.labels == 1, units.probabilities[:, 1], weights)}


@pytest.mark.slow
def test_intervals_hold_the_true_value_about_as_often_as_they_say():
    # The long run with more cohorts and scores is bench/interval_coverage.py. Here: 200 cohorts of 60 people with four
    # recordings each that resemble each other; normal scores 1.2 apart, so that the true AUROC is known.
    n_simulations, hits = 200, {"groups": 0, "items": 0}
    true_auroc = 0.5 * (1 + math.erf(1.2 / np.sqrt(2 * (1 + 0.6**2)) / np.sqrt(2)))
    rng = np.random.default_rng(7)
    settings = SETTINGS.model_copy(update={"n_bootstrap": 200})
    person = np.repeat(np.arange(60), 4)
    labels = (person % 3 == 0).astype(int)
    for simulation in range(n_simulations):
        value = (1.2 * labels) + rng.normal(size=60)[person] + 0.6 * rng.normal(size=240)
        for kind, groups in (("groups", person), ("items", range(240))):
            units = units_of(labels, 1 / (1 + np.exp(-value)), groups)
            scored = score(units, auroc_alone, make_bootstrap(units, settings, f"simulation {simulation}"))
            _, low, high, _ = scored.estimate("auroc")
            hits[kind] += low <= true_auroc <= high
    assert 0.92 <= hits["groups"] / n_simulations <= 0.985
    assert hits["items"] / n_simulations < 0.85  # pretending that recordings are independent
