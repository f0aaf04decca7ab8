import hashlib
from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from evensong.errors import DataError
from evensong.night.partition import part_counts, relative_gap
from evensong.night.split import group_table, least_gap, preset_split, split_groups
from evensong.night.subset_sum import MAX_STATES, SCALE, Budget, Sizes, Targets, split_exactly

SPLITS = ("train", "val", "test")
RATIOS = (0.8, 0.1, 0.1)
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def pool_of(originals, copies=0):
    """A pool from (class, source) pairs, one an original; every original gets the same number of copies."""
    rows = []
    for n, (class_name, source) in enumerate(originals):
        digest = hashlib.sha256(f"{n} {class_name} {source}".encode()).hexdigest()
        rows += [
            {
                "class_name": str(class_name),
                "source_id": str(source),
                "is_augmented": int(copy > 0),
                "pcm_sha256": digest,
                "original_file": f"{class_name}/{n}.wav",
            }
            for copy in range(copies + 1)
        ]
    return pd.DataFrame(rows)


def private(sizes, class_name="owl"):
    return [(class_name, f"{class_name}{group}") for group, size in enumerate(sizes) for _ in range(size)]


def counts_of(pool, split, n_parts, column="files"):
    table = group_table(pool)
    counts = np.zeros((n_parts, table["class_name"].nunique()), int)
    classes = {name: k for k, name in enumerate(sorted(table["class_name"].unique()))}
    for row in table.itertuples():
        counts[split.parts[row.source_id], classes[row.class_name]] += getattr(row, column)
    return counts


sizes_of_groups = st.lists(st.integers(1, 6), min_size=3, max_size=40)


@given(sizes=sizes_of_groups, copies=st.integers(0, 12), seed=st.integers(0, 99))
@settings(max_examples=30, suppress_health_check=SLOW)
def test_split_groups_is_a_partition_of_whole_groups_with_every_class_in_every_split(sizes, copies, seed):
    pool = pool_of(private(sizes) + private(sizes[::-1], "crow"), copies)
    split = split_groups(pool, RATIOS, part_names=SPLITS, seed=seed)
    assert set(split.parts) == set(pool["source_id"])
    counts = counts_of(pool, split, 3)
    assert counts.min() > 0
    assert counts.sum() == len(pool)
    # Within the largest group of the wanted number, in both small splits, and so within two of them in the large one.
    wanted = np.outer(RATIOS, counts.sum(axis=0))
    assert np.abs(counts - wanted).max() <= 2 * max(sizes) * (copies + 1)


@given(sizes=st.lists(st.integers(1, 5), min_size=3, max_size=7), copies=st.integers(0, 3))
@settings(max_examples=30)
def test_split_groups_is_as_near_as_any_assignment_of_a_small_class(sizes, copies):
    pool = pool_of(private(sizes), copies)
    split = split_groups(pool, (0.6, 0.2, 0.2), part_names=SPLITS, seed=1)
    files = np.array(sizes) * (copies + 1)
    best = min(
        np.abs(np.bincount(parts, files, 3) - np.array([0.6, 0.2, 0.2]) * files.sum()).sum()
        for parts in product(range(3), repeat=len(sizes))
        if len(set(parts)) == 3
    )
    assert split.quality["gap_files"].item() == pytest.approx(best)
    assert split.quality["least_gap_files"].item() == pytest.approx(best)
    assert split.quality["is_optimal"].item()


@given(
    groups=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=3, max_size=7),
    shares=st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.34, 0.33, 0.33)]),
)
@settings(max_examples=30)
def test_split_exactly_is_lexicographically_best_in_files_then_originals(groups, shares):
    originals = np.array([size for size, _ in groups])
    files = 2 * originals + np.minimum([extra for _, extra in groups], originals)
    scaled = np.rint(np.array(shares) * SCALE).astype(np.int64)
    targets = Targets(scaled * files.sum(), scaled * originals.sum())
    parts = split_exactly(Sizes(files, originals), targets, key="k", budget=Budget())

    def gaps(assignment):
        return tuple(
            int(np.abs(np.bincount(assignment, sizes, 3).astype(np.int64) * SCALE - wanted).sum())
            for sizes, wanted in ((files, targets.files), (originals, targets.originals))
        )

    everything = (np.array(p) for p in product(range(3), repeat=len(groups)) if len(set(p)) == 3)
    assert gaps(parts) == min(gaps(assignment) for assignment in everything)


def test_split_exactly_gives_up_on_too_many_states():
    rng = np.random.default_rng(0)
    originals = rng.integers(1, 50, 3000)
    sizes = Sizes(originals * 2 + rng.integers(0, 50, 3000), originals)
    shares = np.full(3, SCALE // 3)
    assert (
        split_exactly(sizes, Targets(shares * sizes.files.sum(), shares * originals.sum()), key="k", budget=Budget())
        is None
    )


@given(sizes=sizes_of_groups, seed=st.integers(0, 9), order=st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_split_groups_does_not_depend_on_row_order_or_names(sizes, seed, order):
    pool = pool_of(private(sizes) + private(sizes, "crow") + [("owl", "both"), ("crow", "both")], 1)
    split = split_groups(pool, RATIOS, part_names=SPLITS, seed=seed)
    sources = sorted(pool["source_id"].unique())
    names = sources.copy()
    order.shuffle(names)
    other = pool.sample(frac=1, random_state=order.randint(0, 99))
    other = other.assign(
        source_id=other["source_id"].map(dict(zip(sources, names, strict=True))),
        class_name=other["class_name"].map({"owl": "a", "crow": "z"}),
    )
    renamed = split_groups(other, RATIOS, part_names=SPLITS, seed=seed)
    assert {new: split.parts[old] for old, new in zip(sources, names, strict=True)} == renamed.parts


@given(sizes=sizes_of_groups, added=sizes_of_groups)
@settings(max_examples=15)
def test_split_groups_adding_a_class_moves_no_other(sizes, added):
    owls = split_groups(pool_of(private(sizes), 2), RATIOS, part_names=SPLITS, seed=7)
    both = split_groups(pool_of(private(sizes) + private(added, "crow"), 2), RATIOS, part_names=SPLITS, seed=7)
    assert {source: both.parts[source] for source in owls.parts} == owls.parts


@given(
    placed=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 30), st.sampled_from([1, 1, 2, 3, 9])), min_size=25, max_size=60
    ),
    k=st.integers(2, 5),
)
@settings(max_examples=15, suppress_health_check=SLOW)
def test_split_groups_folds_are_never_further_from_the_shares_than_scikit_learn(placed, k):
    sources_of = pd.DataFrame(placed).drop_duplicates([0, 1]).groupby(0).size()
    assume(sources_of.min() >= k)
    pool = pool_of([(name, source) for name, source, size in placed for _ in range(size)])
    names = [f"fold_{fold}" for fold in range(k)]
    try:
        split = split_groups(pool, np.full(k, 1 / k), part_names=names, seed=3)
    except DataError:
        pytest.fail("a class with k sources did not get into every fold")
    ours = counts_of(pool, split, k)
    assert ours.min() > 0
    folds = StratifiedGroupKFold(k).split(pool, pool["class_name"], pool["source_id"])
    classes = pd.Categorical(pool["class_name"]).codes
    theirs = np.array([np.bincount(classes[test], minlength=ours.shape[1]) for _, test in folds])
    shares = np.full(k, 1 / k)
    if theirs.min() > 0:  # it may leave a class out of a fold, which is refused here
        assert relative_gap(ours, shares) <= relative_gap(theirs, shares) + 1e-9


@pytest.mark.parametrize(
    ("labels", "groups", "k"),
    [
        # scikit-learn #28218: few groups, a class in exactly k of them.
        ([0, 0, 0, 0, 1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], 2),
        # scikit-learn #33085: one large group and many small ones left folds empty.
        ([0] * 50 + [0, 1] * 10, [99] * 50 + list(range(20)), 4),
        # scikit-learn #34828: as many groups as folds.
        ([0, 1, 0, 1, 0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], 5),
    ],
)
def test_split_groups_fills_every_fold_where_scikit_learn_did_not(labels, groups, k):
    pool = pool_of(list(zip(labels, groups, strict=True)))
    split = split_groups(pool, np.full(k, 1 / k), part_names=[f"fold_{n}" for n in range(k)], seed=0)
    assert counts_of(pool, split, k).min() > 0


def test_split_groups_500_files_of_25_clips_reach_what_can_be_reached():
    pool = pool_of(private([1] * 25), copies=19)  # 25 groups of 20: 50 is unreachable, 40 and 60 are nearest
    split = split_groups(pool, RATIOS, part_names=SPLITS, seed=42)
    counts = counts_of(pool, split, 3).ravel().tolist()
    assert sum(counts) == 500
    assert split.quality["gap_files"].item() == 20
    assert split.quality["least_gap_files"].item() == 20
    assert split.quality["is_optimal"].item()


def test_split_groups_40_clips_of_500_files_are_exactly_400_50_50():
    originals = private([1] * 40)
    pool = pool_of(originals, copies=11)
    extra = pool[pool["is_augmented"] == 0].head(20).assign(is_augmented=1)  # 40 x 12 + 20 = 500
    pool = pd.concat([pool, extra])
    split = split_groups(pool, RATIOS, part_names=SPLITS, seed=42)
    assert counts_of(pool, split, 3).ravel().tolist() == [400, 50, 50]
    assert counts_of(pool, split, 3, "originals").ravel().tolist() == [32, 4, 4]


def test_split_groups_among_equal_file_counts_takes_the_nearest_originals():
    # Two sources of 6 files from 3 originals, two of 6 files from 6: 12/6/6 either way, 9/4.5/4.5 originals wanted.
    rows = []
    for source, n in (("a", 3), ("b", 3), ("c", 6), ("d", 6)):
        part = pool_of([("owl", source)] * n)
        rows += [part.assign(pcm_sha256=part["pcm_sha256"] + source)]
        if n == 3:
            rows += [rows[-1].assign(is_augmented=1)]
    pool = pd.concat(rows)
    split = split_groups(pool, (0.5, 0.25, 0.25), part_names=SPLITS, seed=0)
    assert counts_of(pool, split, 3).ravel().tolist() == [12, 6, 6]
    assert counts_of(pool, split, 3, "originals").ravel()[0] == 9


def test_split_groups_spanning_groups_stay_whole_and_every_class_is_everywhere():
    originals = [(name, f"site{site}") for site in range(12) for name in ("owl", "crow", "wren") for _ in range(3)]
    pool = pool_of(originals, copies=2)
    split = split_groups(pool, (0.5, 0.25, 0.25), part_names=SPLITS, seed=1)
    assert counts_of(pool, split, 3).tolist() == [[54] * 3, [27] * 3, [27] * 3]
    assert split.quality["is_optimal"].all()


@pytest.mark.parametrize("n_sources", [1, 2])
def test_split_groups_class_with_too_few_sources_is_named(n_sources):
    pool = pool_of(private([4] * n_sources) + private([1] * 9, "crow"))
    with pytest.raises(DataError, match=f"class owl: {n_sources} sources?; 3 parts .* add clips of other sources"):
        split_groups(pool, RATIOS, part_names=SPLITS, seed=42)


def test_split_groups_impossible_joint_assignment_names_the_class():
    # owl is in sites 0 to 2, crow in the same three sites, wren in site 0 and nowhere else but 1 and 2 together.
    originals = [("owl", "x"), ("owl", "y"), ("owl", "z"), ("crow", "x"), ("crow", "y"), ("wren", "x")]
    with pytest.raises(DataError, match="class crow: 2 sources; class wren: 1 source;"):
        split_groups(pool_of(originals), RATIOS, part_names=SPLITS, seed=42)


@given(sizes=st.lists(st.integers(1, 3), min_size=5, max_size=30), k=st.integers(2, 5), seed=st.integers(0, 9))
@settings(max_examples=15)
def test_split_groups_folds_test_every_group_once(sizes, k, seed):
    pool = pool_of(private(sizes), 3)
    split = split_groups(pool, np.full(k, 1 / k), part_names=[str(n) for n in range(k)], seed=seed)
    assert sorted(Counter(split.parts.values())) == list(range(k))
    assert set(split.parts) == set(pool["source_id"])


@pytest.mark.parametrize("n_sources", [100, 350])
def test_split_groups_350_clips_in_10_folds_are_even_for_little_work(n_sources, monkeypatch):
    budgets = []

    class Counted(Budget):
        def __init__(self):
            super().__init__()
            budgets.append(self)

    monkeypatch.setattr("evensong.night.split.Budget", Counted)
    originals = [("owl", f"site{n % n_sources if n % 3 else n % 7}") for n in range(350 - n_sources)]
    pool = pool_of(originals + [("owl", f"site{n}") for n in range(n_sources)])
    extra = pool.sample(150, random_state=1).assign(is_augmented=1)
    split = split_groups(pd.concat([pool, extra]), np.full(10, 0.1), part_names=list("0123456789"), seed=1)
    assert split.quality["gap_files"].item() == 0
    assert len(budgets) == 1
    assert MAX_STATES - budgets[0].left < 400_000


def test_split_groups_without_any_budget_still_fills_every_fold(monkeypatch):
    monkeypatch.setattr("evensong.night.split.Budget", lambda: Budget(0))
    pool = pool_of(private([1, 2, 3, 5, 7, 11, 13] * 4))
    for shares in (RATIOS, np.full(8, 1 / 8)):
        split = split_groups(pool, shares, part_names=[str(n) for n in range(len(shares))], seed=1)
        assert counts_of(pool, split, len(shares)).min() > 0


def test_least_gap_values_worked_by_hand():
    assert least_gap(500, np.array(RATIOS), step=20) == 20  # 400, 60, 40
    assert least_gap(500, np.array(RATIOS), step=1) == 0
    assert least_gap(7, np.array([0.5, 0.5]), step=1) == 1  # 3 and 4 of 3.5
    assert least_gap(60, np.full(7, 1 / 7), step=1) == pytest.approx(2 * 4 * (9 - 60 / 7), abs=1e-5)


def test_preset_split_refuses_a_source_in_two_folds():
    pool = pool_of([("owl", "a"), ("owl", "a"), ("owl", "b")])
    values = dict(zip(pool["original_file"], ["1", "2", "1"], strict=True))
    with pytest.raises(DataError, match="two preset folds"):
        preset_split(pool, values, n_parts=2, order=["1", "2"])


def test_part_counts_adds_up():
    sizes = np.array([[1, 0], [2, 5], [4, 1]])
    assert part_counts(sizes, np.array([1, 0, 1]), 3).tolist() == [[2, 5], [5, 1], [0, 0]]
