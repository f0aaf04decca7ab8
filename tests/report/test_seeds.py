"""The spread over seeds, by hand; the runs themselves: tests/pipeline/test_repro.py."""

from pathlib import Path

import dvc.api
import pytest

from evensong.report.seeds import describe_seeds, seeds_runs, spread


def test_spread_by_hand() -> None:
    # mean (0.6 + 0.7 + 0.8) / 3, deviation sqrt((0.01 + 0 + 0.01) / 2)
    assert spread([0.6, 0.8, 0.7]) == pytest.approx((0.7, 0.1, 0.6, 0.8))
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
