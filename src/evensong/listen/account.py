"""What a run tells of itself: an account of every file that was named, and the lines at its end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evensong.errors import DataError
from evensong.intake.names import counted, printable, some_of
from evensong.listen.clock import Clock, Hours
from evensong.listen.found import Found, told_moment
from evensong.listen.kept import COPY, CUT_SHORT, LOW_RATE
from evensong.listen.outputs import write_table
from evensong.listen.progress import tell
from evensong.listen.recordings import Listing

ACCOUNTS = (".recordings.csv", ".quarantine.csv")
_MOST_NAMED = 10
_NOTES = {CUT_SHORT: "cut short, scored as far as it goes", LOW_RATE: "sampled too slowly for what the model hears"}


def beside(out: Path, ending: str) -> Path:
    """A file or folder of ours by the name of an output."""
    return out.with_name(f"{out.stem}{ending}")


def write_account(out: Path, listing: Listing, found: Sequence[Found], clock: Clock | None) -> None:
    """Every file that was named: what became of it, and why; the refused ones once more in a table of their own."""
    rows: list[list[Any]] = [
        [
            *(str(one.path), "scored", "", "", round(one.seconds, 6), one.sample_rate_hz),
            ";".join([*one.warnings, *([COPY] if one.copy_of else [])]),
            *(one.n_windows, one.n_silent, len(one.events)),
            *([told_moment(clock, one.start, 0.0), *(one.start[1:] if one.start else ("", ""))] if clock else []),
        ]
        for one in found
    ]
    faults = [(path, listing.faults[path]) for path in listing.names if path in listing.faults]
    refused = [[printable(str(path)), fault.reason, fault.detail] for path, fault in faults]
    empty = [None] * (6 + 3 * bool(clock))
    rows += [[file, "refused", reason, detail, *empty] for file, reason, detail in refused]
    rows += [[printable(str(path)), "skipped", rule, "", *empty] for path, rule in listing.skipped.items()]
    numbers = {"seconds": float, "sample_rate_hz": int, "warnings": str, "windows": int, "windows_without_sound": int}
    times = {"begin_time": str, "clock": str, "clock_note": str} if clock else {}
    texts = dict.fromkeys(("file", "outcome", "reason", "detail"), str)
    of_all, of_refused = (beside(out, ending) for ending in ACCOUNTS)
    write_table(of_all, {**texts, **numbers, "detections": int, **times}, rows)
    write_table(of_refused, {"file": str, "reason": str, "detail": str}, refused)


def summarise(
    listing: Listing,
    found: Sequence[Found],
    origin: str,
    out: Path | None,
    clock: Clock | None,
    hours: Hours | None,
) -> None:
    n_windows, n_silent = sum(one.n_windows for one in found), sum(one.n_silent for one in found)
    silent = f", {n_silent} of them without any sound and without a score" if n_silent else ""
    heard = f"{sum(one.seconds for one in found) / 3600:.2f} h"
    if clock and hours:
        within_s = sum(s for one in found if one.start for _, s in clock.minutes(one.start.moment, one.seconds, hours))
        heard += f" ({within_s / 3600:.2f} h of them in --hours)"
    tell(f"{counted(len(found), 'recording')}, {heard}, {counted(n_windows, 'window')}{silent}")
    tell(f"{counted(sum(len(one.events) for one in found), 'detection')} at {origin}")
    for warning, meaning in _NOTES.items():
        _name("recording", meaning, [one.path for one in found if warning in one.warnings])
    if copies := [f"{printable(str(one.path))} as {printable(str(one.copy_of))}" for one in found if one.copy_of]:
        which = f"{counted(len(copies), 'recording')} with all the bytes of another"
        tell(f"NOTE: {which}, whose detections count twice: {some_of(copies)}")
    if clock:
        _name("recording", "without a time that is known", [one.path for one in found if one.start is None])
        doubtful = [one.path for one in found if one.start and one.start.note]
        _name("recording", "at an hour that daylight saving makes doubtful", doubtful)
    for rule in dict.fromkeys(listing.skipped.values()):
        _name("file", f"passed over: {rule}", [path for path, why in listing.skipped.items() if why == rule])
    if listing.faults:
        where = f", listed in {beside(out, ACCOUNTS[1])}" if out else ""
        others = "; the others are written" if found else ""
        raise DataError(
            f"{len(listing.faults)} of {counted(len(listing.names), 'recording')} could not be used{where}{others}"
        )


def _name(noun: str, what: str, paths: Sequence[Path]) -> None:
    """Tell how many files there are of a kind, and which; nothing where there are none."""
    if paths:
        more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
        named = ", ".join(printable(path.name) for path in paths[:_MOST_NAMED])
        tell(f"{counted(len(paths), noun)} {what} ({named}{more})")
