import hashlib
import json
from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from evensong.errors import ParamsError
from evensong.night.plan import allot_copies, choose_originals, plan_pool
from evensong.schemas import NightAugment

SETTINGS = {
    "seed": 42,
    "target_samples": 20,
    "max_copies": 60,
    "background_target": None,
    "cap_majority": True,
    "sample_rate_hz": 8000,
    "pack_above": 100_000,
    "transforms": ["time_stretch", "noise", "volume", "combined"],
    "stretch_rate": {"min": 0.85, "max": 1.2},
    "noise_snr_db": {"min": 8.0, "max": 24.0},
    "gain_db": {"min": -12.0, "max": 6.0},
    "pitch_semitones": {"min": -1.0, "max": 1.0},
}


def settings(**changes):
    return NightAugment.model_validate(SETTINGS | changes)


def digest(text):
    return hashlib.sha256(str(text).encode()).hexdigest()


DIGESTS = [digest(k) for k in range(2000)]
EDGES = (1, 2, 3, 7, 40, 499, 500, 501, 999, 1000, 1001, 1999, 2000)


def class_of(n, n_sources):
    """One class of n clips; clip k is of source k modulo n_sources."""
    return pd.DataFrame(
        {
            "path": [f"owl/{k}.wav" for k in range(n)],
            "class_name": "owl",
            "source_id": [f"s{k % n_sources}" for k in range(n)],
            "pcm_sha256": DIGESTS[:n],
        }
    )


def clips_of(**sizes):
    rows = [
        {
            "path": f"{name}/clip {n}.wav",
            "class_name": name,
            "source_id": f"{name}-{n // 2}",
            "pcm_sha256": digest(f"{name}{n}"),
        }
        for name, size in sizes.items()
        for n in range(size)
    ]
    return pd.DataFrame(rows)


@given(n=st.integers(1, 2000), target=st.integers(1, 2000), seed=st.integers(0, 2**32 - 1))
def test_allot_copies_reaches_the_target_exactly_with_even_copies(n, target, seed):
    copies = allot_copies(DIGESTS[:n], target, max_copies=2000, seed=seed)
    assert set(copies) == set(DIGESTS[:n])
    assert n + sum(copies.values()) == max(n, target)
    assert max(copies.values()) - min(copies.values()) <= 1


@pytest.mark.parametrize("n", EDGES)
def test_allot_copies_reaches_the_target_exactly_around_every_edge(n):
    targets = {max(1, edge * factor + step) for edge, factor, step in product(EDGES, (1, 2), (-1, 0, 1))}
    for target in sorted(target for target in targets | {n - 1, n, n + 1, 2 * n} if 1 <= target <= 2000):
        copies = np.array(list(allot_copies(DIGESTS[:n], target, max_copies=2000, seed=42).values()))
        assert n + copies.sum() == max(n, target), target
        assert np.ptp(copies) <= 1, target


@pytest.mark.fault("C12")
@given(
    n=st.integers(1, 2000),
    target=st.integers(1, 2000),
    n_sources=st.integers(1, 60),
    cap=st.booleans(),
)
@examples(max_examples=25)
def test_plan_pool_has_exactly_the_files_asked_for(n, target, n_sources, cap):
    clips = class_of(n, n_sources)
    files, unused = plan_pool(clips, settings(target_samples=target, cap_majority=cap, max_copies=2000))
    kept = files[files["is_augmented"] == 0]
    assert len(files) == (target if cap else max(n, target))
    assert len(kept) == (min(n, target) if cap else n)
    assert sorted([*kept["original_file"], *unused["path"]]) == sorted(clips["path"])
    assert kept["source_id"].nunique() == min(len(kept), n_sources, n)  # no source is lost that a place was left for
    copies = files.groupby("original_file")["copy"].agg(["size", "max"])
    assert (copies["size"] == copies["max"] + 1).all()  # copy 0, 1, 2, ... of every original
    assert np.ptp(copies["max"]) <= 1
    assert files["file_path"].is_unique
    assert files["mel_row"].tolist() == list(range(len(files)))


@given(n=st.integers(1, 40), target=st.integers(1, 200), order=st.randoms(use_true_random=False))
def test_allot_copies_does_not_depend_on_the_order_of_the_clips(n, target, order):
    digests = [digest(k) for k in range(n)]
    shuffled = digests.copy()
    order.shuffle(shuffled)
    assert allot_copies(digests, target, max_copies=200, seed=1) == allot_copies(
        shuffled, target, max_copies=200, seed=1
    )


@pytest.mark.fault("C09")
@pytest.mark.parametrize(
    ("n", "target", "least", "n_more"),
    [(40, 500, 11, 20), (39, 500, 11, 32), (499, 500, 0, 1), (500, 500, 0, 0), (600, 500, 0, 0), (1, 3, 2, 0)],
)
def test_allot_copies_values_worked_by_hand(n, target, least, n_more):
    copies = Counter(allot_copies([digest(k) for k in range(n)], target, max_copies=60, seed=42).values())
    assert copies == Counter({least: n - n_more, least + 1: n_more})  # 40 x 11 + 20 + 40 = 500


def test_allot_copies_over_the_limit_says_what_would_help():
    with pytest.raises(ParamsError, match=r"3 originals would need 166 copies each .* to 183 or less"):
        allot_copies([digest(k) for k in range(3)], 500, max_copies=60, seed=42)


def test_allot_copies_extra_copy_depends_on_the_seed():
    digests = [digest(k) for k in range(20)]
    assert allot_copies(digests, 30, max_copies=9, seed=1) != allot_copies(digests, 30, max_copies=9, seed=2)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12), target=st.integers(1, 60))
def test_choose_originals_keeps_as_many_sources_as_possible(sizes, target):
    sources = {digest((group, k)): f"g{group}" for group, size in enumerate(sizes) for k in range(size)}
    kept = choose_originals(sources, target, seed=3)
    assert len(kept) == min(target, len(sources))
    per_source = Counter(sources[key] for key in kept)
    assert len(per_source) == min(target, len(sizes))
    # Round-robin: a source may have two clips more than another only when that one has no more clips.
    for group, size in enumerate(sizes):
        if per_source[f"g{group}"] < size:
            assert max(per_source.values()) <= per_source[f"g{group}"] + 1


def test_choose_originals_does_not_depend_on_source_names():
    sources = {digest(k): f"g{k // 3}" for k in range(30)}
    renamed = {key: f"z{99 - int(source[1:])}" for key, source in sources.items()}
    assert choose_originals(sources, 12, seed=5) == choose_originals(renamed, 12, seed=5)


def test_plan_pool_is_balanced_and_names_every_file_once():
    files, unused = plan_pool(clips_of(owl=7, plane=20, crow=33), settings())
    assert files.groupby("class_name").size().to_dict() == {"owl": 20, "plane": 20, "crow": 20}
    assert files["file_path"].is_unique
    assert unused["class_name"].unique().tolist() == ["crow"]
    assert len(unused) == 13
    for _, rows in files.groupby("class_name"):
        assert rows["mel_row"].tolist() == list(range(20))
    assert not files.duplicated(["pcm_sha256", "copy"]).any()


def test_plan_pool_gives_consecutive_copies_different_transforms():
    files, _ = plan_pool(clips_of(owl=3, crow=3), settings())
    for _, rows in files[files["copy"] > 0].groupby("original_file"):
        kinds = rows.sort_values("copy")["augmentation_type"].tolist()
        assert all(len(set(kinds[k : k + 4])) == 4 for k in range(len(kinds) - 3))


def test_plan_pool_first_copies_are_not_all_of_one_transform():
    files, _ = plan_pool(clips_of(owl=40, crow=40), settings(target_samples=80))
    assert files.loc[files["copy"] == 1, "augmentation_type"].nunique() == 4


@given(owls=st.integers(1, 40), crows=st.integers(1, 40), cap=st.booleans(), order=st.integers(0, 99))
@examples(max_examples=25)
def test_plan_pool_of_a_class_does_not_depend_on_other_classes_or_row_order(owls, crows, cap, order):
    chosen = settings(cap_majority=cap)
    alone, left_out = plan_pool(clips_of(owl=owls), chosen)
    beside, others_too = plan_pool(clips_of(crow=crows, owl=owls).sample(frac=1, random_state=order), chosen)
    pd.testing.assert_frame_equal(alone, beside[beside["class_name"] == "owl"].reset_index(drop=True))
    assert set(left_out["path"]) == {path for path in others_too["path"] if path.startswith("owl")}


@given(owls=st.integers(1, 40), seed=st.integers(0, 99))
@examples(max_examples=25)
def test_plan_pool_renaming_files_and_sources_changes_nothing_but_names(owls, seed):
    clips = clips_of(owl=owls, crow=5)
    stems, sources = (np.random.default_rng([seed, n]).permutation(100) for n in range(2))
    renamed = clips.assign(
        path=[f"{row.class_name}/{stems[k]}.flac" for k, row in enumerate(clips.itertuples())],
        source_id=clips["source_id"].map(
            {name: f"z{sources[k]}" for k, name in enumerate(clips["source_id"].unique())}
        ),
    )
    columns = ["class_name", "pcm_sha256", "copy", "is_augmented", "augmentation_type", "parameters"]
    plans = [plan_pool(table, settings()) for table in (clips, renamed)]
    drawn = [files.sort_values(["pcm_sha256", "copy"])[columns].to_numpy().tolist() for files, _ in plans]
    assert drawn[0] == drawn[1]
    assert set(plans[0][1]["pcm_sha256"]) == set(plans[1][1]["pcm_sha256"])


def test_plan_pool_parameters_lie_in_the_ranges():
    files, _ = plan_pool(clips_of(owl=5, crow=5), settings(target_samples=100))
    for row in files[files["copy"] > 0].itertuples():
        drawn = json.loads(row.parameters)
        assert drawn, row.augmentation_type
        assert 0.85 <= drawn.get("rate", 1) <= 1.2
        assert 8 <= drawn.get("snr_db", 10) <= 24
        assert -12 <= drawn.get("gain_db", 0) <= 6


@pytest.mark.fault("C11")
def test_plan_pool_too_few_originals_names_the_class():
    with pytest.raises(ParamsError, match="class owl: 1 originals would need 19 copies"):
        plan_pool(clips_of(owl=1, crow=9), settings(max_copies=5))


def test_a_background_class_has_a_target_of_its_own():
    clips = clips_of(owl=5, noise=40)
    files, unused = plan_pool(clips, settings(target_samples=20, background_target=30), ["noise"])
    assert files.groupby("class_name").size().to_dict() == {"noise": 30, "owl": 20}
    assert len(unused) == 10
    files, _ = plan_pool(clips, settings(target_samples=20, background_target=None), ["noise"])
    assert files.groupby("class_name").size().to_dict() == {"noise": 20, "owl": 20}
