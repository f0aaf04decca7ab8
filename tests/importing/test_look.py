"""evensong scan sees what the stages would, writes nothing, and refuses as they would."""

from pathlib import Path

import pytest

from evensong.importing.bring import Wish, bring
from evensong.look import look_at, parts_here

pytestmark = pytest.mark.slow


def files_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_every_part_that_holds_something(classes, field, cohort, project: Path) -> None:
    assert parts_here() == []
    for source in (classes, field, cohort):
        bring(project, Wish(source, sets_params=True))
    before = files_of(project)
    assert parts_here() == ["night", "field", "voice"]
    night, there, voice = (look_at(part) for part in parts_here())
    assert (night.tree["used"], night.tree["sources"]) == (12, 6)
    assert night.tree["by_class"] == {"owl": {"clips": 6, "sources": 3}, "rain": {"clips": 6, "sources": 3}}
    assert (there.tree["recordings"], there.tree["by_class"]) == (2, {"owl": 2, "rain": 2})
    assert voice.tree["used"] == 8
    assert "0000-4000" not in "\n".join([*voice.lines, str(voice.tree)])
    assert [one.refusal for one in (night, there, voice)] == [None, None, None]
    assert files_of(project) == before


def test_field_recordings_say_which_classes_no_split_can_hold_and_what_is_missing(field: Path, project: Path) -> None:
    bring(project, Wish(field, sets_params=True))
    (project / "data/field/far.csv").write_text("recording,begin_s,end_s,label\nnorth/a.wav,0,1,owl\n")
    seen = look_at("field")
    assert seen.tree["sources_by_class"] == {"owl": 2, "rain": 2}
    said = "\n".join(seen.lines)
    assert "owl: 2 annotations of 2 sources" in said
    assert "fewer than three sources, so not one for each split: owl, rain;" in said
    assert "night.index.min_sources: 3" in said
    assert "NOTE: in the tables, not in the folder: no recording 'north/a.wav'" in said


def test_classes_of_too_few_sources_are_told_before_any_run(classes: Path, project: Path) -> None:
    bring(project, Wish(classes, group_pattern="^(.)"))
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace(r"group_pattern: ^(.+?)_take\d+$ ", "group_pattern: ^(.) "))
    assert any("not one for each split: owl, rain" in line for line in look_at("night").lines)


def test_a_refusal_is_the_stages_own(classes: Path, project: Path) -> None:
    bring(project, Wish(classes, group_pattern="(nothing)"))
    (project / "params.yaml").write_text(
        (project / "params.yaml").read_text().replace(r"group_pattern: ^(.+?)_take\d+$ ", "group_pattern: (nothing) ")
    )
    seen = look_at("night")
    assert seen.refusal is not None
    assert seen.refusal.exit_code == 3
    assert "12 of 12 clips without a source" in seen.lines[0]


def test_refused_files_are_counted_by_reason(classes: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text.replace("max_quarantined: 0.05     # share", "max_quarantined: 0.5 # share")
    )
    bring(project, Wish(classes))
    (project / "data/night/owl/bad_take0.wav").write_bytes(b"RIFF")
    seen = look_at("night")
    assert seen.tree["quarantined"] == 1
    said = capsys.readouterr()
    assert "bad_take0.wav" in said.err
    assert said.out == ""


def test_a_part_that_is_not_there_is_refused(project: Path) -> None:
    for part in ("night", "field", "voice"):
        refusal = look_at(part).refusal
        assert refusal is not None
        assert refusal.exit_code == 3
