"""The voice stages up to the tables on real heart sounds, with what goes wrong in real cohorts; no training.

    pytest -s tests/pipeline/test_real_voice.py

shows what the stages say. Skipped where the recordings do not lie beside the checkout.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.pipeline.real import REAL

ROOT = Path(__file__).parents[2]
HEART = REAL / "heart"
N_PATIENTS, N_IMAGES, N_BLANK, N_TWICE = 115, 30, 15, 5

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not HEART.is_dir(), reason="no real heart sounds beside the checkout"),
]


class Cohort:
    """A working folder with every sixth patient of the heart cohort."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recordings = folder / "data/voice/recordings"
        self.survey = folder / "data/voice/cohort/Demographics_Survey.csv"
        self.lists = folder / "data/voice/cohort/splits"
        header, *rows = (HEART / "cohort/Demographics_Survey.csv").read_text(encoding="utf-8").splitlines()
        kept = rows[: 6 * N_PATIENTS : 6]
        self.survey.parent.mkdir(parents=True)
        self.survey.write_text("\n".join([header, *kept, ""]), encoding="utf-8")
        patients = {row.split(",")[0] for row in kept}
        self.recordings.mkdir(parents=True)
        for path in sorted((HEART / "recordings").iterdir()):
            if path.name.split("_")[0] in patients:
                shutil.copy(path, self.recordings)
        self.n_recordings = len(list(self.recordings.iterdir()))
        shutil.copy(ROOT / "params.yaml", folder)

    def run(self, stage: str) -> tuple[int, str]:
        script = ROOT / "src" / f"{stage}.py"
        done = subprocess.run([sys.executable, script], cwd=self.folder, capture_output=True, text=True, check=False)
        print(f"\n$ {stage}\n{done.stdout}{done.stderr}[{done.returncode}]", end="")
        return done.returncode, done.stdout + done.stderr

    def must(self, *stages: str) -> str:
        said = [self.run(stage) for stage in stages]
        assert [code for code, _ in said] == [0] * len(stages)
        return "".join(text for _, text in said)

    def refused(self, stage: str) -> str:
        """What a stage that must refuse says; it names nobody."""
        code, said = self.run(stage)
        assert code == 3
        ids = set(pd.read_csv(self.survey, dtype=str)["healthCode"])
        assert not ids & set(re.findall(r"\w+", said))
        return said

    def metrics(self, name: str) -> dict[str, dict[str, int]]:
        return json.loads((self.folder / f"metrics/voice/{name}.json").read_text(encoding="utf-8"))

    def table(self, path: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / path, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The cohort as it is, with an image of every recording."""
    cohort = Cohort(tmp_path_factory.mktemp("plain"))
    cohort.must("voice_scan", "voice_mels")
    return cohort


@pytest.fixture(scope="module")
def mixed(plain: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The same cohort with every eighth recording as its image only, and blank diagnoses; the tables are made."""
    cohort = Cohort(tmp_path_factory.mktemp("mixed"))
    for image in sorted((plain.folder / "artifacts/voice/melSpec").iterdir())[::8][:N_IMAGES]:
        (cohort.recordings / f"{image.stem}.wav").unlink()
        shutil.copy(image, cohort.recordings)
    header, *rows = cohort.survey.read_text(encoding="utf-8").splitlines()
    rows[: 3 * N_BLANK : 3] = [row.split(",")[0] + "," for row in rows[: 3 * N_BLANK : 3]]
    cohort.survey.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    cohort.must("voice_scan", "voice_mels", "voice_splits", "voice_tables")
    return cohort


def test_images_stand_for_their_recordings(plain: Cohort, mixed: Cohort) -> None:
    scan, mels = mixed.metrics("scan"), mixed.metrics("mels")
    assert plain.n_recordings > N_PATIENTS  # several of some
    assert (scan["listed"], scan["used"], scan["used_images"]) == (*[plain.n_recordings] * 2, N_IMAGES)
    assert (mels["images"], mels["copied"]) == (plain.n_recordings, N_IMAGES)
    for path in ("artifacts/voice/mels.npy", "artifacts/voice/mels.csv"):
        assert (mixed.folder / path).read_bytes() == (plain.folder / path).read_bytes()
    images = [sorted((cohort.folder / "artifacts/voice/melSpec").iterdir()) for cohort in (plain, mixed)]
    assert len(images[0]) == len(images[1]) == len(np.load(mixed.folder / "artifacts/voice/mels.npy"))
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*images, strict=True))


def test_the_accounts_close(mixed: Cohort) -> None:
    counts = mixed.metrics("tables")
    recordings, patients = counts["recordings"], counts["patients"]
    scanned, dropped = (
        mixed.table("artifacts/voice/scan/recordings.csv"),
        mixed.table("artifacts/voice/combined/dropped.csv"),
    )
    blank = {row.split(",")[0] for row in mixed.survey.read_text().splitlines() if row.endswith(",")}
    assert patients["unlabelled"] == len(blank) == N_BLANK
    assert recordings["unlabelled"] == int(scanned["healthCode"].isin(blank).sum()) > 0
    assert recordings["listed"] == sum(count for name, count in recordings.items() if name != "listed")
    lost = ("unlabelled", "no_image", "not_in_split")
    assert patients["surveyed"] == patients["in_tables"] + sum(patients[name] for name in lost)
    assert set(dropped.loc[dropped["source"] == "patient", "healthCode"]) == blank
    for k in range(1, 10):
        rows = mixed.table(f"artifacts/voice/combined/subdb{k}/audio_imbalmed_subdb{k}_combined.csv")
        assert not set(rows["healthCode"]) & blank
        assert (rows.loc[rows["subset"] == "test"].groupby("fold").size().sum()) == recordings["in_tables"]


def test_people_with_two_labels_are_refused(mixed: Cohort) -> None:
    before = mixed.survey.read_text(encoding="utf-8")
    rows = [row.split(",") for row in before.splitlines()[61 : 61 + N_TWICE]]
    more = [f"{patient},{label == 'False'}" for patient, label in rows]
    mixed.survey.write_text(before + "\n".join([*more, ""]), encoding="utf-8")
    said = mixed.refused("voice_splits")
    mixed.survey.write_text(before, encoding="utf-8")
    n_lines = len(before.splitlines())
    assert f"{N_TWICE} problem(s)" in said
    for place in range(N_TWICE):
        assert f"the patient of lines {62 + place}, {n_lines + 1 + place} has both diagnoses" in said


@pytest.fixture
def given(mixed: Cohort) -> Cohort:
    """The made lists, given back as the cohort's own."""
    shutil.rmtree(mixed.lists, ignore_errors=True)
    made = mixed.folder / "made"
    if not made.exists():
        shutil.copytree(mixed.folder / "artifacts/voice/splits", made)
    mixed.lists.mkdir()
    for path in [*made.glob("common*.csv"), *made.glob("subdb*/*.csv")]:
        shutil.copy(path, mixed.lists)
    return mixed


def test_given_lists_give_the_tables_of_the_made_ones(given: Cohort) -> None:
    combined = given.folder / "artifacts/voice/combined"
    before = {path: path.read_bytes() for path in combined.glob("subdb*/*.csv")}
    assert f"given: 10 folds of {N_PATIENTS - N_BLANK} patients for 9 sub-databases" in given.must(
        "voice_splits", "voice_tables"
    )
    assert len(before) == 9
    assert {path: path.read_bytes() for path in combined.glob("subdb*/*.csv")} == before


def test_a_patient_in_training_and_test_is_refused_by_line(given: Cohort) -> None:
    common = (given.lists / "common_val_test_all_subdbs.csv").read_text().splitlines()
    line, row = next((number, row) for number, row in enumerate(common, 1) if re.match(r"3,.*,test$", row))
    path = given.lists / "subdb4_train_60_40.csv"
    n_lines = len(path.read_text().splitlines())
    path.write_text(path.read_text() + row.replace("test", "train") + "\n")
    said = given.refused("voice_splits")
    assert f"line {n_lines + 1}: the patient is in test of fold 3 too" in said
    assert f"common_val_test_all_subdbs.csv line {line})" in said


def test_a_removed_fold_is_refused(given: Cohort) -> None:
    path = given.lists / "subdb7_train_30_70.csv"
    path.write_text("".join(row for row in path.read_text().splitlines(keepends=True) if not row.startswith("7,")))
    assert "subdb7_train_30_70.csv (train): no rows of fold 7" in given.refused("voice_splits")
