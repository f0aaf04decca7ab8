"""The table that a run ends with: right numbers, at most 80 columns, plain words where there is nothing to show."""

import json
from pathlib import Path
from typing import Any

import pytest

from evensong.errors import IntegrityError
from evensong.report.headline import headline

NIGHT = {
    "night_f1": 0.786984,
    "night_f1_low": 0.599757,
    "night_f1_high": 0.901075,
    "night_n": 34,
    "night_baseline_f1": 0.651,
}
NIGHT_DETAILS = {
    "originals": {"source": {"macro_f1": {"value": 0.76, "low": 0.509, "high": 0.906}, "n": 31, "sources": 20}},
    "arms": {
        "baseline": {
            "clip": {"macro_f1": {"value": 0.651, "low": 0.48, "high": 0.79}},
            "network_minus_clip": {"macro_f1": {"value": 0.136, "low": 0.021, "high": 0.26}},
        }
    },
}
VOICE = {
    "voice_auroc": 0.836667,
    "voice_auroc_low": 0.674741,
    "voice_auroc_high": 0.926733,
    "voice_n": 80,
    "voice_best_auroc": 0.874167,
    "voice_gain": -0.0375,
    "voice_baseline_auroc": 0.7125,
}
VOICE_DETAILS = {
    "best_single": {"auroc": {"value": 0.874167, "low": 0.709556, "high": 0.951818}},
    "minus_best_single": {"soft_mean": {"auroc": {"value": -0.0375, "low": -0.0737, "high": -0.0013}}},
    "baseline": {"auroc": {"value": 0.7125, "low": 0.55, "high": 0.84}},
    "minus_baseline": {"soft_mean": {"auroc": {"value": 0.1242, "low": 0.01, "high": 0.24}}},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The metrics of a run of both tracks."""
    write(tmp_path, "night/test.json", NIGHT)
    write(tmp_path, "night/details.json", NIGHT_DETAILS)
    write(tmp_path, "voice/test.json", VOICE)
    write(tmp_path, "voice/details.json", VOICE_DETAILS)
    return tmp_path


def write(root: Path, name: str, tree: Any) -> None:
    path = root / "metrics" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree), encoding="utf-8")


def cells(text: str) -> list[list[str]]:
    """Each line's cells, split where two spaces or more stand."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def test_both_tracks(run: Path) -> None:
    table = cells(headline(run))
    assert table[:10] == [
        ["score", "interval"],
        ["night", "macro-F1, 34 original test clips", "0.787", "0.600 to 0.901"],
        ["the same by source, 20 of them", "0.760", "0.509 to 0.906"],
        ["baseline: mel statistics, linear", "0.651", "0.480 to 0.790"],
        ["network minus baseline, paired", "0.136", "0.021 to 0.260"],
        ["voice", "AUROC, 80 patients, sub-databases fused", "0.837", "0.675 to 0.927"],
        ["best single sub-database", "0.874", "0.710 to 0.952"],
        ["fused minus best single, paired", "-0.037", "-0.074 to -0.001"],
        ["baseline: mel statistics, linear", "0.713", "0.550 to 0.840"],
        ["fused minus baseline, paired", "0.124", "0.010 to 0.240"],
    ]
    assert table[11] == ["Look next:"]
    assert [row[0] for row in table[12:]] == [
        "artifacts/night/report.html",
        "artifacts/voice/report.html",
        "dvc plots show",
    ]


def test_embeddings_have_a_line_each_where_there_are_some(run: Path) -> None:
    longest = "a" * 30 + "_fused"
    score = {"value": 0.9, "low": 0.8, "high": 0.95}
    arms = {**NIGHT_DETAILS["arms"], longest: {"clip": {"macro_f1": score}}}
    write(run, "night/details.json", {**NIGHT_DETAILS, "arms": arms})
    write(run, "voice/details.json", {**VOICE_DETAILS, "arms": {"hubert": {"auroc": score}}})
    table = cells(headline(run))
    assert table[5] == [longest, "0.900", "0.800 to 0.950"]
    assert table[11] == ["hubert", "0.900", "0.800 to 0.950"]
    assert max(map(len, headline(run).splitlines())) <= 80


def test_a_part_of_the_folds_never_stands_for_the_whole(run: Path) -> None:
    write(run, "night/test.json", {**NIGHT, "night_n": "34 in 1 of 5 folds"})
    write(run, "voice/test.json", {**VOICE, "voice_n": "<5 in 2 of 10 folds"})
    table = cells(headline(run))
    assert table[1][:2] == ["night", "macro-F1, 34 originals in 1 of 5 folds"]
    assert table[5] == ["1 of 5 folds only: scores of what these test, not of the whole"]
    assert table[6][:2] == ["voice", "AUROC, <5 patients in 2 of 10 folds, fused"]
    assert ["2 of 10 folds only: scores of what these test, not of the whole"] in table
    assert max(map(len, headline(run).splitlines())) <= 80


def test_one_sub_database_is_not_compared_with_itself(run: Path) -> None:
    write(
        run,
        "voice/details.json",
        {**VOICE_DETAILS, "n_members": 1, "minus_baseline": {"soft_mean": {"auroc": {"value": 0.1}}}},
    )
    text = headline(run, ["voice"])
    assert "AUROC, 80 patients, one sub-database" in text
    assert "single" not in text
    assert "fused" not in text
    assert "network minus baseline, paired" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    write(run, "voice/details.json", {**VOICE_DETAILS, "n_members": 2})
    assert "fused minus best single" in headline(run, ["voice"])


@pytest.mark.parametrize("tracks", [("night", "voice"), ("night",), ("voice",)])
def test_three_places_and_eighty_columns(run: Path, tracks: tuple[str, ...]) -> None:
    lines = headline(run, tracks).splitlines()
    assert len(lines[lines.index("Look next:") + 1 :]) == 3
    assert max(map(len, lines)) <= 80


def test_a_track_that_never_ran_says_so(run: Path) -> None:
    (run / "metrics/night/test.json").unlink()
    lines = headline(run).splitlines()
    assert lines[1] == "night   never run here: make night"
    assert lines[2].startswith("voice   AUROC, 80 patients")
    assert "night/index.json" not in headline(run)


def test_nothing_ran(tmp_path: Path) -> None:
    assert headline(tmp_path) == "night   never run here: make night\nvoice   never run here: make voice"


def test_without_details_the_headline_stands_alone(run: Path) -> None:
    (run / "metrics/night/details.json").unlink()
    (run / "metrics/voice/details.json").unlink()
    lines = headline(run).splitlines()
    assert lines[1].endswith("0.600 to 0.901")
    assert lines[2].split() == ["baseline:", "mel", "statistics,", "linear", "0.651", "no", "interval"]
    assert lines[3].endswith("0.675 to 0.927")
    assert lines[4].split() == ["best", "single", "sub-database", "0.874", "no", "interval"]
    assert not [line for line in lines if "undefined" in line or "minus baseline" in line]


def test_a_score_that_cannot_be_computed(run: Path) -> None:
    write(run, "night/test.json", {**NIGHT, "night_f1": None, "night_f1_low": None, "night_f1_high": None})
    assert headline(run).splitlines()[1].split("clips")[1].split() == ["undefined", "no", "interval"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"night_f1": 1}'])
def test_a_file_that_is_not_ours(run: Path, text: str) -> None:
    (run / "metrics/night/test.json").write_text(text, encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"metrics/night/test\.json: .*(make night|dvc repro)"):
        headline(run)


def test_classes_that_were_left_out_are_told(run: Path) -> None:
    assert "left out" not in headline(run)
    write(run, "night/index.json", {"index": {"classes_left_out": {"owl": 1, "rail": 2}}})
    assert "NOTE: 2 of the classes left out: metrics/night/index.json" in headline(run)
    assert max(map(len, headline(run).splitlines())) <= 80


def test_confounders_that_could_not_be_read_are_told(run: Path) -> None:
    write(run, "voice/confounders.json", {"alone": {}, "unread": ["age"]})
    assert "NOTE: 1 of the confounders not read: metrics/voice/confounders.json" in headline(run)
    assert max(map(len, headline(run).splitlines())) <= 80


def test_networks_that_have_hardly_moved_are_told(run: Path) -> None:
    write(run, "voice/subdbs.json", {"subdb3": {"folds_hardly_moved": 2}, "subdb5": {"folds_hardly_moved": 0}})
    assert "NOTE: folds hardly moved, train longer: 2: metrics/voice/subdbs.json" in headline(run)
    assert max(map(len, headline(run).splitlines())) <= 80


def test_shortcuts_are_told_beside_the_scores(run: Path) -> None:
    scores = {"chance": 0.5, "notable_above": 0.67, "container": 1.0, "level": 0.6}
    write(run, "voice/tables.json", {"shortcut_balanced_accuracy": scores})
    notes = [line.strip() for line in headline(run).splitlines() if "NOTE" in line]
    assert notes == ["NOTE: shortcuts by container: metrics/voice/tables.json"]


@pytest.mark.parametrize(("low", "n_notes"), [(0.6, 1), (0.5, 0), (None, 0)])
def test_confounders_are_told_beside_the_scores(run: Path, low: float | None, n_notes: int) -> None:
    write(run, "voice/confounders.json", {"alone": {"age": {"value": 0.9, "low": low, "high": 0.95}}})
    notes = [line for line in headline(run).splitlines() if "NOTE" in line]
    assert len(notes) == n_notes
    assert all("metrics/voice/confounders.json" in note and len(note) <= 80 for note in notes)


def test_detections_in_the_field_stand_beside_the_clips_where_there_are_any(run: Path) -> None:
    nothing = headline(run)
    field = {"night_detection_f1": 0.6944, "night_detection_f1_low": 0.49, "night_detection_f1_high": 0.843}
    write(run, "night/detection.json", {**dict.fromkeys(field), "night_detection_n": 0})
    assert headline(run) == nothing
    write(run, "night/detection.json", {**field, "night_detection_n": 18})
    line = next(line for line in headline(run).splitlines() if "detection" in line)
    assert line.split() == ["detection", "F1,", "18", "events", "in", "the", "field", "0.694", "0.490", "to", "0.843"]
