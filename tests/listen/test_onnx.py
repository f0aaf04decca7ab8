import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.listen.synthetic import CLASSES, RATE_HZ, Trained, tone

from evensong.audio.mel import log_mel
from evensong.audio.wav import read_wav, write_wav
from evensong.errors import IntegrityError, ParamsError, ResourceError
from evensong.listen import onnx, onnx_files
from evensong.listen.folds import read_folds
from evensong.listen.onnx import export_onnx
from evensong.listen.predict import Request, predict
from evensong.listen.thresholds import thresholds_tree
from evensong.run.text import write_json
from evensong.schemas import LogMels

pytestmark = pytest.mark.slow  # the export alone takes many seconds


@pytest.fixture(scope="session")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in onnx._NEEDED:
        pytest.importorskip(package)
    path = tmp_path_factory.mktemp("onnx") / "sub" / "night.onnx"
    assert export_onnx(trained.folder, path) < 1e-4
    return path


def test_a_recorder_gets_the_probabilities_of_torch(trained: Trained, exported: Path) -> None:
    """As on a recorder: only the two files, and the mels of real clips, in batches of any size."""
    import onnxruntime

    facts = json.loads(exported.with_suffix(".json").read_text(encoding="utf-8"))
    settings = LogMels(**{name: facts["mels"][name] for name in LogMels.model_fields})
    waves = [read_wav(path)[0] for path in trained.pool.values()]
    mels = np.stack([log_mel(wave, facts["mels"]["sample_rate_hz"], settings) for wave in waves])
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = read_folds(trained.folder).network(torch.from_numpy(mels)).numpy()
    assert np.ptp(expected[:, 0]) > 1e-3  # the clips are told apart, or equal numbers would prove nothing
    for n in (1, 5, len(mels)):
        (found,) = session.run([facts["output"]["name"]], {facts["input"]["name"]: mels[:n]})
        np.testing.assert_allclose(found, expected[:n], atol=1e-5)


def test_the_description_says_what_goes_in_and_comes_out(trained: Trained, exported: Path) -> None:
    facts = json.loads(exported.with_suffix(".json").read_text(encoding="utf-8"))
    card = json.loads((trained.folder / "fold_00/model.json").read_text(encoding="utf-8"))
    assert facts["classes"] == CLASSES
    assert facts["mels"] == card["mels"]
    assert facts["input"]["shape"] == ["batch", 16, 32]
    assert facts["output"]["shape"] == ["batch", 2]
    assert [fold["fold"] for fold in facts["folds"]] == [0, 1, 2]
    assert facts["onnx_sha256"] == hashlib.sha256(exported.read_bytes()).hexdigest()
    assert facts["greatest_difference_from_torch"] < 1e-4


def test_an_export_finds_what_its_training_finds(trained: Trained, exported: Path, tmp_path: Path) -> None:
    cards = [card["card_sha256"] for card in read_folds(trained.folder).cards]
    of_both = tmp_path / "thresholds.json"
    write_json(of_both, thresholds_tree(cards, {name: {"threshold": 0.5} for name in CLASSES}))
    path = write_wav(tmp_path / "dawn.wav", np.concatenate([tone(n % 2, n, 0.8) for n in range(9)]), RATE_HZ)
    first = Request([path], trained.folder, tmp_path / "a" / "x.csv", None, None, None, 1, of_both, all_windows=True)
    second = replace(first, model=exported, out=tmp_path / "b" / "x.csv")
    predict(first)
    predict(second)
    ours, theirs = pd.read_csv(first.out), pd.read_csv(second.out)
    assert ours[f"p_{CLASSES[0]}"].std() > 1e-3  # windows are told apart, or equal numbers would prove nothing
    pd.testing.assert_frame_equal(ours, theirs, check_exact=False, atol=1e-5)
    of_another = tmp_path / "other.json"
    write_json(of_another, thresholds_tree(["1" * 64], {}))
    with pytest.raises(IntegrityError, match="chosen for another model"):
        predict(replace(second, thresholds=of_another))
    with pytest.raises(ParamsError, match="no class of the model"):
        predict(replace(second, include=["lynx"]))


def test_a_graph_that_differs_from_torch_is_not_written(trained: Trained, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_files.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(onnx, "_to_onnx", lambda _: b"")
    for difference in (2e-4, float("nan")):
        monkeypatch.setattr(onnx, "_greatest_difference", lambda *_, found=difference: found)
        with pytest.raises(IntegrityError, match="differs from torch by"):
            export_onnx(trained.folder, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_files.importlib.util, "find_spec", lambda name: None if "script" in name else object())
    with pytest.raises(ResourceError, match="needs onnxscript; install with: pip install onnxscript"):
        export_onnx(tmp_path, tmp_path / "x.onnx")


def test_the_name_must_say_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"must end in \.onnx"):
        export_onnx(tmp_path, tmp_path / "x.json")
