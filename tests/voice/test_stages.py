"""The four stages, one after the other, in a folder of their own."""

import copy
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from tests.voice.conftest import SOUND_KINDS

from evensong import schemas
from evensong.errors import DataError, EvensongError, IntegrityError
from evensong.params import read_params
from evensong.voice import train
from evensong.voice.tables import read_fold_table

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STAGES = ("voice_scan", "voice_splits", "voice_mels", "voice_tables")
TOLD = ("metrics", "plots")
PARAMS = read_params(ROOT / "params.yaml")
CANARY = "00000000-0000-4000"


def run(*stages):
    for stage in stages or STAGES:
        importlib.import_module(stage).main()


def tree(*folders):
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in paths if ".staging" not in path.parts}


class Workspace:
    """A working folder with shrunk parameters and a cohort of 12 patients, the first five positive."""

    def __init__(self, root, recordings):
        self.root, self.recordings, self.patient_id = root, recordings, recordings.patient_id
        self.labels = {patient: int(patient < 5) for patient in range(12)}
        params = copy.deepcopy(PARAMS)
        params["voice"] |= {"subdbs": [4, 5], "splits": {"seed": 1, "n_folds": 4}}
        params["voice"]["mels"] |= {"n_mels": 16, "width_px": 12, "clip_seconds": 0.5, "format": "jpg"}
        params["runtime"]["workers"] = 1
        self.params = params
        self.write_params()

    def write_params(self):
        (self.root / "params.yaml").write_text(json.dumps(self.params))  # which is YAML, too

    def survey(self, *more):
        rows = [f"{self.patient_id(patient)},{bool(label)}" for patient, label in self.labels.items()]
        path = self.root / "data/voice/cohort/Demographics_Survey.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["healthCode,professional-diagnosis", *rows, *more, ""]))


@pytest.fixture
def workspace(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    made = Workspace(tmp_path, folder)
    made.survey()
    return made


def fill(workspace, kind):
    for patient in workspace.labels:
        for record in range(1 + patient % 3):
            place = patient + record
            if kind == "every":
                write_any(workspace.recordings, patient, record, place)
            elif kind == "images" or (kind == "mixed" and place % 2):
                workspace.recordings.image(patient, record)
            else:
                workspace.recordings.tone(patient, record)


def write_any(recordings, patient, record, place):
    """A recording in one of all containers and codecs, or a ready-made image as JPG or PNG, in turn."""
    kinds = [*SOUND_KINDS, ".jpg", ".png"]
    kind = kinds[place % len(kinds)]
    if kind.startswith("."):
        recordings.image(patient, record, suffix=kind)
    else:
        recordings.sound(patient, record, kind)


@pytest.mark.parametrize("kind", ["sound", "images", "mixed", "every"])
def test_stages_publish_every_recording_in_every_fold(workspace, kind):
    fill(workspace, kind)
    run()
    packed = np.load("artifacts/voice/mels.npy")
    assert packed.shape == (24, 16, 12)
    for name in ("subdb4", "subdb5", "control"):
        combined = Path(f"artifacts/voice/combined/{name}/audio_imbalmed_{name}_combined.csv")
        assert combined.read_text().startswith(
            "healthCode,health_code,record_id,column_id,image_rel_path,label,fold,subset\n"
        )
        table = read_fold_table(combined, Path("artifacts/voice/mels.csv"))
        tested = table[table["subset"] == "test"]
        assert sorted(tested["row"]) == list(range(24))
        assert sorted(table["fold"].unique()) == [0, 1, 2, 3]
        assert all(Path(path).is_file() for path in pd.read_csv(combined)["image_rel_path"])
    assert Path("artifacts/voice/splits/subdb4/subdb4_train_60_40.csv").is_file()
    assert pd.read_csv("artifacts/voice/combined/dropped.csv").empty


@pytest.mark.fault("D28")
def test_training_refuses_a_table_and_an_array_of_two_runs(workspace, monkeypatch):
    fill(workspace, "images")
    run()
    monkeypatch.setattr(train, "run_folds", lambda *_: pytest.fail("it trains"))
    np.save(train.IMAGES, np.load(train.IMAGES)[::-1])
    with pytest.raises(IntegrityError, match=r"mels\.npy and .*mels\.csv do not belong together"):
        train_of(workspace.params)


def train_of(params):
    settings = {"train": schemas.Train, "track": schemas.TrackTrain, "mels": schemas.VoiceMels}
    sections = {"train": params["train"], "track": params["voice"]["train"], "mels": params["voice"]["mels"]}
    loaded = {name: schema.model_validate(dict(sections[name])) for name, schema in settings.items()}
    train.train_member("subdb4", combined="subdb4", purpose=("subdb4",), **loaded)


def test_dvc_makes_the_splits_before_the_images_which_take_longest():
    stages = YAML().load((ROOT / "dvc.yaml").read_text())["stages"]
    assert tuple(name for name in stages if name in STAGES) == STAGES
    assert not [dep for dep in stages["voice_splits"]["deps"] if "mel" in dep]


def test_a_second_run_gives_the_same_bytes_and_leaves_the_input_alone(workspace):
    fill(workspace, "mixed")
    before = tree("data")
    run()
    first = tree("artifacts", *TOLD)
    shutil.rmtree("artifacts")
    workspace.params["runtime"]["workers"] = 2
    workspace.write_params()
    run()
    assert tree("artifacts", *TOLD) == first
    assert tree("data") == before


def test_files_in_git_hold_no_id_and_no_small_cell(workspace):
    fill(workspace, "mixed")
    workspace.survey(f"{workspace.patient_id(90)},", f"{workspace.patient_id(91)},True")
    workspace.recordings.tone(90, 1)
    workspace.recordings.path(0, 9).touch()
    run()
    told = tree(*TOLD)
    assert len(told) == 4
    for text in told.values():
        assert CANARY.encode() not in text
        assert b"audio_audio" not in text
    counts = pd.read_csv(next(Path("plots").rglob("*counts.csv")))
    assert set(counts[["patients", "positives", "recordings"]].to_numpy().ravel()) == {"withheld"}
    tables = json.loads(Path("metrics/voice/tables.json").read_text())
    assert tables["patients"]["unlabelled"] == tables["recordings"]["unlabelled"] == "withheld"
    assert tables["survey"] == {"rows": 14, "repeated_rows": 0, "other_columns": 0}
    dropped = pd.read_csv("artifacts/voice/combined/dropped.csv")
    assert dropped.groupby("source")["reason"].apply(sorted).to_dict() == {
        "patient": ["no_image", "unlabelled"],
        "recording": ["quarantined", "unlabelled"],
    }


def give_splits(workspace, shares):
    """Write the split CSVs of a four-fold rotation for sub-databases 4 and 5; returns their rows."""
    ids = [workspace.patient_id(patient) for patient in workspace.labels]
    rows = {"common": [], "train": []}
    for fold in range(4):
        for patient, name in enumerate(ids):
            subset = {fold: "test", (fold + 1) % 4: "val"}.get(patient % 4, "train")
            rows["train" if subset == "train" else "common"].append(f"{fold},{name},{subset}")
    folder = Path("data/voice/cohort/splits")
    folder.mkdir()
    header = "fold_iteration,healthCode,subset"
    (folder / "common_val_test_all_subdbs.csv").write_text("\r\n".join([header, *rows["common"], ""]))
    for k in (4, 5):
        (folder / f"subdb{k}_train_{shares}.csv").write_text("\n".join([header, *reversed(rows["train"]), ""]))
    return rows


def test_given_splits_are_used(workspace, capsys):
    fill(workspace, "images")
    rows = give_splits(workspace, "50_50")
    run()
    folder, header = Path("data/voice/cohort/splits"), "fold_iteration,healthCode,subset"
    assert "given: 4 folds of 12 patients for 2 sub-databases" in capsys.readouterr().out
    published = Path("artifacts/voice/splits/subdb5/subdb5_train_50_50.csv")
    assert published.read_text().splitlines() == [header, *sorted(rows["train"])]
    combined = pd.read_csv("artifacts/voice/combined/subdb5/audio_imbalmed_subdb5_combined.csv")
    assert len(combined) == 4 * 24
    (folder / "subdb4_train_50_50.csv").unlink()
    with pytest.raises(DataError, match=r"missing: subdb4_train_XX_YY\.csv"):
        run("voice_splits")


def test_given_splits_with_other_shares_than_their_names_are_used_and_told(workspace, capsys):
    fill(workspace, "images")
    give_splits(workspace, "90_10")  # five of twelve are positive
    run("voice_scan", "voice_splits")
    said = capsys.readouterr().out
    assert "NOTE: sub-database 5 trains on 41.7% positives, subdb5_train_90_10.csv says 10%" in said
    assert CANARY not in said


def test_split_lists_in_the_wrong_place_are_not_overlooked(workspace):
    fill(workspace, "images")
    give_splits(workspace, "50_50")
    Path("data/voice/cohort/splits").rename("data/voice/cohort/lists")
    run("voice_scan")
    with pytest.raises(DataError, match=r"3 split CSV\(s\) lie outside data/voice/cohort/splits"):
        run("voice_splits")


def swap_case(workspace):
    workspace.survey(f"{'ab-' + CANARY},True")
    workspace.recordings.tone(0, 0).rename(workspace.recordings.root / f"AB-{CANARY}_1_x.wav")
    run("voice_scan")


def break_survey(workspace):
    workspace.survey(f"{workspace.patient_id(3)},False")


def break_files(workspace):
    for patient in range(12):
        workspace.recordings.path(patient, 7).write_bytes(b"RIFFnothing")


def share_sound(workspace):
    path = workspace.recordings.tone(1, 0)
    shutil.copy(path, workspace.recordings.path(2, 8))


def ask_for_many_folds(workspace):
    workspace.params["voice"]["splits"]["n_folds"] = 10
    workspace.write_params()


def ask_for_a_lone_negative(workspace):
    workspace.params["voice"]["subdbs"] = [5, 9]
    workspace.write_params()


def remove_survey(_):
    shutil.rmtree("data/voice/cohort")


@pytest.mark.fault("E14", "E20", "F13")
@pytest.mark.parametrize(
    ("spoil", "stage", "message"),
    [
        (
            swap_case,
            "voice_splits",
            r"1 healthCode.*Demographics_Survey.csv line 14 and artifacts/voice/scan/recordings.csv line \d+",
        ),
        (break_survey, "voice_splits", "line 5: the patient of lines 5, 14 has both diagnoses"),
        (break_files, "voice_scan", r"12 of \d+ recordings cannot be used"),
        (share_sound, "voice_scan", "same content under two patients"),
        (ask_for_many_folds, "voice_splits", "set voice.splits.n_folds to 5 or less"),
        (ask_for_a_lone_negative, "voice_splits", r"sub-database\(s\) 9: .*fewer than two patients .*voice.subdbs"),
        (remove_survey, "voice_splits", "data/voice/cohort: no such folder; put Demographics_Survey.csv there"),
    ],
)
def test_an_error_shows_no_id_and_publishes_nothing(workspace, spoil, stage, message, capfd):
    fill(workspace, "sound")
    run()
    spoil(workspace)
    published = tree("artifacts", *TOLD)
    with pytest.raises(EvensongError, match=message) as caught:
        run(stage)
    shown = str(caught.value) + "".join(capfd.readouterr())
    assert CANARY not in shown
    left = tree("artifacts", *TOLD)
    left.pop("artifacts/voice/problems.csv", None)  # by name, for this machine alone
    assert left == published


def test_a_refusal_leaves_with_exit_code_3_and_one_line(workspace):
    (workspace.root / "artifacts/voice/scan").mkdir(parents=True)
    workspace.survey(f"{workspace.patient_id(3)},perhaps")
    script = ROOT / "src/voice_splits.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert done.returncode == 3
    assert "line 14: professional-diagnosis is none of" in done.stderr
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stderr + done.stdout
