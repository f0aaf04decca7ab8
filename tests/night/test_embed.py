"""The two stages of an embedding's arm, from the pool to its predictions, and the scores beside the network's."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.learn.graphs import octaves, save

import night_augment
import night_cut
import night_embed
import night_head
import night_index
import night_scan
from evensong.errors import DataError, IntegrityError, ParamsError
from evensong.intake.tables import read_pool
from evensong.learn.arms import read_arm
from evensong.learn.embedding import open_graph
from evensong.night.index import read_fold_table
from evensong.night.pool_files import pool_files
from evensong.schemas import Embedding

pytestmark = pytest.mark.slow

ARM = Path("artifacts/night/arms/tiny")
VECTORS = Path("artifacts/night/embed/tiny")
STAGES = (night_cut, night_scan, night_augment, night_index, night_embed, night_head)


@pytest.fixture
def embedded(night, params, monkeypatch):
    """Run some of the stages with a model that hears pitch; what is changed is its settings'."""

    def run(*stages, workers=1, folds=3, arm=None, **changes):
        model = save(octaves(), Path("tiny.onnx"), **changes)
        params(
            night__embed__models={"tiny": model}, night__index__n_folds=folds, runtime__workers=workers, **(arm or {})
        )
        monkeypatch.setattr(sys, "argv", ["stage", "tiny"])
        for stage in stages or STAGES:
            stage.main()
        return Embedding.model_validate(model)

    return run


def bytes_of(*folders):
    return {str(path): path.read_bytes() for folder in folders for path in sorted(folder.iterdir())}


def test_the_arm_predicts_every_original_once_and_can_tell_the_tones_apart(embedded):
    model = embedded()
    found = pd.read_csv(ARM / "predictions.csv").query("subset == 'test'")
    items, classes = read_fold_table(night_head.INDEX)
    assert sorted(found["item_id"]) == sorted(set(items.loc[items["is_original"], "item_id"]))
    assert (found["is_original"] == 1).all()
    pool = read_pool(night_embed.TABLE)
    pool = pool.assign(file=pool_files(pool, night_embed.POOL)).query("is_augmented == 0")
    pool = pool.sort_values(["class_slug", "mel_row"])
    stored = np.concatenate([np.load(path) for path in sorted(VECTORS.glob("*.npy"))])
    wave = pool["file"].iloc[7].wave()  # each row is its own file's
    assert stored[7].tolist() == open_graph("", model).vector(wave, 8000).tolist()
    assert stored.shape == (len(pool), 8)
    assert json.loads((ARM / "classes.json").read_text())["classes"] == classes
    card = json.loads((ARM / "card.json").read_text())
    assert (card["clip_seconds"], card["pool_sample_rate_hz"]) == (0.5, 8000)
    assert card["background"] == ["background", "noise"]


def test_no_byte_depends_on_the_workers(embedded):
    embedded()
    before = bytes_of(ARM, VECTORS)
    embedded(night_embed, night_head, workers=2)
    assert bytes_of(ARM, VECTORS) == before
    assert len(before) == 10


def test_copies_are_embedded_where_they_are_asked_for(embedded):
    embedded(copies=True)
    assert [len(np.load(path)) for path in sorted(VECTORS.glob("*.npy"))] == [12, 12]
    assert (pd.read_csv(ARM / "predictions.csv")["is_original"] == 0).any()


def test_the_papers_stand_in_the_card_and_a_licence_is_warned_of(embedded, capsys):
    embedded(licence="CC BY-NC 4.0", training_data=["Xeno-canto"], source="https://example.org")
    card = json.loads((ARM / "card.json").read_text())
    assert (card["licence"], card["source"], card["training_data"]) == (
        "CC BY-NC 4.0",
        "https://example.org",
        ["Xeno-canto"],
    )
    assert card["opset"] == 17
    assert "WARNING: tiny: the licence, CC BY-NC 4.0, does not allow commercial use" in capsys.readouterr().err
    assert any("Xeno-canto" in line for line in card["warnings"])


def test_the_stored_arm_says_of_the_pools_files_what_it_predicted(embedded):
    embedded(arm={"night__embed__head": "best"})
    arm = read_arm(ARM)
    assert arm.card["head"] in ("logistic", "mlp")
    assert arm.card["validation"]["scores"].keys() == {"logistic", "mlp"}
    files = {file.name: file for file in pool_files(read_pool(night_embed.TABLE), night_embed.POOL)}
    found = pd.read_csv(ARM / "predictions.csv")
    for row in found.iloc[::7].to_dict("records"):
        wave = files[row["item_id"]].wave()
        (said,) = arm.probabilities(row["fold"], arm.hear(wave, 8000)[None])
        assert said == pytest.approx([row["p0"], row["p1"]], rel=2e-5, abs=2e-6)


def test_the_users_data_among_the_models_is_warned_of_on_the_terminal_and_in_the_card(embedded, capsys):
    embedded(training_data=["ESC-50"], arm={"night__embed__data": ["esc50"]})
    line = "trained on esc50, and your recordings are from there"
    assert f"WARNING: tiny: {line}" in capsys.readouterr().err
    assert any(warning.startswith(line) for warning in json.loads((ARM / "card.json").read_text())["warnings"])


def test_best_without_a_validation_part_is_refused_with_the_parameter(embedded):
    with pytest.raises(ParamsError, match=r"night\.embed\.head: best chooses by validation.*night\.index\.validation"):
        embedded(arm={"night__embed__head": "best", "night__index__validation": "none"})
    assert not ARM.exists()


def test_a_pool_of_a_lower_rate_is_refused_with_the_parameter_that_raises_it(embedded):
    with pytest.raises(DataError, match=r"8000 Hz.*raise night\.augment\.sample_rate_hz") as caught:
        embedded(sample_rate_hz=32_000, window_seconds=0.025, hop_seconds=0.025)
    assert str(caught.value).startswith("night.embed.models.tiny.sample_rate_hz: the model hears 32000 Hz")
    assert not VECTORS.exists()


@pytest.mark.fault("M05")
def test_vectors_of_another_pool_are_refused(embedded):
    embedded()
    (VECTORS / "settings.json").write_text(
        (VECTORS / "settings.json").read_text().replace('"made_of": "', '"made_of": "0')
    )
    with pytest.raises(IntegrityError, match="made of other recordings"):
        embedded(night_head)


@pytest.mark.parametrize("stage", [night_embed, night_head])
def test_without_a_name_the_usage_is_said(stage, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(ParamsError, match="usage: python src/night_"):
        stage.main()
