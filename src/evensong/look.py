"""evensong scan: what lies in data/, by the scans' own functions; nothing is written, and DVC is not asked."""

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from evensong.errors import DataError, EvensongError
from evensong.intake.names import counted, printable, tally
from evensong.night.cut import describe as describe_cut
from evensong.night.cut import plan_field
from evensong.night.field import FILE_MISSING, read_field
from evensong.night.scan import Scan, background_note, scan_folder, tables_beside
from evensong.params import load_section
from evensong.run.parallel import n_workers
from evensong.schemas import Params
from evensong.voice.cohort import read_demographics
from evensong.voice.scan import describe as describe_voice
from evensong.voice.scan import notes, scan_recordings

PARTS = ("night", "field", "voice")
_NIGHT, _FIELD, _VOICE = Path("data/night"), Path("data/field"), Path("data/voice")
_NAMED = 3  # of what is missing
EACH_SPLIT = 3  # sources that a class needs: training, validation and test hold one each


class Seen:
    """What was found in one part: lines, the same for programs, and the stage's refusal, if it would refuse."""

    def __init__(self, lines: list[str], tree: dict[str, Any], refusal: EvensongError | None = None) -> None:
        self.lines, self.tree, self.refusal = lines, tree, refusal


def too_few(names: Sequence[str]) -> str:
    """What to do about classes that no split into three can hold."""
    return (
        f"fewer than three sources, so not one for each split: {', '.join(map(printable, names))}; add recordings of "
        "other sources, see whether night.scan.group_pattern groups too widely, or leave such classes out "
        "(night.index.min_sources: 3)"
    )


def parts_here() -> list[str]:
    """Parts of data/ in the working folder that hold anything but a placeholder."""
    folders = dict(zip(PARTS, (_NIGHT, _FIELD, _VOICE), strict=True))
    return [part for part, folder in folders.items() if folder.is_dir() and any(folder.glob("[!.]*"))]


def look_at(part: str) -> Seen:
    """Scan one part of data/ in the working folder.

    Args:
        part: one of PARTS.

    Raises:
        ParamsError: params.yaml does not fit its schemas.
    """
    params = load_section("", Params)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the scans print refused files as they go
            lines, tree = _LOOKS[part](params)
    except EvensongError as error:
        return Seen([f"the stage would stop: {error}"], {"refused": str(error)}, error)
    return Seen(lines, tree)


def _night(params: Params) -> tuple[list[str], dict[str, Any]]:
    scan = scan_folder(_NIGHT, params.night.scan, workers=n_workers())
    counts = scan.counts
    refused = f" ({tally(reasons)})" if (reasons := counts["quarantined_by_reason"]) else ""
    lines = [
        f"{counts['listed']} files: {counts['used']} used, {counts['duplicates']} duplicates, "
        f"{counts['quarantined']} quarantined{refused}, {counts['ignored']} ignored",
        f"{counts['used']} clips of {counts['classes']} classes and {counts['sources']} sources, "
        f"{counts['seconds_used'] / 3600:.3g} h",
    ]
    classes = _classes(scan)
    lines += [
        f"  {name}: {counted(one['clips'], 'clip')} of {counted(one['sources'], 'source')}"
        for name, one in classes.items()
    ]
    few = [name for name, one in classes.items() if one["sources"] < EACH_SPLIT]
    lines += [f"NOTE: {too_few(few)}"] if few else []
    lines += [f"NOTE: {code} {n} times" for code, n in counts["warnings"].items()]
    lines += [beside] if (beside := tables_beside(scan.quarantine)) else []
    lines += [spelled] if (spelled := background_note(scan.clips, params.night.scan.background)) else []
    return lines, {**counts, "by_class": classes}


def _classes(scan: Scan) -> dict[str, dict[str, int]]:
    used = scan.clips[scan.clips["status"] == "used"].groupby("class_name")["source_id"]
    return {str(name): {"clips": len(own), "sources": int(own.nunique())} for name, own in used}


def _field(params: Params) -> tuple[list[str], dict[str, Any]]:
    night = params.night
    found = read_field(_FIELD, night.cut, group_pattern=night.scan.group_pattern, workers=n_workers())
    plan = plan_field(found, settings=night.cut, clip_s=night.mels.clip_seconds, background=night.scan.background)
    none = plan.rows.iloc[:0]  # no clip is cut here
    counts = describe_cut(found, none, plan.rows)
    events = plan.rows[plan.rows["outcome"].isin(["used", "merged"])].groupby("class_name")["recording"]
    by_class = {str(name): int(n) for name, n in events.size().items()}
    source_of = found.recordings.set_index("path")["source_id"]
    n_sources = {str(name): int(source_of[own].nunique()) for name, own in events}
    few = [name for name, n in n_sources.items() if n < EACH_SPLIT]
    sources = int(source_of.nunique())
    lines = [
        f"{counts['recordings']} recordings of {sources} sources, {counts['seconds'] / 3600:.3g} h, "
        f"{counts['recordings_exhaustive']} exhaustive, {counts['recordings_quarantined']} quarantined",
        f"{counts['rows']} annotations: {tally(counts['rows_by_outcome']) or 'none'}",
        *(
            f"  {name}: {counted(n, 'annotation')} of {counted(n_sources[name], 'source')}"
            for name, n in by_class.items()
        ),
        *([f"NOTE: {too_few(few)}"] if few else []),
        *_not_here(found.rows),
        *found.notes,
    ]
    if not counts["recordings"] and not counts["rows"]:
        raise DataError(f"{_FIELD}: no recordings")
    tree = {key: value for key, value in counts.items() if not key.startswith("clips")}
    return lines, {**tree, "sources": sources, "by_class": by_class, "sources_by_class": n_sources}


def _not_here(rows: pd.DataFrame) -> list[str]:
    """Which recordings the tables name and the folder lacks."""
    why = sorted(set(rows.loc[rows["outcome"] == FILE_MISSING, "detail"]))
    more = f", and {len(why) - _NAMED} more" if len(why) > _NAMED else ""
    return [f"NOTE: in the tables, not in the folder: {', '.join(map(printable, why[:_NAMED]))}{more}"] if why else []


def _voice(params: Params) -> tuple[list[str], dict[str, Any]]:
    """Counts alone: a name holds a patient's id."""
    scan = scan_recordings(_VOICE / "recordings", params.voice.scan, workers=n_workers())
    survey = read_demographics(_VOICE / "cohort/Demographics_Survey.csv", params.voice.labels).describe()
    return [*describe_voice(scan.counts), *notes(scan.recordings), survey], {**scan.counts, "survey": survey}


_LOOKS: dict[str, Callable[[Params], tuple[list[str], dict[str, Any]]]] = {
    "night": _night,
    "field": _field,
    "voice": _voice,
}
