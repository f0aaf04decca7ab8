"""evensong predict: recordings -> scores that are kept one by one -> detections, in every form that is asked for."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evensong.errors import InputFault, IntegrityError, ParamsError
from evensong.intake.names import counted, printable
from evensong.listen import outputs
from evensong.listen.account import ACCOUNTS, beside, summarise, write_account
from evensong.listen.clock import Clock, Hours, Start, seconds_of_wav
from evensong.listen.decisions import decide
from evensong.listen.kept import Kept, copies_of, hear, read_heard, write_heard
from evensong.listen.listeners import read_listener
from evensong.listen.found import Found, Results
from evensong.listen.outputs import write_table
from evensong.listen.progress import Progress, tell
from evensong.listen.recordings import Listing, list_recordings
from evensong.listen.scorer import Hearing
from evensong.listen.segments import REVIEW, Sample, candidates_of, write_segments
from evensong.listen.windows import listening_of
from evensong.run.machine import keep_freed_memory
from evensong.run.parallel import Backend, map_isolated, use_backend

_Tables = Mapping[str, Mapping[Path, Path]]  # files of single recordings by what they are for

_KEPT = ".work"
_PART_BYTES = 1 << 27  # an hour or so of sound: beside it, what a process loads first is little
_WEEK_S = 7 * 86_400  # no recording takes that long; a decoder that hangs is the user's to interrupt


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        named: files and folders.
        model: as `read_listener` takes it.
        out: table of detections, CSV, Parquet or JSON lines by its name; None for standard output.
        raven: folder of selection tables, or one .txt for all; None for none.
        hop_seconds: distance of two windows; None for half a window.
        min_score: of every class, 0 to 1; None takes the thresholds of night_detect, and one half without any.
        workers: processes, each with one recording at a time; no result depends on it.
        thresholds: a file of night_detect; None takes the one beside the model, where there is one.
        include: the only classes to report; empty for all.
        exclude: classes not to report.
        all_windows: the table has a row a window with a probability a class.
        audacity: folder of label tracks; None for none.
        birdnet: a CSV with BirdNET's columns; None for none.
        clock: zones of the moments that are told; None tells none.
        hours: of the day, by the clock, in which detections and windows begin; None for all.
        activity: folder of counts by night and hour, and their figure; None for none.
        segments: detections to listen to; None for none.
        backend: where the recordings are scored; no result depends on it.
    """

    named: Sequence[Path]
    model: Path
    out: Path | None
    raven: Path | None
    hop_seconds: float | None
    min_score: float | None
    workers: int
    thresholds: Path | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    all_windows: bool = False
    audacity: Path | None = None
    birdnet: Path | None = None
    clock: Clock | None = None
    hours: Hours | None = None
    activity: Path | None = None
    segments: Sample | None = None
    backend: Backend = "local"


@dataclass(frozen=True)
class _Task:
    path: Path
    out: Path
    model: Path
    listening: Hearing


def predict(request: Request) -> None:
    """Score every recording; whatever can be read is written before the refused ones end the command.

    Raises:
        ParamsError: an option is out of its range, or two recordings would write one table.
        IntegrityError: the model or its thresholds are damaged, or do not belong together.
        DataError: no recordings, or some that cannot be used: listed on standard error and, beside out, in a table.
    """
    _check_options(request)
    use_backend(request.backend)
    kept_in = beside(request.out, _KEPT) if request.out else None
    listing = list_recordings(request.named, kept_in)
    trained = read_listener(request.model)
    listening = listening_of(trained, request.hop_seconds)
    decision = decide(
        trained, request.model, min_score=request.min_score, thresholds=request.thresholds, include=request.include,
        exclude=request.exclude,
    )  # fmt: skip
    tables = _tables(request, listing)
    starts = _starts(listing, request.clock, request.hours)
    with _folder(kept_in) as folder:
        kept = _hear_all(listing, Kept(folder, trained, listening), request, listening)
        results = Results(
            kept, listing.names, trained.classes, decision.thresholds, request.clock, request.hours, starts,
            decision.calibrations,
        )  # fmt: skip
        copies = copies_of(kept)
        found = [replace(one, copy_of=copies.get(one.path)) for one in results.found()]
        _write(results, request, found, tables, listening.band_hz)
    if request.out:
        write_account(request.out, listing, found, request.clock)
    summarise(listing, found, decision.origin, request.out, request.clock, request.hours)


def _check_options(request: Request) -> None:
    """Refuse before hours of scoring what would fail after them."""
    if request.workers < 1:
        raise ParamsError(f"--workers {request.workers}: one at least")
    if request.backend == "ray" and not request.out:
        raise ParamsError("--backend ray needs --out: the machines of a cluster keep their scores beside it")
    if request.hours and not request.clock:
        raise ParamsError("--hours needs --clock: hours of which place?")
    if request.activity and not request.clock:
        raise ParamsError("--activity needs --clock: nights of which place?")
    outputs.check_table(request.out, "--out")
    outputs.check_table(request.birdnet, "--birdnet")
    if request.segments:
        request.segments.check()
    outputs.check_apart(_places(request))


def _places(request: Request) -> Iterator[tuple[str, Path]]:
    """What is written, but for the files that a folder has of each recording."""
    if request.out:
        yield "--out", request.out
        yield from (("--out", beside(request.out, ending)) for ending in (*ACCOUNTS, _KEPT))
    if request.birdnet:
        yield "--birdnet", request.birdnet
    for option, folder, names in (
        ("--raven or --audacity", request.raven, ()),  # whose files have other endings: one folder may hold both
        ("--raven or --audacity", request.audacity, ()),
        ("--activity", request.activity, (outputs.HOURS, outputs.NIGHTS)),
        ("--segments", request.segments and request.segments.folder, (REVIEW,)),
    ):
        if folder:
            yield option, folder
            yield from ((option, folder / name) for name in names)


def _tables(request: Request, listing: Listing) -> _Tables:
    """Where the tables of single recordings go."""
    is_one = request.raven is not None and request.raven.suffix.lower() == ".txt"
    raven = None if is_one else request.raven
    return {
        "raven": outputs.names_beside(raven, listing.names, outputs.RAVEN_NAME, "--raven"),
        "audacity": outputs.names_beside(request.audacity, listing.names, outputs.AUDACITY_NAME, "--audacity"),
    }


@contextmanager
def _folder(kept_in: Path | None) -> Iterator[Path]:
    """Where results are kept: for the next run, or, without a table to keep them beside, for this one."""
    if kept_in is not None:
        yield kept_in
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def _starts(listing: Listing, clock: Clock | None, hours: Hours | None) -> dict[Path, Start]:
    """When each recording began, where something tells; with hours all have to be known, and those outside go."""
    starts: dict[Path, Start] = {}
    for path in [path for path in listing.names if clock and path not in listing.faults]:
        start = clock.start_of(path) if clock else None
        seconds = seconds_of_wav(path) if hours else None
        if start is not None:
            starts[path] = start
            if hours and seconds is not None and not hours.touch(start.moment, seconds):
                del listing.names[path]
                listing.skipped[path] = "outside --hours"
        elif hours:
            listing.faults[path] = InputFault("Q_CLOCK", "neither the file nor its name tells when it began")
    return starts


def _hear_all(listing: Listing, kept: Kept, request: Request, listening: Hearing) -> dict[Path, Path]:
    """Score what has not been scored before; where the result of each recording lies, in the listing's order."""
    results: dict[Path, Path] = {}
    todo: dict[Path, Path] = {}
    for path in listing.names:
        try:
            if path not in listing.faults:
                results[path] = out = kept.path_of(path)
                if out not in todo and read_heard(out) is None:
                    todo[out] = path
        except InputFault as fault:
            listing.faults[path] = fault
    if len(todo) < len(results):
        tell(f"{len(results) - len(todo)} of {counted(len(listing.names), 'recording')} were scored before")
    faults = _score_all([_Task(path, out, request.model, listening) for out, path in todo.items()], request.workers)
    listing.faults.update({path: faults[out] for path, out in results.items() if out in faults})
    for path in listing.names:
        if path in listing.faults:
            tell(f"{printable(str(path))}: {listing.faults[path]}")
    return {path: out for path, out in results.items() if path not in listing.faults}


def _score_all(tasks: Sequence[_Task], workers: int) -> dict[Path, InputFault]:
    """Score and keep; the faults of those that cannot be used, by where their results would be."""
    sizes = [task.path.stat().st_size for task in tasks]
    together = max(1, min(8, _PART_BYTES * len(sizes) // max(1, sum(sizes))))
    outcomes = map_isolated(_score, tasks, workers=workers, seconds=_WEEK_S, label="", together=together)
    faults: dict[Path, InputFault] = {}
    with Progress(len(tasks), sum(sizes)) as progress:
        for task, size, outcome in zip(tasks, sizes, outcomes, strict=True):
            if isinstance(outcome, IntegrityError):
                raise outcome
            if isinstance(outcome, InputFault):
                faults[task.out] = outcome
            progress.add(size, 0.0 if isinstance(outcome, InputFault) else outcome)
    return faults


def _score(task: _Task) -> float | InputFault | IntegrityError:
    """Score and keep one recording in a worker; its seconds, or why it or the model cannot be used."""
    keep_freed_memory()
    try:
        heard = hear(task.path, read_listener(task.model).scorer(), task.listening)
    except (InputFault, IntegrityError) as refusal:
        return refusal
    write_heard(task.out, heard)
    return float(heard.scores.ends_s[-1])


def _write(
    results: Results, request: Request, found: Sequence[Found], tables: _Tables, band_hz: tuple[float, float]
) -> None:
    """Every output that is asked for but the account."""
    table = results.window_table() if request.all_windows else results.detection_table(found)
    write_table(request.out, *table)
    if request.raven and not tables["raven"]:
        outputs.write_raven_of_many(request.raven, found, band_hz)
    if request.birdnet:
        outputs.write_birdnet(request.birdnet, found)
    if request.segments:
        candidates = candidates_of(results, found)
        n_clips = write_segments(request.segments, candidates, band_hz, workers=request.workers)
        tell(f"{counted(n_clips, 'clip')} to listen to; fill in {request.segments.folder / REVIEW}")
    if request.activity and request.clock:
        from evensong.listen.activity import write_activity  # Matplotlib, for those who want the figure

        write_activity(request.activity, found, list(results.thresholds), request.clock, request.hours)
    for recording in found:
        if recording.path in tables["raven"]:
            outputs.write_raven(tables["raven"][recording.path], recording, band_hz)
        if recording.path in tables["audacity"]:
            outputs.write_audacity(tables["audacity"][recording.path], recording)
