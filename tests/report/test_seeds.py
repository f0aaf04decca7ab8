"""The spread over seeds, by hand, and runs of a pipeline whose score is its seed."""

import os
import subprocess
import sys
from pathlib import Path

import dvc.api
import pytest

from evensong.report.seeds import describe_seeds, seeds_runs, spread

SRC = Path(__file__).parents[2] / "src"
PIPELINE = """
stages:
  night_evaluate:
    cmd: python score.py
    deps: [score.py]
    params: [night.index.seed, train.seed]
    metrics: [{metrics/night/test.json: {cache: false}}]
"""
SCORE = """
import json, pathlib, sys
seeds = [int(line.split()[-1]) for line in open("params.yaml") if "seed" in line]
pathlib.Path("metrics/night").mkdir(parents=True, exist_ok=True)
json.dump({"night_f1": sum(seeds) / 10, "night_baseline_f1": 0.5}, open("metrics/night/test.json", "w"))
"""


def test_spread_by_hand() -> None:
    # mean (0.6 + 0.7 + 0.8) / 3, deviation sqrt((0.01 + 0 + 0.01) / 2)
    assert spread([0.6, 0.8, 0.7]) == pytest.approx((3, 0.7, 0.1, 0.6, 0.8))
    assert spread([0.6]).deviation is None


def test_only_finished_runs_of_the_track_count(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"Experiment": None, "rev": "workspace", "night_f1": 0.1},
        {"Experiment": "seeds-night-2", "night_f1": 0.8, "night_baseline_f1": 0.5},
        {"Experiment": "seeds-night-1", "night_f1": 0.6, "night_baseline_f1": 0.5},
        {"Experiment": "seeds-night-3", "night_f1": None},
        {"Experiment": "seeds-voice-1", "voice_auroc": 0.9, "night_f1": 0.3},
        {"Experiment": "other", "night_f1": 0.2},
    ]
    monkeypatch.setattr(dvc.api, "exp_show", lambda repo: rows)
    assert list(seeds_runs(Path(), "night")) == ["seeds-night-1", "seeds-night-2"]
    lines = describe_seeds(Path(), "night").splitlines()
    assert lines[0].split() == ["night", "over", "2", "seeds", "mean", "sd", "least", "most"]
    assert lines[1].split() == ["night_f1", "0.700", "0.141", "0.600", "0.800"]
    assert max(map(len, lines)) <= 80


def test_no_runs_says_how_to_make_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc.api, "exp_show", lambda repo: [])
    assert describe_seeds(Path(), "voice") == "voice   no runs over seeds here: evensong seeds voice --runs 5"


@pytest.mark.slow
def test_runs_over_seeds_are_summarised_and_not_repeated(tmp_path: Path) -> None:
    def run(*command: str) -> str:
        variables = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / ".dvc/tmp"), "PYTHONPATH": str(SRC)}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, env={**os.environ, **variables, "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def git(*command: str) -> None:
        subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    git("config", "user.name", "t")
    git("config", "user.email", "t@example.org")
    run("dvc", "init", "-q")
    (tmp_path / "params.yaml").write_text("night:\n  index:\n    seed: 0\ntrain:\n  seed: 0\n", encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (tmp_path / "score.py").write_text(SCORE, encoding="utf-8")
    run("dvc", "repro")
    git("add", "-A")
    git("commit", "-qm", "x")
    said = run("evensong.cli", "seeds", "night", "--runs", "2")
    assert "Reproducing experiment 'seeds-night-2'" in said
    again = run("evensong.cli", "seeds", "night", "--runs", "2")
    assert "Reproducing" not in again
    # both seeds are 1, then both are 2: 0.2 and 0.4
    assert again.splitlines()[1].split() == ["night_f1", "0.300", "0.141", "0.200", "0.400"]
