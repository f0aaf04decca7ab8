"""How often the bootstrap intervals hold the true value, by simulation.

    python bench/interval_coverage.py [--simulations 1000] [--draws 1000]

Cohorts and clip collections are drawn from a population whose true scores are known from one very large draw.
The 95 % interval of each score should hold its true value in 92 to 97 % of the simulations. For contrast, the last
column is the coverage of an interval that draws single items and ignores that they belong together.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np

from evensong.learn.estimates import (
    NO_INTERVAL,
    ScoreSet,
    Units,
    binary_scores,
    make_bootstrap,
    multiclass_scores,
    score,
)
from evensong.learn.scores import Floats
from evensong.schemas import Evaluate

Draw = Callable[[np.random.Generator, int], Units]


def by_image(rng: np.random.Generator, n_patients: int) -> Units:
    """Patients with 1 to 4 recordings each, a quarter positive; recordings of one patient resemble each other."""
    labels = (rng.random(n_patients) < 0.25).astype(int)
    n_recordings = rng.integers(1, 5, n_patients)
    patient = np.repeat(np.arange(n_patients), n_recordings)
    logit = (1.4 * labels + rng.normal(size=n_patients))[patient] + 0.7 * rng.normal(size=len(patient)) - 0.7
    return _binary(labels[patient], logit, patient)


def by_patient(rng: np.random.Generator, n_patients: int) -> Units:
    """The same cohort, one mean probability a patient."""
    images = by_image(rng, n_patients)
    patient = np.array([int(group) for group in images.groups])
    sizes = np.bincount(patient)
    mean = np.bincount(patient, images.probabilities[:, 1]) / sizes
    labels = np.bincount(patient, images.labels) // sizes
    return _binary(labels, np.log(mean / (1 - mean)), np.arange(len(sizes)))


def by_clip(rng: np.random.Generator, n_sources: int) -> Units:
    """Five classes; sources with 1 to 3 clips each, clips of one source resemble each other."""
    source_label = np.arange(n_sources) % 5
    source = np.repeat(np.arange(n_sources), rng.integers(1, 4, n_sources))
    ease = rng.normal(size=n_sources)[source]
    logits = rng.normal(size=(len(source), 5))
    logits[np.arange(len(source)), source_label[source]] += 1.2 + 0.8 * ease
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Units(source_label[source], probabilities, probabilities.argmax(axis=1), [str(one) for one in source])


def measure(draw: Draw, scores: ScoreSet, n_groups: int, n_simulations: int, settings: Evaluate) -> dict[str, Floats]:
    """Coverage by score: (2,) with whole groups drawn, and with single items drawn."""
    truth = {name: float(value) for name, value in scores(draw(np.random.default_rng(1), 200_000), None).items()}
    hits = {name: np.zeros(2) for name in truth if name not in NO_INTERVAL}
    for simulation in range(n_simulations):
        units = draw(np.random.default_rng([2, simulation]), n_groups)
        alone = Units(units.labels, units.probabilities, units.predicted, [str(i) for i in range(len(units.labels))])
        for column, one in enumerate((units, alone)):
            scored = score(one, scores, make_bootstrap(one, settings, f"simulation {simulation}"))
            for name in hits:
                _, low, high, _ = scored.estimate(name)
                hits[name][column] += low is not None and high is not None and low <= truth[name] <= high
    return {name: count / n_simulations for name, count in hits.items()}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()
    settings = Evaluate(seed=42, n_bootstrap=arguments.draws, confidence=0.95)
    cases: list[tuple[str, Draw, ScoreSet, int]] = [
        ("80 patients, by patient", by_patient, binary_scores, 80),
        ("80 patients, by image", by_image, binary_scores, 80),
        ("300 patients, by patient", by_patient, binary_scores, 300),
        ("50 sources of 5 classes, by clip", by_clip, multiclass_scores, 50),
        ("150 sources of 5 classes, by clip", by_clip, multiclass_scores, 150),
    ]
    print(f"{'cohort':36}{'score':20}{'groups %':>10}{'items %':>10}")
    for title, draw, scores, n_groups in cases:
        for name, coverage in measure(draw, scores, n_groups, arguments.simulations, settings).items():
            print(f"{title:36}{name:20}{100 * coverage[0]:10.1f}{100 * coverage[1]:10.1f}", flush=True)


def _binary(labels: "np.ndarray", logit: Floats, groups: "np.ndarray") -> Units:
    positive = 1 / (1 + np.exp(-logit))
    return Units(
        labels.astype(np.int64),
        np.column_stack([1 - positive, positive]),
        (positive >= 0.5).astype(np.int64),
        [str(group) for group in groups],
    )


if __name__ == "__main__":
    main()
