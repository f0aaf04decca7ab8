"""Each layout is known by what it holds; every file below the source is taken, or left with a reason."""

from pathlib import Path

import pytest

from evensong.errors import DataError, ParamsError
from evensong.importing.layouts import SURVEY, look
from evensong.intake.csv_tables import read_table

FIXTURES = ("classes", "esc", "field", "cohort")


@pytest.mark.parametrize("name", FIXTURES)
def test_a_layout_is_found_out_and_every_file_accounted_for(name: str, request: pytest.FixtureRequest) -> None:
    source: Path = request.getfixturevalue(name)
    plan = look(source)
    assert plan.layout == name
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    taken, left = set(plan.files.values()), {path for path, _ in plan.left}
    assert not taken & left
    tables = {"meta/esc50.csv"} if name == "esc" else set()  # read, and of no use in data/
    assert files - taken - tables <= left
    assert all(reason for _, reason in plan.left)
    assert set(plan.recordings) <= set(plan.files)


def test_classes(classes: Path) -> None:
    plan = look(classes)
    assert sorted(set(plan.recordings.values())) == ["owl", "rain"]
    assert all(target == path for target, path in plan.files.items())
    assert dict(plan.left) == {".DS_Store": "hidden", "owl/notes.txt": "not audio"}
    assert plan.settings == {}


def test_nested_class_folders_need_the_parameter_that_reads_them(classes: Path, wav) -> None:
    wav(classes / "owl/2024/x_take0.wav", 55)
    assert look(classes, "classes").settings == {"night.scan.recursive": True}


def test_a_groups_table_comes_along(classes: Path) -> None:
    (classes / "groups.csv").write_text("path,source_id\n")
    assert look(classes).files["groups.csv"] == "groups.csv"


def test_esc(esc: Path) -> None:
    plan = look(esc)
    assert plan.files["dog/1-170-A-0.wav"] == "audio/1-170-A-0.wav"
    assert plan.folds["rain/2-2710-B-10.wav"] == "2"
    assert sorted(plan.left) == [
        ("audio/stray.wav", "not in meta/esc50.csv"),
        ("meta/esc50.csv line 14", "file missing"),
    ]


@pytest.mark.parametrize("category", ["../out", ".hidden", "", "a/b", "a\u202eb"])
def test_a_category_that_is_no_folder_name_is_left(esc: Path, category: str) -> None:
    table = esc / "meta/esc50.csv"
    table.write_text(f"{table.read_text()}stray.wav,1,0,{category},True,9,A\n", encoding="utf-8")
    plan = look(esc)
    assert "audio/stray.wav" not in plan.files.values()
    assert any("cannot be the name of a folder" in reason for _, reason in plan.left)


def test_field(field: Path) -> None:
    plan = look(field)
    assert plan.labels == {"owl": 2, "rain": 2}
    assert plan.settings == {"night.sources": "field"}
    assert len(plan.files) == 4
    assert any("recordings.csv" in note for note in plan.notes)


def test_cohort(cohort: Path) -> None:
    (cohort / "lists").mkdir()
    (cohort / "lists/common_val_test_all_subdbs.csv").write_text("fold_iteration,healthCode,subset\n")
    plan = look(cohort)
    assert plan.files[SURVEY] == "survey.csv"
    assert plan.files["cohort/splits/common_val_test_all_subdbs.csv"] == "lists/common_val_test_all_subdbs.csv"
    assert len(plan.recordings) == 8
    assert [path for path, _ in plan.left] == ["wav/00000000-0000-4000-8000-000000000099.wav"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_survey_without_commas_is_one_and_its_reader_says_what_to_do(cohort: Path, separator: str) -> None:
    survey = cohort / "survey.csv"
    survey.write_text(survey.read_text().replace(",", separator))
    plan = look(cohort)
    assert plan.files[SURVEY] == "survey.csv"
    with pytest.raises(DataError, match="save the file with commas"):
        read_table(survey, ("healthCode",))


def test_two_layouts_are_asked_about(classes: Path) -> None:
    (classes / "owl/owl_00_take0.txt").write_text("0.1\t0.2\towl\n")
    with pytest.raises(ParamsError, match="classes or field; say which, as --as classes"):
        look(classes)
    assert look(classes, "field").layout == "field"
    assert look(classes, "classes").layout == "classes"


def test_a_folder_of_none_says_what_is_needed_and_what_lies_below(classes: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    classes.rename(outer / "inner")
    with pytest.raises(DataError, match=r"outer/inner is classes:\n  classes: two folders"):
        look(outer)
    with pytest.raises(DataError, match="no such folder"):
        look(tmp_path / "absent")


def test_a_table_that_is_no_annotation_is_told_why_and_not_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/secret.csv").write_text("file,begin,species\na.wav,1,owl\n")
    with pytest.raises(DataError) as caught:
        look(tmp_path / "in")
    assert "of the tables there, 1: no table of annotations: its first line names no start and end" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_folder_that_has_nothing_to_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no recording to take as classes"):
        look(tmp_path, "classes")
