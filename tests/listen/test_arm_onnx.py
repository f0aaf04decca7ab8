"""export onnx of an arm: the heads, and where it can be the embedding before them, give what the arm gives."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.learn.graphs import RATE_HZ, N, graph_of, octaves
from tests.listen.arms import write_arm
from tests.listen.synthetic import CLASSES, tone

from evensong.cli import main
from evensong.errors import IntegrityError, ParamsError
from evensong.listen import arm_onnx
from evensong.listen.arm import read_arm_to_listen
from evensong.listen.arm_onnx import export_arm
from evensong.listen.exported import read_exported


def run(path: Path, given: np.ndarray) -> np.ndarray:
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run([facts["output"]["name"]], {facts["input"]["name"]: given})
    return found


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["logistic", "mlp"])
def test_the_heads_give_what_the_arm_gives_in_batches_of_any_size(tmp_path: Path, wanted) -> None:
    written = write_arm(tmp_path, wanted=wanted, pooling="both")
    assert export_arm(written.folder, tmp_path / "out/heads.onnx", joined=False) < 1e-5
    arm = read_arm_to_listen(written.folder)
    vectors = np.stack([arm.graph.vector(tone(n % 2, n, 0.5), RATE_HZ) for n in range(5)])
    expected = arm.of_vectors(vectors)
    assert np.ptp(expected[:, 0]) > 0.01
    for n in (1, 5):
        np.testing.assert_allclose(run(tmp_path / "out/heads.onnx", vectors[:n]), expected[:n], atol=1e-5)
    one = written.folder / "head_01.safetensors"
    export_arm(one, tmp_path / "one.onnx", joined=False)
    np.testing.assert_allclose(
        run(tmp_path / "one.onnx", vectors), read_arm_to_listen(one).of_vectors(vectors), atol=1e-5
    )


FRAMES = helper.make_tensor("form", TensorProto.INT64, [3], [-1, N // 100, 100])


def frames(opset: int = 17):
    """Places in time of 100 values each."""
    model = graph_of([helper.make_node("Reshape", ["wave", "form"], ["vector"])], weights=(FRAMES,))
    model.opset_import[0].version = opset
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("graph", "changes"),
    [
        (octaves(), {}),
        (octaves(), {"hop_seconds": 0.03, "pooling": "both"}),
        (octaves(), {"scaling": "peak", "level": 0.25, "pooling": "max"}),
        (octaves(shape=("batch", 1, N)), {"level": 32768.0}),
        (frames(13), {"pooling": "both", "scaling": "peak"}),
        (frames(18), {"pooling": "both", "scaling": "peak"}),
    ],
)
def test_embedding_and_heads_as_one_graph_give_what_the_arm_gives(tmp_path: Path, graph, changes) -> None:
    written = write_arm(tmp_path, graph, **changes)
    assert export_arm(written.folder, tmp_path / "whole.onnx", joined=True) < 1e-4
    arm = read_arm_to_listen(written.folder)
    for n, wave in enumerate([tone(0, 1, 0.5), tone(1, 2, 0.5), np.zeros(RATE_HZ // 2, np.float32)]):
        expected = arm.of_vectors(arm.graph.vector(wave, RATE_HZ)[None])
        np.testing.assert_allclose(run(tmp_path / "whole.onnx", wave), expected, atol=1e-4, err_msg=str(n))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(N,), (1, N), (1, 1, N)])
def test_an_embedding_of_one_window_at_a_time_is_joined_where_a_clip_is_one(tmp_path: Path, shape) -> None:
    graph = octaves(shape=shape)
    written = write_arm(tmp_path, graph)
    with pytest.raises(ParamsError, match=r"--joined: .* takes one window at a time, and a clip has 5"):
        export_arm(written.folder, tmp_path / "x.onnx", joined=True)
    short = {"clip_seconds": 0.06, "pool_sample_rate_hz": RATE_HZ, "background": []}  # behind it there are zeros
    (tmp_path / "b").mkdir()
    written = write_arm(tmp_path / "b", graph, night=short)
    export_arm(written.folder, tmp_path / "x.onnx", joined=True)
    arm, wave = read_arm_to_listen(written.folder), tone(0, 1, 0.06)
    expected = arm.of_vectors(arm.graph.vector(wave, RATE_HZ)[None])
    np.testing.assert_allclose(run(tmp_path / "x.onnx", wave), expected, atol=1e-5)


def test_the_description_has_the_models_papers_and_no_path(tmp_path: Path) -> None:
    written = write_arm(tmp_path, licence="CC BY-NC 4.0")
    export_arm(written.folder, tmp_path / "heads.onnx", joined=False)
    text = (tmp_path / "heads.json").read_text(encoding="utf-8")
    facts = json.loads(text)
    assert facts["input"]["shape"] == ["batch", 8]
    assert (facts["classes"], facts["clip_seconds"], facts["pool_sample_rate_hz"]) == (CLASSES, 0.5, RATE_HZ)
    assert facts["embedding"]["licence"] == "CC BY-NC 4.0"
    assert facts["embedding"]["is_in_the_graph"] is False
    assert [fold["fold"] for fold in facts["folds"]] == [0, 1, 2]
    assert str(tmp_path) not in text
    with pytest.raises(IntegrityError, match="an arm listens by its folder"):
        read_exported(tmp_path / "heads.onnx")


def test_a_graph_that_differs_from_the_arm_is_not_written(tmp_path: Path, monkeypatch) -> None:
    written = write_arm(tmp_path)
    monkeypatch.setattr(arm_onnx, "_greatest_difference", lambda *_: 2e-4)
    with pytest.raises(IntegrityError, match="differs from the_arm by"):
        export_arm(written.folder, tmp_path / "x.onnx", joined=False)
    assert not (tmp_path / "x.onnx").exists()


def test_the_command_takes_arms_and_joins_nothing_to_a_network(tmp_path: Path, capfd) -> None:
    written = write_arm(tmp_path)
    arguments = ["export", "onnx", "--out", str(tmp_path / "x.onnx")]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--model", str(written.folder), "--joined"])
    assert not left.value.code
    told = capfd.readouterr()
    assert "from the arm" in told.out
    assert not told.err  # nor does onnxruntime miss anything in the graph
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--model", str(tmp_path), "--joined"])
    assert "is no arm of an embedding" in capfd.readouterr().err
