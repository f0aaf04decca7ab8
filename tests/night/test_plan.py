import hashlib
import json
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.errors import ParamsError
from evensong.night.plan import allot_copies, choose_originals, plan_pool
from evensong.schemas import NightAugment

SETTINGS = {
    "seed": 42,
    "target_samples": 20,
    "max_copies": 60,
    "cap_majority": True,
    "sample_rate_hz": 8000,
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
    copies = allot_copies([digest(k) for k in range(n)], target, max_copies=2000, seed=seed)
    assert len(copies) == n
    assert n + sum(copies.values()) == max(n, target)
    assert max(copies.values()) - min(copies.values()) <= 1


@given(n=st.integers(1, 40), target=st.integers(1, 200), order=st.randoms(use_true_random=False))
def test_allot_copies_does_not_depend_on_the_order_of_the_clips(n, target, order):
    digests = [digest(k) for k in range(n)]
    shuffled = digests.copy()
    order.shuffle(shuffled)
    assert allot_copies(digests, target, max_copies=200, seed=1) == allot_copies(
        shuffled, target, max_copies=200, seed=1
    )


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


def test_plan_pool_without_the_cap_keeps_every_original():
    files, unused = plan_pool(clips_of(owl=7, crow=33), settings(cap_majority=False))
    assert files.groupby("class_name").size().to_dict() == {"owl": 20, "crow": 33}
    assert unused.empty


def test_plan_pool_gives_consecutive_copies_different_transforms():
    files, _ = plan_pool(clips_of(owl=3, crow=3), settings())
    for _, rows in files[files["copy"] > 0].groupby("original_file"):
        kinds = rows.sort_values("copy")["augmentation_type"].tolist()
        assert all(len(set(kinds[k : k + 4])) == 4 for k in range(len(kinds) - 3))


def test_plan_pool_first_copies_are_not_all_of_one_transform():
    files, _ = plan_pool(clips_of(owl=40, crow=40), settings(target_samples=80))
    assert files.loc[files["copy"] == 1, "augmentation_type"].nunique() == 4


def test_plan_pool_of_a_class_does_not_depend_on_other_classes_or_row_order():
    alone, _ = plan_pool(clips_of(owl=7), settings())
    clips = clips_of(crow=9, owl=7).sample(frac=1, random_state=1)
    beside, _ = plan_pool(clips, settings())
    pd.testing.assert_frame_equal(alone, beside[beside["class_name"] == "owl"].reset_index(drop=True))


def test_plan_pool_draws_do_not_depend_on_names():
    clips = clips_of(owl=7, crow=5)
    renamed = clips.assign(path=[f"{row.class_name}/{k}.flac" for k, row in enumerate(clips.itertuples())])
    drawn = [
        plan_pool(table, settings())[0].sort_values(["pcm_sha256", "copy"])[["augmentation_type", "parameters"]]
        for table in (clips, renamed)
    ]
    assert drawn[0].to_numpy().tolist() == drawn[1].to_numpy().tolist()


def test_plan_pool_parameters_lie_in_the_ranges():
    files, _ = plan_pool(clips_of(owl=5, crow=5), settings(target_samples=100))
    for row in files[files["copy"] > 0].itertuples():
        drawn = json.loads(row.parameters)
        assert drawn, row.augmentation_type
        assert 0.85 <= drawn.get("rate", 1) <= 1.2
        assert 8 <= drawn.get("snr_db", 10) <= 24
        assert -12 <= drawn.get("gain_db", 0) <= 6


def test_plan_pool_same_stem_in_two_containers_gives_two_names():
    clips = clips_of(owl=2, crow=1)
    clips.loc[clips["class_name"] == "owl", "path"] = ["owl/a.wav", "owl/A.mp3"]
    files, _ = plan_pool(clips, settings())
    assert files["file_path"].str.lower().is_unique


def test_plan_pool_too_few_originals_names_the_class():
    with pytest.raises(ParamsError, match="class owl: 1 originals would need 19 copies"):
        plan_pool(clips_of(owl=1, crow=9), settings(max_copies=5))
