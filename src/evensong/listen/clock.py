"""When a recording began: from what its recorder wrote into it, or into its name, in a time zone that is stated.

Read are, in this order, the Timestamp of a GUANO chunk (guano-spec, 1.0), AudioMoth's comment, the origination of a
bext chunk (EBU Tech 3285), and the name: 20240612_213000 and its like anywhere in it, or eight hexadecimal digits
alone, which older AudioMoths take for the seconds since 1970.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zoneinfo import ZoneInfo

from evensong.audio.containers import open_regular, sniff
from evensong.audio.wav import read_header
from evensong.errors import InputFault, ParamsError

_STEP_S = 60
_MAX_CHUNKS = 64
_MAX_BYTES = 1 << 20
_OFFSET = r"(?P<offset>Z|(?:UTC)?[+-]\d{1,2}(?::?\d{2})?|UTC)?"
_DATE_TIME = r"(?P<year>\d{4})[-:./ ]?(?P<month>\d\d)[-:./ ]?(?P<day>\d\d)"
_OF_DAY = r"(?P<hour>\d\d)[-:.h]?(?P<minute>\d\d)[-:.m]?(?P<second>\d\d)"
_GUANO = re.compile(rf"^Timestamp:\s*{_DATE_TIME}[T ]{_OF_DAY}(?P<part>\.\d+)?\s*{_OFFSET}\s*$", re.M)
_AUDIOMOTH = re.compile(
    r"^Recorded at (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?P<part>\.\d+)? "
    rf"(?P<day>\d\d)/(?P<month>\d\d)/(?P<year>\d{{4}}) \({_OFFSET}\)"
)
_BEXT = re.compile(rf"^{_DATE_TIME}[\0 ]?{_OF_DAY}(?P<offset>)")
_NAME = re.compile(  # a counter may follow: an offset has four digits there, and is one that places have
    rf"(?<!\d){_DATE_TIME}[-_T ]{{1,2}}{_OF_DAY}(?!\d)(?P<offset>Z|[+-](?:0\d|1[0-4])(?:00|30|45)(?!\d))?"
)
_ISO = "{year}-{month}-{day}T{hour}:{minute}:{second}"
_HEX = re.compile(r"[0-9A-Fa-f]{8}")
_HEX_YEARS = range(2010, 2050)
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]|24):([0-5]\d)")


class Start(NamedTuple):
    """When a recording began.

    Attributes:
        moment: in the zone that the user asked for.
        origin: guano, audiomoth, bext or name.
        note: what makes the time doubtful; empty for none.
    """

    moment: datetime
    origin: str
    note: str = ""


@dataclass(frozen=True)
class Clock:
    """How times are told.

    Attributes:
        zone: of the times that are told.
        recorder: zone that recorders were set to, for times that come without one.
    """

    zone: tzinfo
    recorder: tzinfo

    def start_of(self, path: Path) -> Start | None:
        """When a recording began, or None where nothing tells.

        An hour that the recorder's zone has twice, at the end of daylight saving, is taken as the first one.
        """
        for origin, found in _written(path):
            moment = _moment(found, self.recorder)
            if moment is not None:
                note = "" if found["offset"] else _doubt(moment)
                return Start(moment.astimezone(self.zone), origin, note)
        if _HEX.fullmatch(path.stem):
            moment = datetime.fromtimestamp(int(path.stem, 16), UTC)
            if moment.year in _HEX_YEARS:
                return Start(moment.astimezone(self.zone), "name")
        return None

    def at(self, start: datetime, seconds: float) -> datetime:
        """The moment some seconds into a recording: daylight saving may end in the middle of it."""
        return (start.astimezone(UTC) + timedelta(seconds=seconds)).astimezone(self.zone)

    def minutes(self, start: datetime, seconds: float, hours: "Hours | None") -> Iterator[tuple[datetime, float]]:
        """The minutes of a recording that begin in some hours, None for all: when each does, and how long it lasts."""
        for second in range(0, math.ceil(seconds), _STEP_S):
            moment = self.at(start, second)
            if hours is None or hours.hold(moment):
                yield moment, min(_STEP_S, seconds - second)


class Hours(NamedTuple):
    """Hours of the day, from the first moment to before the last; over midnight where the last one is earlier."""

    first: time
    last: time

    def hold(self, moment: datetime) -> bool:
        """Whether a moment lies in them, by the clock of its own zone."""
        now = moment.time()
        if self.first < self.last:
            return self.first <= now < self.last
        return now >= self.first or now < self.last

    def touch(self, start: datetime, seconds: float) -> bool:
        """Whether any moment of a recording lies in them."""
        begin = datetime.combine(start, self.first, start.tzinfo)
        begin += timedelta(days=begin < start)
        return self.hold(start) or begin < start + timedelta(seconds=seconds)


def zone_of(name: str, option: str) -> tzinfo:
    """A time zone by its name, such as Europe/Zurich, or by its distance, such as UTC+1 or -03:30.

    Raises:
        ParamsError: neither.
    """
    if name.upper() in ("UTC", "Z"):
        return UTC
    if re.fullmatch(r"(UTC)?[+-]\d{1,2}(:?\d{2})?", name):
        return _offset(name)
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise ParamsError(
            f"{option} {name}: no time zone; write Europe/Zurich, UTC or UTC+1 (names need the system's table, "
            "or: pip install tzdata)"
        ) from error


def hours_of(text: str) -> Hours:
    """Hours such as 21:00-05:00.

    Raises:
        ParamsError: not of this form, or none.
    """
    found = _HOURS.fullmatch(text)
    if not found or (found[3] == "24" and found[4] != "00"):
        raise ParamsError(f"--hours {text}: write them as 21:00-05:00")
    hours = Hours(time(int(found[1]), int(found[2])), time(int(found[3]) % 24, int(found[4])))
    if hours.first == hours.last:
        raise ParamsError(f"--hours {text}: no time at all, or all of it; leave the option out")
    return hours


def seconds_of_wav(path: Path) -> float | None:
    """Length of a WAV by its header; None for other files, and for those that cannot be used."""
    try:
        with open_regular(path) as (file, size):
            header = read_header(file, size, as_far_as_it_goes=True) if sniff(file) == "wav" else None
    except InputFault:
        return None
    return header.n_frames / header.sample_rate_hz if header and header.sample_rate_hz else None


def _written(path: Path) -> Iterator[tuple[str, re.Match[str]]]:
    """What looks like a time, best first."""
    chunks = dict(_chunks(path))
    for origin, text, pattern in (
        ("guano", chunks.get("guan", ""), _GUANO),
        ("audiomoth", chunks.get("ICMT", ""), _AUDIOMOTH),
        ("bext", chunks.get("bext", "")[320:338], _BEXT),
        ("name", path.stem, _NAME),
    ):
        if found := pattern.search(text):
            yield origin, found


def _moment(found: re.Match[str], recorder: tzinfo) -> datetime | None:
    try:
        naive = datetime.fromisoformat(_ISO.format(**found.groupdict()))
    except ValueError:
        return None
    part = found.groupdict().get("part")
    naive += timedelta(seconds=float(part)) if part else timedelta()
    return naive.replace(tzinfo=_offset(found["offset"]) if found["offset"] else recorder)


def _offset(text: str) -> tzinfo:
    """Z, UTC, UTC+2, +0200 or -3:30."""
    found = re.fullmatch(r"(?:UTC)?([+-])(\d{1,2}):?(\d{2})?", text)
    if not found:
        return UTC
    distance = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return timezone(min(distance, timedelta(hours=23)) * (1 if found[1] == "+" else -1))


def _doubt(moment: datetime) -> str:
    """Whether its zone has this time twice, or never."""
    if moment.replace(fold=1).utcoffset() == moment.utcoffset():
        return ""
    exists = moment.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) == moment.replace(tzinfo=None)
    return "this hour comes twice, the first is taken" if exists else "this hour is left out by daylight saving"


def _chunks(path: Path) -> Iterator[tuple[str, str]]:
    """Texts that a WAV file holds beside its samples, by the name of their chunk; none of other or damaged files."""
    try:
        with open_regular(path) as (file, size):
            if file.read(12)[8:12] == b"WAVE":
                yield from _texts(file, 12, size)
    except InputFault:
        return


def _texts(file: BinaryIO, position: int, end: int) -> Iterator[tuple[str, str]]:
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8 or position + 8 > end:
            return
        name, n_bytes = head[:4], int.from_bytes(head[4:], "little")
        if name == b"LIST" and file.read(4) == b"INFO":
            yield from _texts(file, position + 12, min(end, position + 8 + n_bytes))
        elif name in (b"guan", b"ICMT", b"bext"):
            raw = file.read(min(n_bytes, _MAX_BYTES))
            text = raw.decode("latin-1" if name == b"bext" else "utf-8", "replace")
            yield name.decode("ascii"), text if name == b"bext" else text.strip("\0 \r\n")
        position += 8 + n_bytes + n_bytes % 2
