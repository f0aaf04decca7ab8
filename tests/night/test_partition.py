import hashlib
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.night.pools import RATIOS, deviation, part_counts

from evensong.keys import keyed_hash
from evensong.night import partition
from evensong.night.partition import Problem, assign, least_gap

SHARES = np.array([0.5, 0.3, 0.2])


def problem_of(files, shares=SHARES):
    """A problem from (n_groups, n_classes) files, at most two of them originals."""
    files = np.array(files, np.int64)
    groups, classes = np.nonzero(files)
    sizes = np.stack([files[groups, classes], np.minimum(files[groups, classes], 2)], axis=1)
    return Problem(groups, classes, sizes, np.asarray(shares), "key")


def cost(files, parts):
    counts = part_counts(np.array(files), parts, len(SHARES))
    return deviation(counts, SHARES) + 1000 * int((counts == 0).sum())


def neighbours(files, parts, n_parts):
    """What a move of one group, or an exchange of two, where one spans classes and the other shares one, makes."""
    holds = np.array(files) > 0
    for group in np.flatnonzero(holds.sum(axis=1) > 1):
        for part in range(n_parts):
            moved = parts.copy()
            moved[group] = part
            yield moved
        for other in np.flatnonzero((holds & holds[group]).any(axis=1)):
            swapped = parts.copy()
            swapped[[group, other]] = parts[[other, group]]
            yield swapped


two_classes = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(any), min_size=4, max_size=14).filter(
    lambda rows: all(sum(column) for column in zip(*rows, strict=True))
)


@pytest.mark.slow
@given(files=two_classes)
@settings(max_examples=30)
def test_assign_ends_where_no_move_and_no_exchange_helps(files):
    parts, _ = assign(problem_of(files))
    assert cost(files, parts) <= min((cost(files, other) for other in neighbours(files, parts, 3)), default=1e9) + 1e-8


@pytest.mark.slow
@given(files=two_classes.filter(lambda rows: len(rows) <= 7))
@example(files=[(1, 0), (1, 1), (2, 0), (2, 1)])  # three parts, and two groups of the second class
@settings(max_examples=20)
def test_assign_fills_every_part_where_any_assignment_does_and_is_rightly_called_exact(files):
    best = min(cost(files, np.array(parts)) for parts in product(range(3), repeat=len(files)))
    parts, is_exact = assign(problem_of(files))
    found = cost(files, parts)
    assert (found >= 1000) == (best >= 1000)
    if is_exact:
        assert found == pytest.approx(best)


def cost_of_class(files, parts, label):
    counts = part_counts(np.array(files), parts, len(SHARES))[:, label]
    return float(np.abs(counts - SHARES * counts.sum()).sum()) + 1000 * int((counts == 0).sum())


@given(files=two_classes.filter(lambda rows: len(rows) <= 7), work=st.integers(0, 4_000))
@example(files=[(9, 1), (2, 7), (4, 4), (3, 0), (2, 0), (1, 0), (0, 5)], work=900)
@settings(max_examples=30)
def test_assign_divides_what_a_class_has_to_itself_as_near_as_can_be_even_where_work_runs_out(files, work):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "_LEAST_WORK", work)
        patch.setattr(partition, "_WORK_AN_ENTRY", 0)
        parts, _ = assign(problem_of(files))
    for label in range(2):
        own = [group for group, row in enumerate(files) if row[label] and not row[1 - label]]
        others = [parts.copy() for _ in range(3 ** len(own))]
        for other, choice in zip(others, product(range(3), repeat=len(own)), strict=True):
            other[own] = choice
        assert cost_of_class(files, parts, label) <= min(cost_of_class(files, other, label) for other in others) + 1e-9


def test_assign_places_groups_that_span_classes_where_a_class_is_missing_at_first(monkeypatch):
    monkeypatch.setattr(partition._Search, "_climb", lambda *_: False)
    parts, _ = assign(problem_of([(9, 1), (2, 9), (1, 2)], (0.98, 0.01, 0.01)))
    assert sorted(parts) == [0, 1, 2]


def test_assign_work_is_bounded_by_the_entries(monkeypatch):
    spent = []
    run = partition._Search.run

    def counted(search, start):
        spent.append((run(search, start), search.work))
        return spent[-1][0]

    monkeypatch.setattr(partition._Search, "run", counted)
    parts, is_exact = assign(problem_of(np.random.default_rng(0).integers(1, 9, (400, 12))))
    assert not is_exact
    assert set(parts) == {0, 1, 2}
    assert min(work for work, _ in spent) > 0
    assert sum(work for work, _ in spent) < 2 * spent[0][1] + 400 * 12  # a start begun, and a look begun, end


def test_least_gap_values_worked_by_hand():
    assert least_gap(500, np.array(RATIOS), step=20) == 20  # 400, 60, 40
    assert least_gap(500, np.array(RATIOS), step=1) == 0
    assert least_gap(7, np.array([0.5, 0.5]), step=1) == 1  # 3 and 4 of 3.5
    assert least_gap(60, np.full(7, 1 / 7), step=1) == pytest.approx(2 * 4 * (9 - 60 / 7), abs=1e-5)


def test_problem_counts_and_gaps_worked_by_hand():
    problem = problem_of([[1, 0], [2, 5], [4, 1]], (0.5, 0.25, 0.25))
    counts = problem.counts(np.array([1, 0, 1]))
    assert counts[..., 0].tolist() == [[2, 5, 0], [5, 1, 0]]
    assert problem.gaps(counts)[:, 0].tolist() == [1.5 + 3.25 + 1.75, 2 + 0.5 + 1.5]


def drawn_problem(name, number, n_groups, shares):
    """Groups of 1 to 40 files and of one of five classes or, unless they are private, up to three; drawn by hashes."""
    rows, key = [], f"{name} {number}"
    for group in range(n_groups):
        n_classes = 1 + keyed_hash(key, "classes", group) % (1 if name == "private" else 3)
        for label in sorted({(group + keyed_hash(key, "label", group, n) * n) % 5 for n in range(n_classes)}):
            files = 1 + keyed_hash(key, "files", group, label) % 40
            rows.append((group, label, files, 1 + keyed_hash(key, "originals", group, label) % files))
    groups, classes, files, originals = np.array(rows, np.int64).T
    return Problem(groups, classes, np.stack([files, originals], axis=1), np.asarray(shares), key)


# Whoever runs a newer version on the same data keeps the same split: a change of these lines is one for CHANGELOG.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_groups", "shares", "expected"),
    [
        ("private", 60, (0.8, 0.1, 0.1), "5bb22bf5083c"),
        ("private", 90, (0.2,) * 5, "4af6888e10a6"),
        ("spanning", 12, (0.5, 0.3, 0.2), "4d022b50ecb8"),
        ("spanning", 24, (0.6, 0.2, 0.2), "32566bf76955"),
        ("spanning", 70, (0.8, 0.1, 0.1), "370ebb173c95"),
        ("crowded", 200, (0.25,) * 4, "9deac66a6617"),
    ],
)
def test_assignments_are_pinned(name, n_groups, shares, expected):
    digest = hashlib.sha256()
    for number in range(5):
        parts, is_exact = assign(drawn_problem(name, number, n_groups, shares))
        digest.update(parts.astype("<i8").tobytes() + bytes([is_exact]))
    assert digest.hexdigest()[:12] == expected
