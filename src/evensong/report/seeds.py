"""The headline over runs that differ by their seeds alone: how much of a score is the luck of split and training.

The spread stands beside the interval and is never merged into it: an interval is about the patients or clips tested, by
these very models; the spread is about drawing splits and first weights anew, on the same patients or clips.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evensong.errors import ResourceError

SEEDS = {"night": ("night.index.seed", "train.seed"), "voice": ("voice.splits.seed", "train.seed")}
TARGETS = {"night": ("night_evaluate",), "voice": ("voice_evaluate", "voice_ensemble")}
SCORES = {
    "night": ("night_f1", "night_baseline_f1"),
    "voice": ("voice_auroc", "voice_best_auroc", "voice_baseline_auroc"),
}


class Spread(NamedTuple):
    """One score over runs; the deviation is None with fewer than two."""

    mean: float
    deviation: float | None
    least: float
    most: float


def run_seeds(root: Path, track: str, seeds: Sequence[int]) -> None:
    """Queue one experiment a seed, named ``seeds-TRACK-SEED``, and run all; one that is there already is left alone.

    Args:
        root: folder of the repository.
        seeds: each becomes the value of every parameter in `SEEDS`.

    Raises:
        ResourceError: DVC could not queue or run them; its own message stands above.
    """
    done = set(seeds_runs(root, track))
    missing = [seed for seed in seeds if _name(track, seed) not in done]
    for seed in missing:
        changes = [part for name in SEEDS[track] for part in ("-S", f"{name}={seed}")]
        _dvc(root, "exp", "run", "--quiet", "--queue", "-n", _name(track, seed), *changes, *TARGETS[track])
    if missing:
        _dvc(root, "exp", "run", "--run-all", "--jobs", "1")


def seeds_runs(root: Path, track: str) -> dict[str, dict[str, float]]:
    """The scores of every finished run of `run_seeds`, by name of the experiment."""
    from dvc.api import exp_show

    runs = {}
    for row in exp_show(repo=str(root)):
        name = str(row.get("Experiment") or "")
        scores = {score: float(row[score]) for score in SCORES[track] if isinstance(row.get(score), int | float)}
        if name.startswith(_name(track, "")) and scores:
            runs[name] = scores
    return dict(sorted(runs.items()))


def spread(values: Sequence[float]) -> Spread:
    """Mean, sample standard deviation, smallest and largest of one score; at least one value."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), deviation, min(values), max(values))


def describe_seeds(root: Path, track: str) -> str:
    """The spread of the track's headline scores as a table, at most 80 columns wide."""
    runs = seeds_runs(root, track)
    if not runs:
        return f"{track:8}no runs over seeds here: evensong seeds {track} --runs 5"
    lines = [f"{track:8}{'over ' + str(len(runs)) + ' seeds':26}{'mean':>8}{'sd':>8}{'least':>8}{'most':>8}"]
    for score in SCORES[track]:
        values = [run[score] for run in runs.values() if score in run]
        if values:
            one = spread(values)
            sd = "" if one.deviation is None else f"{one.deviation:.3f}"
            lines.append(f"{'':8}{score:26}{one.mean:>8.3f}{sd:>8}{one.least:>8.3f}{one.most:>8.3f}")
    lines.append(f"{'':8}{' and '.join(SEEDS[track])} differ, which no interval knows of")
    return "\n".join(lines)


def _name(track: str, seed: int | str) -> str:
    return f"seeds-{track}-{seed}"


def _dvc(root: Path, *arguments: str) -> None:
    if subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root).returncode:
        raise ResourceError(f"`dvc {' '.join(arguments[:2])}` failed, as said above; `dvc queue status` lists the runs")
