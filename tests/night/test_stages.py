"""The four stage scripts in a working folder, from the clips to the arrays that training reads."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import night_augment
import night_cut
import night_index
import night_mels
import night_scan
import night_train
from evensong.errors import DataError, IntegrityError
from evensong.look import look_at
from evensong.night.index import read_array_names, read_fold_table

pytestmark = pytest.mark.slow

STAGES = (night_cut, night_scan, night_augment, night_index, night_mels)
INDEX = Path("artifacts/night/balanced_audio_index.db")


def run():
    for stage in STAGES:
        stage.main()


def outputs():
    folders = [Path("artifacts/night"), Path("metrics"), Path("plots")]
    return {str(path): path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()}


def test_stages_from_clips_to_arrays(night):
    run()
    items, classes = read_fold_table(INDEX)
    arrays = [np.load(f"artifacts/night/mels/{name}.npy") for name in read_array_names(INDEX)]
    assert classes == ["Flugzeug é", "asio flammeus"]
    assert [len(array) for array in arrays] == items.groupby("label").size().tolist() == [12, 12]
    assert items["item_id"].map(lambda path: (Path("artifacts/night/pool") / path).is_file()).all()
    assert items.groupby("group")["subset"].nunique().max() == 1
    assert set(items["subset"]) == {"train", "val", "test"}
    metadata = json.loads(Path("artifacts/night/pool_metadata.json").read_text(encoding="utf-8"))
    assert metadata["files"] == 24


def test_a_packed_pool_changes_no_byte_but_its_own(night, params):
    run()
    loose = outputs()
    params(night__augment__pack_above=0)
    run()
    packed = outputs()
    changed = {name for name in loose.keys() | packed.keys() if loose.get(name) != packed.get(name)}
    tars = {f"artifacts/night/pool/{class_slug}.tar" for class_slug in ("Flugzeug_e", "asio_flammeus")}
    assert tars == changed & packed.keys()
    assert {name for name in changed if not name.startswith("artifacts/night/pool/")} == set()


def test_stages_write_metrics_of_scalars_that_describe_the_index(night):
    run()
    scan = json.loads(Path("metrics/night/scan.json").read_text())["scan"]
    index = json.loads(Path("metrics/night/index.json").read_text())["index"]
    assert scan["listed"] == scan["used"] == 15
    assert index["balance"]["files"] == 24
    assert index["balance"]["is_proved_optimal"] == 1
    assert set(index["leakage"].values()) == {0}
    assert 0 <= index["shortcut_balanced_accuracy"]["all_traits"] <= 1
    counts = pd.read_csv(night_index.PLOT)
    assert counts.columns[:4].tolist() == ["class", "split", "files", "originals"]
    assert counts["files"].sum() == 24
    assert counts["originals"].sum() == 15


def test_stages_repeated_give_the_same_bytes_for_any_number_of_workers(night, params):
    run()
    first = outputs()
    params(runtime__workers=2)
    run()
    assert outputs() == first


def test_stages_folds_test_every_original_once(night, params):
    params(night__index__n_folds=3)
    run()
    items, _ = read_fold_table(INDEX)
    assert items.groupby("fold").size().tolist() == [24, 24, 24]
    assert sorted(items.loc[items["subset"] == "test", "row"]) == list(range(24))
    splits = pd.read_csv(night_index.PLOT)["split"].unique().tolist()
    assert splits == ["fold_0", "fold_1", "fold_2"]


def test_index_stage_advises_folds_that_work_where_few_originals_are_tested(night, params, clip, capsys):
    run()
    advice = "2 of 2 classes .* use n_folds: 3, .*: dvc exp run -S night.index.n_folds=3\n"
    assert re.search(advice, capsys.readouterr().out)  # asio flammeus has three sources
    for change in ({"night__index__n_folds": 3}, {"night__index__fold_pattern": r"(\d)_take"}):
        params(**change, night__index__validation="none")
        night_index.main()
        assert "NOTE" not in capsys.readouterr().out
    for n in range(60):
        clip(night / f"asio flammeus/more{n}_take0.wav", 1000 + n)
        clip(night / f"Flugzeug é/more{n}_take0.wav", 2000 + n)
    params(night__augment__target_samples=70, night__index__train=0.6, night__index__val=0.2, night__index__test=0.2)
    run()
    assert "originals in the test split" not in capsys.readouterr().out


def test_stages_class_names_that_look_like_something_else_stay_text(night, params):
    (night / "asio flammeus").rename(night / "007")
    (night / "Flugzeug é").rename(night / "NA")
    run()
    assert read_fold_table(INDEX)[1] == ["007", "NA"]
    assert Path("artifacts/night/mels/007.npy").is_file()


def test_stages_a_refused_scan_keeps_what_was_published(night):
    run()
    before = outputs()
    (night / "crow").mkdir()
    with pytest.raises(DataError, match="class crow: 0 usable of 0 listed"):
        night_scan.main()
    assert outputs() == before


def test_stages_without_their_input_say_what_to_run(night):
    with pytest.raises(IntegrityError, match=r"clips.csv: no such file"):
        night_augment.main()
    with pytest.raises(IntegrityError, match=r"pool.csv: no such file"):
        night_index.main()


def test_index_stage_publishes_nothing_that_leaks(night):
    run()
    before = outputs()
    pool = pd.read_csv(night_index.TABLE, dtype=str, keep_default_na=False)
    sources = pool.loc[pool["class_name"] == "Flugzeug é", "source_id"].unique()
    pool.loc[pool.index[pool["is_augmented"] == "1"][0], "source_id"] = sources[-1]  # a copy filed elsewhere
    pool.to_csv(night_index.TABLE, index=False)
    with pytest.raises(IntegrityError, match=r"the index would leak: \d originals in two subsets"):
        night_index.main()
    assert outputs() == before | {str(night_index.TABLE): night_index.TABLE.read_bytes()}


@pytest.mark.fault("D28")
def test_train_stage_refuses_an_index_and_mels_of_two_pools(night, params, monkeypatch):
    run()
    monkeypatch.setattr(night_train, "run_folds", lambda *_: pytest.fail("it trains"))
    params(night__augment__seed=1)
    night_augment.main()
    night_index.main()
    with pytest.raises(IntegrityError, match="of two pools and do not belong together"):
        night_train.main()


def test_stages_name_the_clips_whose_energy_the_rate_or_the_mel_range_drops(night, params, capsys):
    rng = np.random.default_rng(1)
    for n in range(4):  # a bat's sweeps from 60 to 30 kHz, ten a second, on a recorder with an offset and hiss
        time_s = np.arange(128_000) / 256_000
        within_s = time_s % 0.1
        sweep = 0.3 * np.sin(2 * np.pi * (60_000 - 3e6 * within_s) * within_s) * (within_s < 0.005)
        wave = sweep + 0.003 * rng.standard_normal(time_s.size) + 0.2
        soundfile.write(night / f"asio flammeus/bat{n}_take0.wav", wave, 256_000, subtype="PCM_16")
    run()
    names = (
        r"asio flammeus/bat0_take0.wav, asio flammeus/bat1_take0.wav, asio flammeus/bat2_take0.wav, ...; half_energy_hz"
    )
    cures = "raise night.augment.sample_rate_hz and night.mels.fmax_hz"
    at_once = rf"NOTE: 4 of 19 clips .* above 4000 Hz, .* \({names} .*; {cures}\n"
    assert len(re.findall(at_once, (printed := capsys.readouterr().out))) == printed.count("of their energy") == 1
    params(night__augment__sample_rate_hz=192_000, night__augment__target_samples=10, night__mels__n_fft=8_192)
    run()
    in_mels = rf"NOTE: 4 of 19 clips .* above 4000 Hz, .* \({names} .*; raise night.mels.fmax_hz\n"
    assert len(re.findall(in_mels, (printed := capsys.readouterr().out))) == printed.count("of their energy") == 1
    params(night__augment__sample_rate_hz=192_000, night__mels__n_fft=8_192, night__mels__fmax_hz=96_000)
    run()
    assert "of their energy" not in capsys.readouterr().out


def test_scan_and_its_preview_note_a_class_that_is_background_but_for_its_case(night, params, capsys):
    params(night__scan__background=["ASIO flammeus"])
    note = "NOTE: class asio flammeus is reported as any animal: night.scan.background has ASIO flammeus"
    night_scan.main()
    assert note in capsys.readouterr().out
    assert any(line.startswith(note) for line in look_at("night").lines)


def test_scan_and_mels_stages_say_what_is_not_used(night, params, capsys):
    params(night__mels__clip_seconds=0.25)
    (night / "asio flammeus/notes.txt").write_text("x")
    run()
    printed = capsys.readouterr().out
    assert "1 ignored, with the reasons in artifacts/night/scan/quarantine.csv" in printed
    assert "NOTE: 15 of 15 clips are longer than night.mels.clip_seconds (0.25 s)" in printed
