"""A graph with its description, in torch's place: who it lets in."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.listen.synthetic import CLASSES, MELS, RATE_HZ, modules_of, tone

from evensong.audio.wav import write_wav
from evensong.errors import IntegrityError, ResourceError
from evensong.listen import exported as exported_module
from evensong.listen.exported import FORMAT, read_exported
from evensong.listen.scorer import MelScorer

SHAPE = (MELS.n_mels, 32)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A softmax of two bands' means, written by hand, and what describes it."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    nodes = onnx.parser.parse_graph(
        f"""by_hand (float[batch, {SHAPE[0]}, {SHAPE[1]}] mel) => (float[batch, 2] probabilities)
        <int64[1] time = {{2}}, int64[2] bands = {{1, 9}}>
        {{ levels = ReduceMean<keepdims = 0>(mel, time)
           two = Gather<axis = 1>(levels, bands)
           probabilities = Softmax<axis = 1>(two) }}"""
    )
    model = onnx.helper.make_model(nodes, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path / "by_hand.onnx"
    path.write_bytes(model.SerializeToString())
    describe(path)
    return path


def describe(path: Path, **changes: object) -> None:
    facts = {
        "format": FORMAT,
        "classes": CLASSES,
        "background": [],
        "mels": MELS.model_dump() | {"sample_rate_hz": RATE_HZ},
        "folds": [{"card_sha256": "0" * 64}],
        "onnx_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".json").write_text(json.dumps(facts | changes), encoding="utf-8")


def test_the_graph_scores_windows(graph: Path) -> None:
    trained = read_exported(graph)
    scorer = MelScorer(trained.infer, MELS, RATE_HZ)
    probs = scorer.probabilities([(0, tone(0, 1, 0.5)), (50, np.zeros(100, np.float32)), (99, tone(1, 2, 0.3))])
    np.testing.assert_allclose(probs[[0, 2]].sum(axis=1), 1, atol=1e-6)
    assert probs[[0, 2]].argmax(axis=1).tolist() == [0, 1]
    assert np.isnan(probs[1]).all()  # no sound


def test_what_is_kept_of_one_description_is_not_used_for_another(graph: Path) -> None:
    before = read_exported(graph).digest
    describe(graph, mels=MELS.model_dump() | {"sample_rate_hz": RATE_HZ, "top_db": 70.0})
    read_exported.cache_clear()
    assert read_exported(graph).digest != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "evensong-onnx-1"}, "format: .*export the model again"),
        ({"background": None}, "background: "),
        ({"folds": [{}]}, "folds.0.card_sha256"),
        ({"onnx_sha256": "0" * 64}, "not the graph that by_hand.json was written for"),
    ],
)
def test_what_does_not_belong_together_is_refused(graph: Path, changes: dict, message: str) -> None:
    describe(graph, **changes)
    with pytest.raises(IntegrityError, match=message):
        read_exported(graph)


def test_missing_and_damaged_files_are_refused(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="no readable model"):
        read_exported(tmp_path / "none.onnx")
    graph.write_bytes(graph.read_bytes()[:-20])
    describe(graph)
    with pytest.raises(IntegrityError, match="no graph that onnxruntime can use"):
        read_exported(graph)


def test_a_description_of_another_graph_is_found_out_at_the_first_window(graph: Path) -> None:
    with pytest.raises(IntegrityError, match="cannot be run on the mels"):
        read_exported(graph).infer(np.zeros((1, 3, 4), np.float32))
    describe(graph, classes=[*CLASSES, "third"])
    read_exported.cache_clear()
    with pytest.raises(IntegrityError, match="not 3 probabilities"):
        read_exported(graph).infer(np.zeros((1, *SHAPE), np.float32))


def test_without_onnxruntime_the_message_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(exported_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match="pip install onnxruntime"):
        read_exported(tmp_path / "x.onnx")


@pytest.mark.slow
def test_torch_is_not_loaded(graph: Path, tmp_path: Path) -> None:
    """It is two thirds of the memory, and a second of every run."""
    path = write_wav(tmp_path / "one.wav", tone(0, 1, 1.2), RATE_HZ)
    loaded = modules_of(path, graph, tmp_path / "out" / "x.csv")
    assert not {"torch", "timm", "librosa", "scipy.signal"} & loaded
    assert len(pd.read_csv(tmp_path / "out" / "x.csv")) == 1
