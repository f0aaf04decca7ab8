"""The two stages of an embedding's arm on the voice track, from recordings to predictions by patient."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from tests.learn.graphs import octaves, save
from tests.voice.conftest import RATE_HZ

from evensong.errors import DataError, IntegrityError
from evensong.learn.arms import read_arm

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STAGES = ("voice_scan", "voice_splits", "voice_mels", "voice_tables", "voice_embed", "voice_head")
ARM = Path("artifacts/voice/arms/tiny")
VECTORS = Path("artifacts/voice/embed/tiny/recordings.npy")
N_PATIENTS = 12


def run(*stages):
    for stage in stages:
        importlib.import_module(stage).main()


@pytest.fixture
def cohort(tmp_path, monkeypatch, folder):
    """Two recordings of every patient, each a tone of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stage", "tiny"])
    for patient in range(N_PATIENTS):
        for record in range(2):
            folder.tone(patient, record)
    survey = tmp_path / "data/voice/cohort/Demographics_Survey.csv"
    survey.parent.mkdir(parents=True)
    rows = [f"{folder.patient_id(patient)},{patient % 2 == 0}" for patient in range(N_PATIENTS)]
    survey.write_text("\n".join(["healthCode,professional-diagnosis", *rows, ""]))
    return folder


def set_params(workers=1, head="logistic", **changes):
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["voice"] |= {"subdbs": [4, 5], "splits": {"seed": 1, "n_folds": 4}}
    params["voice"]["mels"] |= {"n_mels": 16, "width_px": 12, "clip_seconds": 0.5}
    params["voice"]["embed"]["models"] = {"tiny": save(octaves(), Path("tiny.onnx"), **changes)}
    params["voice"]["embed"]["head"] = head
    params["runtime"]["workers"] = workers
    yaml.dump(params, Path("params.yaml"))


def bytes_of(*folders):
    return {str(path): path.read_bytes() for folder in folders for path in sorted(folder.iterdir())}


def test_every_recording_is_embedded_in_its_row_and_predicted_where_its_patient_is_tested(cohort):
    set_params()
    run(*STAGES)
    found = pd.read_csv(ARM / "predictions.csv", dtype=str).query("subset == 'test'")
    items = pd.read_csv("artifacts/voice/mels.csv", dtype=str)["item_id"]
    assert sorted(found["item_id"]) == sorted(items)
    assert json.loads((ARM / "card.json").read_text())["licence"] == "CC0-1.0"
    vectors = np.load(VECTORS)
    assert vectors.shape == (2 * N_PATIENTS, 8)
    # patient 0 sings at 200 Hz, patient 11 at 277, and the first number is how much there is of 300: row by row
    assert vectors[-2:, 0].min() > vectors[:2, 0].max()
    published = b"".join(bytes_of(VECTORS.parent).values())
    assert cohort.patient_id(3).encode() not in published


def test_no_byte_depends_on_the_workers(cohort):
    set_params()
    run(*STAGES)
    before = bytes_of(ARM, VECTORS.parent)
    set_params(workers=2)
    run("voice_embed", "voice_head")
    assert bytes_of(ARM, VECTORS.parent) == before


def test_the_head_is_chosen_by_auroc_within_folds_and_the_card_holds_no_id(cohort):
    set_params(head="best")
    run(*STAGES)
    card = json.loads((ARM / "card.json").read_text())
    assert card["validation"]["measure"] == "auroc_in_folds"
    assert card["head"] in card["validation"]["scores"]
    assert cohort.patient_id(3) not in (ARM / "card.json").read_text()
    assert sorted(read_arm(ARM).heads) == [0, 1, 2, 3]


def test_ready_made_images_and_low_rates_are_refused(cohort):
    high = {"sample_rate_hz": 2 * RATE_HZ, "window_seconds": 0.05, "hop_seconds": 0.05}
    set_params(**high)
    run(*STAGES[:4])
    with pytest.raises(DataError, match=r"tiny\.sample_rate_hz: the model hears 16000 Hz .* lowest .* 8000 Hz"):
        run("voice_embed")
    set_params(**high, upsample=True)
    run("voice_embed")
    cohort.image(3, 5)
    run(*STAGES[:4])
    with pytest.raises(DataError, match="ready-made mel images, which have no sound"):
        run("voice_embed")


def test_a_recording_that_changed_and_vectors_of_another_scan_are_refused_without_an_id(cohort):
    set_params()
    run(*STAGES)
    cohort.tone(4, 1, level=0.2)
    with pytest.raises(IntegrityError, match="a recording changed since the scan") as caught:
        run("voice_embed")
    assert cohort.patient_id(4) not in str(caught.value)
    run(*STAGES[:4])
    with pytest.raises(IntegrityError, match="made of other recordings"):
        run("voice_head")
