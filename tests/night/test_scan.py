import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from tests.night.scans import outcome_of, scan, used
from tests.privileges import without_root

from evensong.errors import DataError, IntegrityError
from evensong.intake import twins
from evensong.night.scan import background_note


@pytest.mark.fault("A13", "B06", "B16", "C02")
def test_scan_lists_every_clip_and_the_accounting_closes(night, clip):
    (night / "asio flammeus" / "notes.txt").write_text("x")
    (night / "asio flammeus" / ".DS_Store").write_text("x")
    (night / "asio flammeus" / "._call0_take0.wav").write_text("x")
    (night / "Thumbs.db").write_text("x")
    (night / "README.md").write_text("x")
    (night / "asio flammeus" / "empty.wav").touch()
    shutil.copy(night / "asio flammeus" / "call0_take0.wav", night / "asio flammeus" / "z copy.WAV")
    found = scan(night)
    counts = found.counts
    assert counts["listed"] == 15 + 7
    assert (counts["used"], counts["duplicates"], counts["quarantined"], counts["ignored"]) == (15, 1, 1, 5)
    assert counts["listed"] == len(found.clips) + len(found.quarantine)
    assert outcome_of(found, "asio flammeus/notes.txt") == ("ignored", "not audio")
    assert outcome_of(found, "asio flammeus/.DS_Store") == ("ignored", "hidden")
    assert outcome_of(found, "asio flammeus/._call0_take0.wav") == ("ignored", "hidden")
    assert outcome_of(found, "Thumbs.db") == ("ignored", "system file")
    assert outcome_of(found, "README.md") == ("ignored", "beside the class folders")
    assert outcome_of(found, "asio flammeus/empty.wav") == ("quarantined", "Q_EMPTY")
    duplicate = found.clips[found.clips["status"] == "duplicate"]
    assert duplicate[["path", "duplicate_of"]].to_numpy().tolist() == [
        ["asio flammeus/z copy.WAV", "asio flammeus/call0_take0.wav"]
    ]
    assert found.clips["class_name"].unique().tolist() == ["Flugzeug é", "asio flammeus"]


@pytest.mark.fault("B13")
def test_scan_does_not_depend_on_workers_or_creation_order(night, clip, tmp_path):
    other = tmp_path / "other"
    for path in sorted(night.rglob("*.wav"), reverse=True):
        (other / path.relative_to(night)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, other / path.relative_to(night))
    first, second = scan(night), scan(other, workers=2)
    pd.testing.assert_frame_equal(first.clips, second.clips)
    assert first.counts == second.counts


def test_scan_leaves_the_input_untouched(night):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in night.rglob("*.wav")}
    scan(night)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in night.rglob("*.wav")} == before


@pytest.mark.parametrize("make", [lambda root: None, lambda root: root.mkdir(parents=True)])
def test_scan_missing_or_empty_folder_says_what_to_put_there(tmp_path, make):
    make(tmp_path / "data/night")
    with pytest.raises(DataError, match="one folder of recordings a class"):
        scan(tmp_path / "data/night")


def test_scan_one_class_is_refused(tmp_path, clip):
    clip(tmp_path / "owl/a.wav", 1)
    with pytest.raises(DataError, match="only the class folder 'owl'"):
        scan(tmp_path)


@pytest.mark.fault("B15")
def test_scan_empty_class_is_named(night):
    (night / "crow").mkdir()
    with pytest.raises(DataError, match="class crow: 0 usable of 0 listed"):
        scan(night)


@pytest.mark.fault("B15")
def test_scan_class_without_a_usable_clip_is_named(night, clip):
    clip(night / "crow/a.wav", 500, level=0.0)
    with pytest.raises(DataError, match="class crow: 0 usable of 1 listed"):
        scan(night)


@pytest.mark.fault("B16")
def test_scan_nested_folder_needs_recursive(night, clip):
    clip(night / "asio flammeus/2024/june/a.wav", 500)
    with pytest.raises(DataError, match=r"2024: a folder inside a class folder; .*recursive: true"):
        scan(night)
    assert "asio flammeus/2024/june/a.wav" in used(scan(night, recursive=True))


@pytest.mark.fault("C01")
@pytest.mark.parametrize("name", ["x.wav", "x.flac"])
def test_scan_same_sound_in_two_classes_names_both(night, name):
    source = night / "asio flammeus/call0_take0.wav"
    if name == "x.wav":
        shutil.copy(source, night / "Flugzeug é" / name)
    else:  # other bytes, equal samples
        samples, rate = soundfile.read(source, dtype="int16")
        soundfile.write(night / "Flugzeug é" / name, samples, rate)
    with pytest.raises(
        DataError, match=rf"1 sound in two classes.*\n  Flugzeug é/{name} and asio flammeus/call0_take0.wav"
    ):
        scan(night)


@pytest.mark.fault("C03")
def test_scan_same_sound_in_two_containers_is_used_once(night):
    samples, rate = soundfile.read(night / "asio flammeus/call0_take0.wav", dtype="int16")
    soundfile.write(night / "asio flammeus/call0_take0.flac", samples, rate)
    found = scan(night)
    rows = found.clips.set_index("path")
    assert rows.loc["asio flammeus/call0_take0.wav", ["status", "duplicate_of"]].tolist() == [
        "duplicate",
        "asio flammeus/call0_take0.flac",  # the first by path
    ]
    assert found.counts["used"] == 15


@pytest.mark.fault("C04")
def test_scan_lossy_copy_is_another_sound_that_only_the_groups_table_ties_to_its_original(night):
    samples, rate = soundfile.read(night / "asio flammeus/call0_take0.wav", dtype="int16")
    soundfile.write(night / "asio flammeus/copy.mp3", samples, rate)
    assert scan(night).counts["sources"] == 16
    groups = {path: f"s{n}" for n, path in enumerate(used(scan(night)))}
    groups["asio flammeus/copy.mp3"] = groups["asio flammeus/call0_take0.wav"]
    rows = "".join(f"{path},{source}\n" for path, source in groups.items())
    (night / "groups.csv").write_text(f"path,source_id\n{rows}", encoding="utf-8")
    found = scan(night)
    assert (found.counts["used"], found.counts["sources"]) == (16, 15)


def test_scan_over_the_budget_lists_every_refused_file(night, capsys):
    for name in ("a", "b"):
        (night / "asio flammeus" / f"{name}.wav").write_text("not audio")
    with pytest.raises(DataError, match=r"2 of 17 audio files cannot be used, more than night.scan.max_quarantined"):
        scan(night, max_quarantined=0.05)
    printed = capsys.readouterr().out
    assert "asio flammeus/a.wav: Q_FORMAT" in printed
    assert "asio flammeus/b.wav: Q_FORMAT" in printed


LIMITED = [  # a clip, the limit that refuses it, and a value of the limit that takes it
    ({"seconds": 0.1}, "min_seconds", 0.1, "Q_TOO_SHORT"),
    ({"seconds": 2.0}, "max_seconds", 2.0, "Q_TOO_LONG"),
    ({"level": 1e-3}, "silence_dbfs", -80.0, "Q_SILENT"),
    ({"level": 30.0}, "max_clipped_share", 1.0, "Q_CLIPPED"),
]
STRICT = {"max_seconds": 1.0, "silence_dbfs": -50.0, "max_quarantined": 0.0}


@pytest.mark.parametrize(("made", "limit", "cure", "reason"), LIMITED)
def test_scan_over_the_budget_names_the_limit_whose_change_takes_the_clips(night, clip, made, limit, cure, reason):
    clip(night / "asio flammeus/odd.wav", 7, full_scale=1.0, **made)
    with pytest.raises(
        DataError, match=rf"night.scan.{limit} \([-\d.]+, {reason}\): {reason} 1; each one is named above$"
    ):
        scan(night, **STRICT)
    assert scan(night, **STRICT | {limit: cure}).counts["used"] == 16


def test_scan_over_the_budget_counts_every_reason_and_names_no_limit_that_decided_nothing(night, clip):
    for n, (made, *_) in enumerate(LIMITED + LIMITED[:1]):
        clip(night / f"asio flammeus/odd{n}.wav", 40 + n, full_scale=1.0, **made)
    (night / "asio flammeus/empty.wav").touch()
    with pytest.raises(DataError) as caught:
        scan(night, **STRICT)
    assert str(caught.value) == (
        "6 of 21 audio files cannot be used, more than night.scan.max_quarantined (0 of the files) allows; repair or "
        "remove them, or change night.scan.max_quarantined, night.scan.max_clipped_share (0.5, Q_CLIPPED), "
        "night.scan.max_seconds (1.0, Q_TOO_LONG), night.scan.min_seconds (0.25, Q_TOO_SHORT), "
        "night.scan.silence_dbfs (-50.0, Q_SILENT): "
        "Q_CLIPPED 1, Q_EMPTY 1, Q_SILENT 1, Q_TOO_LONG 1, Q_TOO_SHORT 2; each one is named above"
    )
    with pytest.raises(DataError, match=r"change night\.scan\.max_quarantined: Q_EMPTY 1"):
        scan(night, max_quarantined=0.0, min_seconds=0.1, max_clipped_share=1.0)


def test_scan_tells_all_that_stops_it_in_one_run(night, clip):
    (night / "asio flammeus/empty.wav").touch()
    clip(night / "crow/a.wav", 500, seconds=0.1)
    shutil.copy(night / "asio flammeus/call0_take0.wav", night / "Flugzeug é/x.wav")
    with pytest.raises(DataError) as caught:
        scan(night, max_quarantined=0.05, group_pattern=r"^(.+)_night\d+$")
    budget, classes, labels, *named, sources = str(caught.value).split("\n")
    assert budget.startswith("2 of 18 audio files cannot be used")
    assert classes.startswith("also: class crow: 0 usable of 1 listed")
    assert labels.startswith("also: 1 sound in two classes")
    assert named == ["  Flugzeug é/x.wav and asio flammeus/call0_take0.wav"]
    assert sources.startswith("also: 15 of 15 clips without a source (Flugzeug é/fly0_take0.wav, ")
    assert "night.scan.group_pattern '^(.+)_night" in sources
    (night / "groups.csv").write_text("path,source_id\nFlugzeug é/fly0_take0.wav,s\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"2 of 18 audio files(.|\n)*also: 14 of 15 clips .*: not in groups.csv"):
        scan(night, max_quarantined=0.05)


def test_scan_budget_counts_audio_files_only(night):
    for n in range(40):
        (night / "asio flammeus" / f"note{n}.txt").write_text("x")
    (night / "asio flammeus" / "a.wav").touch()
    with pytest.raises(DataError, match="1 of 16 audio files"):
        scan(night, max_quarantined=0.05)


@pytest.mark.fault("B07", "B08", "B09")
def test_scan_links_are_never_followed(night, clip, tmp_path):
    outside = clip(tmp_path / "outside.wav", 900)
    (night / "asio flammeus/link.wav").symlink_to(outside)
    (night / "asio flammeus/broken.wav").symlink_to(tmp_path / "nowhere.wav")
    (night / "asio flammeus/loop").symlink_to(night)
    found = scan(night, recursive=True)
    for name in ("link.wav", "broken.wav", "loop"):
        assert outcome_of(found, f"asio flammeus/{name}") == ("quarantined", "Q_LINK")


@pytest.mark.fault("B07")
def test_scan_linked_class_folder_is_refused(night, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (night / "crow").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="crow: a class folder must not be a link"):
        scan(night)


@pytest.mark.fault("B10")
def test_scan_pipe_named_wav_does_not_block(night):
    os.mkfifo(night / "asio flammeus/pipe.wav")
    assert outcome_of(scan(night), "asio flammeus/pipe.wav") == ("quarantined", "Q_NOT_REGULAR")


@pytest.mark.fault("B04", "B05", "H14")
def test_scan_control_characters_and_bad_bytes_are_refused_by_escaped_name(night):
    folder = night / "asio flammeus"
    shutil.copy(folder / "call0_take0.wav", folder / "new\nline.wav")
    shutil.copy(folder / "call0_take0.wav", os.fsencode(folder) + b"/\xff.wav")
    found = scan(night)
    assert outcome_of(found, "asio flammeus/new\\nline.wav") == ("quarantined", "Q_NAME")
    assert outcome_of(found, "asio flammeus/\\xff.wav") == ("quarantined", "Q_NAME")


def test_scan_class_folder_with_a_control_character_is_refused(night):
    (night / "bad\x1bname").mkdir()
    with pytest.raises(DataError, match=r"bad\\x1bname: .*control character U\+001B"):
        scan(night)


@pytest.mark.fault("B20")
def test_scan_class_folders_equal_but_for_unicode_form_are_refused(night):
    (night / unicodedata.normalize("NFD", "Flugzeug é")).mkdir()
    with pytest.raises(DataError, match="differ only in their Unicode form"):
        scan(night)


@pytest.mark.fault("B20")
def test_scan_class_folders_equal_but_for_case_are_refused(night):
    (night / "Asio Flammeus").mkdir()
    with pytest.raises(DataError, match=r"asio flammeus and .*Asio Flammeus: .* differ only in upper and lower case"):
        scan(night)


@pytest.mark.fault("B19")
@pytest.mark.parametrize("character", ["\u202e", "\u200b", "\ufeff"])
def test_scan_class_folder_with_a_character_that_cannot_be_seen_is_refused(night, character):
    (night / f"ow{character}l").mkdir()
    with pytest.raises(DataError, match=rf"ow\\u\w+l: .*invisible character U\+{ord(character):04X}"):
        scan(night)


def test_scan_link_to_itself_is_refused_or_passed_over(night):
    for place in (night, night / "asio flammeus"):
        (place / "loop").symlink_to("loop")
    found = scan(night)
    assert outcome_of(found, "loop") == ("ignored", "beside the class folders")
    assert outcome_of(found, "asio flammeus/loop") == ("ignored", "not audio")


@pytest.mark.fault("B11")
def test_scan_unreadable_file_is_quarantined(night, tmp_path):
    tmp_path.chmod(0o755)
    assert scan(night).counts["quarantined"] == 0
    Path("data/night/asio flammeus/call0_take0.wav").chmod(0)
    with without_root():
        found = scan(Path("data/night"))  # relative: the folders above are for root alone
    assert outcome_of(found, "asio flammeus/call0_take0.wav") == ("quarantined", "Q_UNREADABLE")
    assert found.counts["used"] == 14


@pytest.mark.fault("B12")
@pytest.mark.parametrize("content", [None, b"half a fi"])
def test_scan_file_changed_while_it_was_read_is_an_error(night, monkeypatch, content):
    real = twins.inspect

    def inspect(path, limits):
        if content is not None:  # a copy that is still going on must not pass for a broken file
            path.write_bytes(content)
        os.utime(path, ns=(1, 1))
        return real(path, limits)

    monkeypatch.setattr(twins, "inspect", inspect)
    with pytest.raises(IntegrityError, match=r"changed while read(.|\n)*asio flammeus/call0_take0.wav: changed"):
        scan(night)


@pytest.mark.fault("B14")
def test_scan_without_pattern_every_clip_is_its_own_source(night):
    found = scan(night)
    assert (found.clips["source_id"] == found.clips["pcm_sha256"].str[:16]).all()
    assert found.counts["sources"] == 15


def test_scan_pattern_groups_takes(night):
    found = scan(night, group_pattern=r"^(.+?)_take\d+$")
    assert found.counts["sources"] == 12
    assert found.clips.loc[found.clips["path"] == "asio flammeus/call1_take1.wav", "source_id"].item() == "call1"


@pytest.mark.fault("C05")
def test_scan_groups_table_overrides_the_pattern(night):
    rows = ["path,source_id"] + [
        f"{path.relative_to(night).as_posix()},night{n % 4}" for n, path in enumerate(sorted(night.rglob("*.wav")))
    ]
    (night / "groups.csv").write_text("\n".join(rows), encoding="utf-8")
    found = scan(night, group_pattern="^(matches nothing)$")
    assert sorted(found.clips["source_id"].unique()) == ["night0", "night1", "night2", "night3"]
    assert outcome_of(found, "groups.csv") == ("ignored", "groups table")
    assert found.counts["sources_in_several_classes"] == 4


@pytest.mark.fault("C02")
def test_scan_duplicate_belongs_to_the_source_of_the_clip_it_repeats(night):
    shutil.copy(night / "asio flammeus/call0_take0.wav", night / "asio flammeus/odd name.wav")
    found = scan(night, group_pattern=r"^(.+?)_take\d+$")
    assert found.clips.loc[found.clips["path"] == "asio flammeus/odd name.wav", "source_id"].item() == "call0"


def test_scan_notes_a_class_that_is_background_but_for_its_case(night):
    note = background_note(scan(night).clips, ["NOISE", "flugzeug é"])
    assert note == (
        "NOTE: class Flugzeug é is reported as any animal: night.scan.background has flugzeug é, and names are exact; "
        "make the spelling one"
    )
    assert background_note(scan(night).clips, ["Flugzeug é", "noise"]) is None


def test_scan_statistics_are_those_of_the_file(night, clip):
    clip(night / "asio flammeus/stereo.wav", 800, channels=2, seconds=1.0, rate_hz=16000)
    row = scan(night).clips.set_index("path").loc["asio flammeus/stereo.wav"]
    assert (row["n_channels"], row["sample_rate_hz"], row["n_frames"]) == (2, 16000, 16000)
    assert row["duration_s"] == 1.0
    assert row["container"] == "wav"
    assert np.isfinite(row["rms_dbfs"])


@pytest.mark.fault("B13")
def test_scan_sorts_by_composed_path(night):
    paths = scan(night).clips["path"].tolist()
    assert paths == sorted(paths, key=lambda path: unicodedata.normalize("NFC", path).encode())
    assert all(not Path(path).is_absolute() for path in paths)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["aac", "WMA", "amr", "3gp", "mp4", "m4b", "caf", "w64", "au", "wv", "ape", "mka"])
def test_scan_sound_in_a_format_that_is_not_read_is_quarantined(night, suffix):
    (night / f"asio flammeus/x.{suffix}").write_bytes(b"sound")
    found = scan(night)
    assert outcome_of(found, f"asio flammeus/x.{suffix}") == ("quarantined", "Q_FORMAT")
    with pytest.raises(DataError, match="1 of 16 audio files cannot be used"):
        scan(night, max_quarantined=0.05)


def test_scan_groups_table_in_another_case_is_refused(night):
    (night / "Groups.CSV").write_text("path,source_id\n")
    with pytest.raises(DataError, match=r"Groups.CSV: the table of sources must be named groups.csv"):
        scan(night)
