"""Every fault of the catalogue in `tests/faults/` has a test that names it, and every name stands in the catalogue."""

import csv
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CATALOGUE = sorted((TESTS / "faults").glob("*.csv"))
MARK = re.compile(r"mark\.fault\(([^)]*)\)")


def named_faults() -> set[str]:
    return {
        fault
        for path in TESTS.rglob("test_*.py")
        if path != Path(__file__)
        for names in MARK.findall(path.read_text(encoding="utf-8"))
        for fault in re.findall(r"[\"'](\w+)[\"']", names)
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("path", CATALOGUE, ids=lambda path: path.stem)
def test_every_fault_of_the_catalogue_has_a_test(path):
    assert not {row["id"] for row in rows(path)} - named_faults()


@pytest.mark.parametrize("path", CATALOGUE, ids=lambda path: path.stem)
def test_a_row_says_the_fault_and_its_outcome_once(path):
    table = rows(path)

    assert table
    assert len({row["id"] for row in table}) == len(table)
    assert all(row["fault"].strip() and row["outcome"].strip() for row in table)


def test_every_fault_named_by_a_test_is_in_the_catalogue():
    assert not named_faults() - {row["id"] for path in CATALOGUE for row in rows(path)}
