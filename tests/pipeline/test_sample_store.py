"""The sample store inside the repository gives the sample, and never takes a user's data."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STORE = ROOT / ".dvc" / "sample-store"
DVC = Path(sys.executable).parent / "dvc"


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(folder / ".site-cache"), "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git would clone of the data's side of the repository."""
    folder = tmp_path / "clone"
    (folder / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "data.dvc"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(STORE, folder / ".dvc" / "sample-store")
    for command in (["init", "-q"], ["add", "-A"]):
        run(folder, "git", *command).check_returncode()
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x").check_returncode()
    return folder


def test_store_holds_the_sample_and_nothing_else() -> None:
    out = YAML(typ="safe", pure=True).load((ROOT / "data.dvc").read_text(encoding="utf-8"))["outs"][0]
    assert "remote" not in out
    files = [path for path in STORE.rglob("*") if path.is_file()]
    listing = STORE / "files" / "md5" / out["md5"][:2] / out["md5"][2:]
    n_objects = len({entry["md5"] for entry in YAML(typ="safe", pure=True).load(listing.read_text(encoding="utf-8"))})
    assert len(files) == n_objects + 1
    assert sum(path.stat().st_size for path in files) <= 15e6


def test_pull_gives_the_sample(clone: Path) -> None:
    pulled = run(clone, DVC, "pull", "-q", "-r", "sample", "data.dvc")
    assert pulled.returncode == 0, pulled.stderr
    assert len(list((clone / "data" / "night").iterdir())) == 10
    assert (clone / "data" / "voice" / "cohort" / "Demographics_Survey.csv").is_file()


def test_user_data_never_reaches_the_store(clone: Path) -> None:
    before = contents(clone / ".dvc" / "sample-store")
    (clone / "data" / "night" / "owl").mkdir(parents=True)
    (clone / "data" / "night" / "owl" / "private.wav").write_bytes(b"my own recording")
    assert run(clone, DVC, "add", "-q", "data").returncode == 0
    pushed = run(clone, DVC, "push")
    assert pushed.returncode != 0
    assert "no remote specified" in pushed.stderr
    assert contents(clone / ".dvc" / "sample-store") == before


def test_an_interrupted_pull_never_costs_a_user_their_recordings(clone: Path) -> None:
    shutil.copytree(ROOT / "tools", clone / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (clone / ".dvc" / "tmp").mkdir()
    (clone / ".dvc" / "tmp" / "pulling-sample").touch()
    own = clone / "data" / "night" / "owl" / "private.wav"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"my own recording")
    environment = {"PATH": f"{DVC.parent}:{os.environ['PATH']}"}
    refused = run(
        clone, "env", *(f"{name}={value}" for name, value in environment.items()), "sh", "tools/get_sample.sh"
    )
    assert refused.returncode != 0
    assert "Is data/ yours?" in refused.stderr
    assert own.read_bytes() == b"my own recording"
