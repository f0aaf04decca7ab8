from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.night.pools import RATIOS, counts_of, pool_of, private

from evensong.night.split import split_groups
from evensong.night.subset_sum import MAX_WORK, SCALE, Budget, OwnGroups


def own_groups(sizes, shares, held=None, lacks=True):
    """A class's own groups; held: (n_parts, 2) files and originals that groups of several classes brought."""
    sizes = np.array(sizes, np.int64)
    held = np.zeros((len(shares), 2), np.int64) if held is None else np.array(held, np.int64)
    scaled = np.rint(np.array(shares) * SCALE).astype(np.int64)
    targets = scaled[:, None] * (sizes.sum(axis=0) + held.sum(axis=0)) - SCALE * held
    return OwnGroups(sizes, targets, np.full(len(shares), lacks), "k")


@given(
    groups=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=3, max_size=7),
    shares=st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.34, 0.33, 0.33)]),
    held=st.none() | st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=3, max_size=3),
)
@settings(max_examples=30)
def test_divide_is_lexicographically_best_in_files_then_originals(groups, shares, held):
    own = own_groups([(2 * n + min(extra, n), n) for n, extra in groups], shares, held)
    everything = [np.array(p) for p in product(range(3), repeat=len(groups)) if len(set(p)) == 3]
    best = min(own.gaps(parts) for parts in everything)
    for parts in (own.fill(), everything[-1]):
        assert own.gaps(own.divide(parts, Budget())) == best
    solved, is_exact, _ = own.solve(np.zeros(2))
    assert is_exact
    assert own.gaps(solved) == best
    assert set(solved) == {0, 1, 2}


def states_worth_a_visit(own, parts):
    """How many ways to hold files and originals there are in all, group after group, in which no part is fuller than
    in a division nearer than the given one, and a file more."""
    slack = (np.abs(own._excess(parts)[:, 0]).sum() + own._excess(parts)[:, 0].sum()) // 2
    most = [(int(target) + int(slack)) // SCALE + 1 for target in own.targets[:, 0]]
    layer, n_states = {((0, 0),) * len(most)}, 0
    for size in own.sizes[np.argsort(-own.sizes[:, 0], kind="stable")].tolist():
        layer = {
            (*held[:part], (held[part][0] + size[0], held[part][1] + size[1]), *held[part + 1 :])
            for held in layer
            for part in range(len(most))
            if held[part][0] + size[0] <= most[part]
        }
        n_states += len(layer)
    return n_states


@given(
    groups=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=3, max_size=7),
    shares=st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.5, 0.5)]),
)
@example(groups=[(4, 4), (3, 2), (2, 0), (1, 1), (1, 0)], shares=(0.5, 0.25, 0.25))
@settings(max_examples=30)
def test_divide_visits_what_could_be_nearer_and_nothing_else(groups, shares):
    own = own_groups([(2 * n + min(extra, n), n) for n, extra in groups], shares)
    parts, budget = own.fill(), Budget()
    own.divide(parts, budget)
    assert MAX_WORK - budget.left == states_worth_a_visit(own, parts) + 100 * len(groups)


def test_divide_gives_the_parts_back_where_numbers_would_overflow():
    own = own_groups([(25_000, 20_000)] * 4 + [(1, 1)] * 2, (1 / 3,) * 3)  # (100,003 x 80,003)**2 is beyond 64 bits
    parts, budget = own.fill(), Budget()
    assert own.divide(parts, budget) is parts
    assert budget.left < 0


@pytest.mark.parametrize(
    ("files", "originals", "is_beyond"),
    [(40_000, 40_000, False), (65_535, 32_767, True), (49_600, 49_600, True)],  # 2**61.2, 2**62 and 2**62.4 states
)
def test_divide_counts_states_up_to_62_bits(files, originals, is_beyond):
    first = [(1, 1), (2, 2), (3, 3)]
    own = own_groups([*first, (files - 6, originals - 6)], (1 / 3,) * 3)
    parts, budget = own.fill(), Budget()
    assert (own.divide(parts, budget) is parts) == is_beyond
    assert (budget.left < 0) == is_beyond


def test_divide_lets_the_key_decide_between_equals():
    sizes, targets = np.array([[2, 1]]), np.full((2, 2), SCALE)
    found = [
        OwnGroups(sizes, targets, np.zeros(2, bool), f"{n}").divide(np.zeros(1, np.int64), Budget()).item()
        for n in range(20)
    ]
    assert set(found) == {0, 1}


def test_a_budget_may_be_spent_to_its_end():
    budget = Budget(5)
    assert budget.spend(2)
    assert budget.spend(3)
    assert not budget.spend(1)


def test_divide_gives_the_parts_back_where_the_budget_ends_midway():
    own = own_groups([(4, 1), (3, 1), (2, 1)], (0.5, 0.5))
    parts = own.fill()
    for left in (0, 150, 250):
        assert own.divide(parts, Budget(left)) is parts


def test_solve_stops_at_the_least_gap_and_claims_no_more_than_it_knows():
    own = own_groups([(3, 1), (3, 1), (3, 1), (2, 1)], (0.5, 0.5))  # 6 and 5 of 5.5, however they are divided
    assert own.solve(np.array([1, 9]))[1:] == (True, 0)
    assert own.solve(np.array([1 - 1e-5, 9]))[1] is True  # two parts: no others are nearer
    assert 400 < own.solve(np.array([1 - 1e-5, 9]))[2] < 450  # a hundred a group, and the states
    for shares in ((0.25,) * 4, (0.2,) * 5):
        own = own_groups([(3, 1)] * 6, shares)
        assert own.solve(np.zeros(2))[1] is False  # none is nearer, but not all were tried


def test_solve_proves_nothing_where_the_budget_ends(monkeypatch):
    monkeypatch.setattr("evensong.night.subset_sum.Budget", lambda: Budget(300))
    parts, is_exact, _ = own_groups([(3, 1)] * 4, (1 / 3,) * 3).solve(np.zeros(2))
    assert set(parts) == {0, 1, 2}
    assert not is_exact


def test_fill_gives_the_next_largest_to_the_part_that_wants_most():
    assert own_groups([(3, 1), (1, 1), (1, 1), (1, 1)], (0.5, 0.5)).fill().tolist() == [0, 1, 1, 1]
    assert own_groups([(3, 3), (2, 2), (5, 1)], (0.5, 0.5)).fill().tolist() == [1, 1, 0]


def test_fill_goes_by_files_then_by_originals():
    own = own_groups([(4, 1), (4, 4), (2, 1), (2, 1), (1, 1), (1, 1)], (0.5, 0.5))
    assert own.fill().tolist() == [1, 0, 1, 0, 1, 0]  # (4, 4), (4, 1), and then the second part has fewer originals


def test_divide_gives_the_parts_back_where_there_are_too_many_states():
    rng = np.random.default_rng(0)
    originals = rng.integers(1, 50, 3000)
    own = own_groups(np.stack([originals * 2 + rng.integers(0, 50, 3000), originals], axis=1), (1 / 3,) * 3)
    parts, budget = own.fill(), Budget()
    assert own.divide(parts, budget) is parts
    assert budget.left < 0


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12), lacks=st.booleans())
@settings(max_examples=30)
def test_fill_gives_every_part_that_lacks_the_class_a_group_while_there_are_any(sizes, lacks):
    own = own_groups([(2 * n, n) for n in sizes], (0.5, 0.3, 0.2), lacks=lacks)
    n_filled = len(set(own.fill().tolist()))
    assert n_filled >= (min(3, len(sizes)) if lacks else 1)


@pytest.mark.parametrize("n_sources", [100, 350])
def test_350_clips_in_10_folds_are_even_for_little_work(n_sources, monkeypatch):
    budgets = []

    class Counted(Budget):
        def __init__(self):
            super().__init__()
            budgets.append(self)

    monkeypatch.setattr("evensong.night.subset_sum.Budget", Counted)
    originals = [("owl", f"site{n % n_sources if n % 3 else n % 7}") for n in range(350 - n_sources)]
    pool = pool_of(originals + [("owl", f"site{n}") for n in range(n_sources)])
    extra = pool.sample(150, random_state=1).assign(is_augmented=1)
    split = split_groups(pd.concat([pool, extra]), np.full(10, 0.1), part_names=list("0123456789"), seed=1)
    assert split.quality["gap_files"].item() == 0
    assert sum(MAX_WORK - budget.left for budget in budgets) < 400_000


def test_without_any_budget_every_fold_is_still_filled(monkeypatch):
    monkeypatch.setattr("evensong.night.subset_sum.Budget", lambda: Budget(0))
    pool = pool_of(private([1, 2, 3, 5, 7, 11, 13] * 4))
    for shares in (RATIOS, np.full(8, 1 / 8)):
        split = split_groups(pool, shares, part_names=[str(n) for n in range(len(shares))], seed=1)
        assert counts_of(pool, split, len(shares)).min() > 0
