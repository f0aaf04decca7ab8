"""Annotated recordings -> clips of one label each, background where nothing is annotated, an account of every row."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evensong.audio.augment import limit_peak
from evensong.audio.decode import open_mono
from evensong.audio.wav import write_wav
from evensong.errors import DataError, IntegrityError
from evensong.intake.listing import ignored_rule
from evensong.intake.names import nfc, unique_slugs
from evensong.keys import file_sha256, keyed_generator, keyed_hash
from evensong.night.field import Field
from evensong.run.parallel import map_tasks
from evensong.schemas import NightCut

CUT_COLUMNS = [
    *("path", "class_name", "source_id", "recording", "begin_s", "end_s", "annotator", "reviewed", "table", "line")
]
USED, MERGED, TOO_SHORT, OUTSIDE = "used", "merged", "too short", "outside the file"
NOT_WANTED, OVERLAPPING = "label not wanted", "overlapping another label"
NOT_A_CLASS = "label cannot be a class"
EVENT_OUTCOMES = (USED, MERGED, TOO_SHORT, OVERLAPPING)  # rows that are a sound of their class in their recording
_MOST_BYTES = 255  # of a folder's name on common file systems
_SILENT_RMS = 1e-4  # -80 dBFS
_SLACK_S = 1e-6  # what a rounded time may differ by


class Sound(NamedTuple):
    """One annotation inside its recording: its row's number, its times and its class."""

    row: int
    begin_s: float
    end_s: float
    class_name: str
    is_reviewed: bool = False


@dataclass(frozen=True)
class Window:
    """A piece of a recording that becomes a clip; row is that of its annotation, -1 for background."""

    begin_s: float
    class_name: str
    row: int


@dataclass
class Planned:
    """The windows of one recording, and the outcome of each of its rows: what, why and how many clips."""

    windows: list[Window] = field(default_factory=list)
    outcomes: dict[int, tuple[str, str, int]] = field(default_factory=dict)


def classes_of(rows: pd.DataFrame, settings: NightCut) -> pd.DataFrame:
    """The rows with a class_name after the label map, and the outcome of those whose label is none that is wanted.

    Raises:
        DataError: two classes differ only in upper and lower case.
    """
    labels = {nfc(label): nfc(name) for label, name in settings.label_map.items()}
    wanted = {nfc(name) for name in settings.labels}
    rows = rows.assign(class_name=rows["label"].map(lambda label: labels.get(label, label)))
    is_open = rows["outcome"] == ""
    is_wanted = rows["class_name"].isin(wanted) if wanted else pd.Series(True, index=rows.index)
    rows.loc[is_open & ~is_wanted, "outcome"] = NOT_WANTED
    unfit = rows["class_name"].map(_is_no_folder)
    rows.loc[is_open & is_wanted & unfit, ["outcome", "detail"]] = [NOT_A_CLASS, "map it in night.cut.label_map"]
    names = sorted(set(rows.loc[rows["outcome"] == "", "class_name"]), key=lambda name: (name.casefold(), name))
    alike = [(one, other) for one, other in pairwise(names) if one.casefold() == other.casefold()]
    if alike:
        raise DataError(
            f"labels {alike[0][0]!r} and {alike[0][1]!r} differ only in upper and lower case; make them one in "
            "night.cut.label_map"
        )
    return rows


def _is_no_folder(name: str) -> bool:
    is_long = len(name.encode("utf-8", "surrogateescape")) > _MOST_BYTES
    return is_long or "/" in name or name in (".", "..") or ignored_rule(name) is not None


def plan_recording(
    sounds: Sequence[Sound], others: Sequence[Sound], duration_s: float, clip_s: float, settings: NightCut
) -> Planned:
    """Choose the clips of one recording.

    A window lies around its annotation, moved as little as it takes to leave other labels out. An annotation longer
    than a window gets as many as cover it, evenly spaced. Windows with another label in them are not cut; an annotation
    that a window of its label holds already is merged into that one.

    Args:
        sounds: annotations to be cut, any order.
        others: annotations that may not be in a clip of another class than theirs; they may include `sounds`.
        duration_s: of the recording.
        clip_s: length of a window.
    """
    planned = Planned()
    for sound in sorted(sounds, key=lambda one: (one.class_name, one.is_reviewed, one.begin_s, one.end_s, one.row)):
        begin_s, end_s = max(0.0, sound.begin_s), min(duration_s, sound.end_s)
        if sound.begin_s >= duration_s or sound.end_s < 0:
            planned.outcomes[sound.row] = (OUTSIDE, f"the recording ends at {duration_s:.3f} s", 0)
        elif end_s - begin_s < settings.min_overlap_s - _SLACK_S:
            planned.outcomes[sound.row] = (TOO_SHORT, f"{end_s - begin_s:.3f} s in the file", 0)
        else:
            _place(planned, sound._replace(begin_s=begin_s, end_s=end_s), others, duration_s, clip_s, settings)
    return planned


def _place(
    planned: Planned, sound: Sound, others: Sequence[Sound], duration_s: float, clip_s: float, settings: NightCut
) -> None:
    for window in planned.windows:
        is_inside = window.begin_s - _SLACK_S <= sound.begin_s and sound.end_s <= window.begin_s + clip_s + _SLACK_S
        if window.class_name == sound.class_name and is_inside:
            planned.outcomes[sound.row] = (MERGED, f"in the clip at {window.begin_s:.3f} s", 0)
            return
    length_s = min(clip_s, duration_s)
    begins = _begins(sound, others, duration_s, length_s, settings)
    kept = [
        begin
        for begin in begins
        if _shared_s(begin, begin + length_s, sound) >= settings.min_overlap_s - _SLACK_S
        and _worst_s(begin, begin + length_s, sound, others) < settings.min_overlap_s
    ]
    planned.windows += [Window(begin, sound.class_name, sound.row) for begin in kept]
    if kept:
        left_out = len(begins) - len(kept)
        detail = f"{left_out} of {len(begins)} windows left out for another label" if left_out else ""
        planned.outcomes[sound.row] = (USED, detail, len(kept))
    else:
        planned.outcomes[sound.row] = (OVERLAPPING, "", 0)


def _begins(
    sound: Sound, others: Sequence[Sound], duration_s: float, length_s: float, settings: NightCut
) -> list[float]:
    """Where windows begin: one that holds the annotation, and its padding where that fits; else as many as cover it."""
    n_windows = int(np.ceil((sound.end_s - sound.begin_s) / length_s - _SLACK_S))
    if n_windows > 1:
        return [float(begin) for begin in np.linspace(sound.begin_s, sound.end_s - length_s, n_windows)]
    padding_s = min(settings.padding_s, max(0.0, (length_s - (sound.end_s - sound.begin_s)) / 2))
    lowest = min(max(0.0, sound.end_s + padding_s - length_s), duration_s - length_s)
    highest = max(lowest, min(sound.begin_s - padding_s, duration_s - length_s))
    middle = (sound.begin_s + sound.end_s - length_s) / 2
    edges = [edge for one in others for edge in (one.end_s, one.begin_s - length_s)]
    candidates = {min(max(edge, lowest), highest) for edge in (middle, lowest, highest, *edges)}
    worst = {begin: round(_worst_s(begin, begin + length_s, sound, others), 9) for begin in candidates}
    return [min(candidates, key=lambda begin: (worst[begin], abs(begin - middle), begin))]


def _worst_s(begin_s: float, end_s: float, sound: Sound, others: Sequence[Sound]) -> float:
    """The most seconds that one annotation of another class has in a window."""
    return max((_shared_s(begin_s, end_s, one) for one in others if one.class_name != sound.class_name), default=0.0)


def _shared_s(begin_s: float, end_s: float, sound: Sound) -> float:
    return max(0.0, min(end_s, sound.end_s) - max(begin_s, sound.begin_s))


def free_windows(
    sounds: Sequence[Sound], duration_s: float, clip_s: float, padding_s: float, offset_share: float
) -> list[float]:
    """Where windows of a grid begin that no annotation reaches, padding included.

    Args:
        offset_share: of a window, by which the grid begins late; 0 to 1.
    """
    spare_s = duration_s - clip_s * int(duration_s / clip_s)
    begins = np.arange(int(duration_s / clip_s)) * clip_s + spare_s * offset_share
    return [
        float(begin)
        for begin in begins
        if all(one.end_s + padding_s <= begin or begin + clip_s <= one.begin_s - padding_s for one in sounds)
    ]


@dataclass(frozen=True)
class _Task:
    source: Path
    sha256: str
    sample_rate_hz: int
    n_frames: int
    clip_s: float
    begins_s: tuple[float, ...]
    outs: tuple[Path, ...]
    may_be_silent: tuple[bool, ...]


@dataclass(frozen=True)
class FieldPlan:
    """What is to be cut.

    Attributes:
        recordings: by path, no duplicates.
        windows: by path.
        rows: of the tables, with class_name, outcome, detail and clips.
    """

    recordings: pd.DataFrame
    windows: dict[str, list[Window]]
    rows: pd.DataFrame

    def without_clips(self) -> "FieldPlan":
        """The same account, and nothing to cut."""
        return replace(self, windows={path: [] for path in self.windows})


def plan_field(found: Field, *, settings: NightCut, clip_s: float, background: Sequence[str]) -> FieldPlan:
    """Plan the clips of all recordings.

    Args:
        clip_s: length of a clip; shorter where the recording is.
        background: classes that may be in any clip; the first is that of the drawn ones.

    Raises:
        DataError: labels that differ only in case.
    """
    rows = classes_of(found.rows, settings).assign(clips=0)
    recordings = found.recordings[found.recordings["duplicate_of"] == ""].set_index("path")
    windows: dict[str, list[Window]] = {}
    free: dict[str, list[float]] = {}
    outcomes: dict[int, tuple[str, str, int]] = {}
    for path, recording in recordings.iterrows():
        sounds = _sounds(rows[rows["recording"] == path])
        wanted = [sound for sound in sounds if rows.at[sound.row, "outcome"] == ""]
        heard = [sound for sound in sounds if sound.class_name not in background]
        planned = plan_recording(wanted, heard, recording["duration_s"], clip_s, settings)
        windows[str(path)] = planned.windows
        outcomes |= planned.outcomes
        if recording["exhaustive"] and background:
            share = float(keyed_generator(settings.seed, "background", recording["sha256"]).random())
            free[str(path)] = free_windows(sounds, recording["duration_s"], clip_s, settings.padding_s, share)
    for n, name in enumerate(("outcome", "detail", "clips")):
        rows[name] = [outcomes.get(row, (old,) * 3)[n] for row, old in enumerate(rows[name])]
    for path, begin_s in _drawn(free, recordings["sha256"].to_dict(), settings):
        windows[path].append(Window(begin_s, background[0], -1))
    return FieldPlan(recordings, windows, rows)


def _sounds(rows: pd.DataFrame) -> list[Sound]:
    """The rows of one recording that are a sound in it, wanted or not."""
    here = rows[rows["outcome"].isin(("", NOT_WANTED, NOT_A_CLASS))]
    columns = (here[name] for name in ("begin_s", "end_s", "class_name", "reviewed"))
    return [Sound(int(row), *cells) for row, *cells in zip(here.index, *columns, strict=True)]


def _drawn(free: dict[str, list[float]], sha256s: dict[Any, str], settings: NightCut) -> list[tuple[str, float]]:
    """As many free windows as are wanted, in turns over the recordings, the order drawn from their samples."""
    turns = []
    for path, begins in free.items():
        keys = [keyed_hash(settings.seed, "background", sha256s[path], n) for n in range(len(begins))]
        order = sorted(range(len(begins)), key=keys.__getitem__)
        turns += [(turn, keys[n], path, begins[n]) for turn, n in enumerate(order)]
    return [(path, begin_s) for _, _, path, begin_s in sorted(turns)[: settings.background_clips]]


def write_clips(plan: FieldPlan, root: Path, folder: Path, clip_s: float, *, workers: int) -> pd.DataFrame:
    """Write every clip, mono at its recording's own rate.

    Args:
        root: data/field.
        folder: one folder a class is made in it.
        workers: processes; no byte depends on it.

    Returns:
        CUT_COLUMNS, sorted by path; background without any sound is left out.

    Raises:
        IntegrityError: a recording is not what was read before.
    """
    stems = unique_slugs({str(one): PurePosixPath(str(path)).stem for path, one in plan.recordings["sha256"].items()})
    table, tasks = [], []
    for path, recording in plan.recordings.iterrows():
        windows = sorted(set(plan.windows[str(path)]), key=lambda one: (one.begin_s, one.class_name, one.row))
        stem, names = stems[recording["sha256"]], []
        for one in windows:
            names.append(f"{one.class_name}/{stem}_{round(one.begin_s * 1000):09d}ms.wav")
            origin = [plan.rows.at[one.row, key] for key in CUT_COLUMNS[-4:]] if one.row >= 0 else ["", False, "", 0]
            end_s = min(one.begin_s + clip_s, recording["duration_s"])
            table.append([names[-1], one.class_name, recording["source_id"], path, one.begin_s, end_s, *origin])
            (folder / one.class_name).mkdir(parents=True, exist_ok=True)
        begins, outs = tuple(one.begin_s for one in windows), tuple(folder / name for name in names)
        form = int(recording["sample_rate_hz"]), int(recording["n_frames"])
        may_be_silent = tuple(one.row >= 0 for one in windows)
        if windows:
            tasks.append(_Task(root / str(path), recording["sha256"], *form, clip_s, begins, outs, may_be_silent))
    written = {name for names in map_tasks(_cut, tasks, workers=workers, label="night_cut") for name in names}
    clips = pd.DataFrame(table, columns=CUT_COLUMNS).drop_duplicates("path")
    clips = clips[clips["path"].map(lambda name: str(folder / name)).isin(written)]
    return clips.sort_values("path", ignore_index=True)


def _cut(task: _Task) -> list[str]:
    """Write the clips of one recording, which is read once and never held whole; runs in a worker."""
    if file_sha256(task.source) != task.sha256:
        raise IntegrityError(f"{task.source}: changed while it was cut; run the stage again")
    length = min(round(task.clip_s * task.sample_rate_hz), task.n_frames)
    firsts = [min(round(begin * task.sample_rate_hz), task.n_frames - length) for begin in task.begins_s]
    pieces: list[list[np.ndarray]] = [[] for _ in firsts]
    written, seen = [], 0
    with open_mono(task.source) as blocks:
        for block in blocks:
            for n, first in enumerate(firsts):
                if first < seen + block.size and seen < first + length:
                    pieces[n].append(block[max(0, first - seen) : first + length - seen])
                    if seen + block.size >= first + length:
                        written += _written(task, n, np.concatenate(pieces[n]))
                        pieces[n] = []
            seen += block.size
    if seen != task.n_frames:
        raise IntegrityError(f"{task.source}: {task.n_frames} frames were read before, {seen} now")
    return written


def _written(task: _Task, n: int, wave: np.ndarray) -> list[str]:
    """The path, once it is written; background without any sound is not."""
    if not task.may_be_silent[n] and float(np.sqrt(np.square(wave, dtype=np.float64).mean())) < _SILENT_RMS:
        return []
    write_wav(task.outs[n], limit_peak(wave)[0], task.sample_rate_hz)
    return [str(task.outs[n])]


def describe(found: Field, clips: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Any]:
    """The account in numbers: recordings, rows by outcome, clips by class; rows in all = the sum of the outcomes."""
    recordings = found.recordings
    refused = found.quarantine["outcome"] == "quarantined"
    outcomes = Counter(rows["outcome"])
    if "" in outcomes:
        raise IntegrityError(f"{outcomes['']} rows of annotation tables have no outcome")
    return {
        "recordings": len(recordings),
        "recordings_exhaustive": int(recordings["exhaustive"].sum()),
        "recordings_cut_short": int(recordings["warnings"].str.contains("W_CUT_SHORT").sum()),
        "recordings_duplicate": int((recordings["duplicate_of"] != "").sum()),
        "recordings_quarantined": int(refused.sum()),
        "seconds": round(float(recordings["duration_s"].sum()), 3),
        "rows": len(rows),
        "rows_by_outcome": {name: outcomes[name] for name in sorted(outcomes)},
        "clips": len(clips),
        "clips_by_class": {str(name): int(n) for name, n in clips.groupby("class_name").size().items()},
    }
