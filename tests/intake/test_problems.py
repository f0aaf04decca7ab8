import stat

import pandas as pd
import pytest

from evensong.errors import DataError, IntegrityError
from evensong.intake.problems import FileProblem, Gathered, problem_file, tell_counts, tell_names

PROBLEMS = [
    FileProblem("b.wav", "Q_EMPTY", "0 bytes"),
    FileProblem("a\n.wav", "Q_NAME"),
    FileProblem("c.wav", "Q_EMPTY"),
]


def test_tell_names_shows_twenty_names_and_counts_the_rest():
    told = tell_names("not used", [*PROBLEMS, *[FileProblem(f"d{n}.wav") for n in range(30)]]).split("\n  ")
    assert told[:4] == ["not used:", "b.wav: Q_EMPTY: 0 bytes", "a\\n.wav: Q_NAME", "c.wav: Q_EMPTY"]
    assert (told[20], told[21:]) == ("d16.wav", ["and 13 more"])


def test_tell_counts_names_no_file():
    assert tell_counts("not used", PROBLEMS) == "not used: Q_EMPTY 2, Q_NAME 1"


def test_gathered_tells_every_refusal_and_nothing_else_is_held_back():
    gathered = Gathered()
    gathered.refuse()
    for message in ("one", "two"):
        with gathered:
            raise DataError(message)
    with gathered:
        pass
    with pytest.raises(IntegrityError), gathered:
        raise IntegrityError("changed")
    with pytest.raises(DataError, match=r"^one\nalso: two$"):
        gathered.refuse()


def test_problem_file_holds_the_names_for_its_owner_alone_until_the_next_run(tmp_path):
    path = tmp_path / "artifacts/problems.csv"
    tell = problem_file(path)
    for problems in ([FileProblem("x.wav", "old")], PROBLEMS):
        message = tell("not used", problems)
    assert message == f"not used: Q_EMPTY 2, Q_NAME 1; each one by name in {path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rows = pd.read_csv(path, keep_default_na=False)
    assert rows.to_numpy().tolist() == [
        ["b.wav", "Q_EMPTY", "0 bytes"],
        ["a\\n.wav", "Q_NAME", ""],
        ["c.wav", "Q_EMPTY", ""],
    ]
    problem_file(path)
    assert not path.exists()


@pytest.mark.fault("H10")
def test_problem_file_holds_no_formula(tmp_path):
    problem_file(tmp_path / "problems.csv")("not used", [FileProblem("=1+1.wav", "Q_EMPTY")])
    assert "\n'=1+1.wav," in (tmp_path / "problems.csv").read_text(encoding="utf-8")


def test_problem_file_is_not_written_through_a_link(tmp_path):
    (tmp_path / "other").write_text("mine")
    path = tmp_path / "problems.csv"
    tell = problem_file(path)
    path.symlink_to(tmp_path / "other")
    tell("not used", PROBLEMS)
    assert (tmp_path / "other").read_text() == "mine"
