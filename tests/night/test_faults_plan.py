"""Duplicates, counts and splits that go wrong elsewhere: the exact outcome of each, seen at the plan or the stage."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.night.pools import RATIOS, SPLITS, counts_of, pool_of, private
from tests.night.scans import scan
from tests.pipeline.contract import SRC, STAGES, loaded_sections, outputs

import night_augment
import night_cut
import night_index
import night_mels
import night_scan
from evensong.errors import DataError, IntegrityError
from evensong.learn.store import ArrayStore
from evensong.night.index import read_array_names
from evensong.night.plan import plan_pool
from evensong.night.split import split_groups
from evensong.params import load_section
from evensong.schemas import NightAugment

INDEX = Path("artifacts/night/balanced_audio_index.db")


def clips_of(n: int) -> pd.DataFrame:
    rows = [
        {"path": f"owl/{k}.wav", "class_name": "owl", "source_id": f"owl{k}", "pcm_sha256": f"{k:064x}"}
        for k in range(n)
    ]
    return pd.DataFrame(rows)


def augmenting(target: int) -> NightAugment:
    settings = load_section("night.augment", NightAugment).model_dump()
    return NightAugment.model_validate(settings | {"target_samples": target})


@pytest.mark.fault("C07")
@pytest.mark.parametrize("n_sources", range(3, 10))
def test_three_to_nine_sources_are_in_every_split(n_sources):
    pool = pool_of(private([1] * n_sources), copies=9)
    split = split_groups(pool, RATIOS, part_names=SPLITS, seed=42)
    counts = counts_of(pool, split, 3, "originals").ravel()
    assert counts.tolist() == [n_sources - 2, 1, 1]  # the small splits want less than one and a half


@pytest.mark.slow
@pytest.mark.fault("C06")
def test_class_of_too_few_sources_stops_the_index_and_leaves_the_last_one(night, clip, params):
    params(night__augment__transforms=["noise"])
    for stage in (night_cut, night_scan, night_augment, night_index):
        stage.main()
    before = INDEX.read_bytes()
    for n in range(4):
        clip(night / "crow" / f"caw{n // 2}_take{n % 2}.wav", 300 + n)
    night_scan.main()
    night_augment.main()
    with pytest.raises(
        DataError, match=r"class crow: 2 sources; 3 parts .* add clips of other sources, .*min_sources: 3"
    ):
        night_index.main()
    assert INDEX.read_bytes() == before


@pytest.mark.fault("C13")
@pytest.mark.parametrize(
    ("n", "counts", "gap"),
    [
        (40, [400, 50, 50], 0),
        (39, [400, 50, 50], 0),  # sources of 12 and of 13 files: 2 * 12 + 2 * 13 = 50
        (25, [400, 60, 40], 20),  # sources of 20 files: 50 is out of reach
    ],
)
def test_split_of_500_files_is_the_nearest_that_whole_sources_allow(night, n, counts, gap):
    pool, _ = plan_pool(clips_of(n), augmenting(500))
    split = split_groups(pool, RATIOS, part_names=SPLITS, seed=42)
    assert sorted(counts_of(pool, split, 3).ravel().tolist()) == sorted(counts)
    assert split.quality["gap_files"].item() == split.quality["least_gap_files"].item() == gap
    assert split.quality["is_optimal"].item()


def placed(root: Path) -> dict[str, int]:
    """Part by samples, from the folder of recordings."""
    clips = scan(root).clips
    pool, _ = plan_pool(clips, augmenting(12))
    split = split_groups(pool, RATIOS, part_names=SPLITS, seed=42)
    return dict(zip(clips["pcm_sha256"], clips["source_id"].map(split.parts), strict=True))


@pytest.mark.fault("C23", "C24")
def test_another_class_and_other_names_move_no_recording(night, clip):
    first = placed(night)
    for k, path in enumerate(sorted(night.rglob("*.wav"))):
        path.rename(path.with_name(f"{99 - k} {path.name}"))
    for n in range(5):
        clip(night / "crow" / f"caw{n}.wav", 300 + n)
    second = placed(night)
    assert {digest: second[digest] for digest in first} == first
    assert len(second) == len(first) + 5
    assert set(first.values()) == {0, 1, 2}


@pytest.mark.fault("C22")
def test_stage_reruns_for_every_value_it_reads_and_replaces_its_outputs_whole():
    for name, stage in STAGES.items():
        assert set(stage.get("params", [])) == loaded_sections(SRC / f"{name}.py") - {"", "runtime"}
        assert not any(options.get("persist") for _, options in outputs(stage))


@pytest.mark.slow
@pytest.mark.fault("C22")
def test_arrays_of_older_settings_are_replaced_and_never_mixed(night, params, tmp_path):
    params(night__augment__transforms=["noise"])
    for stage in (night_cut, night_scan, night_augment, night_index, night_mels):
        stage.main()
    old = tmp_path / "old"
    shutil.copytree("artifacts/night/mels", old)
    params(night__augment__transforms=["noise"], night__mels__n_mels=24)
    night_mels.main()
    new = [Path(f"artifacts/night/mels/{name}.npy") for name in read_array_names(INDEX)]
    assert ArrayStore(new).shape == (24, 24, np.load(new[0]).shape[2])
    with pytest.raises(IntegrityError, match="run the mel stage again"):
        ArrayStore([old / new[0].name, new[1]])
