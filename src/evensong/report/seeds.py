"""The headline over runs that differ by their seeds alone: how much of a score is the luck of split and training.

The spread stands beside the interval and is never merged into it: an interval is about the patients or clips tested, by
these very models; the spread is about drawing splits and first weights anew, on the same patients or clips.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evensong.errors import DataError, ParamsError, ResourceError
from evensong.intake.names import some_of

SEEDS = {"night": ("night.index.seed", "train.seed"), "voice": ("voice.splits.seed", "train.seed")}
TARGETS = {"night": ("night_evaluate",), "voice": ("voice_evaluate", "voice_ensemble")}
SCORES = {
    "night": ("night_f1", "night_baseline_f1"),
    "voice": ("voice_auroc", "voice_best_auroc", "voice_baseline_auroc"),
}
_SUCCESS, _FAILED = "success", "failed"  # states of an experiment in DVC


class Spread(NamedTuple):
    """One score over runs; the deviation is None with fewer than two."""

    mean: float
    deviation: float | None
    least: float
    most: float


class Run(NamedTuple):
    """One experiment of `run_seeds`.

    Attributes:
        seed: the end of its name.
        rev: its commit; that of the queue's entry until it has succeeded.
        state: as DVC has it, such as success, failed, queued, running.
        unlike: dotted parameters that are not as in params.yaml now, and could move a score; never its seeds.
        scores: by name; empty unless it succeeded.
    """

    name: str
    seed: str
    rev: str
    state: str
    unlike: list[str]
    scores: dict[str, float]

    @property
    def counts(self) -> bool:
        """Whether its scores differ from those of the others by the seed alone."""
        return bool(self.scores) and not self.unlike


def run_seeds(root: Path, track: str, seeds: Sequence[int]) -> None:
    """Queue one experiment a seed, named ``seeds-TRACK-SEED``, and run all; one that is there already is left alone.

    One that failed is queued again.

    Args:
        root: folder of the repository.
        seeds: each becomes the value of every parameter in `SEEDS`.

    Raises:
        DataError: an experiment would not have the data.
        ParamsError: one of them ran, or waits, with other parameters.
        ResourceError: DVC could not queue or run them, its own message stands above; or some of them failed.
    """
    names = {_name(track, seed): seed for seed in seeds}
    there = {name: run for name, run in seeds_runs(root, track).items() if name in names}
    _refuse_unlike([run for run in there.values() if run.unlike and run.state != _FAILED])
    if all(name in there and there[name].state == _SUCCESS for name in names):
        return
    _refuse_untracked(root)
    for name, seed in names.items():
        if name in there and there[name].state != _FAILED:
            continue
        if name in there:
            _dvc(root, "queue", "remove", "--quiet", there[name].rev)
        changes = [part for key in SEEDS[track] for part in ("-S", f"{key}={seed}")]
        _dvc(root, "exp", "run", "--quiet", "--queue", "-n", name, *changes, *TARGETS[track])
    _dvc(root, "exp", "run", "--run-all", "--jobs", "1")
    ended = seeds_runs(root, track)
    wrong = [name for name in names if name not in ended or ended[name].state != _SUCCESS]
    if wrong:
        raise ResourceError(
            f"{len(wrong)} of {len(names)} runs did not succeed: {some_of(wrong)}; `dvc queue logs {wrong[0]}` says "
            f"why; the same command runs them again, and `evensong seeds {track}` has the spread of the others"
        )


def seeds_runs(root: Path, track: str) -> dict[str, Run]:
    """Every run of `run_seeds` from the present commit, in any state, by name of the experiment.

    Raises:
        ResourceError: DVC could not list them.
    """
    tree = json.loads(_dvc(root, "exp", "show", "--json", reads=True))
    now = _params(tree[0]["data"], track)
    runs = []
    for one in (one for commit in tree for one in commit["experiments"] or ()):
        newest, name = one["revs"][0], one["name"] or ""
        if not name.startswith(_name(track, "")):
            continue
        # Without an executor it is a commit whose entry in the queue is gone, or that was pulled.
        state = _FAILED if newest["error"] else (one["executor"] or {}).get("state", _SUCCESS)
        then = _params(newest["data"] or {}, track)
        unlike = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
        # A row in any other state has the scores of the workspace.
        scores = _scores(newest["data"], track) if state == _SUCCESS else {}
        runs.append(Run(name, name.removeprefix(_name(track, "")), newest["rev"], state, unlike, scores))
    # The entry of a failed run stays beside one of the same name that succeeded later.
    runs.sort(key=lambda run: (run.name, run.state != _FAILED))
    return {run.name: run for run in runs}


def spread(values: Sequence[float]) -> Spread:
    """Mean, sample standard deviation, smallest and largest of one score; at least one value."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), deviation, min(values), max(values))


def describe_seeds(root: Path, track: str) -> str:
    """The spread of the track's headline scores as a table, and the runs that are not in it; at most 80 columns wide
    but for names of parameters.

    Raises:
        ResourceError: DVC could not list the runs.
    """
    runs = seeds_runs(root, track).values()
    counted = [run.scores for run in runs if run.counts]
    others = [f"{'':8}seed {run.seed}: {_why_not(run)}" for run in runs if not run.counts]
    if not counted:
        return "\n".join([f"{track:8}no runs over seeds here: evensong seeds {track} --runs 5", *others])
    lines = [f"{track:8}{'over ' + str(len(counted)) + ' seeds':26}{'mean':>8}{'sd':>8}{'least':>8}{'most':>8}"]
    for score in SCORES[track]:
        values = [scores[score] for scores in counted if score in scores]
        if values:
            one = spread(values)
            sd = "" if one.deviation is None else f"{one.deviation:.3f}"
            lines.append(f"{'':8}{score:26}{one.mean:>8.3f}{sd:>8}{one.least:>8.3f}{one.most:>8.3f}")
    lines.append(f"{'':8}{' and '.join(SEEDS[track])} differ, which no interval knows of")
    return "\n".join([*lines, *others])


def _why_not(run: Run) -> str:
    if run.state == _FAILED:
        return f"failed; see dvc queue logs {run.name}"
    if run.unlike:
        return f"not counted, it has another {some_of(run.unlike)}"
    return "no score" if run.state == _SUCCESS else run.state


def _refuse_unlike(runs: Sequence[Run]) -> None:
    if runs:
        names = [run.name for run in runs]
        keys = sorted({key for run in runs for key in run.unlike})
        raise ParamsError(
            f"{some_of(names)}: there with another {some_of(keys)} than params.yaml has now, so their spread would be "
            f"more than that of seeds; set it back, or `dvc exp remove {' '.join(names)}` and run them anew"
        )


def _refuse_untracked(root: Path) -> None:
    """Experiments run in a copy of what Git and DVC know."""
    if not (root / "data").exists() or (root / "data.dvc").exists():
        return
    if not subprocess.run(["git", "check-ignore", "--quiet", "data"], cwd=root, capture_output=True).returncode:
        raise DataError(
            "data is ignored by Git and not tracked by DVC, so an experiment would not have it: `dvc add data`, then "
            "`git add data.dvc` and `git commit`"
        )


def _params(data: dict[str, Any], track: str) -> dict[str, Any]:
    """What can move the track's scores, by dotted name: its own section and that of training, less the seeds."""
    tree = data.get("params", {}).get("params.yaml", {}).get("data", {})
    flat = dict(_flat({name: tree.get(name) for name in (track, "train")}))
    return {key: value for key, value in flat.items() if key not in SEEDS[track]}


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _scores(data: dict[str, Any], track: str) -> dict[str, float]:
    found = {key: value for file in data["metrics"].values() for key, value in file.get("data", {}).items()}
    return {score: float(found[score]) for score in SCORES[track] if isinstance(found.get(score), int | float)}


def _name(track: str, seed: int | str) -> str:
    return f"seeds-{track}-{seed}"


def _dvc(root: Path, *arguments: str, reads: bool = False) -> str:
    """What DVC printed, where it is read."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, stdout=subprocess.PIPE if reads else None
    )
    if done.returncode:
        raise ResourceError(f"`dvc {' '.join(arguments[:2])}` failed, as said above; `dvc queue status` lists the runs")
    return done.stdout.decode() if reads else ""
