import hashlib
import warnings
from collections import Counter
from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold
from tests.night.pools import RATIOS, SPLITS, counts_of, deviation, part_counts, pool_of, pool_of_table, private

from evensong.errors import DataError
from evensong.night.plan import allot_copies
from evensong.night.split import preset_split, split_groups

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]

sizes_of_groups = st.lists(st.integers(1, 6), min_size=3, max_size=40)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def can_fill_every_part(holds, n_parts):
    """Whether whole groups can give every part every class, by trying everything; holds is (n_groups, n_classes)."""
    everything = (1 << holds.shape[1]) - 1
    masks = sorted((sum(1 << int(column) for column in np.flatnonzero(row)) for row in holds), key=int.bit_count)[::-1]
    reached = {(0,) * n_parts}
    for mask in masks:
        reached |= {
            tuple(sorted((*parts[:part], parts[part] | mask, *parts[part + 1 :])))
            for parts in reached
            for part in range(n_parts)
        }
    return (everything,) * n_parts in reached


def random_pool(seed):
    """A pool of any shape: private groups or groups that span classes, of unlike sizes, balanced by copies or not."""
    rng = np.random.default_rng(seed)
    is_large = seed % 40 == 39 or seed % 100 == 0
    n_classes = int(rng.integers(2, 5))
    n_groups = int(rng.integers(54, 60) if is_large else rng.integers(6, 11))
    holds = np.eye(n_classes, dtype=bool)[np.arange(n_groups) % n_classes]
    if seed // 2 % 2:
        holds |= rng.random((n_groups, n_classes)) < rng.uniform(0.4, 0.9)
    originals = np.minimum(rng.geometric(0.4, holds.shape), 9) * holds
    target = int(rng.choice([0, 200 if is_large else 40]))
    rows = []
    for column in np.flatnonzero(originals.sum(axis=0)):
        source_of = {
            hashlib.sha256(f"{seed} {column} {group} {n}".encode()).hexdigest(): f"site{group}"
            for group in range(n_groups)
            for n in range(originals[group, column])
        }
        copies = allot_copies(list(source_of), target, max_copies=target + 1, seed=seed)
        for digest, source in source_of.items():
            rows += [(f"class{column}", source, int(copy > 0), digest) for copy in range(copies[digest] + 1)]
    return pd.DataFrame(rows, columns=["class_name", "source_id", "is_augmented", "pcm_sha256"])


def files_of(pool):
    """(n_groups, n_classes) files, and the groups' names."""
    groups, names = pd.factorize(pool["source_id"], sort=True)
    classes, class_names = pd.factorize(pool["class_name"], sort=True)
    files = np.zeros((len(names), len(class_names)), int)
    np.add.at(files, (groups, classes), 1)
    return files, list(names)


def scikit_learn_folds(pool, k):
    """(k, n_classes) files of the test folds of StratifiedGroupKFold, or None where it refuses."""
    classes = pd.Categorical(pool["class_name"]).codes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            folds = [test for _, test in StratifiedGroupKFold(k).split(pool, classes, pool["source_id"])]
        except ValueError:
            return None
    return np.array([np.bincount(classes[test], minlength=classes.max() + 1) for test in folds])


def best_of_scikit_learn(pool, shares, k):
    """The least deviation among its folds, or among all single splits that two of them leave; None where none fits."""
    folds = scikit_learn_folds(pool, k)
    if folds is None:
        return None
    options = [folds]
    if len(shares) == 3 and k > 3:
        options = [
            np.array([folds.sum(axis=0) - folds[a] - folds[b], folds[a], folds[b]])
            for a, b in permutations(range(k), 2)
        ]
    return min((deviation(counts, shares) for counts in options if counts.min() > 0), default=None)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 100, 25))
def test_split_groups_of_100_random_pools_is_never_further_from_the_shares_than_scikit_learn(first):
    n_compared = 0
    for seed in range(first, first + 25):
        pool = random_pool(seed)
        files, sources = files_of(pool)
        least_held = int((files > 0).sum(axis=0).min())
        if seed % 2:
            k = (4, 5, 10)[seed % 3]
            shares, names = [1 - 2 / k, 1 / k, 1 / k], SPLITS
        else:
            k = max(2, min(2 + seed // 4 % 3, least_held if seed % 10 else 6))
            shares, names = [1 / k] * k, [f"fold_{fold}" for fold in range(k)]
        if not can_fill_every_part(files > 0, len(shares)):
            with pytest.raises(DataError, match=r"class class\d: .*add clips of other sources"):
                split_groups(pool, shares, part_names=names, seed=seed)
            continue
        split = split_groups(pool, shares, part_names=names, seed=seed)
        assert set(split.parts) == set(sources), seed
        ours = part_counts(files, np.array([split.parts[source] for source in sources]), len(shares))
        assert ours.min() > 0, seed
        theirs = best_of_scikit_learn(pool, shares, k)
        if theirs is not None:
            n_compared += 1
            assert deviation(ours, shares) <= theirs + 1e-9, seed
    assert n_compared > 12


def test_split_groups_gives_every_fold_every_class_of_six_clips_in_four_groups():
    # scikit-learn #28218: a chain of groups with two classes each; only {0, 2} and {1, 3} give both folds all three.
    pool = pool_of_table([[0, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 1]])
    split = split_groups(pool, [0.5, 0.5], part_names=["fold_0", "fold_1"], seed=0)
    assert split.parts["site0"] == split.parts["site2"] != split.parts["site1"] == split.parts["site3"]
    assert split.quality["gap_files"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("k", [3, 4, 5])
def test_split_groups_more_folds_than_groups_are_refused_with_the_class(k):
    # scikit-learn #33085: folds came out empty where there were fewer groups than folds.
    with pytest.raises(DataError, match=rf"class class0: 2 sources; class class1: 2 sources; {k} parts"):
        split_groups(pool_of_table([[3, 1], [1, 2]]), [1 / k] * k, part_names=[f"fold_{n}" for n in range(k)], seed=0)


def test_split_groups_as_many_groups_as_folds_leave_no_fold_empty_unsaid():
    # scikit-learn #34828: four groups, four folds, and one of them empty because equal costs differed in the last bit.
    table = [[0, 1, 0], [0, 3, 1], [2, 0, 0], [1, 2, 3]]
    assert scikit_learn_folds(pool_of_table(table), 4).sum(axis=1).min() == 0
    with pytest.raises(DataError, match="class class0: 2 sources; class class1: 3 sources; class class2: 2 sources"):
        split_groups(pool_of_table(table), [0.25] * 4, part_names=list("abcd"), seed=0)
    full = [[n + 1 for n in row] for row in table]
    split = split_groups(pool_of_table(full), [0.25] * 4, part_names=list("abcd"), seed=0)
    assert sorted(split.parts.values()) == [0, 1, 2, 3]


@pytest.mark.slow
@given(
    table=st.lists(st.tuples(*[st.integers(0, 4)] * 2).filter(any), min_size=3, max_size=6),
    shares=st.sampled_from([(0.8, 0.1, 0.1), (0.25,) * 4, (0.5, 0.5), (0.2,) * 5]),
)
@settings(max_examples=30, suppress_health_check=SLOW)
def test_split_groups_says_proved_only_where_no_assignment_is_nearer(table, shares):
    n_parts = len(shares)
    pool = pool_of_table(table)
    files, sources = files_of(pool)
    names = [f"part_{n}" for n in range(n_parts)]
    tables = (part_counts(files, np.array(parts), n_parts) for parts in product(range(n_parts), repeat=len(files)))
    nearest = min((deviation(counts, shares) for counts in tables if counts.min() > 0), default=None)
    if nearest is None:
        with pytest.raises(DataError, match="add clips of other sources"):
            split_groups(pool, shares, part_names=names, seed=1)
        return
    split = split_groups(pool, shares, part_names=names, seed=1)
    ours = part_counts(files, np.array([split.parts[source] for source in sources]), n_parts)
    assert deviation(ours, shares) >= nearest - 1e-9
    if split.quality["is_optimal"].all():
        assert deviation(ours, shares) == pytest.approx(nearest)
        gaps = np.abs(ours - np.outer(shares, ours.sum(axis=0))).sum(axis=0)
        assert split.quality["gap_files"].tolist() == pytest.approx(gaps.tolist())
        assert split.quality["least_gap_files"].tolist() == pytest.approx(gaps.tolist())


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
    with pytest.raises(
        DataError, match=f"class owl: {n_sources} sources?; 3 parts .* add clips of other sources.*min_sources: 3"
    ):
        split_groups(pool, RATIOS, part_names=SPLITS, seed=42)


def test_split_groups_impossible_joint_assignment_names_the_class():
    # owl is in sites 0 to 2, crow in the same three sites, wren in site 0 and nowhere else but 1 and 2 together.
    originals = [("owl", "x"), ("owl", "y"), ("owl", "z"), ("crow", "x"), ("crow", "y"), ("wren", "x")]
    with pytest.raises(DataError, match="class crow: 2 sources; class wren: 1 source;"):
        split_groups(pool_of(originals), RATIOS, part_names=SPLITS, seed=42)


def test_split_groups_three_sites_that_two_folds_cannot_share_name_a_class():
    # Each class is at two of three sites, and every two sites share one: two of them meet in a fold.
    pool = pool_of_table([[1, 0, 1], [1, 1, 0], [0, 1, 1]])
    with pytest.raises(DataError, match=r"class class\d: no assignment was found that gives (north|south) a source"):
        split_groups(pool, [0.5, 0.5], part_names=["north", "south"], seed=0)


def test_split_groups_measures_every_class_in_the_order_of_names():
    pool = pool_of([(name, f"{name}{n}") for name in "fedcba" for n in range(3)])
    quality = split_groups(pool, RATIOS, part_names=SPLITS, seed=0).quality
    assert quality["class_name"].tolist() == list("abcdef")
    assert quality.index.tolist() == list(range(6))
    assert set(quality["n_sources"]) == {3}


@given(sizes=st.lists(st.integers(1, 3), min_size=5, max_size=30), k=st.integers(2, 5), seed=st.integers(0, 9))
@settings(max_examples=15)
def test_split_groups_folds_test_every_group_once(sizes, k, seed):
    pool = pool_of(private(sizes), 3)
    split = split_groups(pool, np.full(k, 1 / k), part_names=[str(n) for n in range(k)], seed=seed)
    assert sorted(Counter(split.parts.values())) == list(range(k))
    assert set(split.parts) == set(pool["source_id"])


def test_preset_split_takes_the_folds_and_measures_them():
    # owl: 3 and 1 where 2 are wanted; crow, with two copies: 4 and 2 where 3 are wanted
    owls = pool_of([("owl", "a"), ("owl", "a"), ("owl", "b"), ("owl", "c")])
    crows = pool_of([("crow", "c"), ("crow", "d"), ("crow", "e"), ("crow", "e")])
    pool = pd.concat([owls, crows, crows.head(2).assign(is_augmented=1)])
    values = dict.fromkeys(pool["original_file"], "7") | {"owl/2.wav": "9", "crow/2.wav": "9", "crow/3.wav": "9"}
    split = preset_split(pool, values, order=["7", "9"])
    assert split.parts == {"a": 0, "b": 1, "c": 0, "d": 0, "e": 1}
    expected = pd.DataFrame(
        {
            "class_name": ["crow", "owl"],
            "n_sources": [3, 3],
            "gap_files": [2.0, 2.0],
            "least_gap_files": [2.0, 0.0],  # crows come in twos
            "is_optimal": [True, False],
        }
    )
    pd.testing.assert_frame_equal(split.quality, expected)


def test_preset_split_refuses_a_source_in_two_folds():
    pool = pool_of([("owl", "a"), ("owl", "c"), ("owl", "c"), ("owl", "b")])
    values = dict(zip(pool["original_file"], ["1", "2", "1", "2"], strict=True))
    with pytest.raises(DataError, match=r"1 source with clips in two preset folds \(such as 'c'\)"):
        preset_split(pool, values, order=["1", "2"])
