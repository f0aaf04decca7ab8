"""How often the bootstrap intervals hold the true value, by simulation.

    python bench/interval_coverage.py [--simulations 1000] [--draws 1000] [--only WORDS]

Cohorts and clip collections are drawn from a population whose true scores are known from one very large draw. The 95 %
interval of each score should hold its true value in 92 to 97 % of the simulations. Two contrasts stand beside it: the
percentiles of the same draws, which is what one would try first, and our interval with single items drawn, as if
clips of one source or recordings of one patient had nothing to do with each other.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np

from evensong.run.parallel import map_tasks
from evensong.schemas import Evaluate
from evensong.score.estimates import (
    NO_INTERVAL,
    Estimate,
    Scored,
    ScoreSet,
    Units,
    aurocs_of,
    binary_scores,
    make_bootstrap,
    multiclass_scores,
    score,
)
from evensong.score.probability_scores import auroc
from evensong.score.scores import Bools, Floats, Ints

SHARE = 0.25  # of positive patients
N_MEMBERS = 9
POPULATION = 200_000  # groups of the draw that stands for the population
METHODS = ("ours", "percentiles", "single items")

Draw = Callable[[np.random.Generator, int], Units]


def by_image(rng: np.random.Generator, n_patients: int, effect: float = 1.4) -> Units:
    """Patients with 1 to 4 recordings each; recordings of one patient resemble each other."""
    labels = _labels(n_patients)
    patient = np.repeat(np.arange(n_patients), rng.integers(1, 5, n_patients))
    logit = (effect * (labels - 0.5) + rng.normal(size=n_patients))[patient] + 0.7 * rng.normal(size=len(patient))
    return _binary(labels[patient], _logistic(logit), patient)


def by_patient(rng: np.random.Generator, n_patients: int, effect: float = 1.4) -> Units:
    """The same cohort, one mean probability a patient."""
    images = by_image(rng, n_patients, effect)
    patient = np.array([int(group) for group in images.groups])
    mean = np.bincount(patient, images.probabilities[:, 1]) / np.bincount(patient)
    return _binary(_labels(n_patients), mean, np.arange(n_patients))


def by_patient_told_apart(rng: np.random.Generator, n_patients: int) -> Units:
    """A cohort with few errors: AUROC 0.99."""
    return by_patient(rng, n_patients, effect=3.5)


def by_clip(rng: np.random.Generator, n_sources: int) -> Units:
    """Ten classes, some harder; 17 clips from 10 sources, clips of one source resemble each other."""
    source_label = np.arange(n_sources) % 10
    source = np.repeat(np.arange(n_sources), rng.permutation(np.resize([1, 1, 1, 1, 2, 2, 2, 2, 2, 3], n_sources)))
    ease = 2.2 + np.linspace(-0.8, 0.8, 10)[source_label] + 0.8 * rng.normal(size=n_sources)
    logits = rng.normal(size=(len(source), 10))
    logits[np.arange(len(source)), source_label[source]] += ease[source]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return _many(source_label[source], probabilities, source)


def by_source(rng: np.random.Generator, n_sources: int) -> Units:
    """The same collection, one mean probability a source."""
    clips = by_clip(rng, n_sources)
    source = np.array([int(group) for group in clips.groups])
    sums = np.zeros((n_sources, 10))
    np.add.at(sums, source, clips.probabilities)
    return _many(np.arange(n_sources) % 10, sums / sums.sum(axis=1, keepdims=True), np.arange(n_sources))


def within_folds(rng: np.random.Generator, n_patients: int) -> Units:
    """Ten folds, each with a model whose scores are on a scale of its own."""
    n_positive = {30: 10, 80: 20, 690: 190}.get(n_patients, round(SHARE * n_patients))
    labels, folds = (np.arange(n_patients) < n_positive).astype(np.int64), np.arange(n_patients) % 10
    logit = 1.4 * (labels - 0.5) + rng.normal(size=n_patients)
    logit = np.exp(0.5 * rng.normal(size=10))[folds] * logit + 2 * rng.normal(size=10)[folds]
    return _binary(labels, _logistic(logit), np.arange(n_patients), folds)


def auroc_only(units: Units, weights: Floats | None = None) -> dict[str, Floats]:
    """The headline alone: pooled, unlike scales have no true value."""
    return {} if weights is not None else {"auroc": np.asarray(aurocs_of(units)["auroc"].value)}


class Members(NamedTuple):
    """One cohort as nine members of different strength and bias see it."""

    labels: Ints
    positive: Floats  # (n_members, n_patients)


def by_member(rng: np.random.Generator, n_patients: int) -> Members:
    """Most of a patient's error is shared by the members."""
    labels, strength = _labels(n_patients), np.linspace(1.0, 1.4, N_MEMBERS)[:, None]
    own = 0.6 * rng.normal(size=(N_MEMBERS, n_patients))
    logit = strength * (labels - 0.5) + rng.normal(size=n_patients) + own + np.linspace(-1, 1, N_MEMBERS)[:, None]
    return Members(labels, _logistic(logit))


def fused_and_single(members: Members, best: int) -> tuple[Units, Units]:
    """Soft mean and one member, by patient."""
    patients = np.arange(len(members.labels))
    return tuple(_binary(members.labels, p, patients) for p in (members.positive.mean(axis=0), members.positive[best]))


class Task(NamedTuple):
    """One simulation: what is drawn, how it is scored, and what is true."""

    draw: Callable[..., Any]
    scores: ScoreSet
    n_groups: int
    truth: Any
    settings: Evaluate
    number: int


def simulate(task: Task) -> dict[str, Floats]:
    """By score, whether each of `METHODS` held the true value."""
    units = task.draw(np.random.default_rng([2, task.number]), task.n_groups)
    alone = replace(units, groups=[str(item) for item in range(len(units.labels))])
    ours, items = (_scored(one, task) for one in (units, alone))
    return {
        name: np.array(
            [
                _holds(ours.estimate(name), true),
                _holds(_percentiles(ours.draws[name], task.settings), true) if name in ours.draws else np.nan,
                _holds(items.estimate(name), true),
            ]
        )
        for name, true in task.truth.items()
    }


def simulate_difference(task: Task) -> dict[str, Floats]:
    """The same of fused minus best single member, which a validation cohort of the same size chose."""
    rng = np.random.default_rng([3, task.number])
    validation, test = (task.draw(rng, task.n_groups) for _ in range(2))
    best = int(np.argmax([auroc(validation.labels == 1, positive) for positive in validation.positive]))
    fused, single = fused_and_single(test, best)
    bootstrap = make_bootstrap(fused, task.settings, f"simulation {task.number}")
    first, second = (score(one, task.scores, bootstrap) for one in (fused, single))
    found = {}
    for name, true in task.truth[best].items():
        percentiles = np.nan
        if name in first.draws:
            percentiles = _holds(_percentiles(first.draws[name] - second.draws[name], task.settings), true)
        found[name] = np.array([_holds(first.minus(second, name), true), percentiles, np.nan])
    return found


def true_scores(draw: Draw, scores: ScoreSet) -> dict[str, float]:
    """The scores of the population that have an interval."""
    found = scores(draw(np.random.default_rng(1), POPULATION), None)
    return {name: float(value) for name, value in found.items() if name not in NO_INTERVAL}


def true_differences() -> list[dict[str, float]]:
    """By member: what fusing gains over it in the population."""
    members = by_member(np.random.default_rng(1), POPULATION)
    found = []
    for best in range(N_MEMBERS):
        fused, single = (binary_scores(units, None) for units in fused_and_single(members, best))
        found.append({name: float(fused[name] - single[name]) for name in ("auroc", "balanced_accuracy")})
    return found


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--only", default="", metavar="WORDS", help="the cases whose title holds these words")
    arguments = parser.parse_args()
    settings = Evaluate(seed=42, n_bootstrap=arguments.draws, confidence=0.95)
    cases: list[tuple[str, Callable[..., Any], ScoreSet, int]] = [
        ("80 patients, 20 positive", by_patient, binary_scores, 80),
        ("80 patients, by image", by_image, binary_scores, 80),
        ("80 patients, few errors", by_patient_told_apart, binary_scores, 80),
        ("690 patients, 172 positive", by_patient, binary_scores, 690),
        ("within ten folds, 10 of 30 positive", within_folds, auroc_only, 30),
        ("within ten folds, 20 of 80 positive", within_folds, auroc_only, 80),
        ("within ten folds, 190 of 690 positive", within_folds, auroc_only, 690),
        ("34 clips of 20 sources, 10 classes", by_clip, multiclass_scores, 20),
        ("the same, by source", by_source, multiclass_scores, 20),
        ("255 clips of 150 sources", by_clip, multiclass_scores, 150),
        ("fused minus best, 80 patients", by_member, binary_scores, 80),
        ("fused minus best, 690 patients", by_member, binary_scores, 690),
    ]
    print(f"{'':40}{'score':20}" + "".join(f"{method + ' %':>16}" for method in METHODS))
    for title, draw, scores, n_groups in [case for case in cases if arguments.only in case[0]]:
        is_difference = draw is by_member
        truth = true_differences() if is_difference else true_scores(draw, scores)
        tasks = [Task(draw, scores, n_groups, truth, settings, number) for number in range(arguments.simulations)]
        found = list(
            map_tasks(
                simulate_difference if is_difference else simulate,
                tasks,
                workers=len(os.sched_getaffinity(0)),
                label=title,
                unit="simulation",
            )
        )
        for name in found[0]:
            shares = 100 * np.mean([one[name] for one in found], axis=0)
            print(f"{title:40}{name:20}" + "".join(f"{share:16.1f}" for share in shares), flush=True)


def _scored(units: Units, task: Task) -> Scored:
    return score(units, task.scores, make_bootstrap(units, task.settings, f"simulation {task.number}"))


def _percentiles(draws: Floats, settings: Evaluate) -> Estimate:
    tail = (1 - settings.confidence) / 2
    return Estimate(None, *np.nanquantile(draws, [tail, 1 - tail]).tolist())


def _holds(estimate: Estimate, true: float) -> bool:
    """Six digits: a score without an error ends at its bound, give or take rounding."""
    low, high = estimate.low, estimate.high
    return low is not None and high is not None and low - 1e-6 <= true <= high + 1e-6


def _labels(n_patients: int) -> Ints:
    return (np.arange(n_patients) < round(SHARE * n_patients)).astype(np.int64)


def _logistic(logit: Floats) -> Floats:
    return 1 / (1 + np.exp(-logit))


def _binary(labels: Ints, positive: Floats, groups: Ints, folds: Ints | None = None) -> Units:
    """One fold for all unless they are given."""
    folds = np.zeros(len(labels), np.int64) if folds is None else folds
    return replace(_units(labels, np.column_stack([1 - positive, positive]), positive >= 0.5, groups), folds=folds)


def _many(labels: Ints, probabilities: Floats, groups: Ints) -> Units:
    return _units(labels, probabilities, probabilities.argmax(axis=1), groups)


def _units(labels: Ints, probabilities: Floats, predicted: "Bools | Ints", groups: Ints) -> Units:
    return Units(labels, probabilities, predicted.astype(np.int64), [str(group) for group in groups])


if __name__ == "__main__":
    main()
