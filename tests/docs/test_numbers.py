"""docs/numbers.md: every headline number and every kind of score in the details is told."""

import json

import pytest
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs/numbers.md").read_text(encoding="utf-8")
# containers whose names say what they hold, and what every score has
PLAIN = {"value", "low", "high", "n", "reason", "folds", "baseline", "best_single"}
COUNTS = ("n_", "recordings", "sources", "macro_", "rule", "min_overlap")


def keys_of(tree, *, but=()):
    """Every key of a tree, without what lies under `but`."""
    for key, value in tree.items():
        yield key
        if isinstance(value, dict) and key not in but:
            yield from keys_of(value, but=but)


@pytest.mark.parametrize("name", ["night/test", "night/detection", "voice/test"])
def test_every_headline_number_has_its_line(name):
    section = PAGE.split(f"## metrics/{name}.json")[1].split("\n## ")[0]
    for key in json.loads((ROOT / f"metrics/{name}.json").read_text(encoding="utf-8")):
        assert f"`{key}`" in section, key


@pytest.mark.parametrize("name", ["night/details", "night/detection_details", "voice/details"])
def test_every_kind_of_score_is_told(name):
    tree = json.loads((ROOT / f"metrics/{name}.json").read_text(encoding="utf-8"))
    told = set(keys_of(tree, but=("classes",))) - PLAIN
    assert {key for key in told if f"`{key}`" not in PAGE and not key.startswith(COUNTS)} == set()
