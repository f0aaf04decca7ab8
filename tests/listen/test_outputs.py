import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.errors import InputFault
from evensong.listen.outputs import QuarantineTable, WindowTable, replacing
from evensong.run.text import plain_cell
from evensong.score.detection import Scores

names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)


def rows_of(classes: list[str], file: str, scores: Scores) -> list[list[str]]:
    handle = io.StringIO(newline="")
    WindowTable(handle, classes).add(Path(file), scores)
    return list(csv.reader(io.StringIO(handle.getvalue(), newline="")))


def test_rows_worked_by_hand() -> None:
    probs = np.array([[0.25, 0.75], [np.nan, np.nan], [2 / 3, 1 / 3]])
    scores = Scores(np.array([0, 1.5, 2.0]), np.array([3, 4.5, 5.0]), probs)
    assert rows_of(["asio", "top_class"], "a/b.wav", scores) == [
        ["file", "begin_s", "end_s", "top_class", "top_score", "p_asio", "p_top_class"],
        ["a/b.wav", "0.000000", "3.000000", "top_class", "0.75", "0.25", "0.75"],
        ["a/b.wav", "1.500000", "4.500000", "", "", "", ""],
        ["a/b.wav", "2.000000", "5.000000", "asio", "0.666667", "0.666667", "0.333333"],
    ]


@given(
    classes=st.lists(names, min_size=2, max_size=5, unique=True),
    raw=st.lists(st.lists(st.floats(0.001, 1), min_size=5, max_size=5), min_size=1, max_size=5),
    file=names.filter(lambda name: "/" not in name and name != "."),
)
def test_what_is_written_is_read(classes: list[str], raw: list[list[float]], file: str) -> None:
    probs = np.array(raw)[:, : len(classes)]
    probs /= probs.sum(axis=1, keepdims=True)
    begins = np.arange(len(probs)) / 3
    header, *rows = rows_of(classes, file, Scores(begins, begins + 1, probs))
    assert header[5:] == [f"p_{name}" for name in classes]
    for row, begin_s, values in zip(rows, begins, probs, strict=True):
        assert row[0] == plain_cell(file)
        assert math.isclose(float(row[1]), begin_s, abs_tol=1e-6)
        assert row[3] == plain_cell(classes[int(values.argmax())])
        np.testing.assert_allclose([float(cell) for cell in row[4:]], [values.max(), *values], rtol=1e-5)


def test_a_file_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with replacing(path) as handle:
        handle.write("old")
    stopped = replacing(path)
    stopped.__enter__().write("half of the new")
    assert not stopped.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("x.csv", "old")]


def test_quarantine_lies_beside_the_output(tmp_path: Path) -> None:
    with QuarantineTable.opened(tmp_path / "scores.csv") as table:
        table.add(Path("a.wav"), InputFault("Q_TRUNCATED", "10 bytes, 4 present"))
    text = (tmp_path / "scores.quarantine.csv").read_text(encoding="utf-8")
    assert text == 'file,reason,detail\na.wav,Q_TRUNCATED,"10 bytes, 4 present"\n'


@pytest.mark.fault("H10")
def test_no_cell_of_scores_and_quarantine_is_a_formula(tmp_path: Path) -> None:
    scores = Scores(np.zeros(1), np.ones(1), np.array([[1.0, 0.0]]))
    assert rows_of(["=1+1", "owl"], "@x.wav", scores)[1][:4] == ["'@x.wav", "0.000000", "1.000000", "'=1+1"]
    with QuarantineTable.opened(tmp_path / "scores.csv") as table:
        table.add(Path("=x.wav"), InputFault("Q_EMPTY", "0 bytes"))
    assert "\n'=x.wav," in (tmp_path / "scores.quarantine.csv").read_text(encoding="utf-8")


def test_without_an_output_there_is_no_quarantine_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with QuarantineTable.opened(None) as table:
        table.add(Path("a.wav"), InputFault("Q_EMPTY", "0 bytes"))
    assert not list(tmp_path.iterdir())
