from itertools import product

import numpy as np
import pytest
from evensong.night.exact import prove
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evensong.night.partition import Problem, part_counts, relative_gap, search

SHARES = np.array([0.5, 0.3, 0.2])


def problem_of(files, shares=SHARES):
    files = np.array(files, np.int64)
    return Problem(files, np.minimum(files, 2), np.asarray(shares), tuple(f"key{n}" for n in range(len(files))))


def cost(problem, parts):
    present = part_counts((problem.files > 0).astype(np.int64), parts, len(problem.shares))
    gap = relative_gap(part_counts(problem.files, parts, len(problem.shares)), problem.shares)
    return gap + 1000 * int((present == 0).sum())


def neighbours(parts, n_parts):
    for group, part in product(range(len(parts)), range(n_parts)):
        moved = parts.copy()
        moved[group] = part
        yield moved
    for left, right in product(range(len(parts)), repeat=2):
        swapped = parts.copy()
        swapped[[left, right]] = parts[[right, left]]
        yield swapped


two_classes = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(any), min_size=4, max_size=14).filter(
    lambda rows: all(sum(column) for column in zip(*rows, strict=True))
)


@given(files=two_classes, seed=st.integers(0, 5))
@settings(max_examples=30)
def test_search_ends_where_no_move_and_no_swap_helps(files, seed):
    problem = problem_of(files)
    parts = search(problem, seed=seed, starts=1)
    assert cost(problem, parts) <= min(cost(problem, other) for other in neighbours(parts, 3)) + 1e-8


@given(files=two_classes.filter(lambda rows: len(rows) <= 7))
@example(files=[(1, 0), (1, 1), (2, 0), (2, 1)])  # three parts, and two groups of the second class
@settings(max_examples=20)
def test_prove_gives_the_best_of_all_assignments_that_fill_every_part(files):
    problem = problem_of(files)
    everything = (np.array(parts) for parts in product(range(3), repeat=len(files)))
    best = min(cost(problem, parts) for parts in everything)
    parts, is_proved = prove(problem, search(problem, seed=1))
    if best >= 1000:  # no assignment gives every part every class
        assert not is_proved
        assert cost(problem, parts) >= 1000
    else:
        assert is_proved
        assert cost(problem, parts) == pytest.approx(best)


def test_prove_leaves_large_problems_alone():
    problem = problem_of(np.random.default_rng(0).integers(1, 9, (200, 3)))
    parts = search(problem, seed=1, starts=1)
    found, is_proved = prove(problem, parts)
    assert found is parts
    assert not is_proved


def test_relative_gap_of_a_table_worked_by_hand():
    counts = np.array([[5, 2], [3, 1], [2, 1]])  # shares .5 .3 .2 and .5 .25 .25 of the wanted .5 .3 .2
    assert relative_gap(counts, SHARES) == pytest.approx(0.1)
