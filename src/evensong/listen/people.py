"""evensong predict on voice models: other people's recordings -> a score and a decision a person.

What names people is written where the caller says, readable by its owner only, and nowhere else.
"""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from evensong.errors import DataError, IntegrityError, ParamsError
from evensong.intake.problems import problem_file
from evensong.intake.tables import read_own_table, used_rows
from evensong.learn.store import ArrayStore
from evensong.listen.account import beside
from evensong.listen.outputs import check_apart, replacing
from evensong.listen.voice_models import VoiceModels, read_voice
from evensong.params import load_section
from evensong.run.parallel import Backend, map_tasks, use_backend
from evensong.run.text import write_csv, write_json
from evensong.schemas import Evaluate, VoiceLabels, VoiceScan
from evensong.score.scores import Floats
from evensong.voice import second_cohort
from evensong.voice.cohort import Demographics, read_demographics
from evensong.voice.decision import decide_people
from evensong.voice.mels import make_images
from evensong.voice.names import locate, refuse_case_twins
from evensong.voice.scan import describe, scan_recordings
from evensong.voice.tables import IDS

DEFAULT_OUT = Path("artifacts/cohort/scores.csv")
_BATCH = 64


@dataclass(frozen=True)
class PeopleRequest:
    """What the command line asks for.

    Attributes:
        recordings: a folder laid out as data/voice/recordings.
        model: see `read_voice`.
        out: a CSV, one row a person.
        workers: processes; no result depends on it.
        thresholds: of voice_evaluate; None takes those beside the model.
        survey: a CSV with healthCode and a diagnosis, for the tables; None for none.
        label: its column of the diagnosis; None takes voice.labels.column.
        prevalence: of class 1 where the scores are to be used; None corrects nothing.
        backend: where the recordings are scored; no result depends on it.
    """

    recordings: Path
    model: Path
    out: Path
    workers: int
    thresholds: Path | None = None
    survey: Path | None = None
    label: str | None = None
    prevalence: float | None = None
    backend: Backend = "local"


@dataclass(frozen=True)
class _Task:
    model: Path
    thresholds: Path | None
    array: Path
    first: int


def predict_people(request: PeopleRequest) -> list[str]:
    """Score everyone who has a usable recording; limits of recordings and the meaning of answers are params.yaml's.

    Returns:
        What to tell: counts and scores, no id.

    Raises:
        ParamsError: an option is out of its range, or git would take up the table.
        DataError: the recordings or the survey are not what they should be.
        IntegrityError: the models are damaged, or not those of the thresholds.
    """
    _check_options(request)
    use_backend(request.backend)
    voice = read_voice(request.model, request.thresholds)
    survey = _survey(request)
    scan = scan_recordings(
        request.recordings,
        load_section("voice.scan", VoiceScan),
        workers=request.workers,
        tell=problem_file(beside(request.out, ".problems.csv")),
    )
    if survey:
        refuse_case_twins([survey.located, locate(scan.recordings["healthCode"], request.recordings)])
    used = used_rows(scan.recordings)
    if survey and not set(survey.labelled) & set(used["healthCode"]):  # before hours of scoring
        raise DataError("nobody with a recording has a diagnosis in --survey: are its healthCodes those of the files?")
    table = decide_people(_score(request, voice, used), used["healthCode"].tolist(), voice.judges, request.prevalence)
    if survey:
        labels = [survey.labels.get(person) for person in table["healthCode"]]
        table["label"] = pd.array(labels, dtype="Int64")
    _write_private(request.out, table)
    _write_private(beside(request.out, ".unused.csv"), scan.quarantine)
    cohort = second_cohort.Cohort(table, voice.judges, request.prevalence, _overlap(voice, used))
    lines = [*describe(scan.counts), *second_cohort.lines(cohort), f"a row a person, with ids: {request.out}"]
    return lines + (_write_scores(request.out, cohort, survey) if survey else [])


def _check_options(request: PeopleRequest) -> None:
    """Refuse before hours of work what would fail after them."""
    if request.out.suffix != ".csv":
        raise ParamsError(f"--out {request.out}: scores of people are a table; the name must end in .csv")
    if request.workers < 1:
        raise ParamsError(f"--workers {request.workers}: one at least")
    if request.thresholds is not None and request.model.suffix == ".onnx":
        raise ParamsError("--thresholds: an exported model has its own, in the .json beside it")
    if request.label is not None and request.survey is None:
        raise ParamsError("--label names a column of --survey: which file?")
    if request.prevalence is not None and not 0 < request.prevalence < 1:
        raise ParamsError(f"--prevalence {request.prevalence:g}: a share above 0 and below 1")
    outs = [request.out, beside(request.out, ".unused.csv"), beside(request.out, ".problems.csv")]
    check_apart([*(("--out", path) for path in outs), *([("--survey", request.survey)] if request.survey else [])])
    for path in outs:
        refuse_tracked(path)


def refuse_tracked(path: Path) -> None:
    """Refuse a place whose files git would take up: ids must never reach a commit.

    Raises:
        ParamsError: it lies in a git repository that does not ignore it.
    """
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    name = folder.resolve() / path.absolute().relative_to(folder)  # git follows no link
    try:
        done = subprocess.run(["git", "-C", folder, "check-ignore", "-q", "--", name], capture_output=True, check=False)
    except FileNotFoundError:  # no git, no commit
        return
    if done.returncode == 1:  # 0: ignored; 128: no repository
        raise ParamsError(
            f"--out {path}: git would take it up, and it holds ids; name a file that git ignores, such as "
            f"{DEFAULT_OUT}, or one outside the repository"
        )


def _survey(request: PeopleRequest) -> Demographics | None:
    if request.survey is None:
        return None
    settings = load_section("voice.labels", VoiceLabels)
    return read_demographics(
        request.survey, settings.model_copy(update={"column": request.label}) if request.label else settings
    )


def _score(request: PeopleRequest, voice: VoiceModels, used: pd.DataFrame) -> Floats:
    """(n_models, n_recordings) probabilities of class 1, from the images that `voice_mels` would make."""
    request.out.parent.mkdir(parents=True, exist_ok=True)
    shared = request.out.parent if request.backend == "ray" else None  # the machines of a cluster share no /tmp
    with tempfile.TemporaryDirectory(dir=shared) as scratch:  # for its owner only
        array = Path(scratch) / "mels.npy"
        unnamed = used.assign(**{name: [f"{row:07d}" for row in range(len(used))] for name in IDS})
        make_images(
            unnamed,
            voice.mels,
            root=request.recordings,
            image_folder=Path(scratch) / "images",
            array_path=array,
            workers=request.workers,
        )
        starts = range(0, len(used), _BATCH)
        tasks = [_Task(request.model, request.thresholds, array, first) for first in starts]
        parts = list(map_tasks(_score_batch, tasks, workers=request.workers, label="scores", unit="batch"))
    found: Floats = np.concatenate(parts)[:, :, 1].T.astype(np.float64)
    if not np.isfinite(found).all():
        raise IntegrityError("a model gives no finite probabilities: its weights are damaged; train or fetch it again")
    return found


def _score_batch(task: _Task) -> "np.ndarray":
    store = ArrayStore([task.array])
    rows = np.arange(task.first, min(task.first + _BATCH, store.shape[0]))
    return read_voice(task.model, task.thresholds).infer(store.read(rows))


def _overlap(voice: VoiceModels, used: pd.DataFrame) -> second_cohort.Overlap | None:
    """What this cohort shares with the one that was trained on, where its scan lies beside the models."""
    path = voice.home / "scan/recordings.csv" if voice.home else None
    if path is None or not path.is_file():
        return None
    return second_cohort.overlap_of(used, read_own_table(path, texts=("healthCode", "kind", "content_sha256")))


def _write_private(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as part:
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        write_csv(part, table, "%.9g")


def _write_scores(out: Path, cohort: second_cohort.Cohort, survey: Demographics) -> list[str]:
    """The tables, which hold no id and no small cell; what to tell of them."""
    labelled = cohort.labelled()
    settings = load_section("voice.evaluate", Evaluate)
    scored = second_cohort.score_cohort(labelled, settings)
    path = beside(out, ".summary.json")
    write_json(path, second_cohort.summary_tree(cohort, scored, survey.labels, settings.confidence))
    tables = beside(out, ".tables")
    tables.mkdir(exist_ok=True)
    for name, table in second_cohort.curves_of(labelled).items():
        write_csv(tables / f"{name}.csv", table, "%.6g", for_people=True)
    return [*second_cohort.score_lines(labelled, scored), f"all scores, no ids: {path}, {tables}"]
