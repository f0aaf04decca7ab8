"""Tables for people: no cell is a formula, and numbers stay numbers."""

from pathlib import Path

import pandas as pd
import pytest

from evensong.run.text import plain_cell, write_csv


@pytest.mark.fault("H10")
def test_a_table_for_people_holds_no_formula_and_one_for_machines_stays_exact(tmp_path: Path) -> None:
    texts = ['=HYPERLINK("x")', "+1", "-1+1", "@x", "\t=1", "owl=1", ""]
    table = pd.DataFrame({"class": texts, "change": -0.5, "n": -1})
    read = {}
    for for_people in (True, False):
        write_csv(tmp_path / "x.csv", table, "%.6g", for_people=for_people)
        read[for_people] = pd.read_csv(tmp_path / "x.csv", keep_default_na=False)
    assert read[True]["class"].tolist() == [f"'{text}" for text in texts[:5]] + texts[5:]
    assert read[False]["class"].tolist() == texts
    for found in read.values():
        assert (found["change"] == -0.5).all()
        assert (found["n"] == -1).all()


def test_a_carriage_return_does_not_hide_a_formula() -> None:
    assert plain_cell("\r=1") == "'\r=1"
