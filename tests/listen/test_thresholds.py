"""predict joins the thresholds that lie beside its model, and refuses those of another."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.listen.synthetic import CLASSES, RATE_HZ, read_selections, scores, tone

from evensong.audio.wav import write_wav
from evensong.errors import IntegrityError, ParamsError
from evensong.listen.decisions import decide
from evensong.listen.folds import read_folds
from evensong.listen.predict import Request, predict
from evensong.listen.thresholds import beside, read_thresholds, thresholds_tree
from evensong.score.calibration import Calibration


def test_background_is_never_reported(trained) -> None:
    folds = replace(read_folds(trained.folder), background=CLASSES[:1])
    options = {"min_score": 0.5, "thresholds": None, "include": (), "exclude": ()}
    assert decide(folds, trained.folder, **options).thresholds == {CLASSES[1]: 0.5}
    with pytest.raises(ParamsError, match="leave no class to report; background classes are none"):
        decide(folds, trained.folder, **{**options, "include": CLASSES[:1]})


def write(path, digests, **thresholds):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(thresholds_tree(digests, {name: {"threshold": t} for name, t in thresholds.items()})))
    return path


def test_thresholds_of_another_model_are_refused(tmp_path):
    path = write(tmp_path / "t.json", ["a", "b"], asio=0.3)
    assert read_thresholds(path, ["a"]) == ({"asio": 0.3}, {})
    with pytest.raises(IntegrityError, match="chosen for another model than this one"):
        read_thresholds(path, ["a", "c"])
    path.write_text("[]")
    with pytest.raises(IntegrityError, match="not a table of thresholds"):
        read_thresholds(path, ["a"])


def test_predict_takes_the_thresholds_beside_the_model_or_the_named_ones(trained, tmp_path, capsys):
    recording = write_wav(tmp_path / "a.wav", np.concatenate([tone(0, 1, 3.0), tone(1, 2, 3.0)]), RATE_HZ)
    digests = [card["card_sha256"] for card in read_folds(trained.folder).cards]
    request = Request([recording], trained.folder, tmp_path / "o.csv", tmp_path / "raven", None, None, 1)
    named = write(tmp_path / "named.json", digests, **{CLASSES[1]: 0.0})
    assert set(scores(replace(request, thresholds=named))["class"]) == {CLASSES[1]}
    assert {event.class_name for event in read_selections(tmp_path / "raven/a.Table.1.selections.txt")} == {CLASSES[1]}
    assert f"1 detection at the thresholds of {named}" in capsys.readouterr().err
    at_home = write(beside(trained.folder), digests, **{CLASSES[0]: 0.0, CLASSES[1]: 1.0})
    try:
        for model in (trained.folder, trained.folder / "fold_01"):
            table = scores(replace(request, model=model))
            assert set(table["class"]) == {CLASSES[0]}
            assert table["windows"].sum() == pd.read_csv(tmp_path / "o.recordings.csv")["windows"].sum()
        assert set(scores(replace(request, min_score=0.2))["class"]) == set(CLASSES)
        write(at_home, ["0" * 64], **{CLASSES[1]: 0.0})
        with pytest.raises(IntegrityError, match="chosen for another model"):
            predict(request)
        predict(replace(request, min_score=0.5))
    finally:
        at_home.unlink()


@pytest.fixture
def calibrated(trained, tmp_path):
    """A file with a threshold of 0.4 for both classes, and a map of the second that lifts it."""
    digests = [card["card_sha256"] for card in read_folds(trained.folder).cards]
    maps = {CLASSES[0]: {"reason": "few"}, CLASSES[1]: {"slope": 2.0, "intercept": 1.5, "n_windows": 9}}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(thresholds_tree(digests, {name: {"threshold": 0.4} for name in CLASSES}, maps)))
    return path


def test_a_calibration_that_falls_is_refused(calibrated):
    calibrated.write_text(calibrated.read_text().replace("2.0", "-2.0"))
    with pytest.raises(IntegrityError, match="not a table of thresholds"):
        read_thresholds(calibrated, [])


def test_thresholds_move_along_and_what_is_detected_stays(trained, calibrated, tmp_path, capsys):
    """Only the score of the calibrated class is another, and is what its map makes of the softmax."""
    recording = write_wav(tmp_path / "a.wav", np.concatenate([tone(n % 2, n, 1.0) for n in range(6)]), RATE_HZ)
    request = Request([recording], trained.folder, tmp_path / "o.csv", None, None, None, 1, thresholds=calibrated)
    predict(request)
    assert "calibrated for file, a" in capsys.readouterr().err
    plain = replace(request, out=tmp_path / "p.csv", thresholds=None, min_score=0.4)
    predict(plain)
    ours, theirs = pd.read_csv(request.out), pd.read_csv(plain.out)
    shared = ["begin_s", "end_s", "class", "windows"]
    pd.testing.assert_frame_equal(ours[shared], theirs[shared])
    is_mapped = ours["class"] == CLASSES[1]
    assert is_mapped.any()
    assert (ours["score"] > theirs["score"])[is_mapped].all()
    assert (ours["score"] == theirs["score"])[~is_mapped].all()
    predict(replace(request, all_windows=True))
    windows = pd.read_csv(request.out)
    softmax = windows[f"p_{CLASSES[1]}"].to_numpy()
    np.testing.assert_allclose(windows[f"calibrated_{CLASSES[1]}"], Calibration(2.0, 1.5)(softmax), atol=1e-5)
    np.testing.assert_allclose(windows["p_brook"] + softmax, 1, atol=1e-5)


def test_one_score_for_all_is_of_the_calibrated_scale(trained, calibrated):
    options = {"thresholds": None, "include": (), "exclude": ()}
    folds, at_home = read_folds(trained.folder), beside(trained.folder)
    at_home.parent.mkdir(parents=True, exist_ok=True)
    at_home.write_text(calibrated.read_text())
    try:
        moved = decide(folds, trained.folder, min_score=None, **options).thresholds
        # 2 log(0.4 / 0.6) + 1.5 = 0.689
        assert moved == {CLASSES[0]: 0.4, CLASSES[1]: pytest.approx(1 / (1 + np.exp(-0.68907)), abs=1e-5)}
        found = decide(folds, trained.folder, min_score=0.7, **options)
        assert (found.thresholds, found.calibrations) == (
            dict.fromkeys(CLASSES, 0.7),
            {CLASSES[1]: Calibration(2.0, 1.5)},
        )
        at_home.write_text(json.dumps(thresholds_tree(["0" * 64], {})))
        found = decide(folds, trained.folder, min_score=0.7, **options)
        assert (found.calibrations, found.origin) == (
            {},
            f"a score of 0.7 or more, not calibrated: {at_home} does not fit this model",
        )
    finally:
        at_home.unlink()
