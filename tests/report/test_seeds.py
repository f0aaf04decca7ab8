"""The spread over seeds, by hand; the runs themselves: tests/pipeline/test_repro.py."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evensong.errors import DataError, ParamsError, ResourceError
from evensong.report import seeds
from evensong.report.seeds import describe_seeds, run_seeds, spread

FAILURE = {"msg": "Experiment run failed", "type": ""}


def test_spread_by_hand() -> None:
    # mean (0.6 + 0.7 + 0.8) / 3, deviation sqrt((0.01 + 0 + 0.01) / 2)
    assert spread([0.6, 0.8, 0.7]) == pytest.approx((0.7, 0.1, 0.6, 0.8))
    assert spread([0.6]).deviation is None


def data(f1: float, seed: int = 0, epochs: int = 25) -> dict[str, Any]:
    params = {
        "night": {"index": {"seed": seed}, "models": {}},
        "train": {"seed": seed, "epochs": epochs},
        "voice": {"subdbs": [seed]},
    }
    return {
        "params": {"params.yaml": {"data": params}},
        "metrics": {"metrics/night/test.json": {"data": {"night_f1": f1, "night_baseline_f1": 0.5}}},
    }


def row(name: str | None, state: str | None, f1: float, seed: int = 1, epochs: int = 25) -> dict[str, Any]:
    """An experiment as `dvc exp show --json` has it; one that has not succeeded has the metrics of its parent."""
    error = FAILURE if state == "failed" else None
    one = {"rev": f"rev-{name}-{state}", "name": name, "data": data(f1, seed, epochs), "error": error}
    return {"revs": [one], "executor": state and {"state": state}, "name": name}


class Dvc:
    """A DVC whose list of experiments is `rows`, and `later` once it has run its queue; it keeps what it was told."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.later: list[dict[str, Any]] = []
        self.told: list[tuple[str, ...]] = []

    def __call__(self, root: Path, *arguments: str, reads: bool = False) -> str:
        if reads:
            workspace = {"rev": "workspace", "name": None, "data": data(0.1), "experiments": None}
            return json.dumps([workspace, {"rev": "a", "name": "main", "data": data(0.1), "experiments": self.rows}])
        self.told.append(arguments)
        if "--run-all" in arguments:
            self.rows = self.later
        return ""


@pytest.fixture
def dvc(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dvc]:
    made = Dvc()
    monkeypatch.setattr(seeds, "_dvc", made)
    return made


def test_only_runs_of_the_track_that_succeeded_with_these_parameters_count(dvc: Dvc) -> None:
    dvc.rows = [
        row("seeds-night-2", "success", 0.8, seed=2),
        row("seeds-night-1", None, 0.6),  # its entry in the queue is gone
        row("seeds-night-2", "failed", 0.1),  # before
        row("seeds-night-3", "failed", 0.1),
        row("seeds-night-4", "queued", 0.1),
        row("seeds-night-5", "success", 0.9, epochs=1),
        row("seeds-voice-1", "success", 0.3),
        row("other", "success", 0.2),
        row(None, "failed", 0.2),
    ]
    lines = describe_seeds(Path(), "night").splitlines()
    assert lines[0].split() == ["night", "over", "2", "seeds", "mean", "sd", "least", "most"]
    assert lines[1].split() == ["night_f1", "0.700", "0.141", "0.600", "0.800"]
    assert [line.strip() for line in lines[4:]] == [
        "seed 3: failed; see dvc queue logs seeds-night-3",
        "seed 4: queued",
        "seed 5: not counted, it has another train.epochs",
    ]
    assert max(map(len, lines)) <= 80


def test_no_runs_says_how_to_make_them(dvc: Dvc) -> None:
    assert describe_seeds(Path(), "voice") == "voice   no runs over seeds here: evensong seeds voice --runs 5"


def test_a_failed_run_is_queued_again_and_named_where_it_fails_again(dvc: Dvc, tmp_path: Path) -> None:
    dvc.rows = [row("seeds-night-1", "success", 0.6), row("seeds-night-2", "failed", 0.1, seed=2)]
    dvc.later = dvc.rows
    with pytest.raises(
        ResourceError, match="1 of 2 runs did not succeed: seeds-night-2; `dvc queue logs seeds-night-2"
    ):
        run_seeds(tmp_path, "night", [1, 2])
    changes = ("-S", "night.index.seed=2", "-S", "train.seed=2")
    assert dvc.told == [
        ("queue", "remove", "--quiet", "rev-seeds-night-2-failed"),
        ("exp", "run", "--quiet", "--queue", "-n", "seeds-night-2", *changes, "night_evaluate"),
        ("exp", "run", "--run-all", "--jobs", "1"),
    ]


def test_a_run_that_waits_is_run_and_not_queued_again(dvc: Dvc, tmp_path: Path) -> None:
    dvc.rows, dvc.later = [row("seeds-night-1", "queued", 0.1)], [row("seeds-night-1", "success", 0.6)]
    run_seeds(tmp_path, "night", [1])
    run_seeds(tmp_path, "night", [1])
    assert dvc.told == [("exp", "run", "--run-all", "--jobs", "1")]


def test_runs_with_other_parameters_are_refused(dvc: Dvc, tmp_path: Path) -> None:
    dvc.rows = [row("seeds-night-1", "success", 0.6, epochs=1), row("seeds-night-2", "queued", 0.1, epochs=2)]
    with pytest.raises(ParamsError, match=r"another train.epochs than .* `dvc exp remove seeds-night-1 seeds-night-2`"):
        run_seeds(tmp_path, "night", [1, 2, 3])
    run_seeds(tmp_path, "night", [])
    assert dvc.told == []


def test_data_that_no_experiment_would_have_is_refused(dvc: Dvc, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "data").mkdir()
    dvc.later = [row("seeds-night-1", "success", 0.6)]
    (tmp_path / ".gitignore").write_text("/data\n", encoding="utf-8")
    with pytest.raises(DataError, match="`dvc add data`"):
        run_seeds(tmp_path, "night", [1])
    assert dvc.told == []
    (tmp_path / "data.dvc").touch()
    run_seeds(tmp_path, "night", [1])
    assert len(dvc.told) == 2
