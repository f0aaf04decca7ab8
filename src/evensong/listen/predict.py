"""evensong predict: recordings -> scored windows, Raven selection tables, and a list of whatever was refused."""

import functools
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evensong.audio.decode import AUDIO_SUFFIXES
from evensong.errors import DataError, InputFault, IntegrityError, ParamsError
from evensong.intake.names import counted, name_fault, printable
from evensong.listen.events import Event, merge_windows, windows_over
from evensong.listen.folds import TrainedFolds, read_folds
from evensong.listen.outputs import QuarantineTable, SelectionTables, WindowTable
from evensong.listen.thresholds import beside, read_thresholds
from evensong.listen.windows import Listening, listening_of, score_recording
from evensong.run.parallel import map_isolated
from evensong.score.detection import Scores

_DEFAULT = 0.5  # of a window that may become part of a selection
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
        min_score: of a window that may become part of a selection, 0 to 1; None takes the thresholds, and 0.5 where
            there are none.
        workers: processes, each with one recording at a time; no result depends on it.
        thresholds: a file of night_detect; None takes the one beside the model, where there is one.
    """

    named: Sequence[Path]
    model: Path
    out: Path | None
    raven: Path | None
    hop_seconds: float | None
    min_score: float | None
    workers: int
    thresholds: Path | None = None


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
    recordings = _list_recordings(request.named)
    torch.set_num_threads(1)  # forking must find no thread pool
    trained = _trained(request.model)
    listening = listening_of(trained, request.hop_seconds)
    thresholds = _thresholds(request, trained)
    selections = SelectionTables(request.raven, recordings, listening.band_hz)
    tasks = [_Task(path, request.model, listening) for path in recordings]
    results = map_isolated(_score, tasks, workers=request.workers, seconds=_WEEK_S, label="predict")
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        windows = stack.enter_context(WindowTable.opened(request.out, trained.classes))
        quarantine = stack.enter_context(QuarantineTable.opened(request.out))
        for path, scores in zip(recordings, results, strict=True):
            if isinstance(scores, InputFault):
                _say(f"{printable(str(path))}: {scores}")
                quarantine.add(path, scores)
                counts["refused"] += 1
                continue
            if isinstance(scores, IntegrityError):
                raise scores
            events = _events(scores, trained, thresholds, request.min_score)
            windows.add(path, scores)
            selections.add(path, events)
            silent = int(np.isnan(scores.probs[:, 0]).sum())
            counts.update(windows=len(scores.probs), silent=silent, selections=len(events))
    _summarise(counts, len(recordings), request, thresholds)


def _thresholds(request: Request, trained: TrainedFolds) -> dict[str, float]:
    """By class; empty where one score is asked for, or where nothing chose any."""
    path = request.thresholds or beside(request.model)
    if request.min_score is not None or (request.thresholds is None and not path.is_file()):
        return {}
    return read_thresholds(path, [card["card_sha256"] for card in trained.cards])


def _events(
    scores: Scores, trained: TrainedFolds, thresholds: dict[str, float], min_score: float | None
) -> list[Event]:
    if thresholds:
        return windows_over(scores, trained.classes, thresholds)
    return merge_windows(scores, trained.classes, _DEFAULT if min_score is None else min_score, trained.background)


def _check_options(request: Request) -> None:
    """Refuse before hours of scoring what would fail after them."""
    if request.min_score is not None and request.thresholds is not None:
        raise ParamsError("--min-score and --thresholds: one or the other")
    if request.min_score is not None and not 0 <= request.min_score <= 1:
        raise ParamsError(f"--min-score {request.min_score:g}: a probability lies between 0 and 1")
    if request.workers < 1:
        raise ParamsError(f"--workers {request.workers}: one at least")
    if request.out is not None and request.out.is_dir():
        raise ParamsError(f"--out {request.out}: a folder; name a file in it")
    if request.raven is not None and request.raven.exists() and not request.raven.is_dir():
        raise ParamsError(f"--raven {request.raven}: a file; name a folder")


def _list_recordings(named: Sequence[Path]) -> dict[Path, Path]:
    """List files as they are named, and every audio file inside the folders, sorted; links are not followed.

    Returns:
        By the path as the user reaches it, the name below the folder that was named, or the bare file name.

    Raises:
        ParamsError: something named is not there.
        DataError: no recording at all.
    """
    found: dict[Path, Path] = {}
    n_others = 0
    for path in named:
        if not os.path.lexists(path):
            raise ParamsError(f"{path}: no such file or folder")
        if not path.is_dir():
            found.setdefault(path, Path(path.name))
            continue
        for inside in _files_in(path):
            if inside.suffix.lower() in AUDIO_SUFFIXES:
                found.setdefault(inside, inside.relative_to(path))
            else:
                n_others += 1
    if not found:
        raise DataError(
            f"no recordings in {', '.join(map(str, named))}; read are files named {', '.join(sorted(AUDIO_SUFFIXES))}"
        )
    if n_others:
        _say(f"{counted(n_others, 'file')} passed over, no audio by the name")
    return found


def _files_in(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error

    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in sorted(names) if not name.startswith("."))


@functools.cache
def _trained(model: Path) -> TrainedFolds:
    """Read once a process; forked workers find it read."""
    trained = read_folds(model)
    trained.network.to(memory_format=torch.channels_last)  # as in training
    return trained


def _score(task: _Task) -> Scores | InputFault | IntegrityError:
    """Score one recording in a worker; a file or a model that cannot be used comes back as its fault."""
    fault = name_fault(str(task.path))
    if fault:
        return InputFault("Q_NAME", fault)
    try:
        return score_recording(task.path, _trained(task.model).network, task.listening)
    except (InputFault, IntegrityError) as refusal:
        return refusal


def _summarise(counts: Counter[str], n_recordings: int, request: Request, thresholds: dict[str, float]) -> None:
    silent = f", {counts['silent']} of them without any sound and without a score" if counts["silent"] else ""
    _say(f"{counted(n_recordings - counts['refused'], 'recording')}, {counted(counts['windows'], 'window')}{silent}")
    if request.raven:
        least = _DEFAULT if request.min_score is None else request.min_score
        over = f"thresholds of {len(thresholds)} classes" if thresholds else f"a score of {least:g} or more"
        _say(f"{counted(counts['selections'], 'selection')} at {over}")
    if counts["refused"]:
        where = f", listed in {QuarantineTable.path_beside(request.out)}" if request.out else ""
        raise DataError(
            f"{counts['refused']} of {counted(n_recordings, 'recording')} could not be used{where}; "
            "the others are written"
        )


def _say(line: str) -> None:
    """Tell the user, beside the table that may go to standard output."""
    print(line, file=sys.stderr)
