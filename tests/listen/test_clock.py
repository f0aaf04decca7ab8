"""Clock times of recordings that our own writers of metadata made, as the devices' specifications say."""

import struct
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pipeline.real import REAL

from evensong.errors import ParamsError
from evensong.listen.clock import Clock, Hours, hours_of, zone_of

ZURICH = ZoneInfo("Europe/Zurich")
LOCAL = Clock(ZURICH, ZURICH)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(path: Path, *chunks: bytes, after: bytes = b"") -> Path:
    samples = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8_000, 16_000, 2, 16)), *chunks, chunk(b"data", bytes(17))
    body = b"WAVE" + b"".join(samples) + after
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def comment(text: bytes) -> bytes:
    return chunk(b"LIST", b"INFO" + chunk(b"IART", b"AudioMoth 24") + chunk(b"ICMT", text + b"\0\0"))


def bext(date: bytes, of_day: bytes) -> bytes:
    return chunk(b"bext", b"text".ljust(256, b"\0") + b"me".ljust(32, b"\0") + bytes(32) + date + of_day + bytes(300))


def told(path: Path, clock: Clock = LOCAL) -> tuple[str, str] | None:
    start = clock.start_of(path)
    return start and (start.moment.isoformat(), start.origin)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-06-12T21:30:00+02:00", "2024-06-12T21:30:00+02:00"),
        ("2024-06-12T21:30:00Z", "2024-06-12T23:30:00+02:00"),
        ("2024-06-12 21:30:00.250", "2024-06-12T21:30:00.250000+02:00"),
        ("2024-01-12T21:30:00-03:30", "2024-01-13T02:00:00+01:00"),
    ],
)
def test_guano(tmp_path: Path, text: str, expected: str) -> None:
    guano = chunk(b"guan", f"GUANO|Version: 1.0\nNote: T\nTimestamp: {text}\nMake: us\n".encode())
    path = wav(tmp_path / "20200101_000000.wav", comment(b"Recorded at 01:02:03 04/05/2021 (UTC) by"), after=guano)
    assert told(path) == (expected, "guano")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"Recorded at 19:17:30 14/07/2018 (UTC) by AudioMoth 24", "2018-07-14T21:17:30+02:00"),
        (b"Recorded at 19:17:30 14/07/2018 (UTC+2) by AudioMoth", "2018-07-14T19:17:30+02:00"),
        (b"Recorded at 19:17:30 14/12/2018 (UTC-3:30) by AudioMoth", "2018-12-14T23:47:30+01:00"),
        (b"Recorded at 19:17:30.500 14/07/2018 (UTC) by AudioMoth", "2018-07-14T21:17:30.500000+02:00"),
    ],
)
def test_audiomoth_comment(tmp_path: Path, text: bytes, expected: str) -> None:
    assert told(wav(tmp_path / "x.wav", comment(text))) == (expected, "audiomoth")


@pytest.mark.parametrize("separator", [b"-", b":", b"/", b"."])
def test_bext(tmp_path: Path, separator: bytes) -> None:
    path = wav(tmp_path / "x.wav", bext(separator.join((b"2024", b"12", b"01")), b"05:06:07"))
    assert told(path) == ("2024-12-01T05:06:07+01:00", "bext")
    assert told(path, Clock(UTC, timezone(timedelta(hours=2)))) == ("2024-12-01T03:06:07+00:00", "bext")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20240612_213000", "2024-06-12T21:30:00+02:00"),
        ("SM4_20240612_213000", "2024-06-12T21:30:00+02:00"),
        ("S4A01234_20240612_213000_001", "2024-06-12T21:30:00+02:00"),
        ("2024-06-12_21-30-00", "2024-06-12T21:30:00+02:00"),
        ("site_7-2024-06-12 21.30.00", "2024-06-12T21:30:00+02:00"),
        ("20240612T213000Z", "2024-06-12T23:30:00+02:00"),
        ("20240612T213000+0100_REC", "2024-06-12T22:30:00+02:00"),
        ("20240612_213000-1", "2024-06-12T21:30:00+02:00"),  # a counter
        ("20240612_213000-0001", "2024-06-12T21:30:00+02:00"),
        ("5EC5A158", "2020-05-20T23:30:00+02:00"),
        ("20241301_213000", None),
        ("20240612_250000", None),
        ("20240612", None),  # eight hexadecimal digits of 1987
        ("120240612_213000", None),
        ("owl", None),
    ],
)
def test_names(tmp_path: Path, name: str, expected: str | None) -> None:
    found = told(tmp_path / f"{name}.flac")
    assert (found and found[0]) == expected
    assert found is None or found[1] == "name"


def test_damaged_metadata_leave_the_name(tmp_path: Path) -> None:
    path = tmp_path / "20240612_213000.wav"
    for raw in (b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\xffINFOICMT\xff\xff\xff\xffRec"):
        path.write_bytes(raw)
        assert told(path) == ("2024-06-12T21:30:00+02:00", "name")
    wav(path, chunk(b"guan", b"Timestamp: yesterday"), bext(b"0000-00-00", b"00:00:00"))
    assert told(path) == ("2024-06-12T21:30:00+02:00", "name")


def test_hours_that_daylight_saving_has_twice_or_never_are_said(tmp_path: Path) -> None:
    twice, never, plain = (
        LOCAL.start_of(tmp_path / f"{name}.wav") for name in ("20241027_023000", "20240331_023000", "20241027_033000")
    )
    assert twice is not None
    assert never is not None
    assert plain is not None
    assert (twice.moment.isoformat(), twice.note[:16]) == ("2024-10-27T02:30:00+02:00", "this hour comes ")
    assert never.note == "this hour is left out by daylight saving"
    assert plain.note == ""


def test_daylight_saving_may_end_in_the_middle_of_a_recording() -> None:
    start = datetime(2024, 10, 27, 2, 30, tzinfo=ZURICH)
    moments = [LOCAL.at(start, seconds).isoformat() for seconds in (0, 1_800, 5_400)]
    assert moments == ["2024-10-27T02:30:00+02:00", "2024-10-27T02:00:00+01:00", "2024-10-27T03:00:00+01:00"]


@given(
    moment=st.datetimes(datetime(2010, 1, 1), datetime(2049, 1, 1)).map(lambda one: one.replace(microsecond=0)),
    zone=st.sampled_from(["UTC", "UTC+1", "-03:30", "Europe/Zurich", "America/New_York"]),
    seconds=st.integers(0, 86_400),
)
def test_the_zone_that_is_told_changes_no_moment(moment: datetime, zone: str, seconds: int) -> None:
    clock = Clock(zone_of(zone, "--clock"), UTC)
    start = clock.start_of(Path(f"/none/{moment:%Y%m%d_%H%M%S}.wav"))
    assert start is not None
    expected = moment.replace(tzinfo=UTC) + timedelta(seconds=seconds)
    assert datetime.fromisoformat(clock.at(start.moment, seconds).isoformat()) == expected


def test_hours() -> None:
    night, day = hours_of("21:00-5:30"), hours_of("9:00-24:00")
    at = [time(20, 59, 59), time(21), time(0), time(5, 29, 59), time(5, 30), time(9)]
    moments = [datetime.combine(datetime(2024, 6, 1), now) for now in at]
    assert [moment for moment in moments if night.hold(moment)] == moments[1:4]
    assert day == Hours(time(9), time(0))
    assert [moment for moment in moments if day.hold(moment)] == [moments[0], moments[1], moments[5]]


@given(
    start=st.integers(0, 1_439),
    n_minutes=st.integers(1, 3_000),
    first=st.integers(0, 1_439),
    last=st.integers(0, 1_439),
)
def test_a_recording_touches_hours_that_hold_one_of_its_minutes(
    start: int, n_minutes: int, first: int, last: int
) -> None:
    hours = Hours(*(time(*divmod(minute, 60)) for minute in (first, last if last != first else (first + 1) % 1_440)))
    moment = datetime(2024, 6, 1, *divmod(start, 60), tzinfo=UTC)
    inside = any(hours.hold(moment + timedelta(minutes=minute)) for minute in range(n_minutes))
    assert hours.touch(moment, n_minutes * 60) == inside


@pytest.mark.parametrize("text", ["21-5", "24:00-05:00", "21:00-24:30", "21:00-21:00", "21:60-22:00", "night"])
def test_hours_that_are_none(text: str) -> None:
    with pytest.raises(ParamsError, match="--hours"):
        hours_of(text)


@pytest.mark.parametrize("name", ["Europe/Zürich", "", "../etc/passwd", "CET+1:2:3", "/etc/localtime"])
def test_zones_that_are_none(name: str) -> None:
    with pytest.raises(ParamsError, match=r"--clock .*: no time zone"):
        zone_of(name, "--clock")


@pytest.mark.real
@pytest.mark.skipif(not (REAL / "field").is_dir(), reason=f"no {REAL}/field")
def test_real_recorders() -> None:
    found = {path.name: told(path) for path in sorted((REAL / "field").rglob("*")) if path.suffix.lower() == ".wav"}
    assert found["242A2604603691DD_20250503_031300.WAV"] == ("2025-05-03T05:13:00+02:00", "guano")
    assert found["metadata.wav"] == ("2020-04-04T12:25:00+02:00", "audiomoth")
    assert found["CHE_02_20190101_183410.wav"] == ("2019-01-01T18:34:10+01:00", "name")
    assert found["rugr_drum.wav"] is None


def test_minutes_of_a_recording_that_lie_in_hours() -> None:
    clock, hours = Clock(UTC, UTC), Hours(time(22), time(5))
    minutes = list(clock.minutes(datetime(2024, 6, 12, 21, 58, tzinfo=UTC), 200.5, hours))
    assert [(moment.strftime("%H:%M"), seconds) for moment, seconds in minutes] == [("22:00", 60), ("22:01", 20.5)]
    assert sum(seconds for _, seconds in clock.minutes(datetime(2024, 6, 12, tzinfo=UTC), 200.5, None)) == 200.5
