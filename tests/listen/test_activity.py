"""Counts by night and hour, worked by hand, and the figure that shows them."""

from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import matplotlib.image
import pandas as pd

from evensong.listen.activity import hour_table, write_activity
from evensong.listen.clock import Clock, Hours, Start
from evensong.listen.found import Event, Found

ZURICH = Clock(ZoneInfo("Europe/Zurich"), UTC)
CLASSES = ["owl", "frog"]


def recording(moment: datetime | None, hours: float, *events: tuple[float, str]) -> Found:
    start = moment and Start(moment.astimezone(ZURICH.zone), "name")
    listed = [Event(begin, begin + 3, name, 0.9, 1) for begin, name in events]
    return Found(Path("x.wav"), Path("x.wav"), hours * 3_600, 48_000, (), 1, 0, start, listed)


SEASON = [
    recording(datetime(2024, 6, 12, 21, 30, tzinfo=UTC), 1.0, (60, "owl"), (1_799, "owl"), (1_801, "frog")),  # 23:30
    recording(datetime(2024, 6, 13, 3, 0, tzinfo=UTC), 0.25, (0, "owl")),  # 05:00, the same night
    recording(datetime(2024, 6, 13, 10, 0, tzinfo=UTC), 0.01, (0, "frog")),  # noon, the next one
    recording(None, 9.0, (0, "owl")),
]


def test_hours_and_nights_worked_by_hand() -> None:
    table = hour_table(SEASON, CLASSES, ZURICH, None).round(4)
    assert table.columns.tolist() == ["night", "hour", "recorded_h", "n_owl", "n_frog"]
    assert table.to_numpy().tolist() == [
        ["2024-06-12", 23, 0.5, 2, 0],
        ["2024-06-12", 0, 0.5, 0, 1],
        ["2024-06-12", 5, 0.25, 1, 0],
        ["2024-06-13", 12, 0.01, 0, 1],
    ]
    night = hour_table(SEASON[:1], CLASSES, ZURICH, Hours(time(23), time(0)))
    assert round(night["recorded_h"].sum(), 6) == 0.5


def test_an_hour_that_comes_twice_is_recorded_twice() -> None:
    table = hour_table([recording(datetime(2024, 10, 27, 0, 0, tzinfo=UTC), 2.0)], CLASSES, ZURICH, None)
    assert table[["night", "hour"]].to_numpy().tolist() == [["2024-10-26", 2]]
    assert round(table["recorded_h"].sum(), 6) == 2


def test_files_are_read_back_and_equal_bytes_for_equal_content(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_activity(tmp_path / name, SEASON, CLASSES, ZURICH, None)
    nights = pd.read_csv(tmp_path / "one/nights.csv")
    assert nights.to_numpy().tolist() == [["2024-06-12", 1.25, 3, 1], ["2024-06-13", 0.01, 0, 1]]
    assert pd.read_csv(tmp_path / "one/hours.csv")["n_owl"].tolist() == [2, 0, 1, 0]
    assert matplotlib.image.imread(tmp_path / "one/activity.png").shape[0] > 300
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["activity.png", "hours.csv", "nights.csv"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_nothing_with_a_moment_gives_empty_tables(tmp_path: Path) -> None:
    write_activity(tmp_path, SEASON[3:], CLASSES, ZURICH, None)
    assert len(pd.read_csv(tmp_path / "nights.csv")) == 0
