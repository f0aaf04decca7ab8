"""The table of what a scan does not use."""

from pathlib import Path

from evensong.intake.listing import Entry
from evensong.intake.opening import Opened, open_all
from evensong.intake.quarantine import QUARANTINE_COLUMNS, quarantine_table
from evensong.intake.twins import look_at_sound
from evensong.schemas import AudioLimits


def test_rows_are_sorted_by_path_and_tell_the_size_of_files_alone(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes(b"abc")
    (tmp_path / "b").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "c.txt")
    entries = [Entry(name, "ignored", reason) for name, reason in (("gone", "I1"), ("c.txt", "I2"), ("b", "I3"))]
    entries += [Entry("a", "quarantined", "Q_LINK"), Entry("d.wav", "candidate"), Entry("e.wav", "candidate")]
    opened = [Opened("e.wav", 7, "e" * 64, reason="Q_EMPTY", detail="0 bytes"), Opened("d.wav", 5, "d" * 64)]
    table = quarantine_table(tmp_path, entries, opened)
    assert list(table.columns) == QUARANTINE_COLUMNS
    assert table[["path", "outcome", "reason", "size"]].to_numpy().tolist() == [
        ["a", "quarantined", "Q_LINK", ""],
        ["b", "ignored", "I3", ""],
        ["c.txt", "ignored", "I2", 3],
        ["e.wav", "quarantined", "Q_EMPTY", 7],
        ["gone", "ignored", "I1", ""],
    ]


def test_a_file_that_is_gone_is_refused_with_the_system_s_reason(tmp_path: Path) -> None:
    limits = AudioLimits(min_seconds=0.1, max_seconds=60, silence_dbfs=-60, max_clipped_share=0.1, max_quarantined=0.1)
    gone = [Entry("gone.wav", "candidate")]
    (found,) = open_all(tmp_path, gone, look_at_sound, limits, workers=1, tell=lambda text, _: text)
    assert (found.reason, found.detail) == ("Q_UNREADABLE", "No such file or directory")
