"""evensong scan: what lies in data/, by the scans' own functions; nothing is written, and DVC is not asked."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evensong.errors import DataError, EvensongError
from evensong.intake.names import tally
from evensong.night.cut import describe as describe_cut
from evensong.night.cut import plan_field
from evensong.night.field import read_field
from evensong.night.scan import Scan, scan_folder, tables_beside
from evensong.params import load_section
from evensong.run.parallel import n_workers
from evensong.schemas import Params, VoiceLabels
from evensong.voice.cohort import read_demographics
from evensong.voice.scan import describe as describe_voice
from evensong.voice.scan import notes, scan_recordings

PARTS = ("night", "field", "voice")
_NIGHT, _FIELD, _VOICE = Path("data/night"), Path("data/field"), Path("data/voice")


class Seen:
    """What was found in one part: lines, the same for programs, and the stage's refusal, if it would refuse."""

    def __init__(self, lines: list[str], tree: dict[str, Any], refusal: EvensongError | None = None) -> None:
        self.lines, self.tree, self.refusal = lines, tree, refusal


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
    lines += [f"  {name}: {one['clips']} clips of {one['sources']} sources" for name, one in classes.items()]
    lines += [f"NOTE: {code} {n} times" for code, n in counts["warnings"].items()]
    lines += [beside] if (beside := tables_beside(scan.quarantine)) else []
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
    events = plan.rows[plan.rows["outcome"].isin(["used", "merged"])]["class_name"].value_counts().sort_index()
    by_class = {str(name): int(n) for name, n in events.items()}
    sources = int(found.recordings["source_id"].nunique())
    lines = [
        f"{counts['recordings']} recordings of {sources} sources, {counts['seconds'] / 3600:.3g} h, "
        f"{counts['recordings_exhaustive']} exhaustive, {counts['recordings_quarantined']} quarantined",
        f"{counts['rows']} annotations: {tally(counts['rows_by_outcome']) or 'none'}",
        *(f"  {name}: {n} annotations to cut" for name, n in by_class.items()),
        *found.notes,
    ]
    if not counts["recordings"] and not counts["rows"]:
        raise DataError(f"{_FIELD}: no recordings")
    tree = {key: value for key, value in counts.items() if not key.startswith("clips")}
    return lines, {**tree, "sources": sources, "by_class": by_class}


def _voice(params: Params) -> tuple[list[str], dict[str, Any]]:
    """Counts alone: a name holds a patient's id."""
    scan = scan_recordings(_VOICE / "recordings", params.voice.scan, workers=n_workers())
    labels: VoiceLabels = params.voice.labels
    survey = read_demographics(_VOICE / "cohort/Demographics_Survey.csv", labels).describe()
    return [*describe_voice(scan.counts), *notes(scan.recordings), survey], {**scan.counts, "survey": survey}


_LOOKS: dict[str, Callable[[Params], tuple[list[str], dict[str, Any]]]] = {
    "night": _night,
    "field": _field,
    "voice": _voice,
}
