"""evensong predict: recordings -> scored windows, Raven selection tables, and a list of whatever was refused."""

import functools
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evensong.listen.events import merge_windows
from evensong.listen.folds import TrainedFolds, read_folds
from evensong.listen.raven import table_name, write_selections
from evensong.listen.recordings import Recording, list_recordings
from evensong.listen.scoring import Listening, Scores, listening_of, score_recording
from evensong.listen.tables import QuarantineTable, WindowTable, replacing
from evensong.errors import DataError, InputFault, ParamsError
from evensong.intake.names import counted, name_fault, printable
from evensong.run.parallel import map_isolated

_LONGEST_NAME = 255  # bytes, on every common file system
_WEEK_S = 7 * 86_400  # no recording takes that long; a decoder that hangs is the user's to interrupt


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        named: files and folders.
        model: a training folder, or one fold's.
        out: CSV of all windows; None for standard output.
        raven: folder of selection tables; None for none.
        hop_seconds: distance of two windows; None for half a window.
        min_score: of a window that may become part of a selection, 0 to 1.
        workers: processes, each with one recording at a time; no result depends on it.
    """

    named: Sequence[Path]
    model: Path
    out: Path | None
    raven: Path | None
    hop_seconds: float | None
    min_score: float
    workers: int


@dataclass(frozen=True)
class _Task:
    path: Path
    model: Path
    listening: Listening


def predict(request: Request) -> None:
    """Score every recording; whatever can be read is written before the refused ones end the command.

    Raises:
        ParamsError: an option is out of its range, or two recordings would write one table.
        IntegrityError: the model is damaged, or is not of the night track.
        DataError: no recordings, or some that cannot be used: listed on standard error and, beside out, in a table.
    """
    _check_options(request)
    recordings, n_others = list_recordings(request.named)
    if n_others:
        _say(f"{counted(n_others, 'file')} passed over, no audio by the name")
    tables = _table_paths(request.raven, recordings) if request.raven else {}
    torch.set_num_threads(1)  # forking must find no thread pool
    trained = _trained(request.model)
    listening = listening_of(trained, request.hop_seconds)
    tasks = [_Task(recording.path, request.model, listening) for recording in recordings]
    results = map_isolated(_score, tasks, workers=request.workers, seconds=_WEEK_S, label="predict")
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        windows = stack.enter_context(WindowTable.opened(request.out, trained.classes))
        quarantine = stack.enter_context(QuarantineTable.opened(request.out))
        for recording, scores in zip(recordings, results, strict=True):
            if isinstance(scores, InputFault):
                _say(f"{printable(str(recording.path))}: {scores}")
                quarantine.add(recording.path, scores)
                counts["refused"] += 1
                continue
            windows.add(recording.path, scores)
            counts["windows"] += len(scores.probs)
            counts["silent"] += int(np.isnan(scores.probs[:, 0]).sum())
            if request.raven:
                counts["selections"] += _write_table(tables[recording.path], recording, scores, trained, request)
    _summarise(counts, len(recordings), request)


def _check_options(request: Request) -> None:
    """Refuse before hours of scoring what would fail after them."""
    if not 0 <= request.min_score <= 1:
        raise ParamsError(f"--min-score {request.min_score:g}: a probability lies between 0 and 1")
    if request.workers < 1:
        raise ParamsError(f"--workers {request.workers}: one at least")
    if request.out is not None and request.out.is_dir():
        raise ParamsError(f"--out {request.out}: a folder; name a file in it")
    if request.raven is not None and request.raven.exists() and not request.raven.is_dir():
        raise ParamsError(f"--raven {request.raven}: a file; name a folder")


def _table_paths(folder: Path, recordings: Sequence[Recording]) -> dict[Path, Path]:
    """One table a recording, in the recordings' own folders below the given one."""
    taken: dict[str, Path] = {}
    paths = {}
    for recording in recordings:
        table = folder / recording.name.parent / table_name(recording.name)
        other = taken.setdefault(str(table).casefold(), recording.path)
        if other != recording.path:
            raise ParamsError(f"--raven: {other} and {recording.path} would both be written to {table}; run them apart")
        if len(os.fsencode(table.name)) > _LONGEST_NAME:
            raise ParamsError(f"--raven: {table.name} is longer than a file name may be; shorten the recording's name")
        paths[recording.path] = table
    return paths


@functools.cache
def _trained(model: Path) -> TrainedFolds:
    """Read once a process; forked workers find it read."""
    trained = read_folds(model)
    trained.network.to(memory_format=torch.channels_last)  # as in training
    return trained


def _score(task: _Task) -> Scores | InputFault:
    """Score one recording in a worker; a file that cannot be used comes back as its fault."""
    fault = name_fault(str(task.path))
    if fault:
        return InputFault("Q_NAME", fault)
    try:
        return score_recording(task.path, _trained(task.model).network, task.listening)
    except InputFault as refusal:
        return refusal


def _write_table(path: Path, recording: Recording, scores: Scores, trained: TrainedFolds, request: Request) -> int:
    events = merge_windows(scores, trained.classes, request.min_score)
    band_hz = (float(trained.mels["fmin_hz"]), float(trained.mels["fmax_hz"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as handle:
        write_selections(handle, events, recording=recording.name.name, band_hz=band_hz)
    return len(events)


def _summarise(counts: Counter[str], n_recordings: int, request: Request) -> None:
    silent = f", {counts['silent']} of them without any sound and without a score" if counts["silent"] else ""
    _say(f"{counted(n_recordings - counts['refused'], 'recording')}, {counted(counts['windows'], 'window')}{silent}")
    if request.raven:
        _say(f"{counted(counts['selections'], 'selection')} at a score of {request.min_score:g} or more")
    if counts["refused"]:
        where = f", listed in {QuarantineTable.path_beside(request.out)}" if request.out else ""
        raise DataError(
            f"{counts['refused']} of {counted(n_recordings, 'recording')} could not be used{where}; "
            "the others are written"
        )


def _say(line: str) -> None:
    """Tell the user, beside the table that may go to standard output."""
    print(line, file=sys.stderr)
