from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evensong.errors import ResourceError
from evensong.voice.disclosure import (
    WITHHELD,
    is_small,
    positions,
    told,
    told_parts,
    told_split,
    unnamed_os_errors,
    untold_scores,
)

COUNTS = st.lists(st.integers(0, 7), min_size=2, max_size=4)


def parts_of(counts):
    return {f"reason{place}": count for place, count in enumerate(counts)}


def test_told_hides_one_to_four_patients():
    assert [told(count) for count in (0, 1, 4, 5, 100)] == [0, "<5", "<5", 5, 100]


@pytest.mark.parametrize(
    ("patients", "positives", "shown"),
    [
        (20, 10, (20, 10)),
        (20, 3, (20, "<5")),
        (20, 18, (20, "<5")),  # 2 others would follow from 20 - 18
        (20, 0, (20, 0)),
        (3, 0, ("<5", "<5")),
        (0, 0, (0, 0)),
    ],
)
def test_told_split_hides_positives_from_which_few_patients_follow(patients, positives, shown):
    assert told_split(patients, positives) == shown


@given(COUNTS)
def test_told_parts_tells_all_or_nothing_small(counts):
    shown = told_parts(parts_of(counts))
    assert not any(is_small(count) for count in shown.values() if count != WITHHELD)
    assert all(shown[name] in (count, WITHHELD) for name, count in parts_of(counts).items())
    if not any(map(is_small, counts)):
        assert shown == parts_of(counts)


@settings(max_examples=40)
@given(COUNTS)
def test_no_withheld_part_follows_from_the_sum_and_the_others(counts):
    # All tables with this sum that would be shown in the same way, also to a reader who knows the rule.
    shown = told_parts(parts_of(counts))
    alike = [
        other
        for other in product(range(sum(counts) + 1), repeat=len(counts))
        if sum(other) == sum(counts) and told_parts(parts_of(other)) == shown
    ]
    assert tuple(counts) in alike
    for place, count in enumerate(shown.values()):
        assert (len({other[place] for other in alike}) > 1) == (count == WITHHELD)


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ((30, 0, 0), (30, 0, 0)),
        ((30, 2, 0), (30, WITHHELD, WITHHELD)),
        ((3, 0, 0), (WITHHELD, WITHHELD, WITHHELD)),
        ((30, 8, 2), (30, WITHHELD, WITHHELD)),  # 10 in all: 8 goes with 2
        ((30, 8, 8, 2), (30, WITHHELD, WITHHELD, WITHHELD)),
        ((30, 1, 1), (WITHHELD, WITHHELD, WITHHELD)),  # 2 in all could only be 1 and 1, or 2 and a shown 0
    ],
)
def test_told_parts_worked_by_hand(counts, shown):
    assert tuple(told_parts(parts_of(counts)).values()) == shown


def test_told_parts_goes_by_the_patients_behind_the_files():
    recordings, patients = parts_of([40, 6, 0]), parts_of([20, 2, 0])
    assert tuple(told_parts(recordings, patients).values()) == (40, WITHHELD, WITHHELD)
    assert told_parts(recordings, parts_of([20, 6, 0])) == recordings


def test_positions_joins_runs_and_cuts_long_lists():
    assert positions([9, 3, 5, 6, 7, 3]) == "3, 5-7, 9"
    cut = positions(range(0, 100, 2))
    assert cut.startswith("0, 2, 4, ")
    assert cut.endswith(", 76, 78 and 10 more")


def test_unnamed_os_errors_keeps_the_reason_and_drops_the_name(tmp_path):
    with pytest.raises(ResourceError, match="No such file") as caught, unnamed_os_errors("reading"):
        (tmp_path / "secret-id").read_bytes()
    assert "secret-id" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("n", "n_positive", "is_hidden"), [(12, 3, True), (12, 9, True), (12, 6, False), (12, 0, False)]
)
def test_shares_of_a_class_of_few_patients_are_not_told(n, n_positive, is_hidden):
    assert untold_scores(n, n_positive) == (frozenset({"sensitivity", "specificity"}) if is_hidden else frozenset())
