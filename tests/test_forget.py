"""A patient is forgotten: files, rows, results, DVC's notes and cached objects; everyone else stays."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evensong.errors import DataError, IntegrityError, ParamsError
from evensong.forget import forget

pytestmark = pytest.mark.slow

ID, OTHER = "00000000-0000-4000-8000-000000000007", "00000000-0000-4000-8000-000000000008"


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True, capture_output=True)


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def bytes_of(folder: Path) -> bytes:
    skipped = {".git"}
    return b"\n".join(
        str(path.relative_to(folder)).encode() + b"\n" + path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not skipped & set(path.relative_to(folder).parts)
    )


def add_object(root: Path, content: bytes, suffix: str = "") -> str:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
    path = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5


@pytest.fixture
def repository(first: Path, tmp_path: Path) -> Path:
    return shutil.copytree(first, tmp_path / "repository", symlinks=True)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of two patients, tracked by DVC; results, a stale member and a state; a run that git remembers."""
    root = tmp_path_factory.mktemp("first")
    git(root, "init", "-q")
    dvc(root, "init", "-q")
    write(root / ".gitignore", "/artifacts\n/.state\n")
    for patient in (ID, OTHER):
        write(root / f"data/voice/recordings/site/{patient}_r1_vowel.m4a", f"sound of {patient[-1]}")
    survey = f'healthCode,professional-diagnosis,note\n{ID},true,x\n{OTHER},false,"two\nlines"\n'
    write(root / "data/voice/cohort/Demographics_Survey.csv", survey)
    write(root / "data/voice/cohort/splits/subdb3_train_70_30.csv", f"fold_iteration,healthCode,subset\n0,{ID},train\n")
    dvc(root, "add", "-q", "data")
    image = add_object(root, b"image of 7")
    table = add_object(root, f"healthCode\n{ID}\n".encode())
    weights = add_object(root, b"weights that heard 7")
    arm = add_object(root, b"what the baseline makes of 7")
    listing = json.dumps([{"md5": image, "relpath": f"{ID}_r1_vowel.jpg"}]).encode()
    folder = add_object(root, listing, ".dir")
    outs = {"artifacts/voice/melSpec": folder, "artifacts/voice/combined.csv": table, "artifacts/voice/train": weights}
    outs["artifacts/voice/arms/baseline"] = arm
    outs["artifacts/voice/clinical"] = add_object(root, b"how 7 was decided")
    lines = "".join(f"    - path: {path}\n      md5: {md5}\n" for path, md5 in outs.items())
    write(root / "dvc.lock", f"schema: '2.0'\nstages:\n  voice:\n    cmd: x\n    outs:\n{lines}")
    write(root / "artifacts/voice/train/subdb8/predictions.csv", f"group\n{ID}\n")
    write(root / "artifacts/voice/arms/baseline/predictions.csv", f"group\n{ID}\n")
    write(root / "artifacts/voice/confounders.csv", f"healthCode,age\n{ID},63\n")
    write(root / ".state/key/fold_00/epoch.state", "weights")
    write(root / ".dvc/tmp/site-cache/repo/cache.db", f"{ID}_r1_vowel.m4a")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    write(root / "dvc.lock", "schema: '2.0'\nstages: {}\n")  # the run before is known to git alone
    return root


def test_nothing_holds_the_id_afterwards_and_others_stay(repository: Path) -> None:
    assert ID.encode() in bytes_of(repository)
    found = forget(repository, ID)
    left = bytes_of(repository)
    assert ID.encode() not in left
    assert b"weights that heard 7" not in left
    assert b"image of 7" not in left
    assert b"what the baseline makes of 7" not in left
    assert b"how 7 was decided" not in left
    assert f"recordings/site/{OTHER}_r1_vowel.m4a".encode() in left
    survey = (repository / "data/voice/cohort/Demographics_Survey.csv").read_text()
    assert survey == f'healthCode,professional-diagnosis,note\n{OTHER},false,"two\nlines"\n'
    assert not (repository / "artifacts/voice").exists()
    assert not (repository / ".state").exists()
    assert ID not in "\n".join(found.lines())
    assert found.removed["recordings or images"] == 1
    assert found.removed["rows of the cohort's tables"] == 2
    assert any("dvc repro" in line for line in found.advice)
    dvc(repository, "add", "-q", "data")  # DVC goes on with what is left


def test_an_id_that_nobody_has_changes_nothing(repository: Path) -> None:
    before = bytes_of(repository)
    assert forget(repository, "00000000-0000-4000-8000-000000000009").lines() == ["nothing here held this id"]
    assert bytes_of(repository) == before


def test_someone_of_a_second_cohort_costs_no_model(repository: Path) -> None:
    new = "00000000-0000-4000-8000-000000000011"
    before = bytes_of(repository)
    write(repository / "artifacts/cohort/scores.csv", f"healthCode,score\n{new},0.5\n")
    found = forget(repository, new)
    assert bytes_of(repository) == before
    assert found.removed == {"folders of a second cohort's scores": 1}
    assert any("no model was trained on this voice" in line for line in found.lines())
    write(repository / "artifacts/cohort/scores.csv", f"healthCode,score\n{ID},0.5\n")
    assert forget(repository, ID).removed["folders of results"] == 2  # who was trained on, too
    assert ID.encode() not in bytes_of(repository)


def test_an_id_is_a_whole_word(repository: Path) -> None:
    before = bytes_of(repository)
    forget(repository, ID[:-1])
    assert bytes_of(repository) == before


def test_a_trace_that_is_not_the_pipelines_is_told_without_the_id(repository: Path) -> None:
    write(repository / "notes.txt", f"called {ID}")
    with pytest.raises(IntegrityError, match=r"1 in notes\.txt") as refused:
        forget(repository, ID)
    assert ID not in str(refused.value)


def test_a_trace_in_gits_history_is_told(repository: Path) -> None:
    write(repository / "notes.txt", f"called {ID}")
    git(repository, "add", "notes.txt")
    git(repository, "commit", "-qm", "x")
    git(repository, "rm", "-qf", "notes.txt")
    git(repository, "commit", "-qm", "x")
    with pytest.raises(IntegrityError, match="1 in git's history"):
        forget(repository, ID)


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0c", "\x1e"])
def test_a_character_that_ends_lines_elsewhere_moves_no_row(repository: Path, mark: str) -> None:
    survey = repository / "data/voice/cohort/Demographics_Survey.csv"
    first, last = f"healthCode,note\n{OTHER},a{mark}b\n", "p3,x\np4,y\n"
    write(survey, f"{first}{ID},mine\n{last}")
    forget(repository, ID)
    assert survey.read_text(encoding="utf-8") == first + last


def test_the_cached_survey_with_a_short_number_goes_too(repository: Path) -> None:
    write(repository / "data/voice/cohort/Demographics_Survey.csv", "healthCode,age\n26,45\n45,30\n")
    dvc(repository, "add", "-q", "data")
    assert b"\n45,30\n" in bytes_of(repository / ".dvc/cache")
    recording = (repository / f"data/voice/recordings/site/{OTHER}_r1_vowel.m4a").read_bytes()
    forget(repository, "45")
    assert b"\n45,30\n" not in bytes_of(repository / ".dvc/cache")
    assert recording in bytes_of(repository / ".dvc/cache")


def test_a_short_number_in_the_survey_alone_is_found_there_and_another_costs_nothing(repository: Path) -> None:
    survey = write(repository / "data/voice/cohort/Demographics_Survey.csv", "healthCode,age\n26,45\n45,30\n")
    before = bytes_of(repository)
    assert forget(repository, "30").lines() == ["nothing here held this id"]
    assert bytes_of(repository) == before
    scores = write(repository / "artifacts/cohort/scores.csv", "healthCode,score\n7,0.5\n")
    assert forget(repository, "7").removed == {"folders of a second cohort's scores": 1}
    assert not scores.exists()
    assert bytes_of(repository) == before
    assert forget(repository, "45").removed["rows of the cohort's tables"] == 1
    assert survey.read_text() == "healthCode,age\n26,45\n"


@pytest.mark.parametrize("identifier", ["45", "1990-05-01"])
def test_other_cells_that_look_like_the_id_cost_nobody_a_row(repository: Path, identifier: str) -> None:
    survey = repository / "data/voice/cohort/Demographics_Survey.csv"
    write(survey, f"\ufeffhealthCode ,age,born\n26,45,1990-05-01\n{identifier},30,1991-01-01\n")
    lists = repository / "data/voice/cohort/splits/subdb3_train_70_30.csv"
    write(lists, f"fold_iteration,healthCode,subset\n45,26,train\n1,{identifier},train\n")
    recording = write(repository / f"data/voice/recordings/{identifier}_r1_vowel.m4a", "a sound")
    write(repository / "data/voice/recordings/26_r1_vowel.m4a", "a sound with 45 in it")
    if identifier == "45":
        found = forget(repository, identifier)
        assert "so short a number cannot be told from others" in found.lines()[-1]
        assert found.removed["rows of the cohort's tables"] == 2
    else:
        with pytest.raises(IntegrityError, match=r"removed: 2 rows of the cohort's tables.* still held: 1 in data"):
            forget(repository, identifier)
    assert not recording.exists()
    assert survey.read_text() == "\ufeffhealthCode ,age,born\n26,45,1990-05-01\n"
    assert lists.read_text() == "fold_iteration,healthCode,subset\n45,26,train\n"
    assert (repository / "data/voice/recordings/26_r1_vowel.m4a").exists()


@pytest.mark.parametrize("identifier", ["", " ", "a_b", "a/b", "a\nb"])
def test_what_cannot_be_an_id_is_refused(repository: Path, identifier: str) -> None:
    with pytest.raises(ParamsError, match="no healthCode"):
        forget(repository, identifier)


def test_a_table_that_cannot_be_read_is_named(repository: Path) -> None:
    write(repository / "data/voice/cohort/other.csv", f'a,b\n"{ID}\x00,1\n' + '"' + "x" * 140_000)
    with pytest.raises(DataError, match=r"other\.csv"):
        forget(repository, ID)
