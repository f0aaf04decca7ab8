"""No field recordings but the placeholder: a fresh clone, and an experiment in a folder of its own, all the same."""

import json
import shutil
from pathlib import Path

import pytest
from tests.pipeline.conftest import make_repo

pytestmark = pytest.mark.slow


def test_a_fresh_clone_and_an_experiment_elsewhere(tmp_path: Path, small_data: Path) -> None:
    data = shutil.copytree(small_data, tmp_path / "data")
    shutil.rmtree(data / "field")
    (data / "field").mkdir()
    (data / "field" / ".keep").touch()
    repo = make_repo(tmp_path / "repo", data)
    repo.must("dvc", "remote", "add", "-d", "mine", str(tmp_path / "store"))
    repo.commit()
    repo.must("dvc", "push", "-q", "data.dvc")
    clone = type(repo)(tmp_path / "clone")
    repo.must("git", "clone", "-q", ".", str(clone.folder))
    clone.must("dvc", "pull", "-q", "data.dvc")
    said = clone.must("dvc", "repro", "night_detect")
    assert "detection is not scored: no field recordings" in said
    headline = json.loads((clone.folder / "metrics/night/detection.json").read_text())
    assert headline["night_detection_n"] == 0
    clone.must("dvc", "plots", "show", "-o", "plots_html")
    assert "night_detection_n" in clone.must("dvc", "metrics", "show")
    clone.commit()
    said = clone.must("dvc", "exp", "run", "--temp", "-S", "night.detect.min_overlap=0.25", "night_detect")
    assert "Ran experiment" in said
