"""An import copies what it told, changes nothing else, and sets what was asked for."""

import os
from pathlib import Path

import pytest

from evensong.errors import ParamsError
from evensong.importing.bring import Wish, bring
from evensong.importing.copying import copy
from evensong.keys import file_sha256
from evensong.params import read_params


def state_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Time and content of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, file_sha256(path)) for path in files}


@pytest.mark.parametrize("name", ["classes", "esc", "field", "cohort"])
def test_the_source_is_only_read_and_a_dry_run_writes_nothing(name: str, project: Path, request) -> None:
    source: Path = request.getfixturevalue(name)
    before, params = state_of(source), state_of(project)
    bring(project, Wish(source, is_dry=True, sets_params=True))
    assert state_of(project) == params
    brought = bring(project, Wish(source))
    assert brought.refusal == ""
    assert state_of(source) == before
    assert state_of(project)["params.yaml"] == params["params.yaml"]
    copied = {path: one for path, one in state_of(project).items() if path != "params.yaml"}
    assert len(copied) == brought.tree["new"]
    assert set(copied.values()) <= set(before.values())
    again = bring(project, Wish(source))
    assert (again.tree["new"], again.tree["already_there"], again.refusal) == (0, len(copied), "")


def test_the_pattern_is_proposed_and_set_only_on_demand(classes: Path, project: Path) -> None:
    (project / "params.yaml").write_text(
        (project / "params.yaml").read_text().replace(r"group_pattern: ^(.+?)_take\d+$ ", "group_pattern: null ")
    )
    before = (project / "params.yaml").read_text()
    brought = bring(project, Wish(classes))
    assert r"  1  ^(.+?)_take\d+$   <- of --set-params" in brought.lines
    assert (project / "params.yaml").read_text() == before
    bring(project, Wish(classes, sets_params=True))
    after = (project / "params.yaml").read_text()
    assert read_params(project / "params.yaml")["night"]["scan"]["group_pattern"] == r"^(.+?)_take\d+$"
    changed = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert len(changed) == 1
    assert changed[0][0].partition("#")[2] == changed[0][1].partition("#")[2]


@pytest.mark.parametrize(("own", "wanted"), [("null", None), (r"^(\w+)_\d", r"^(\w+)_\d")])
def test_an_own_pattern_is_set(classes: Path, project: Path, own: str, wanted: str | None) -> None:
    bring(project, Wish(classes, group_pattern=own, sets_params=True))
    assert read_params(project / "params.yaml")["night"]["scan"]["group_pattern"] == wanted


@pytest.mark.parametrize("wrong", ["(", "no group", "(a)(b)"])
def test_a_pattern_that_is_none_is_refused(classes: Path, project: Path, wrong: str) -> None:
    with pytest.raises(ParamsError, match="--group-pattern"):
        bring(project, Wish(classes, group_pattern=wrong))
    assert not (project / "data").exists()


def test_an_own_pattern_that_misses_names_is_refused_where_it_would_be_set(classes: Path, project: Path) -> None:
    with pytest.raises(ParamsError, match="6 of 12 names"):
        bring(project, Wish(classes, group_pattern="^(owl_..)", sets_params=True))
    assert not (project / "data").exists()


def test_esc_sets_its_folds(esc: Path, project: Path) -> None:
    bring(project, Wish(esc, sets_params=True))
    night = read_params(project / "params.yaml")["night"]
    assert (night["index"]["fold_pattern"], night["scan"]["group_pattern"]) == (r"^(\d)-", r"^\d-(\d+)-")


def test_field_recordings_train_alone_or_beside_clips(field: Path, classes: Path, project: Path) -> None:
    bring(project, Wish(field, sets_params=True))
    assert read_params(project / "params.yaml")["night"]["sources"] == "field"
    bring(project, Wish(classes, sets_params=True))
    assert read_params(project / "params.yaml")["night"]["sources"] == "both"


def test_a_pattern_of_clips_is_not_lost_to_field_recordings_and_serves_those_already_there(
    field: Path, classes: Path, project: Path, wav
) -> None:
    wav(project / "data/night/fox/den.wav", 77)
    wav(project / "data/night/fox/wood.wav", 78)
    assert bring(project, Wish(classes, sets_params=True)).tree["parameters"] == {"night.scan.group_pattern": None}
    for clip in (project / "data/night/fox").iterdir():
        clip.rename(clip.with_stem(f"{clip.stem}_take0"))
    bring(project, Wish(classes, sets_params=True))
    bring(project, Wish(field, sets_params=True))
    assert read_params(project / "params.yaml")["night"]["scan"]["group_pattern"] == r"^(.+?)_take\d+$"


@pytest.mark.parametrize(("own", "wanted"), [("null", None), (r"^(\w+)", r"^(\w+)")])
def test_an_own_pattern_is_set_where_clips_are_there_already(
    field: Path, classes: Path, project: Path, own: str, wanted: str | None
) -> None:
    bring(project, Wish(classes, sets_params=True))
    bring(project, Wish(field, group_pattern=own, sets_params=True))
    assert read_params(project / "params.yaml")["night"]["scan"]["group_pattern"] == wanted


def test_a_collision_stops_the_whole_import(classes: Path, project: Path, wav) -> None:
    wav(project / "data/night/owl/owl_00_take0.wav", 77)
    before = state_of(project)
    brought = bring(project, Wish(classes, sets_params=True))
    assert "1 target" in brought.refusal
    assert brought.tree["collisions"] == ["owl/owl_00_take0.wav"]
    assert state_of(project) == before


def test_classes_that_are_there_already_are_named(classes: Path, project: Path, wav) -> None:
    wav(project / "data/night/fox/a_take0.wav", 77)
    assert any(
        "other classes already, which will train too: fox" in line for line in bring(project, Wish(classes)).lines
    )


def test_no_id_of_a_patient_is_told(cohort: Path, project: Path, wav) -> None:
    wav(project / f"data/voice/recordings/{'00000000-0000-4000-8000-000000000001'}_0_voice.wav", 77)
    brought = bring(project, Wish(cohort))
    told = "\n".join([*brought.lines, str(brought.tree), brought.refusal])
    assert "0000-4000" not in told
    assert brought.tree["collisions"] == 1


def test_source_and_target_must_not_lie_in_each_other(classes: Path, project: Path) -> None:
    for source in (project, project / "data"):
        source.mkdir(exist_ok=True)
    with pytest.raises(ParamsError, match="lie in each other"):
        bring(project, Wish(classes, into=Path(os.path.relpath(classes / "owl", project))))


def test_a_copy_that_fails_leaves_no_part_and_overwrites_nothing(tmp_path: Path, wav) -> None:
    wav(tmp_path / "from/a.wav", 1)
    there = wav(tmp_path / "to/a.wav", 2)
    before = there.read_bytes()
    with pytest.raises(Exception, match="appeared meanwhile"):
        copy({"a.wav": "a.wav"}, tmp_path / "from", tmp_path / "to", ["a.wav"])
    assert there.read_bytes() == before
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["a.wav"]
