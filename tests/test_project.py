"""A project of one's own holds the code and not the sample, and its pipeline asks for its own track's data alone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from evensong import project
from evensong.errors import DataError, ParamsError
from evensong.params import load_section, read_params
from evensong.project import new_project
from evensong.schemas import Params

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?!https?://|#)([^)\s#]+)")
IS_CHECKOUT = (ROOT / ".git").exists()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_CHECKOUT, reason="a project is made of a git checkout's last commit"),
]


@pytest.fixture(autouse=True)
def known_to_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A git configuration of the test's own, in which somebody is named."""
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\nname = t\nemail = t@example.org\n[safe]\ndirectory = *\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    return settings


def said(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("track", ["night", "voice", "both"])
def test_a_project_is_whole_committed_and_without_the_sample(tmp_path: Path, track: str) -> None:
    folder = tmp_path / "mine"
    lines = new_project(folder, track)
    assert "committed as the project's first commit" in lines
    assert said(folder, "git", "status", "--porcelain") == ""
    files = set(said(folder, "git", "ls-files").splitlines())
    assert {"dvc.yaml", "params.yaml", "Makefile", "requirements.lock", ".dvc/config", "src/check_params.py"} <= files
    gone = ("data.dvc", "dvc.lock", ".dvc/sample-store/", "metrics/", "plots/", "tests/", "bench/")
    assert not [path for path in files if path.startswith(gone)]
    load_section("", Params, folder / "params.yaml")
    stages = YAML(typ="safe").load((folder / "dvc.yaml").read_text())["stages"]
    kept = {"night", "voice"} if track == "both" else {track}
    assert {name.split("_")[0] for name in stages} == {"check", *kept}
    scripts = {f"src/{path.name}" for path in (folder / "src").glob("*.py")}
    assert scripts == {(stage.get("do") or stage)["cmd"].split()[1] for stage in stages.values()}
    text = (folder / "dvc.yaml").read_text()
    assert all((f"/{one}/" in text) == (one in kept) for one in ("night", "voice"))
    assert "sample" not in (folder / ".dvc/config").read_text()


@pytest.mark.parametrize("track", ["night", "voice"])
def test_what_is_left_of_dvc_yaml_is_as_it_was(tmp_path: Path, track: str) -> None:
    new_project(tmp_path / "mine", track)
    own, ours = (YAML(typ="safe").load((at / "dvc.yaml").read_text()) for at in (tmp_path / "mine", ROOT))
    for key in ("stages", "artifacts"):
        assert own[key] == {name: one for name, one in ours[key].items() if name in own[key]}
    for key in ("metrics", "plots"):
        assert own[key] == [one for one in ours[key] if one in own[key]]
    n_both = [len(ours[key]) for key in ("stages", "metrics", "plots", "artifacts")]
    assert all(
        0 < len(own[key]) < n for key, n in zip(("stages", "metrics", "plots", "artifacts"), n_both, strict=True)
    )


@pytest.mark.parametrize("track", ["night", "voice"])
def test_dvc_reads_the_project(tmp_path: Path, track: str) -> None:
    new_project(tmp_path / "mine", track)
    stages = said(tmp_path / "mine", sys.executable, "-m", "dvc", "stage", "list", "--name-only").split()
    assert f"{track}_report" in stages
    said(tmp_path / "mine", sys.executable, "-m", "dvc", "dag")


@pytest.mark.parametrize("track", ["night", "voice", "both"])
def test_targets_and_links_lead_to_what_the_project_holds(tmp_path: Path, track: str) -> None:
    folder = tmp_path / "mine"
    new_project(folder, track)
    text = (folder / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([a-z-]+):", text))
    tracks = {"night", "voice"} if track == "both" else {track}
    assert targets == {"help", "env", "data", "repro", "plots"} | tracks
    (phony,) = re.findall(r"(?m)^\.PHONY: ([a-z].*)", text)
    assert set(phony.split()) == targets
    named = {word for one in sorted(targets) for word in re.findall(r"tools/\S+", said(folder, "make", "-n", one))}
    assert named == {f"tools/{path.name}" for path in (folder / "tools").iterdir()}
    for page in [folder / "README.md", *(folder / "docs").glob("*.md")]:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), (page.name, link)
    sections = re.findall(r"(?m)^  # ---- (\w+):", (folder / "dvc.yaml").read_text())
    assert set(sections) <= tracks


def test_a_project_without_data_says_where_they_come_from(tmp_path: Path) -> None:
    new_project(tmp_path / "mine", "night")
    shutil.rmtree(tmp_path / "mine/data")
    done = subprocess.run(["sh", "tools/get_sample.sh"], cwd=tmp_path / "mine", capture_output=True, text=True)
    assert done.returncode == 1
    assert "evensong import" in done.stderr


def test_presets_are_applied_in_order_and_the_next_commands_are_told(tmp_path: Path) -> None:
    lines = new_project(tmp_path / "mine", "night", ["owl", "small_set"])
    assert read_params(tmp_path / "mine/params.yaml")["night"]["mels"]["fmax_hz"] == 4_000
    assert read_params(tmp_path / "mine/params.yaml")["night"]["augment"]["target_samples"] == 100
    assert lines[-1] == "  make repro"
    assert "evensong import" in (tmp_path / "mine/README.md").read_text()


def test_without_a_name_nothing_is_committed_and_that_is_said(tmp_path: Path, known_to_git: Path) -> None:
    known_to_git.write_text("")
    assert any(line.startswith("not committed") for line in new_project(tmp_path / "mine", "night"))
    assert said(tmp_path / "mine", "git", "diff", "--cached", "--name-only")


def test_a_folder_that_holds_something_and_an_unknown_preset_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ParamsError, match="no preset 'eagle'"):
        new_project(tmp_path / "mine", "night", ["eagle"])
    (tmp_path / "mine/thesis.txt").write_text("")
    with pytest.raises(ParamsError, match="holds something"):
        new_project(tmp_path / "mine", "night")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_without_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "CHECKOUT", tmp_path)
    with pytest.raises(DataError, match="not a git checkout"):
        new_project(tmp_path / "mine", "night")
    assert not (tmp_path / "mine").exists()
