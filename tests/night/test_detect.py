"""Detection scores: worked by hand on made-up probabilities, and from recordings to scores with the stages."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.learn.graphs import octaves, save
from tests.night.soundscapes import calls_of, write_soundscape, write_tables

import night_augment
import night_cut
import night_detect
import night_embed
import night_head
import night_index
import night_mels
import night_scan
import night_train
from evensong.listen.predict import Request, predict
from evensong.night import detect
from evensong.night.calibrate import calibrations
from evensong.schemas import Evaluate, NightDetect
from evensong.score.calibration import Calibration
from evensong.score.detection import THRESHOLDS, Scores

SETTINGS = NightDetect(
    listener="train",
    hop_seconds=None,
    min_overlap=0.5,
    rule="f1",
    wanted_precision=0.9,
    min_events=2,
    default_threshold=0.5,
)
EVALUATE = Evaluate(seed=1, n_bootstrap=200, confidence=0.95)
CLASSES = ["background", "frog", "owl"]


def table_of(*rows):
    """Recordings of 20 s by path and exhaustive, each its own source."""
    table = pd.DataFrame(rows, columns=["path", "exhaustive"])
    return table.assign(source_id=table["path"], duration_s=20.0, duplicate_of="")


def annotations_of(*rows):
    table = pd.DataFrame(rows, columns=["recording", "begin_s", "end_s", "class_name", "outcome"])
    return table.assign(reviewed="False")


def heard(**on):
    """Windows of 2 s every second over 20 s: 0.9 in the windows that a class names, else background."""
    probs = np.tile([0.9, 0.05, 0.05], (19, 1))
    for name, windows in on.items():
        for window, prob in windows.items():
            probs[window] = (1 - prob - 0.02, 0.02, 0.02)
            probs[window, CLASSES.index(name)] = prob
    begins = np.arange(19.0)
    return Scores(begins, begins + 2, probs)


@pytest.fixture
def detected():
    """Validation a, exhaustive; test b, exhaustive, and c, which is not; d in no subset of the fold."""
    truth = detect.field_truth(
        table_of(("a", True), ("b", True), ("c", False), ("d", False)),
        annotations_of(
            ("a", 1.0, 2.0, "owl", "used"),
            ("a", 10.0, 11.0, "owl", "merged"),
            ("a", 15.0, 16.0, "frog", "used"),
            ("b", 3.0, 4.0, "owl", "used"),
            ("b", 3.5, 4.5, "owl", "overlapping another label"),  # one event with the one before, 3 to 4.5
            ("b", 9.0, 9.4, "owl", "too short"),
            ("b", 19.5, 25.0, "frog", "used"),  # cut off at 20 s
            ("b", 5.0, 6.0, "car", "used"),
            ("c", 2.0, 3.0, "owl", "used"),
            ("d", 2.0, 3.0, "owl", "label not wanted"),
        ),
        CLASSES,
        ["background", "noise"],
    )
    folds = pd.DataFrame({"fold": 0, "source_id": ["a", "b", "c"], "subset": ["val", "test", "test"]})
    scores = {
        (0, "a"): heard(owl={0: 0.9, 1: 0.9, 5: 0.3, 9: 0.9, 10: 0.9}),
        (0, "b"): heard(owl={2: 0.9, 3: 0.9, 13: 0.7}, frog={18: 0.4}),
        (0, "c"): heard(owl={1: 0.9, 2: 0.9, 12: 0.9}),
    }
    return truth, detect.detect(truth, folds, scores, SETTINGS, 2.0)


def test_the_truth_joins_cuts_off_and_leaves_out(detected):
    truth, _ = detected
    assert truth.classes == ["frog", "owl"]
    assert truth.recordings["path"].tolist() == ["a", "b", "c"]
    assert [spans.tolist() for spans in truth.events["b"]] == [[[19.5, 20.0]], [[3.0, 4.5], [9.0, 9.4]]]


def test_thresholds_are_of_validation_or_the_default_with_its_reason(detected):
    _, found = detected
    # windows of owl on for both events from 0.31 to 0.9: the middle one
    assert found.chosen["owl"] == {"threshold": 0.6, "n_events": 2, "chosen_on": "validation"}
    assert found.chosen["frog"]["threshold"] == 0.5
    assert found.chosen["frog"]["reason"] == "1 validation events, fewer than night.detect.min_events (2)"
    assert found.thresholds[0].tolist() == [0.5, 0.6]


def test_a_calibration_rests_on_exhaustive_validation_windows_or_says_why_not(detected):
    truth, _ = detected
    folds = pd.DataFrame({"fold": 0, "source_id": ["a", "b", "c"], "subset": ["val", "test", "val"]})
    scores = {(0, path): heard(owl={0: 0.9, 1: 0.9, 5: 0.3, 9: 0.9, 10: 0.9}) for path in "abc"}
    maps = calibrations(truth, folds, scores, SETTINGS)
    assert maps["frog"] == {
        "reason": "1 events in exhaustive validation recordings, fewer than night.detect.min_events (2)"
    }
    # windows 0, 1, 9 and 10 hold the two owls of a; none is in between; c is not exhaustive and b is tested
    assert (maps["owl"]["n_windows"], maps["owl"]["n_positive"]) == (19, 4)
    owl = Calibration(maps["owl"]["slope"], maps["owl"]["intercept"])
    low, doubtful, high = owl(np.array([0.02, 0.3, 0.9]))
    assert low < 0.2 < 0.6 < high
    assert low < doubtful < high
    scores = {(0, "a"): None, (0, "c"): None}
    assert "reason" in calibrations(truth, folds, scores, SETTINGS)["owl"]


UNHEARD = "never detected in an exhaustive recording"


def test_scores_worked_by_hand(detected):
    truth, found = detected
    tree = detect.details_tree(truth, found, SETTINGS, EVALUATE)
    owl, frog = tree["event"]["classes"]["owl"], tree["event"]["classes"]["frog"]
    # owl at 0.6. b: detections 2-5 (finds 3-4.5) and 13-15 (wrong); 9-9.4 is missed. c, not exhaustive: 1-4 finds 2-3
    # and 12-14 is nobody's business.
    assert (owl["n_events"], owl["n_detections_exhaustive"]) == (3, 2)
    assert (owl["precision"], owl["recall"]) == (0.5, pytest.approx(2 / 3, abs=1e-6))
    assert owl["f1"] == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3), abs=1e-6)
    assert owl["false_alarms_per_hour"] == pytest.approx(1 / (20 / 3600), abs=1e-3)
    # frog at 0.5: its window has 0.4
    assert (frog["precision"], frog["recall"], frog["f1"], frog["reason"]) == (None, 0, 0, UNHEARD)
    assert tree["event"]["macro_f1"]["value"] == pytest.approx(owl["f1"] / 2, abs=1e-6)
    assert tree["event"]["macro_f1"]["reason"] == "2 sources of recordings; an interval needs 5"
    assert tree["event"]["macro_precision"]["value"] == 0.5
    # at 0.4 and below the frog is detected, in the last window, and right; nothing else was taken for one above 0.05
    assert frog["average_precision"] == 1.0
    assert detect.headline_tree(truth, found, EVALUATE)["night_detection_n"] == 4
    outcomes = found.detections[["recording", "begin_s", "end_s", "outcome"]].values.tolist()
    assert outcomes == [["b", 2, 5, "right"], ["b", 13, 15, "wrong"], ["c", 1, 4, "right"], ["c", 12, 14, ""]]
    assert found.events["found"].tolist() == [0, 1, 0, 1]


def test_windows_worked_by_hand(detected):
    truth, found = detected
    window = detect.details_tree(truth, found, SETTINGS, EVALUATE)["window"]["classes"]["owl"]
    # b: windows 2-4 and 3-5 hold the event 3-4.5 (1 and 1.5 of its 1.5 s), 1-3 touches nothing, 4-6 shares 0.5 s: left
    # out; 8-10 and 9-11 hold 9-9.4, 7-9 nothing. c: 1-3 and 2-4 hold 2-3.
    assert window["n_events"] == 6
    assert window["recall"] == pytest.approx(4 / 6, abs=1e-6)
    assert (window["n_detections_exhaustive"], window["precision"]) == (3, pytest.approx(2 / 3, abs=1e-6))


def test_without_an_exhaustive_recording_there_is_recall_and_nothing_else(detected):
    truth, _ = detected
    only = detect.FieldTruth(truth.recordings.iloc[[2]], truth.events, truth.classes, truth.labels)
    folds = pd.DataFrame({"fold": [0], "source_id": ["c"], "subset": ["test"]})
    scores = {(0, "c"): heard(owl={1: 0.9})}
    found = detect.detect(only, folds, scores, SETTINGS, 2.0)
    tree = detect.details_tree(only, found, SETTINGS, EVALUATE)
    assert tree["event"]["macro_f1"] == {"value": None, "low": None, "high": None, "reason": detect.NO_EXHAUSTIVE}
    owl = tree["event"]["classes"]["owl"]
    assert (owl["recall"], owl["precision"], owl["f1"], owl["average_precision"]) == (1.0, None, None, None)
    assert detect.headline_tree(only, found, EVALUATE)["night_detection_f1"] is None


def test_an_interval_over_five_sources_holds_the_value():
    paths = [f"r{n}" for n in range(6)]
    table = table_of(*((path, True) for path in paths))
    notes = annotations_of(*((path, 3.0, 4.0, "owl", "used") for path in paths))
    many = detect.field_truth(table, notes, CLASSES, ["background"])
    folds = pd.DataFrame({"fold": 0, "source_id": paths, "subset": "test"})
    scores = {(0, path): heard(owl={2: 0.9, 3: 0.9} if n % 2 else {12: 0.9}) for n, path in enumerate(paths)}
    found = detect.detect(many, folds, scores, SETTINGS, 2.0)
    one = detect.estimates_of(found, 0, EVALUATE)["macro_f1"]
    assert one.value == 0.5  # three of six found, three of six right
    assert one.low is not None
    assert 0 < one.low < 0.5 < one.high < 1
    curve = detect.pr_table(many, found)
    assert set(curve["curve"]) == {"owl"}
    assert curve["recall"].max() == 1.0  # at a threshold of 0.02 everything is on


# ---- the stages


FIELD = {
    "night__sources": "field",
    "night__cut__padding_s": 0.1,
    "night__cut__background_clips": 24,
    "night__augment__target_samples": 24,
    "night__scan__group_pattern": r"^(site\d)_",
    "night__index__n_folds": 3,
    "night__mels__clip_seconds": 1.0,
    "night__mels__n_fft": 256,
    "night__mels__hop_length": 128,
    "night__detect__min_events": 5,
    "night__evaluate__n_bootstrap": 200,
    "train__epochs": 8,
    "train__learning_rate": 0.01,
    "train__instruction_set": "native",  # portable is pinned before torch computes, and other tests came first
}
STAGES = (night_cut, night_scan, night_augment, night_index, night_mels, night_train, night_detect)
EMPTY_NIGHT = Path("data/night")


def is_right(row, calls):
    """The definition once more, in steps of 10 ms: a call is touched, and half of the time is within 1 s of one."""
    time_s = np.arange(row.begin_s + 0.005, row.end_s, 0.01)
    near = np.any([(time_s >= one.begin_s - 1) & (time_s <= one.end_s + 1) for one in calls], axis=0)
    touched = any(row.begin_s < one.end_s and one.begin_s < row.end_s for one in calls)
    return touched and bool(np.mean(near) >= 0.5)


@pytest.mark.slow
def test_from_annotated_recordings_to_the_planted_truth(night, params, capsys):
    """Six sites of two nights, loud tones far apart: whatever is planted in a test recording is found, nothing else."""
    params(**FIELD)
    rng = np.random.default_rng(3)
    root, planted = Path("data/field"), {}
    for site in range(6):
        for when in ("20240501", "20240502"):
            path = f"site{site}/site{site}_{when}.wav"
            planted[path] = calls_of(rng, 40, ["owl", "frog"])
            write_soundscape(root / path, 40, planted[path], rng, quiet=(30, 34))
    planted["site6_20240503.wav"] = []  # exhaustive, without any call
    write_soundscape(root / "site6_20240503.wav", 20, [], rng)
    exhaustive = {path for path in planted if not path.startswith("site5")}
    write_tables(root, planted, exhaustive)
    for stage in STAGES:
        stage.main()
    headline = json.loads(night_detect.METRICS.read_text())
    details = json.loads(night_detect.DETAILS.read_text())
    n_calls = sum(map(len, planted.values()))
    assert headline["night_detection_n"] == n_calls
    assert details["recordings"] == 13
    assert details["recordings_exhaustive"] == 11
    assert details["hours_exhaustive"] == pytest.approx((10 * 40 + 20) / 3600, abs=1e-6)
    # every fold's own table of events is the planted truth, and every number follows from the two lists by hand
    events = pd.read_csv(night_detect.OUTPUT / "events.csv")
    found_events = sorted(zip(events["recording"], events["begin_s"], events["end_s"], events["class"], strict=True))
    assert found_events == sorted((path, *one) for path, calls in planted.items() for one in calls)
    detections = pd.read_csv(night_detect.OUTPUT / "detections.csv", keep_default_na=False)
    for name in ("owl", "frog"):
        scored = details["event"]["classes"][name]
        own = detections[(detections["class"] == name) & detections["recording"].isin(exhaustive)]
        assert scored["n_detections_exhaustive"] == len(own)
        right = [is_right(row, [one for one in planted[row.recording] if one.name == name]) for row in own.itertuples()]
        assert (own["outcome"] == "right").tolist() == right
        assert scored["precision"] == pytest.approx(np.mean(right), abs=1e-6)
        assert scored["recall"] == pytest.approx(events.loc[events["class"] == name, "found"].mean(), abs=1e-6)
    assert headline["night_detection_f1"] > 0.9
    # no source that trained or chose thresholds is one of the fold's test
    thresholds = json.loads((night_detect.OUTPUT / "thresholds.json").read_text())
    assert set(thresholds["thresholds"]) == {"owl", "frog"}
    assert {one["chosen_on"] for one in thresholds["thresholds"].values()} == {"validation"}
    assert all(one["threshold"] in THRESHOLDS for one in thresholds["thresholds"].values())
    assert all(one["calibration"]["slope"] > 0 for one in thresholds["thresholds"].values())


@pytest.mark.slow
def test_an_arm_is_scored_in_the_networks_place_and_predict_takes_its_thresholds(night, params, monkeypatch):
    params(
        **FIELD, night__embed__models={"tiny": save(octaves(), Path("tiny.onnx"))}, night__detect__listener="arms/tiny"
    )
    rng = np.random.default_rng(4)
    root, planted = Path("data/field"), {}
    for site in range(6):
        path = f"site{site}/site{site}_20240501.wav"
        planted[path] = calls_of(rng, 40, ["owl"])
        write_soundscape(root / path, 40, planted[path], rng)
    write_tables(root, planted, set(planted))
    monkeypatch.setattr(sys, "argv", ["stage", "tiny"])
    for stage in (*STAGES[:4], night_embed, night_head, night_detect):  # no mels, no training
        stage.main()
    details = json.loads(night_detect.DETAILS.read_text())
    assert details["listener"] == "arms/tiny"
    assert json.loads(night_detect.METRICS.read_text())["night_detection_f1"] > 0.9
    chosen, arm = night_detect.OUTPUT / "thresholds.json", night_head.ARMS / "tiny"
    assert json.loads(chosen.read_text())["card_sha256s"] == [
        json.loads((arm / "card.json").read_text())["card_sha256"]
    ]
    first = next(iter(planted))
    predict(Request([root / first], arm, Path("out.csv"), None, None, None, 1, chosen))
    found = pd.read_csv("out.csv")
    assert set(found["class"]) == {"owl"}
    assert len(found) == len(planted[first])


@pytest.mark.slow
def test_without_field_recordings_the_stage_says_so(night, params, capsys):
    params(train__epochs=1, train__instruction_set="native")
    for stage in STAGES:
        stage.main()
    assert "detection is not scored: no field recordings" in capsys.readouterr().out
    assert set(json.loads(night_detect.METRICS.read_text()).values()) == {None, 0}
    assert json.loads(night_detect.DETAILS.read_text()) == {"reason": "no field recordings", "recordings": 0}
    assert json.loads((night_detect.OUTPUT / "thresholds.json").read_text())["thresholds"] == {}
