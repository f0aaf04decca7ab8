"""predict with the arm of an embedding: what its stages said of their clips, and who is refused."""

import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from tests.learn.graphs import graph_of
from tests.listen.arms import NIGHT, write_arm
from tests.listen.synthetic import CLASSES, PROBS, RATE_HZ, Trained, modules_of, request_of, scores, tone

from evensong.audio.wav import write_wav
from evensong.errors import IntegrityError, ParamsError
from evensong.learn.card import card_digest
from evensong.listen.arm import read_arm_to_listen
from evensong.listen.listeners import fold_paths, read_listener
from evensong.listen.predict import predict
from evensong.listen.survey import hear, read_ears
from evensong.listen.thresholds import thresholds_tree
from evensong.listen.windows import listening_of
from evensong.run.text import write_json

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return write_arm(tmp_path_factory.mktemp("arm"))


@pytest.fixture
def own(arm: Trained, tmp_path: Path) -> Path:
    """A copy of the arm's folder, to be spoilt."""
    return Path(shutil.copytree(arm.folder, tmp_path / "arms" / "tiny"))


@pytest.fixture
def request_for(arm: Trained, tmp_path: Path):
    return functools.partial(request_of, arm.folder, tmp_path)


def reseal(folder: Path, **changes) -> None:
    card = {**json.loads((folder / "card.json").read_text()), **changes}
    card = {key: value for key, value in card.items() if value is not None or key not in changes}
    (folder / "card.json").write_text(json.dumps({**card, "card_sha256": card_digest(card)}))


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_a_head_scores_its_test_clips_as_its_stage_did(arm: Trained, request_for, fold: int) -> None:
    table = pd.read_csv(arm.folder / "predictions.csv")
    expected = table[(table["fold"] == fold) & (table["subset"] == "test")]
    clips = [arm.pool[item] for item in expected["item_id"]]
    found = scores(request_for(*clips, model=arm.folder / f"head_{fold:02d}.safetensors"))
    found = found.set_index("file").loc[[str(clip) for clip in clips]]
    assert len(found) == len(expected)  # one window a clip
    assert np.ptp(expected["p0"]) > 0.01  # the clips are told apart, or equal numbers would prove nothing
    np.testing.assert_allclose(found[PROBS].to_numpy(), expected[["p0", "p1"]].to_numpy(), atol=1e-5)


def test_an_arm_scores_the_mean_of_its_folds_in_half_overlapping_windows(arm, request_for, tmp_path) -> None:
    path = write_wav(tmp_path / "dawn.wav", np.concatenate([tone(0, 50, 1.0), tone(1, 51, 1.1)]), RATE_HZ)
    folds = [scores(request_for(path, model=head))[PROBS] for head in fold_paths(arm.folder).values()]
    found = scores(request_for(path))
    assert found["begin_s"].tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.6]
    assert found["top_class"].tolist()[::7] == CLASSES
    assert np.ptp([table.to_numpy() for table in folds], axis=0).max() > 1e-3
    np.testing.assert_allclose(found[PROBS], sum(folds) / 3, atol=1e-5)


def test_windows_without_sound_have_no_score(arm: Trained, request_for, tmp_path: Path) -> None:
    wave = np.concatenate([tone(0, 50, 0.5), np.zeros(RATE_HZ // 2, np.float32), tone(0, 51, 0.5)])
    found = scores(request_for(write_wav(tmp_path / "quiet.wav", wave, RATE_HZ), hop_seconds=0.5))
    assert found["top_class"].isna().tolist() == [False, True, False]


@pytest.mark.slow
def test_no_byte_depends_on_the_workers_and_torch_is_not_loaded(arm: Trained, request_for, tmp_path: Path) -> None:
    written = []
    for workers in (1, 2):
        request = request_for(*arm.pool.values(), workers=workers, out=tmp_path / f"{workers}" / "x.csv")
        predict(request)
        written.append(request.out.read_bytes())
    assert written[0] == written[1]
    assert "torch" not in modules_of(next(iter(arm.pool.values())), arm.folder, tmp_path / "y.csv")


def test_a_model_hears_no_more_of_a_recording_than_it_heard_of_the_pool(tmp_path: Path) -> None:
    """A pool of a lower rate, with upsample: windows come at the pool's rate, and it is only later raised."""
    written = write_arm(tmp_path, night=NIGHT | {"pool_sample_rate_hz": 4_000}, upsample=True)
    listening = listening_of(read_listener(written.folder), None)
    assert (listening.sample_rate_hz, listening.band_hz, listening.n_window) == (4_000, (0.0, 2_000.0), 2_000)


def test_background_and_thresholds_are_the_arms_own(own: Path, arm: Trained, request_for, tmp_path: Path) -> None:
    reseal(own, background=[CLASSES[0]])
    request = request_for(*arm.pool.values(), model=own, min_score=None, all_windows=False)
    assert set(scores(request)["class"]) == {CLASSES[1]}
    digest = json.loads((own / "card.json").read_text())["card_sha256"]
    chosen = {name: {"threshold": 1.0} for name in CLASSES}
    write_json(tmp_path / "own.json", thresholds_tree([digest], chosen))
    assert scores(replace(request, thresholds=tmp_path / "own.json")).empty
    write_json(tmp_path / "other.json", thresholds_tree(["0" * 64], chosen))
    with pytest.raises(IntegrityError, match="chosen for another model"):
        predict(replace(request, thresholds=tmp_path / "other.json"))


def test_recordings_are_heard_by_the_head_of_the_fold_that_asks(arm: Trained, request_for) -> None:
    ears = read_ears(arm.folder)
    assert (ears.window_s, ears.classes, list(ears.folds)) == (0.5, CLASSES, [0, 1, 2])
    (name, path), *_ = arm.pool.items()
    heard = hear(path.parent, ears, {0: [f"{name}.wav"], 2: [f"{name}.wav"]}, None, workers=1)
    for (fold, _), found in heard.items():
        expected = scores(request_for(path, model=ears.folds[fold]))
        np.testing.assert_allclose(found.probs, expected[PROBS], atol=1e-6)
    assert heard[0, f"{name}.wav"].probs.tolist() != heard[2, f"{name}.wav"].probs.tolist()


@pytest.mark.fault("M05")
def test_a_missing_model_file_says_what_to_do_and_another_one_is_refused(tmp_path: Path, request_for) -> None:
    written = write_arm(tmp_path)
    clip = next(iter(written.pool.values()))
    (tmp_path / "tiny.onnx").write_bytes(b"another")
    with pytest.raises(IntegrityError, match="not the file that was meant"):
        predict(request_for(clip, model=written.folder))
    (tmp_path / "tiny.onnx").unlink()
    with pytest.raises(IntegrityError, match=r"run in the project's folder.*dvc pull.*made by a test, sha256 [0-9a-f]"):
        predict(request_for(clip, model=written.folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_seconds": None}, "clip_seconds: Field required; predict takes arms of the night track"),
        ({"clip_seconds": 0.0}, "clip_seconds: "),
        ({"pool_sample_rate_hz": 10**9}, "pool_sample_rate_hz: "),
        ({"background": "noise"}, "background: "),
    ],
)
def test_a_card_of_another_track_or_of_no_use_is_refused(own: Path, changes, message) -> None:
    reseal(own, **changes)
    with pytest.raises(IntegrityError, match=message):
        read_listener(own)


def test_arms_without_heads_and_heads_without_an_arm_are_refused(own: Path, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"no head of the arm; it has head_00\.safetensors, head_01"):
        read_listener(own / "head_07.safetensors")
    (own / "card.json").unlink()
    with pytest.raises(ParamsError, match="keeps no heads; take artifacts/night/train"):
        read_listener(own)  # as the baseline's
    with pytest.raises(IntegrityError, match="no readable arm"):
        read_listener(own / "head_00.safetensors")


@pytest.mark.slow
@pytest.mark.fault("M05")
def test_a_graph_that_gives_no_number_for_a_window_ends_the_run(tmp_path: Path, request_for) -> None:
    """The root of what is left to nine tenths: a number for all clips that were embedded, and none for a loud one."""
    most = helper.make_tensor("most", TensorProto.FLOAT, [1], [0.9])
    nodes = [
        helper.make_node("Abs", ["wave"], ["size"]),
        helper.make_node("Sub", ["most", "size"], ["rest"]),
        helper.make_node("Sqrt", ["rest"], ["vector"]),
    ]
    written = write_arm(tmp_path, graph_of(nodes, weights=(most,)))
    loud = write_wav(tmp_path / "loud.wav", tone(0, 1) * np.float32(2.5), RATE_HZ)
    with pytest.raises(IntegrityError, match="values that are not finite"):
        predict(request_for(loud, model=written.folder))


def test_it_is_read_once(arm: Trained) -> None:
    assert read_arm_to_listen(arm.folder) is read_listener(arm.folder)
