"""Names as people and archives have them, through all stages: nothing lost, nothing written elsewhere."""

import re
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from tests.night.scans import outcome_of, scan

import night_augment
import night_cut
import night_index
import night_mels
import night_scan
from evensong.intake.tables import read_pool
from evensong.night.index import read_array_names, read_fold_table
from evensong.night.plan import plan_pool
from evensong.params import load_section
from evensong.run.text import plain_cell
from evensong.schemas import NightAugment

HOSTILE_CLASSES = [
    "'; DROP TABLE folds;--",
    "-rf",
    "<img src=x onerror=alert(1)>",
    '=HYPERLINK("x")',
    "C:\\owl",
    "CON",
    "l'hirondelle",
    "train",
    "~",
    "Ночь",
]
SAFE_PATH = re.compile(r"[0-9A-Za-z._-]{1,90}/[0-9A-Za-z._-]{1,120}")


def planned(found):
    """Pool paths by original; the originals' own, without their copies."""
    files, _ = plan_pool(found.clips[found.clips["status"] == "used"], load_section("night.augment", NightAugment))
    assert files["file_path"].map(lambda path: unicodedata.normalize("NFC", path).casefold()).is_unique
    assert files["file_path"].map(lambda path: bool(SAFE_PATH.fullmatch(path))).all()
    return files[files["copy"] == 0].set_index("original_file")["file_path"].to_dict()


@pytest.mark.fault("B01")
def test_same_stem_in_two_containers_gives_two_originals(night, clip):
    samples, rate = soundfile.read(clip(night / "asio flammeus/a.wav", 500), dtype="int16")
    soundfile.write(night / "asio flammeus/a.mp3", samples // 2, rate)
    paths = planned(scan(night))
    for name in ("a.wav", "a.mp3"):
        assert re.fullmatch(r"asio_flammeus/a_[0-9a-f]{8}_original\.wav", paths[f"asio flammeus/{name}"])
    assert paths["asio flammeus/call0_take0.wav"] == "asio_flammeus/call0_take0_original.wav"  # no suffix without need


@pytest.mark.fault("B02")
def test_names_equal_but_for_case_or_unicode_form_are_all_used(night, clip):
    names = ["A.wav", "a.wav", "\u00e9.wav", "e\u0301.wav"]
    for n, name in enumerate(names):
        clip(night / "asio flammeus" / name, 500 + n)
    paths = planned(scan(night))
    assert len({paths[f"asio flammeus/{name}"].casefold() for name in names}) == 4


@pytest.mark.slow
@pytest.mark.fault("B03")
@pytest.mark.parametrize(
    "stem", ["with space", 'it\'s "quoted"', "-rf", "x" * 246, "ü" * 120, "a;b|c&d$(e)`f`", "*", " "]
)
def test_odd_names_are_used_and_give_plain_paths(night, clip, stem):
    clip(night / "asio flammeus" / f"{stem}.wav", 500)
    found = scan(night)
    assert found.counts["used"] == 16
    planned(found)


@pytest.mark.slow
@pytest.mark.fault("B04", "B19")
@pytest.mark.parametrize("character", ["\t", "\n", "\r", "\x1b", "\x7f", "\u2028", "\u202e", "\u200b", "\ufeff"])
def test_control_character_in_a_name_is_refused(night, clip, character, capsys):
    clip(night / "asio flammeus" / f"a{character}b.wav", 500)
    found = scan(night)
    escaped = f"a{character.encode('unicode_escape').decode()}b.wav"
    assert outcome_of(found, f"asio flammeus/{escaped}") == ("quarantined", "Q_NAME")
    assert f"quarantined: asio flammeus/{escaped}: Q_NAME" in capsys.readouterr().out


@pytest.mark.fault("B06")
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (".DS_Store", "hidden"),
        ("._call0_take0.wav", "hidden"),
        (".hidden.wav", "hidden"),
        ("Thumbs.db", "system file"),
        ("desktop.ini", "system file"),
    ],
)
def test_files_of_the_system_are_ignored_by_a_named_rule(night, name, rule):
    (night / "asio flammeus" / name).write_bytes(b"x")
    (night / name).write_bytes(b"x")
    found = scan(night)
    assert outcome_of(found, f"asio flammeus/{name}") == outcome_of(found, name) == ("ignored", rule)
    assert found.counts["ignored"] == 2


@pytest.mark.fault("B09")
def test_broken_link_is_named_wherever_it_lies(night):
    for place in (night, night / "asio flammeus"):
        (place / "lost.wav").symlink_to("nowhere")
    (night / "lost").symlink_to("nowhere")
    found = scan(night)
    assert outcome_of(found, "asio flammeus/lost.wav") == ("quarantined", "Q_LINK")
    assert outcome_of(found, "lost.wav") == outcome_of(found, "lost") == ("ignored", "beside the class folders")


@pytest.mark.fault("B14")
def test_names_like_those_of_the_pool_make_no_group_and_no_collision(night, clip):
    names = ["heron", "heron_aug2019", "heron_aug001_noise", "heron_original", "heron_original_original"]
    for n, name in enumerate(names):
        clip(night / "asio flammeus" / f"{name}.wav", 500 + n)
    found = scan(night)
    assert found.clips["source_id"].is_unique
    paths = planned(found)
    assert [paths[f"asio flammeus/{name}.wav"] for name in names] == [
        f"asio_flammeus/{name}_original.wav" for name in names
    ]


@pytest.mark.slow
@pytest.mark.fault("B17", "B18", "H10", "H11")
def test_class_names_of_any_kind_stay_themselves_and_write_inside_the_pool(night, clip, params, tmp_path):
    params(night__augment__target_samples=4, night__augment__transforms=["noise"])
    for k, name in enumerate(HOSTILE_CLASSES):
        for n in range(3):
            clip(night / name / f"c{n}_take0.wav", 1_000 + 10 * k + n, seconds=0.3)
    before = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    for stage in (night_cut, night_scan, night_augment, night_index, night_mels):
        stage.main()

    classes = sorted([*HOSTILE_CLASSES, "asio flammeus", "Flugzeug é"])
    assert sorted(read_fold_table(Path("artifacts/night/balanced_audio_index.db"))[1]) == classes
    pool = read_pool(Path("artifacts/night/pool.csv"))
    assert pool.groupby("class_name").size().to_dict() == dict.fromkeys(classes, 4)
    assert pool["file_path"].map(lambda path: bool(SAFE_PATH.fullmatch(path))).all()
    on_disk = {
        path.relative_to("artifacts/night/pool").as_posix() for path in Path("artifacts/night/pool").rglob("*.wav")
    }
    assert on_disk == set(pool["file_path"])
    assert len(set(read_array_names(Path("artifacts/night/balanced_audio_index.db")))) == len(classes)
    assert sorted(pd.read_csv("plots/night_counts.csv", keep_default_na=False)["class"].unique()) == sorted(
        map(plain_cell, classes)
    )
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")} - before == {
        "artifacts",
        "metrics",
        "plots",
    }
