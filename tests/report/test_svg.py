"""Figures: whatever the numbers and names, the markup is well formed and everything stays inside the drawing."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.report import svg

VALUES = st.one_of(st.none(), st.floats(-5, 5), st.just(float("nan")))
NAMES = st.text(st.characters(exclude_categories=("C",)), max_size=60)


def drawing(markup):
    """The figure as a tree, its first element being the drawing."""
    tree = ElementTree.fromstring(f"<div>{markup}</div>")
    return tree.find("svg")


def inside(tree):
    width, height = (float(side) for side in tree.get("viewBox").split()[2:])
    for element in tree.iter():
        for name, most in (("x", width), ("x1", width), ("x2", width), ("cx", width), ("y1", height), ("cy", height)):
            assert 0 <= float(element.get(name, 0)) <= most


@given(st.lists(st.tuples(NAMES, VALUES, VALUES, VALUES), min_size=1, max_size=5))
def test_intervals_are_well_formed_and_inside(rows):
    tree = drawing(svg.intervals([svg.Row(*row) for row in rows], "scores", marks=[(0.5, "chance")]))
    inside(tree)
    assert all(name in tree.get("aria-label") for name, *_ in rows)
    shown = sum(value is not None and value == value for _, value, _, _ in rows)
    assert len(tree.findall("circle")) == shown


@given(st.lists(st.tuples(NAMES, st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=5))
def test_bars_are_as_long_as_their_counts(rows):
    tree = drawing(svg.stacks([(name, counts) for name, *counts in rows], ("a", "b"), "counts"))
    inside(tree)
    longest = max(sum(counts) for _, *counts in rows) or 1
    widths = [float(box.get("width")) for box in tree.findall("rect")]
    assert widths == pytest.approx([388 * n / longest for _, *counts in rows for n in counts], abs=0.11)


@given(NAMES, st.lists(st.tuples(VALUES.filter(lambda value: value is not None), st.floats(0, 1)), max_size=9))
def test_lines_are_well_formed_and_inside(name, points):
    tree = drawing(svg.lines([svg.Curve(name, points, dots=True)], "curves", ("x", "y")))
    inside(tree)


@given(st.floats(-1000, 1000), st.floats(1e-3, 1000))
def test_ticks_are_few_round_and_inside(low, length):
    found = svg.ticks(low, low + length)
    assert 2 <= len(found) <= 5
    assert found == sorted(found)
    assert low - 1e-6 <= found[0]
    assert found[-1] <= low + length + 1e-6


def test_numbers_as_people_read_them():
    assert svg.number(-0.05, signed=True) == "−0.050"
    assert svg.number(0.05, 2, signed=True) == "+0.05"
    assert svg.number(None) == svg.number(float("nan")) == "undefined"
    assert svg.span(0.1, None) == ""
    assert svg.span(-0.1, 0.2, 1, signed=True) == "−0.1 to +0.2"


def test_a_long_label_is_cut_and_kept_for_the_pointer():
    name = "an exceedingly long name of a class that nobody can read"
    text = drawing(svg.intervals([svg.Row(name, 0.5, 0.4, 0.6)], "scores")).find("text")
    assert text.find("title").text == name
    assert text.find("title").tail.endswith("…")


def test_a_flow_says_who_leaves_and_where_the_rest_goes():
    steps = [svg.Step("surveyed", 90, [("unlabelled", "<5"), ("no recording", 3)]), svg.Step("tested", "withheld")]
    tree = drawing(svg.flow(steps, [("ill", 20), ("well", "<5"), ("called ill", 15)], "Flow"))
    said = "Flow: surveyed 90; left unlabelled <5; left no recording 3; tested withheld; ill 20; well <5; called ill 15"
    assert tree.get("aria-label") == said
    boxes = [one for one in tree.iter() if one.get("class") == "box"]
    assert len(boxes) == 5
    inside(tree)
    width, height = (float(side) for side in tree.get("viewBox").split()[2:])
    assert max(float(box.get("x")) + float(box.get("width")) for box in boxes) <= width
    assert max(float(box.get("y")) + float(box.get("height")) for box in boxes) <= height
