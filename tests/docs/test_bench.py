"""Benches run as their docs say, with nothing installed: src/ is found before it is imported from."""

import re
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
NAMES = sorted(path.stem for path in BENCH.glob("*.py"))
_IMPORT = re.compile(r"^(?:from|import) (\w+)|^(sys\.path\.insert)", re.MULTILINE)


def finds_source(name: str) -> bool:
    """Whether src/ is on the path before the first import from it, by this bench or by one that it imports first."""
    for module, inserts in _IMPORT.findall((BENCH / f"{name}.py").read_text(encoding="utf-8")):
        if inserts:
            return True
        if module in NAMES and imports_evensong(module):
            return finds_source(module)
        if module == "evensong":
            return False
    return True


def imports_evensong(name: str) -> bool:
    return "evensong" in {module for module, _ in _IMPORT.findall((BENCH / f"{name}.py").read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", NAMES)
def test_source_is_found_before_it_is_imported(name: str) -> None:
    assert finds_source(name)
