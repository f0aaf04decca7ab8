import os

import pytest

from evensong.errors import DataError
from evensong.intake.listing import list_files
from evensong.intake.names import printable
from evensong.voice.scan import RECORDINGS, scan_recordings


def listed(root):
    return {printable(entry.path): (entry.outcome, entry.reason) for entry in list_files(root, RECORDINGS)}


@pytest.mark.fault("F02", "F03")
def test_every_entry_is_listed_with_its_rule(tmp_path):
    for name in ("a_1_x.wav", "a_2_x.JPG", "README.md", ".DS_Store", "._a_1_x.wav", "Thumbs.db", "a_1.wav"):
        (tmp_path / name).touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "more/b_1_x.wav").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/c_1_x.wav").touch()
    (tmp_path / "c_1_x.wav").symlink_to(tmp_path / "a_1_x.wav")
    (tmp_path / "d_1_x.wav").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "e_1_x.wav").mkdir()
    os.mkfifo(tmp_path / "f_1_x.wav")
    assert listed(tmp_path) == {
        "a_1_x.wav": ("candidate", ""),
        "a_2_x.JPG": ("candidate", ""),
        "more/b_1_x.wav": ("candidate", ""),
        "README.md": ("ignored", "not a recording"),
        "loop": ("quarantined", "Q_LINK"),  # B08
        ".DS_Store": ("ignored", "hidden"),  # B06
        "._a_1_x.wav": ("ignored", "hidden"),
        ".git": ("ignored", "hidden"),
        "Thumbs.db": ("ignored", "system file"),
        "a_1.wav": ("quarantined", "Q_NAME"),
        "c_1_x.wav": ("quarantined", "Q_LINK"),  # B07
        "d_1_x.wav": ("quarantined", "Q_LINK"),  # B09
        "f_1_x.wav": ("quarantined", "Q_NOT_REGULAR"),  # B10
    }


def test_recordings_in_formats_that_are_not_read_count_and_other_files_do_not(tmp_path):
    for name in ("a_1_x.mp4", "a_2_x.AAC", "a_3_x.m4a.part", "a_4_x.m4a-12.tmp", "a_5_x.tiff", "a_6_x.txt", "film.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "a_7_x.mp4").symlink_to(tmp_path / "a_1_x.mp4")
    assert listed(tmp_path) == {
        "a_1_x.mp4": ("quarantined", "Q_FORMAT"),
        "a_2_x.AAC": ("quarantined", "Q_FORMAT"),
        "a_3_x.m4a.part": ("quarantined", "Q_TRUNCATED"),
        "a_4_x.m4a-12.tmp": ("quarantined", "Q_TRUNCATED"),
        "a_5_x.tiff": ("quarantined", "Q_FORMAT"),
        "a_6_x.txt": ("ignored", "not a recording"),
        "a_7_x.mp4": ("quarantined", "Q_LINK"),
        "film.mp4": ("ignored", "not a recording"),
    }


@pytest.mark.fault("B04", "B05", "B19")
def test_names_that_are_not_utf8_or_hold_control_characters_are_refused(tmp_path):
    (tmp_path / os.fsdecode(b"a_1_\xff.wav")).touch()
    for name in ("a_1_\n.wav", "a_1_x\u200b.wav", "a\u202e_1_x.wav"):
        (tmp_path / name).touch()
    inner = tmp_path / os.fsdecode(b"f\xe9")
    inner.mkdir()
    (inner / "a_2_x.wav").touch()
    assert listed(tmp_path) == {
        "a_1_\\xff.wav": ("quarantined", "Q_NAME"),
        "a_1_\\n.wav": ("quarantined", "Q_NAME"),
        "a_1_x\\u200b.wav": ("quarantined", "Q_NAME"),
        "a\\u202e_1_x.wav": ("quarantined", "Q_NAME"),
        "f\\xe9/a_2_x.wav": ("quarantined", "Q_NAME"),
    }


def test_a_missing_folder_says_what_to_put_there(tmp_path, scan_settings):
    with pytest.raises(DataError, match="no such folder; put the recordings there"):
        scan_recordings(tmp_path / "recordings", scan_settings, workers=1)
