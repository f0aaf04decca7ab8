from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
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
