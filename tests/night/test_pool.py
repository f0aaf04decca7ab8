import tracemalloc
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from tests.night.pools import tree

from evensong.audio.mel import log_mel
from evensong.audio.wav import read_wav
from evensong.errors import DataError, IntegrityError, ResourceError
from evensong.night.mels import unused_sound, write_mels
from evensong.night.plan import plan_pool
from evensong.night.pool import build_pool, check_folder, check_space, describe_pool
from evensong.night.scan import scan_folder
from evensong.params import load_section
from evensong.schemas import NightAugment, NightMels, NightScan


def prepared():
    settings = load_section("night.augment", NightAugment)
    clips = scan_folder(Path("data/night"), load_section("night.scan", NightScan), workers=1).clips
    plan, unused = plan_pool(clips[clips["status"] == "used"], settings)
    return settings, clips, plan, unused


def build(folder):
    settings, clips, plan, _ = prepared()
    return build_pool(plan, clips, roots={"clips": Path("data/night")}, folder=folder, settings=settings, workers=1)


def test_build_pool_writes_exactly_the_planned_files(night, tmp_path):
    pool = build(tmp_path / "pool")
    files = tree(tmp_path / "pool")
    assert set(files) == set(pool["file_path"])
    assert pool.groupby("class_name").size().to_dict() == {"Flugzeug é": 12, "asio flammeus": 12}
    assert len(set(files.values())) == len(files)  # no copy equals its original or another copy
    for row in pool.itertuples():
        wave, rate_hz = read_wav(tmp_path / "pool" / row.file_path)
        assert (wave.size, rate_hz) == (row.n_samples, 8000)
    assert "Flugzeug_e/fly0_take0_original.wav" in files


def test_build_pool_bytes_do_not_depend_on_other_classes_or_file_names(night, tmp_path, clip):
    first = build(tmp_path / "first")
    for path in sorted((night / "asio flammeus").iterdir()):
        path.rename(path.with_name("renamed " + path.name))
    for n in range(3):
        clip(night / "crow" / f"caw{n}_take0.wav", 300 + n)
    second = build(tmp_path / "second")

    def by_sound(pool, folder):
        rows = pool[pool["class_name"] == "asio flammeus"]
        return {(row.pcm_sha256, row.copy): (folder / row.file_path).read_bytes() for row in rows.itertuples()}

    assert by_sound(first, tmp_path / "first") == by_sound(second, tmp_path / "second")


def test_build_pool_long_stereo_original_takes_bounded_memory(night, tmp_path, params, clip):
    seconds, rate_hz = 8, 44_100
    clip(night / "asio flammeus/long_take0.wav", 999, seconds=seconds, rate_hz=rate_hz, channels=2)
    every = ["time_stretch", "combined"]
    params(night__augment__target_samples=24, night__augment__sample_rate_hz=22_050, night__augment__transforms=every)
    settings, clips, plan, _ = prepared()
    is_long = plan["original_file"] == "asio flammeus/long_take0.wav"
    assert set(plan.loc[is_long, "augmentation_type"]) == {"original", *every}

    def make(folder):
        (tmp_path / folder).mkdir()
        build_pool(
            plan[is_long],
            clips,
            roots={"clips": night},
            folder=tmp_path / folder / "pool",
            settings=settings,
            workers=1,
        )

    make("first")  # what is loaded once is loaded
    tracemalloc.start()
    try:
        make("second")
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 600e6 * seconds / 600  # as much a second as gives 600 MB for the longest clip


def test_build_pool_loud_clip_is_scaled_and_never_clipped(night, tmp_path, params, clip):
    params(night__augment__gain_db={"min": 5.0, "max": 6.0}, night__augment__transforms=["volume"])
    pool = build(tmp_path / "pool").set_index("file_path")
    for path in (tmp_path / "pool").rglob("*.wav"):
        assert np.abs(read_wav(path)[0]).max() < 1
    assert (pool["peak_scale"] <= 1).all()


def test_build_pool_resampling_over_full_scale_is_scaled(night, tmp_path):
    square = np.where(np.arange(6000) // 20 % 2, 0.999, -0.999)
    soundfile.write(night / "asio flammeus/square_take0.wav", square, 11025, subtype="PCM_16")
    pool = build(tmp_path / "pool").set_index("file_path")
    assert 0.5 < pool.loc["asio_flammeus/square_take0_original.wav", "peak_scale"] < 1
    assert 0.9 < np.abs(read_wav(tmp_path / "pool/asio_flammeus/square_take0_original.wav")[0]).max() < 1


def test_build_pool_original_changed_since_the_scan_is_an_error(night, tmp_path, clip):
    settings, clips, plan, _ = prepared()
    clip(night / "asio flammeus/call0_take0.wav", 999)
    with pytest.raises(IntegrityError, match="not the one that night_scan saw"):
        build_pool(plan, clips, roots={"clips": night}, folder=tmp_path / "pool", settings=settings, workers=1)


def test_build_pool_original_gone_since_the_scan_is_an_error(night, tmp_path):
    settings, clips, plan, _ = prepared()
    (night / "asio flammeus/call0_take0.wav").unlink()
    with pytest.raises(IntegrityError, match="cannot be read any more"):
        build_pool(plan, clips, roots={"clips": night}, folder=tmp_path / "pool", settings=settings, workers=1)


def test_check_space_compares_the_estimate_with_the_free_space(night, tmp_path, monkeypatch):
    settings, clips, plan, _ = prepared()
    check_space(plan, clips, folder=tmp_path, settings=settings)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_000_000})())
    with pytest.raises(ResourceError, match=r"needs about 0.1 GB and 0.0 GB are free"):
        check_space(plan, clips, folder=tmp_path, settings=settings)
    with pytest.raises(ResourceError, match=r"needs about 0.1 GB"):  # and it is asked before anything is written
        build_pool(plan, clips, roots={"clips": night}, folder=tmp_path / "pool", settings=settings, workers=1)
    assert not (tmp_path / "pool").exists()


def test_build_pool_compares_the_folder_with_the_plan(night, tmp_path, monkeypatch):
    def write_two(path, *_):
        path.touch()
        (path.parent / "stray").touch()

    monkeypatch.setattr("evensong.night.pool.write_wav", write_two)
    with pytest.raises(IntegrityError, match="should hold 24 files; 0 are missing and 2 are too many"):
        build(tmp_path / "pool")


def test_check_folder_counts_missing_and_extra_files(tmp_path):
    (tmp_path / "a.wav").touch()
    check_folder(tmp_path, ["a.wav"])
    with pytest.raises(IntegrityError, match="should hold 2 files; 2 are missing and 1 are too many"):
        check_folder(tmp_path, ["b.wav", "c.wav"])


def test_describe_pool_counts_and_lists_what_was_left_out(night, tmp_path, params):
    params(night__augment__target_samples=7)
    settings, clips, _, unused = prepared()
    pool = build(tmp_path / "pool")
    described = describe_pool(pool, clips, unused, settings)
    owls, planes = described["classes"]["asio flammeus"], described["classes"]["Flugzeug é"]
    assert (owls["originals"], owls["copies"], owls["files"], owls["sources"]) == (6, 1, 7, 3)
    assert (owls["copies_an_original_least"], owls["copies_an_original_most"]) == (0, 1)
    assert (planes["originals"], planes["copies"], len(planes["unused"])) == (7, 0, 2)
    assert planes["unused"][0]["reason"] == "over target_samples"
    assert described["files"] == 14


def mels(folder, pool, pool_folder, workers=1):
    settings = load_section("night.mels", NightMels)
    write_mels(pool, pool_sha256="0" * 64, pool_folder=pool_folder, folder=folder, settings=settings, workers=workers)


def test_write_mels_row_is_the_file_of_its_mel_row(night, tmp_path, params):
    params(night__augment__target_samples=40)  # more rows than one task writes
    pool = build(tmp_path / "pool")
    mels(tmp_path / "mels", pool, tmp_path / "pool")
    settings = load_section("night.mels", NightMels)
    for slug, rows in pool.groupby("class_slug"):
        array = np.load(tmp_path / f"mels/{slug}.npy", mmap_mode="r")
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.shape == (40, 16, 1 + 4000 // settings.hop_length)
        for row in rows.itertuples():
            wave, rate_hz = read_wav(tmp_path / "pool" / row.file_path)
            np.testing.assert_array_equal(array[row.mel_row], log_mel(wave, rate_hz, settings))


def test_write_mels_bytes_do_not_depend_on_workers(night, tmp_path, params):
    params(night__augment__target_samples=40)
    pool = build(tmp_path / "pool")
    mels(tmp_path / "one", pool, tmp_path / "pool")
    mels(tmp_path / "two", pool, tmp_path / "pool", workers=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_write_mels_pool_file_of_another_length_is_an_error(night, tmp_path):
    pool = build(tmp_path / "pool")
    names = pool["file_path"].tolist()
    (tmp_path / "pool" / names[0]).write_bytes((tmp_path / "pool" / names[-1]).read_bytes())
    with pytest.raises(IntegrityError, match=r"pool.csv says"):
        mels(tmp_path / "mels", pool, tmp_path / "pool")


@pytest.mark.fault("D28")
def test_write_mels_pool_file_of_another_run_is_an_error(night, tmp_path):
    pool = build(tmp_path / "pool")
    path = tmp_path / "pool" / pool["file_path"].iloc[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # another sample of the same length
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"pool and pool.csv do not belong together, run dvc repro night_augment"):
        mels(tmp_path / "mels", pool, tmp_path / "pool")


def test_write_mels_missing_pool_file_is_an_error(night, tmp_path):
    pool = build(tmp_path / "pool")
    (tmp_path / "pool" / pool["file_path"].iloc[0]).unlink()
    with pytest.raises(IntegrityError, match=r"pool file .* cannot be read"):
        mels(tmp_path / "mels", pool, tmp_path / "pool")


def test_write_mels_above_half_of_the_sample_rate_is_refused(night, tmp_path, params):
    pool = build(tmp_path / "pool")
    params(night__mels__fmax_hz=4001)
    with pytest.raises(DataError, match="above half of the pool's 8000 Hz"):
        mels(tmp_path / "mels", pool, tmp_path / "pool")


def test_write_mels_rows_that_do_not_count_up_are_an_error(night, tmp_path):
    pool = build(tmp_path / "pool")
    pool.loc[0, "mel_row"] = 99
    with pytest.raises(IntegrityError, match="are not 0 to 11"):
        mels(tmp_path / "mels", pool, tmp_path / "pool")


CALL_HZ = 2_000


def write_long_clips(folder, at_s, n_clips):
    """Clips of 4 s, noise but for a call of 0.3 s."""
    for n in range(n_clips):
        wave = np.random.default_rng(n).normal(0, 0.01, 32_000)
        at = int(at_s * 8_000)
        wave[at : at + 2_400] += 0.2 * np.sin(2 * np.pi * CALL_HZ * np.arange(2_400) / 8_000)
        soundfile.write(folder / f"long{n}_take0.wav", wave, 8_000, subtype="PCM_16")


def seconds_of_call(folder, pool):
    """How much of the call the spectrogram of every file of the long clips shows."""
    settings = load_section("night.mels", NightMels)
    band = np.argmin(np.abs(librosa.mel_frequencies(n_mels=18, fmin=50, fmax=4_000)[1:-1] - CALL_HZ))
    rows = pool.loc[pool["original_file"].str.contains("/long"), ["class_slug", "mel_row"]]
    shown = np.stack([np.load(folder / f"{slug}.npy")[row, band] for slug, row in rows.to_numpy()])
    is_call = shown > np.quantile(shown, 0.1, axis=1, keepdims=True) + 10
    return is_call.sum(axis=1) * settings.hop_length / 8_000


@pytest.mark.slow
@pytest.mark.parametrize("at_s", [0.0, 1.7, 3.65])
def test_write_mels_loudest_window_holds_the_call_of_every_clip_and_of_every_copy(night, tmp_path, params, at_s):
    write_long_clips(night / "asio flammeus", at_s, n_clips=3)
    every = {"time_stretch", "noise", "volume", "combined"}
    settings = {"night__augment__target_samples": 60, "night__augment__transforms": sorted(every)}
    params(**settings, night__mels__hop_length=128, night__mels__window="loudest")
    pool = build(tmp_path / "pool")
    assert {"original", *every} == set(pool.loc[pool["original_file"].str.contains("/long"), "augmentation_type"])
    mels(tmp_path / "loudest", pool, tmp_path / "pool")
    assert seconds_of_call(tmp_path / "loudest", pool).min() > 0.2
    mels(tmp_path / "again", pool, tmp_path / "pool", workers=2)
    assert tree(tmp_path / "again") == tree(tmp_path / "loudest")
    params(**settings, night__mels__hop_length=128)
    mels(tmp_path / "start", pool, tmp_path / "pool")
    assert seconds_of_call(tmp_path / "start", pool).max() < 0.1 or at_s == 0


def test_write_mels_loudest_window_of_clips_that_are_not_longer_changes_no_array(night, tmp_path, params):
    params(night__augment__transforms=["time_stretch"], night__mels__clip_seconds=0.6)
    pool = build(tmp_path / "pool")
    assert pool["n_samples"].max() > 4_800  # a stretched copy
    mels(tmp_path / "start", pool, tmp_path / "pool")
    params(night__augment__transforms=["time_stretch"], night__mels__clip_seconds=0.6, night__mels__window="loudest")
    mels(tmp_path / "loudest", pool, tmp_path / "pool")
    start, loudest = tree(tmp_path / "start"), tree(tmp_path / "loudest")
    assert {name for name in start if start[name] != loudest[name]} == {"settings.json"}


def test_unused_sound_counts_what_no_spectrogram_shows(night, tmp_path, params):
    pool = build(tmp_path / "pool")
    assert unused_sound(pool.assign(n_samples=4000), load_section("night.mels", NightMels)) is None
    is_long = (pool["class_name"] == "asio flammeus") & (pool["copy"] == 0)  # six of fifteen originals
    longer = pool.assign(n_samples=np.where(is_long, 10_000, 4_000))
    found = "6 of 15 clips are longer than night.mels.clip_seconds (0.5 s); 37.5% of the sound is not used"
    told = unused_sound(longer, load_section("night.mels", NightMels))
    assert told == f"NOTE: {found}: all behind the start. night.mels.window: loudest takes the clips where they sound"
    params(night__mels__window="loudest")
    assert unused_sound(longer, load_section("night.mels", NightMels)) == found
    stretched = pool.assign(n_samples=np.where(pool["copy"] == 0, 4_000, 4_500))
    assert unused_sound(stretched, load_section("night.mels", NightMels)) is None


def test_write_mels_original_silent_at_first_is_named(night, tmp_path, params):
    late = np.zeros(8000)
    late[6000:] = 0.3 * np.sin(np.arange(2000))
    soundfile.write(night / "asio flammeus/late_take0.wav", late, 8000, subtype="PCM_16")
    pool = build(tmp_path / "pool")
    with pytest.raises(
        DataError, match=r"1 recording with .* in the 0.5 s .*: start takes \(asio fl.*/late_take0.wav\): use"
    ):
        mels(tmp_path / "mels", pool, tmp_path / "pool")
    params(night__mels__window="loudest")
    mels(tmp_path / "loudest", pool, tmp_path / "pool")
    params(night__mels__clip_seconds=1.0)
    mels(tmp_path / "longer", pool, tmp_path / "pool")


def test_build_pool_clip_above_half_of_the_pool_rate_is_named(night, tmp_path):
    bat = 0.3 * np.sin(2 * np.pi * 20_000 * np.arange(24_000) / 48_000)
    soundfile.write(night / "asio flammeus/bat_take0.wav", bat, 48_000, subtype="PCM_16")
    with pytest.raises(DataError, match=r"bat_take0.wav: nothing of it lies below 4000 Hz; raise night.augment.sample"):
        build(tmp_path / "pool")
