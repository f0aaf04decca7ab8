import errno
import faulthandler
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.voice.conftest import SOUND_KINDS

from evensong.audio.wav import write_wav
from evensong.errors import DataError, IntegrityError
from evensong.intake import listing, twins
from evensong.intake.problems import problem_file
from evensong.intake.quarantine import QUARANTINE_COLUMNS
from evensong.voice.scan import count_files, describe, notes, scan_recordings

SRC = Path(__file__).parents[2] / "src/evensong"
ID = "00000000-0000-4000"
COUNTS = count_files(0, [], pd.DataFrame(columns=QUARANTINE_COLUMNS))


def scan(folder, settings):
    return scan_recordings(folder.root, settings, workers=1)


def refused(folder, settings, message, error=DataError):
    """What a scan that must stop says in its message, which holds no id, and in the file of names."""
    path = folder.root.parents[2] / "problems.csv"
    with pytest.raises(error, match=f"{message}.*; each one by name in {path}") as caught:
        scan_recordings(folder.root, settings, workers=1, tell=problem_file(path))
    assert ID not in str(caught.value)
    return [tuple(row) for row in pd.read_csv(path, keep_default_na=False).to_numpy()]


def test_recordings_and_images_are_listed_together(folder, scan_settings):
    folder.tone(1, 1)
    folder.tone(2, 1, suffix=".WAV")
    folder.image(2, 2, size=(16, 12))
    folder.image(3, 1, size=(20, 30), suffix=".png")
    (folder.root / "README.txt").write_text("how they were made")
    found = scan(folder, scan_settings)
    assert found.recordings["kind"].tolist() == ["audio", "audio", "image", "image"]
    assert found.recordings["height_px"].tolist() == ["", "", "16", "20"]
    assert found.recordings["duration_s"].tolist() == ["0.5", "0.5", "", ""]
    assert set(found.recordings["status"]) == {"used"}
    assert found.quarantine[["outcome", "reason"]].to_numpy().tolist() == [["ignored", "not a recording"]]
    assert found.counts["listed"] == 5
    assert (found.counts["used_audio"], found.counts["used_images"]) == (2, 2)
    assert found.counts["patients"] == "<5"


@pytest.mark.fault("F02", "F04")
def test_an_unusable_file_is_quarantined_with_its_reason(folder, scan_settings):
    for record in range(6):
        folder.tone(1, record)
    folder.path(1, 10).write_bytes(b"")
    folder.path(1, 11).write_text("not sound at all, but long enough")
    cut = folder.tone(1, 12)
    cut.write_bytes(cut.read_bytes()[:-2000])
    folder.tone(1, 13, seconds=0.1)
    folder.tone(1, 14, level=1e-5)
    image = folder.image(2, 1)
    image.write_bytes(image.read_bytes()[:-100])
    folder.tone(1, 15).rename(folder.root / f"{ID}_copy.wav")
    found = scan(folder, scan_settings.model_copy(update={"max_quarantined": 0.6}))
    assert found.quarantine["reason"].tolist() == [
        *("Q_EMPTY", "Q_FORMAT", "Q_TRUNCATED", "Q_TOO_SHORT", "Q_SILENT", "Q_TRUNCATED", "Q_NAME"),
    ]
    assert set(found.quarantine["outcome"]) == {"quarantined"}
    counts = found.counts
    assert counts["listed"] == counts["used"] + counts["duplicate"] + counts["quarantined"] + counts["ignored"] == 13
    assert counts["quarantined_by_reason"]["Q_TRUNCATED"] == 2


def misbehave(path, settings):
    """`inspect` of a decoder that crashes or hangs on two of the cohort's files."""
    faulthandler.disable()  # pytest's: it would print where the test stands
    if path.name.endswith(CRASHING):
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.name.endswith(HANGING):
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # the deadline, brought forward
        time.sleep(20)
    return inspect(path, settings)


inspect = twins.inspect
CRASHING, HANGING = (f"{record:012d}_audio_audio_m4a.wav" for record in (90, 91))


@pytest.mark.fault("A30")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_decoder_that_crashes_or_hangs_costs_its_recording_alone(folder, scan_settings, monkeypatch, workers):
    monkeypatch.setattr(twins, "inspect", misbehave)
    for record in (*range(20), 90, 91):
        folder.tone(1, record)
    found = scan_recordings(folder.root, scan_settings, workers=workers)
    assert found.quarantine["reason"].tolist() == ["Q_DECODER_CRASH", "Q_DECODER_TIMEOUT"]
    assert found.quarantine["detail"].str.contains("0000-4000").sum() == 0
    assert found.counts["used"] == 20


@pytest.mark.fault("F11")
def test_a_ready_made_image_of_one_grey_is_quarantined(folder, scan_settings):
    folder.image(1, 1)
    black = folder.image(1, 2, suffix=".png")
    Image.new("L", (12, 16)).save(black)
    found = scan(folder, scan_settings)
    assert found.quarantine["reason"].tolist() == ["Q_SILENT"]
    assert len(found.recordings) == 1


def test_over_the_budget_every_file_is_in_the_file_of_names(folder, scan_settings):
    for record in range(5):
        folder.tone(1, record)
    for record in (1, 2, 3):
        folder.path(1, record).write_bytes(b"")
    named = refused(folder, scan_settings, r"3 of 5 recordings .* \(0.5 of the files\).*: Q_EMPTY 3")
    assert named == [(folder.path(1, record).name, "Q_EMPTY", "0 bytes") for record in (1, 2, 3)]
    assert scan(folder, scan_settings.model_copy(update={"max_quarantined": 0.6})).counts["used"] == 2


def test_over_the_budget_the_limits_that_refused_are_named(folder, scan_settings):
    folder.tone(1, 1)
    for record in (2, 3):
        folder.tone(1, record, seconds=0.1)
    Image.new("L", (12, 16)).save(folder.image(1, 4, suffix=".png"))  # Q_SILENT too, and of no limit
    limits = r"voice.scan.max_quarantined, voice.scan.min_seconds \(0.25, Q_TOO_SHORT\): Q_SILENT 1, Q_TOO_SHORT 2"
    refused(folder, scan_settings, f"3 of 4 recordings .* or change {limits}")


@pytest.mark.fault("B12")
def test_a_recording_that_changes_while_it_is_read_stops(folder, scan_settings, monkeypatch):
    def inspect_and_change(path, settings):
        os.utime(path, ns=(1, 1))
        return inspect(path, settings)

    monkeypatch.setattr(twins, "inspect", inspect_and_change)
    path = folder.tone(1, 1)
    named = refused(folder, scan_settings, r"1 file\(s\) changed while read", IntegrityError)
    assert named == [(path.name, "changed", "")]


def test_a_folder_that_cannot_be_read_is_in_the_file_of_names(folder, scan_settings, monkeypatch):
    def items_of(path):
        if path.name == "more":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return list(os.scandir(path))

    (folder.root / "more").mkdir()
    monkeypatch.setattr(listing, "items_of", items_of)
    named = refused(folder, scan_settings, "a folder cannot be read")
    assert named == [("more", "unreadable folder", "Permission denied")]


@pytest.mark.fault("F13")
def test_equal_content_within_a_patient_is_used_once(folder, scan_settings):
    kept = folder.tone(1, 2)
    shutil.copy(kept, folder.path(1, 5))
    shutil.copy(kept, folder.path(1, 9))
    picture = folder.image(2, 1)
    shutil.copy(picture, folder.path(2, 4, ".jpg"))
    found = scan(folder, scan_settings)
    assert found.recordings["status"].tolist() == ["used", "duplicate", "duplicate", "used", "duplicate"]
    assert found.counts["duplicate"] == 3


@pytest.mark.fault("F13")
@pytest.mark.parametrize("kind", ["tone", "image"])
def test_equal_content_under_two_patients_stops(folder, scan_settings, kind):
    first = getattr(folder, kind)(1, 1)
    folder.tone(1, 2)
    shutil.copy(first, folder.path(2, 1, first.suffix))
    named = refused(folder, scan_settings, "1 recording.* same content under two patients")
    assert named == [(folder.path(2, 1, first.suffix).name, "same content", f"as {first.name}")]


def test_equal_sound_in_another_container_is_the_same_content(folder, scan_settings):
    import soundfile

    samples, rate_hz = soundfile.read(folder.tone(1, 1), dtype="int16")
    soundfile.write(folder.path(1, 2, ".flac"), samples, rate_hz)
    assert scan(folder, scan_settings).recordings["status"].tolist() == ["used", "duplicate"]


def test_one_recording_as_sound_and_image_is_refused(folder, scan_settings):
    folder.tone(1, 1)
    folder.image(1, 1)
    folder.tone(1, 2)
    named = refused(folder, scan_settings, r"1 recording\(s\) are there more than once")
    assert named == [(folder.path(1, 1).name, "repeated", f"as {folder.path(1, 1, '.jpg').name}")]


@pytest.mark.fault("F03")
@pytest.mark.parametrize("suffixes", [(".jpg", ".JPG"), (".jpeg", ".jpg"), (".wav", ".WAV")])
def test_one_recording_under_two_extensions_is_refused(folder, scan_settings, suffixes):
    for suffix in suffixes:
        folder.path(1, 1, suffix).touch()
    named = refused(folder, scan_settings, r"1 recording\(s\) are there more than once")
    assert {named[0][0], named[0][2].removeprefix("as ")} == {folder.path(1, 1, suffix).name for suffix in suffixes}


@pytest.mark.fault("E14", "F03")
@pytest.mark.parametrize(
    ("names", "what"), [(("ab_1_x", "AB_2_x"), "healthCode"), (("ab_c_x", "ab_C_x"), "recording name")]
)
def test_ids_that_differ_only_in_case_are_refused(folder, scan_settings, names, what):
    for place, name in enumerate(names):
        folder.tone(1, place).rename(folder.root / f"{name}.wav")
    named = refused(folder, scan_settings, rf"1 {what}.* differ only in upper and lower case.*: case twin 2")
    assert {path for path, _, _ in named} == {f"{name}.wav" for name in names}


@pytest.mark.parametrize("files", [[], ["README.md", ".DS_Store"]])
def test_a_folder_without_recordings_says_what_was_expected(folder, scan_settings, files):
    for name in files:
        (folder.root / name).touch()
    with pytest.raises(DataError, match="no recording and no mel image"):
        scan(folder, scan_settings)


def test_nothing_usable_stops_whatever_the_budget(folder, scan_settings):
    folder.path(1, 1).touch()
    with pytest.raises(DataError, match="none of the 1 recordings"):
        scan(folder, scan_settings.model_copy(update={"max_quarantined": 1.0}))


def test_the_tables_do_not_depend_on_workers_or_listing_order(folder, scan_settings, monkeypatch):
    for record in range(20):
        folder.tone(record % 3, record)
    first = scan(folder, scan_settings)
    second = scan_recordings(folder.root, scan_settings, workers=2)
    assert second.recordings.equals(first.recordings)
    item_ids = first.recordings[["healthCode", "record_id", "column_id"]].agg("_".join, axis=1).tolist()
    assert item_ids == sorted(item_ids)


def test_rows_are_sorted_by_item_id_where_one_id_starts_another(folder, scan_settings):
    for place, patient in enumerate(("a", "a-b", "a.b", "ab")):
        folder.tone(1, place).rename(folder.root / f"{patient}_1_x.wav")
    rows = scan(folder, scan_settings).recordings
    item_ids = (rows["healthCode"] + "_" + rows["record_id"]).tolist()
    assert item_ids == sorted(item_ids)
    assert rows["healthCode"].tolist() == ["a-b", "a.b", "a", "ab"]


@pytest.mark.fault("F12")
def test_an_image_of_another_size_than_most_is_used_and_told(folder, scan_settings):
    for record, size in enumerate([(16, 12), (16, 12), (16, 24), (16, 12)]):
        folder.image(1, record, size=size)
    folder.tone(1, 9)
    found = scan(folder, scan_settings)
    assert found.recordings["warnings"].tolist() == ["", "", "W_SIZE", "", ""]
    assert found.counts["image_sizes"] == {"16x12": 3, "16x24": 1}
    assert "NOTE: 1 x W_SIZE: an image of another size than most: are its axes the same?" in describe(found.counts)


@pytest.mark.fault("F12")
def test_an_image_of_another_size_than_most_is_quarantined_where_one_size_is_asked_for(folder, scan_settings):
    for record, size in enumerate([(16, 12), (16, 12), (12, 16), (16, 12)]):
        folder.image(1, record, size=size)
    folder.tone(1, 9)
    found = scan(folder, scan_settings.model_copy(update={"image_sizes": "one"}))
    detail = "12x16 px, and most images 16x12 (image_sizes: one)"
    assert found.quarantine[["reason", "detail"]].to_numpy().tolist() == [["Q_SIZE", detail]]
    assert found.counts["image_sizes"] == {"16x12": 3}
    assert found.counts["used"] == 4


@pytest.mark.fault("F09")
def test_an_image_in_colour_is_used_by_its_brightness_and_told(folder, scan_settings):
    folder.image(1, 1, mode="RGB")
    folder.image(1, 2, is_colour=True, suffix=".png")
    found = scan(folder, scan_settings)
    assert found.recordings["warnings"].tolist() == ["", "W_COLOUR"]
    assert found.counts["warnings"] == {"W_COLOUR": 1}


def test_files_of_every_kind_make_one_cohort(folder, scan_settings):
    for record, kind in enumerate(SOUND_KINDS):
        folder.sound(1, record, kind)
    for record, suffix in enumerate((".jpg", ".png", ".JPEG")):
        folder.image(2, record, suffix=suffix)
    (folder.root / "notes.caf").touch()
    (folder.root / ".DS_Store").touch()
    found = scan(folder, scan_settings)
    sounds = found.recordings[found.recordings["kind"] == "audio"]
    assert list(zip(sounds["container"], sounds["codec"], strict=True)) == list(SOUND_KINDS.values())
    assert set(found.recordings["status"]) == {"used"}
    assert set(found.recordings["warnings"]) == {""}
    assert found.counts["ignored_by_rule"] == {"hidden": 1, "not a recording": 1}


def two_tasks(folder, n_patients):
    """A sustained voice and a countdown of each patient."""
    for patient in range(n_patients):
        folder.tone(patient, 1)
        folder.tone(patient, 2).rename(folder.path(patient, 1, column="audio_countdown_m4a"))


def test_recordings_of_other_columns_than_those_selected_are_set_aside_and_accounted_for(folder, scan_settings):
    two_tasks(folder, 6)
    folder.path(1, 3, ".amr", column="audio_countdown_m4a").touch()  # not read, and not asked for
    settings = scan_settings.model_copy(update={"columns": ["audio_audio_m4a"], "max_quarantined": 0.0})
    found = scan(folder, settings)
    assert set(found.recordings["column_id"]) == {"audio_audio_m4a"}
    assert found.quarantine[["outcome", "reason"]].drop_duplicates().to_numpy().tolist() == [
        ["ignored", "not selected"]
    ]
    assert (found.counts["listed"], found.counts["used"], found.counts["ignored"]) == (13, 6, 7)
    assert found.counts["column_ids"] == 1
    assert notes(found.recordings) == []


def test_several_columns_in_use_are_counted_and_told_with_the_parameter(folder, scan_settings):
    two_tasks(folder, 6)
    folder.tone(1, 99).rename(folder.path(1, 99, column="mine"))
    found = scan(folder, scan_settings)
    assert found.counts["column_ids"] == 3
    (note,) = notes(found.recordings)
    tasks = "audio_audio_m4a (6), audio_countdown_m4a (6), others of fewer than five patients; "
    assert f"recordings of 3 column_ids are used as one: {tasks}" in note
    assert note.endswith("voice.scan.columns")


def test_a_selected_column_that_no_recording_has_is_refused_with_those_that_are_there(folder, scan_settings):
    two_tasks(folder, 5)
    folder.tone(1, 99).rename(folder.path(1, 99, column="mine"))
    settings = scan_settings.model_copy(update={"columns": ["audio_audio_m4a", "audio_audio"]})
    with pytest.raises(DataError, match=r"columns names audio_audio, which no .* audio_audio_m4a \(5\)") as caught:
        scan(folder, settings)
    assert "mine" not in str(caught.value)


def test_every_warning_of_the_readers_is_explained():
    readers = [path for room in ("audio", "voice") for path in (SRC / room).rglob("*.py")]
    codes = {code for path in readers for code in re.findall(r'"(W_[A-Z]+)"', path.read_text("utf-8"))}
    told = {code: "\n".join(describe(COUNTS | {"warnings": {code: 1}})) for code in codes}
    assert len(codes) > 4
    assert [code for code, text in told.items() if "recordings.csv" in text] == []


def test_what_is_set_aside_is_told_with_its_reasons(folder, scan_settings):
    folder.tone(1, 1)
    folder.path(1, 2).touch()
    (folder.root / "notes.txt").touch()
    lines = describe(scan(folder, scan_settings).counts)
    assert lines == [
        "1 of 3 files are used: 1 recordings (0.0001 h) and 0 mel images of <5 patients",
        "0 duplicate, 1 quarantined (Q_EMPTY 1), 1 ignored (not a recording 1)",
    ]


def test_channels_that_cancel_are_warned_about(folder, scan_settings):
    import soundfile

    wave = 0.3 * np.sin(np.arange(8000) / 5)
    soundfile.write(folder.path(1, 1), np.stack([wave, -wave], axis=1), 8000)
    write_wav(folder.path(1, 2), wave.astype(np.float32), 8000)
    found = scan(folder, scan_settings)
    assert found.recordings["warnings"].tolist() == ["W_PHASE", ""]
    assert found.counts["warnings"] == {"W_PHASE": 1}
