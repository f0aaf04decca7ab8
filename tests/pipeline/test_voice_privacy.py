"""No patient's id leaves the cached tables: not in git, logs, plots, messages or metrics, whatever goes wrong."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.pipeline.forked import run_stage
from tests.voice.conftest import VoiceFolder

ROOT = Path(__file__).parents[2]
CANARY = b"00000000-0000-4000"  # how every id of this cohort begins: patients' and records'
DATA_STAGES = ("voice_scan", "voice_mels", "voice_splits", "voice_tables")
# DVC outputs that hold a row or a file a patient, and the local file of problems; everything else may not name one.
PER_PATIENT = re.compile(
    r"artifacts/voice/((scan|melSpec|splits|combined)/|(mels|problems|confounders|clinical/patients)\.csv|"
    r".*/?predictions\.csv)"
)
PROBLEMS = "artifacts/voice/problems.csv"
SMALL_PARAMS = {
    r"subdbs:\n(  - \d\n)+": "subdbs:\n  - 3\n  - 5\n",
    r"  n_folds: 10": "  n_folds: 3",
    r"(voice:(?:.*\n)*?    folds:) all": r"\1 [0, 1]",
    r"n_mels: \d+": "n_mels: 32",
    r"width_px: \d+": "width_px: 32",
    r"model: \w+": "model: test_efficientnet",
    r"batch_size: \d+": "batch_size: 8",
    r"n_bootstrap: \d+": "n_bootstrap: 100",
    r"epochs: \d+": "epochs: 1",
}
# One process for the stages that load torch: that takes longer than they do.
TRAIN_TO_END = f"""
import runpy, sys
for command in (
    *("voice_train 3", "voice_train 5", "voice_baseline", "voice_evaluate", "voice_ensemble"),
    *("voice_clinical", "voice_confounders", "voice_report"),
):
    sys.argv = command.split()
    try:
        runpy.run_path("{ROOT}/src/" + sys.argv[0] + ".py", run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise
"""

pytestmark = pytest.mark.slow

# the stage as it is, but for the half minute between two saved epochs
SAVES_EVERY_EPOCH = """
import runpy, sys
del sys.argv[0]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
from evensong.run import stage
from evensong.learn.resume import FoldState
FoldState.is_due = lambda self: True
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Cohort:
    """A small repository with a cohort of eighteen patients, the first six positive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recordings = VoiceFolder(folder / "data/voice/recordings")
        self.cohort = folder / "data/voice/cohort"

    def fill(self) -> None:
        """Sound and ready-made images, and the survey."""
        for patient in range(18):
            self.recordings.tone(patient, 1)
            if patient % 2:
                self.recordings.image(patient, 2, size=(48, 48))  # over a kilobyte
        self.cohort.mkdir(parents=True)
        self.survey()

    def survey(self, *more: str, header: str = "healthCode,professional-diagnosis") -> None:
        rows = [f"{self.id(patient)},{patient < 6}" for patient in range(18)]
        (self.cohort / "Demographics_Survey.csv").write_text("\n".join([header, *rows, *more, ""]))

    def lists(self, *more_training: str, folds: int = 3) -> None:
        """Given split CSVs of a three-fold rotation."""
        rows: dict[str, list[str]] = {"common_val_test_all_subdbs": [], "subdb3_train_70_30": []}
        for fold in range(folds):
            for patient in range(18):
                subset = {fold: "test", (fold + 1) % 3: "val"}.get(patient % 3, "train")
                name = "subdb3_train_70_30" if subset == "train" else "common_val_test_all_subdbs"
                rows[name].append(f"{fold},{self.id(patient)},{subset}")
        rows["subdb3_train_70_30"] += more_training
        rows["subdb5_train_50_50"] = rows["subdb3_train_70_30"]
        (self.cohort / "splits").mkdir()
        for name, lines in rows.items():
            text = "\n".join(["fold_iteration,healthCode,subset", *lines, ""])
            (self.cohort / "splits" / f"{name}.csv").write_text(text)

    def id(self, patient: int) -> str:
        return self.recordings.patient_id(patient)

    def run(self, stage: str) -> tuple[int, bytes]:
        """Run a stage; returns its exit code and all it said."""
        return run_stage(self.folder, stage)

    def run_limited(self, stage: str, limit: str) -> tuple[int, bytes]:
        """The same, under a ``ulimit``."""
        script = f"ulimit {limit}; exec {sys.executable} {ROOT}/src/{stage}.py"
        done = subprocess.run(["bash", "-c", script], cwd=self.folder, capture_output=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def git(self, *command: str) -> bytes:
        return subprocess.run(["git", *command], cwd=self.folder, capture_output=True, check=True).stdout

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x", "--allow-empty")

    def published(self) -> dict[str, bytes]:
        """Everything that a stage has put into place, by path."""
        found = (path for folder in ("artifacts", "metrics", "plots") for path in (self.folder / folder).rglob("*"))
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in found
            if path.is_file() and ".staging" not in path.parts
        }

    def leaks(self) -> list[str]:
        """Names of files with an id in their name or content: tracked by git, or an output that may hold none."""
        self.commit()
        objects = self.git("cat-file", "--batch-all-objects", "--batch", "--unordered")  # trees hold the file names
        outputs = {path: content for path, content in self.published().items() if not PER_PATIENT.match(path)}
        found = [path for path, content in outputs.items() if CANARY in path.encode() + content]
        return found + (["git objects"] if CANARY in objects else [])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The data stages have run; the splits are made."""
    cohort = Cohort(tmp_path_factory.mktemp("prepared"))
    cohort.fill()
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for pattern, value in SMALL_PARAMS.items():
        text, n_changed = re.subn(pattern, value, text)
        assert n_changed, pattern
    (cohort.folder / "params.yaml").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / ".gitignore", cohort.folder)
    cohort.git("init", "-q")
    cohort.commit()
    for stage in DATA_STAGES:
        code, said = cohort.run(stage)
        assert (code, CANARY in said) == (0, False), said
    return cohort


@pytest.fixture
def cohort(prepared: Cohort, tmp_path: Path) -> Cohort:
    shutil.copytree(prepared.folder, tmp_path / "repo", symlinks=True)
    return Cohort(tmp_path / "repo")


def test_a_full_run_names_no_patient(cohort: Cohort) -> None:
    path = {"PYTHONPATH": str(ROOT / "src")}
    rows = [f"{cohort.id(patient)},{40 + patient},,phone,{patient < 6}" for patient in range(18)]
    header = "healthCode,age,gender,device,professional-diagnosis"
    (cohort.cohort / "Demographics_Survey.csv").write_text("\n".join([header, *rows, ""]))
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_TO_END], cwd=cohort.folder, env=os.environ | path, capture_output=True, check=False
    )
    said = done.stdout + done.stderr
    assert (done.returncode, CANARY in said) == (0, False), said
    assert cohort.leaks() == []
    published = cohort.published()
    assert len([path for path in published if path.startswith(("metrics/", "plots/"))]) > 10
    assert b"AUROC" in published["artifacts/voice/report.html"]
    per_patient = {path for path in published if PER_PATIENT.match(path)}
    assert any(CANARY in published[path] for path in per_patient if path.endswith("predictions.csv"))
    assert {path for path in published if path.startswith("artifacts/voice/arms/")} == {
        f"artifacts/voice/arms/baseline/{name}" for name in ("predictions.csv", "folds.csv", "classes.json")
    }
    assert not any(CANARY in content for path, content in published.items() if path not in per_patient)


def conflicting_duplicates(cohort: Cohort) -> None:
    cohort.survey(f"{cohort.id(3)},False")


def strange_diagnosis(cohort: Cohort) -> None:
    cohort.survey(f"{cohort.id(40)},perhaps")


def survey_without_header(cohort: Cohort) -> None:
    cohort.survey(header=f"{cohort.id(41)},True")


def survey_without_its_column(cohort: Cohort) -> None:
    cohort.survey(header="healthCode,diagnosis")


def cut_survey(cohort: Cohort) -> None:
    cohort.survey(f'"{cohort.id(42)},Tr')


def leak_in_the_lists(cohort: Cohort) -> None:
    cohort.lists(f"1,{cohort.id(1)},train")


def missing_fold(cohort: Cohort) -> None:
    cohort.lists(folds=2)


def list_of_strangers(cohort: Cohort) -> None:
    cohort.lists()
    for path in (cohort.cohort / "splits").iterdir():
        path.write_text(path.read_text().replace("-8000-0000000000", "-8000-0000000007"))


def ids_in_two_cases(cohort: Cohort) -> None:
    cohort.survey(f"{cohort.id(3)}a,True", f"{cohort.id(3)}A,True")


def recording_of_two_patients(cohort: Cohort) -> None:
    shutil.copy(cohort.recordings.path(1, 1), cohort.recordings.path(2, 8))


def recording_in_two_formats(cohort: Cohort) -> None:
    cohort.recordings.image(1, 1)


def broken_recordings(cohort: Cohort) -> None:
    for patient in range(4):
        cohort.recordings.path(patient, 7).write_bytes(b"RIFFnothing")
    cohort.recordings.image(4, 7, size=(4, 4))  # too small a mel image
    cohort.recordings.path(5, 7).symlink_to(cohort.recordings.path(5, 1).name)
    os.mkfifo(cohort.recordings.path(6, 7))
    (cohort.recordings.root / f"{cohort.id(7)}_7\n_x.wav").touch()
    shutil.copy(cohort.recordings.path(8, 1), cohort.recordings.root / f"{cohort.id(8)}.wav")


def changed_recording(cohort: Cohort) -> None:
    cohort.recordings.tone(4, 1, level=0.2)


def removed_recording(cohort: Cohort) -> None:
    cohort.recordings.path(4, 1).unlink()


def images_of_another_scan(cohort: Cohort) -> None:
    path = cohort.folder / "artifacts/voice/mels.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def nothing(_cohort: Cohort) -> None:
    """The fault is in how the stage is run."""


@pytest.mark.parametrize(
    ("spoil", "stage", "code", "message"),
    [
        (conflicting_duplicates, "voice_splits", 3, b"the patient of lines 5, 20 has both diagnoses"),
        (strange_diagnosis, "voice_splits", 3, b"line 20: professional-diagnosis is none of"),
        (survey_without_header, "voice_splits", 3, b"is the header missing"),
        (survey_without_its_column, "voice_splits", 3, b"missing column(s) professional-diagnosis"),
        (cut_survey, "voice_splits", 3, b"line 20"),
        (leak_in_the_lists, "voice_splits", 3, b"line 20: the patient is in test of fold 1 too"),
        (missing_fold, "voice_splits", 3, b"have 2 folds and voice.splits.n_folds is 3"),
        (list_of_strangers, "voice_splits", 3, b"sub-database(s) 3, 5: in a fold fewer than two patients"),
        (ids_in_two_cases, "voice_splits", 3, b"Demographics_Survey.csv line 20 and"),
        (recording_of_two_patients, "voice_scan", 3, b"1 recording(s) have the same content under two patients"),
        (recording_in_two_formats, "voice_scan", 3, b"1 recording(s) are there more than once"),
        (broken_recordings, "voice_scan", 3, b"9 of 36 recordings cannot be used"),
        (changed_recording, "voice_mels", 4, b"a recording changed since the scan"),
        (removed_recording, "voice_mels", 4, b"cannot be read any more"),
        (images_of_another_scan, "voice_tables", 4, b"27 recordings are used and 26 have an image"),
        (nothing, "voice_mels", 5, b"a mel image cannot be made: File too large"),
        (nothing, "voice_evaluate", 3, b"artifacts/voice/train/subdb3"),
    ],
)
def test_a_failure_names_no_patient_and_leaves_what_was_published(
    cohort: Cohort, spoil: Callable[[Cohort], None], stage: str, code: int, message: bytes
) -> None:
    spoil(cohort)
    before = cohort.published()
    found_code, said = cohort.run_limited(stage, "-f 1") if b"File too large" in message else cohort.run(stage)
    assert (found_code, message in said) == (code, True), said
    assert CANARY not in said
    published = cohort.published()
    named = published.pop(PROBLEMS, b"")
    assert (CANARY in named) == (PROBLEMS.encode() in said) == (stage == "voice_scan")
    assert published == before
    assert cohort.leaks() == []


def test_the_file_of_problems_goes_when_they_are_gone(cohort: Cohort) -> None:
    recording_in_two_formats(cohort)
    assert cohort.run("voice_scan")[0] == 3
    assert (cohort.folder / PROBLEMS).stat().st_mode & 0o777 == 0o600
    cohort.recordings.path(1, 1, ".jpg").unlink()
    assert cohort.run("voice_scan")[0] == 0
    assert PROBLEMS not in cohort.published()


def test_what_is_used_with_a_warning_names_no_patient(cohort: Cohort) -> None:
    cohort.recordings.image(6, 9, size=(20, 50))
    cohort.recordings.image(7, 9, is_colour=True)
    cohort.recordings.path(8, 9).touch()
    cohort.lists(f"0,{cohort.id(77)},train")
    cohort.survey(f"{cohort.id(90)},", f"{cohort.id(0)},True")
    params = cohort.folder / "params.yaml"
    params.write_text(params.read_text().replace("max_quarantined: 0.05", "max_quarantined: 0.5"))
    said = b""
    for stage in DATA_STAGES:
        code, printed = cohort.run(stage)
        assert code == 0, printed
        said += printed
    for text in (
        b"1 quarantined (Q_EMPTY 1)",
        b"W_SIZE",
        b"W_COLOUR",
        b"no_label <5",
        b"rows that repeat a patient: 1",
    ):
        assert text in said
    assert CANARY not in said
    assert cohort.leaks() == []


def test_a_killed_training_names_no_patient(cohort: Cohort) -> None:
    params = cohort.folder / "params.yaml"
    params.write_text(re.sub(r"epochs: \d+", "epochs: 10000", params.read_text(), count=1))
    before = cohort.published()
    with subprocess.Popen(
        [sys.executable, "-c", SAVES_EVERY_EPOCH, ROOT / "src/voice_train.py", "3"],
        cwd=cohort.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as training:
        state = cohort.folder / ".state"
        until = time.monotonic() + 300
        while not any(state.rglob("*")) and training.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        os.killpg(training.pid, signal.SIGKILL)
        said = training.communicate()[0]
    assert training.returncode == -signal.SIGKILL, said
    assert CANARY not in said
    assert cohort.published() == before
    assert not any(CANARY in path.name.encode() + path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert cohort.leaks() == []
