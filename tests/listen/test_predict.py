"""Scores of recordings against those of training, and what becomes of files that cannot be used."""

import functools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, time, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from tests.listen.synthetic import CLASSES, PROBS, RATE_HZ, Trained, read_selections, request_of, scores, tone

from evensong.audio.wav import write_wav
from evensong.errors import DataError, IntegrityError, ParamsError
from evensong.learn.saved import write_model
from evensong.listen import predict as predict_module
from evensong.listen.clock import Clock, Hours
from evensong.listen.predict import Request, predict
from evensong.listen.segments import Sample

SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def request_for(trained: Trained, tmp_path: Path):
    return functools.partial(request_of, trained.folder, tmp_path)


def stored(trained: Trained, fold: int) -> pd.DataFrame:
    table = pd.read_csv(trained.folder / "predictions.csv")
    return table[(table["fold"] == fold) & (table["subset"] == "test")]


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_a_fold_scores_its_test_clips_as_training_did(trained: Trained, request_for, fold: int) -> None:
    expected = stored(trained, fold)
    table = scores(
        request_for(*(trained.pool[item] for item in expected["item_id"]), model=trained.folder / f"fold_{fold:02d}")
    )
    first = table.groupby("file", sort=False).first()  # training hears the first clip_seconds
    np.testing.assert_allclose(first[PROBS].to_numpy(), expected[["p0", "p1"]].to_numpy(), atol=1e-5)


def test_a_training_folder_scores_the_mean_of_its_folds(trained: Trained, request_for) -> None:
    clip = next(iter(trained.pool.values()))
    folds = [scores(request_for(clip, model=trained.folder / f"fold_{fold:02d}"))[PROBS] for fold in range(3)]
    assert np.ptp([table.to_numpy() for table in folds], axis=0).max() > 1e-3  # or their mean would prove nothing
    np.testing.assert_allclose(scores(request_for(clip))[PROBS], sum(folds) / 3, atol=1e-5)


def test_rows_cover_the_recording_to_its_end(request_for, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "dawn.wav", np.concatenate([tone(0, 50, 1.0), tone(1, 51, 1.1)]), RATE_HZ)
    table = scores(request_for(path))
    assert list(table.columns) == ["file", "begin_s", "end_s", "top_class", "top_score", *PROBS]
    assert set(table["file"]) == {str(path)}
    assert table["begin_s"].tolist() == pytest.approx([0, 0.256, 0.512, 0.768, 1.024, 1.28, 1.536, 1.6])
    assert table["end_s"].tolist() == pytest.approx([0.5, 0.756, 1.012, 1.268, 1.524, 1.78, 2.036, 2.1])
    np.testing.assert_allclose(table[PROBS].sum(axis=1), 1, atol=1e-5)


def test_a_short_recording_is_one_window_that_ends_with_it(request_for, tmp_path: Path) -> None:
    table = scores(request_for(write_wav(tmp_path / "short.wav", tone(0, 50, 0.2), RATE_HZ)))
    assert table[["begin_s", "end_s"]].to_numpy().tolist() == [[0, 0.2]]


def test_any_number_of_workers_writes_the_same_bytes(trained: Trained, request_for, tmp_path: Path) -> None:
    written = []
    for workers in (1, 3):
        request = request_for(*trained.pool.values(), workers=workers, raven=tmp_path / f"raven{workers}")
        predict(request)
        tables = sorted(request.raven.iterdir())
        written.append([request.out.read_bytes(), *((path.name, path.read_bytes()) for path in tables)])
    assert written[0] == written[1]
    assert len(written[0]) == 1 + len(trained.pool)


def test_silence_is_listed_without_a_score_and_is_no_selection(request_for, tmp_path: Path, capsys) -> None:
    wave = np.concatenate([tone(0, 50, 0.5), np.zeros(RATE_HZ, np.float32), tone(0, 51, 0.5)])
    path = write_wav(tmp_path / "quiet.wav", wave, RATE_HZ)
    request = request_for(path, hop_seconds=0.5, raven=tmp_path / "raven", min_score=0, include=CLASSES[:1])
    table = scores(request)
    assert table["top_class"].isna().tolist() == [False, True, True, False]
    assert table[["top_score", *PROBS]].isna().all(axis=1).tolist() == [False, True, True, False]
    events = read_selections(tmp_path / "raven" / "quiet.Table.1.selections.txt")
    assert [(event.begin_s, event.end_s) for event in events] == [(0, 0.5), (1.5, 2)]
    assert "4 windows, 2 of them without any sound" in capsys.readouterr().err


def test_folders_are_searched_and_tables_keep_their_tree(request_for, tmp_path: Path, capsys) -> None:
    for name in ("b/one.WAV", "a/one.wav", "a/.hidden.wav", "notes.txt"):
        (tmp_path / "card" / name).parent.mkdir(parents=True, exist_ok=True)
        write_wav(tmp_path / "card" / name, tone(0, 50), RATE_HZ)
    request = request_for(tmp_path / "card", raven=tmp_path / "raven")
    table = scores(request)
    assert list(dict.fromkeys(table["file"])) == [str(tmp_path / "card" / name) for name in ("a/one.wav", "b/one.WAV")]
    found = {path.relative_to(tmp_path / "raven").as_posix() for path in (tmp_path / "raven").rglob("*.txt")}
    assert found == {"a/one.Table.1.selections.txt", "b/one.Table.1.selections.txt"}
    told = capsys.readouterr().err
    assert "1 file passed over: hidden (.hidden.wav)" in told
    assert "1 file passed over: not audio (notes.txt)" in told
    account = pd.read_csv(request.out.with_name("scores.recordings.csv"))
    assert account[["outcome", "reason"]].fillna("").to_numpy().tolist() == [
        ["scored", ""],
        ["scored", ""],
        ["skipped", "hidden"],
        ["skipped", "not audio"],
    ]


def test_refused_recordings_are_listed_and_the_others_scored(request_for, tmp_path: Path, capsys) -> None:
    good = write_wav(tmp_path / "good.wav", tone(1, 50), RATE_HZ)
    empty = tmp_path / "empty.wav"
    empty.write_bytes(good.read_bytes()[:30])
    link = tmp_path / "link.wav"
    link.symlink_to(good)
    tabbed = Path(shutil.copy(good, tmp_path / "tab\there.wav"))
    latin = Path(shutil.copy(good, tmp_path / os.fsdecode(b"caf\xe9.wav")))
    click = write_wav(tmp_path / "click.wav", tone(1, 50)[:9], RATE_HZ)
    request = request_for(empty, good, link, tabbed, latin, click, raven=tmp_path / "raven")
    with pytest.raises(DataError, match=r"5 of 6 recordings could not be used.*; the others are written$"):
        predict(request)
    assert set(pd.read_csv(request.out)["file"]) == {str(good)}
    quarantine = pd.read_csv(request.out.with_name("scores.quarantine.csv"))
    refused = [
        [str(empty), "Q_TRUNCATED"],
        [str(link), "Q_LINK"],
        [str(tmp_path / "tab\\there.wav"), "Q_NAME"],
        [str(tmp_path / "caf\\xe9.wav"), "Q_NAME"],
        [str(click), "Q_TOO_SHORT"],
    ]
    assert quarantine[["file", "reason"]].to_numpy().tolist() == refused
    account = pd.read_csv(request.out.with_name("scores.recordings.csv"))
    assert account["file"].tolist() == [str(good), *(file for file, _ in refused)]
    assert account["outcome"].tolist() == ["scored", *["refused"] * 5]
    assert [path.name for path in (tmp_path / "raven").iterdir()] == ["good.Table.1.selections.txt"]
    assert "empty.wav: Q_TRUNCATED: " in capsys.readouterr().err


def test_a_file_that_is_no_audio_leaves_no_others_to_speak_of(request_for, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("an owl at nine\n")
    with pytest.raises(DataError, match=r"1 of 1 recording could not be used, listed in .*scores\.quarantine\.csv$"):
        predict(request_for(tmp_path / "notes.txt"))


def test_copies_are_named_and_marked_and_count_twice(request_for, tmp_path: Path, capsys) -> None:
    for folder in ("dump1", "dump2"):
        (tmp_path / folder).mkdir()
    first = write_wav(tmp_path / "dump1" / "a.wav", tone(1, 50), RATE_HZ)
    write_wav(tmp_path / "dump1" / "b.wav", tone(1, 51), RATE_HZ)  # of one size, and no copy
    assert "NOTE" not in _told(request_for(tmp_path / "dump1"), capsys)
    copy = Path(shutil.copy(first, tmp_path / "dump2" / "c.wav"))
    request = request_for(tmp_path / "dump1", tmp_path / "dump2", all_windows=False, min_score=0)
    assert (
        "NOTE: 1 recording with all the bytes of another, whose detections count twice: "
        f"{copy} as {first}\n" in _told(request, capsys)
    )
    assert pd.read_csv(request.out)["file"].value_counts()[[str(first), str(copy)]].nunique() == 1
    account = pd.read_csv(request.out.with_name("scores.recordings.csv")).set_index("file")
    assert account["warnings"].dropna().to_dict() == {str(copy): "W_COPY"}


def _told(request: Request, capsys: pytest.CaptureFixture[str]) -> str:
    predict(request)
    return capsys.readouterr().err


def test_a_recording_cut_short_is_scored_as_far_as_it_goes_and_said(request_for, tmp_path: Path, capsys) -> None:
    whole = write_wav(tmp_path / "whole.wav", tone(1, 50, 1.0), RATE_HZ)
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[: 44 + 2 * 6_000])
    flac = tmp_path / "cut.flac"
    soundfile.write(flac, tone(1, 51, 30.0), RATE_HZ)
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    request = request_for(cut, whole, flac)
    table = scores(request)
    ends = table.groupby("file")["end_s"].max()
    assert (ends[str(cut)], ends[str(whole)]) == (0.75, 1.0)
    assert 5 < ends[str(flac)] < 29
    account = pd.read_csv(request.out.with_name("scores.recordings.csv"))
    assert account["warnings"].fillna("").tolist() == ["W_CUT_SHORT", "", "W_CUT_SHORT"]
    assert "2 recordings cut short, scored as far as it goes (cut.wav, cut.flac)" in capsys.readouterr().err


def test_a_rate_too_low_for_the_model_is_said(request_for, tmp_path: Path, capsys) -> None:
    request = request_for(write_wav(tmp_path / "slow.wav", tone(0, 50), 4_000))
    predict(request)
    assert pd.read_csv(request.out.with_name("scores.recordings.csv"))["warnings"].tolist() == ["W_LOW_RATE"]
    assert "1 recording sampled too slowly for what the model hears (slow.wav)" in capsys.readouterr().err


def test_a_decoder_that_dies_costs_its_recording_only(trained: Trained, request_for, monkeypatch) -> None:
    deadly, *others = list(trained.pool.values())[:3]
    really = predict_module.hear

    def score(path: Path, *rest: object) -> object:
        if path == deadly:
            os._exit(3)
        return really(path, *rest)

    monkeypatch.setattr(predict_module, "hear", score)
    request = request_for(deadly, *others)
    with pytest.raises(DataError, match="1 of 3 recordings could not be used"):
        predict(request)
    assert set(pd.read_csv(request.out)["file"]) == {str(path) for path in others}
    assert "Q_DECODER_CRASH" in request.out.with_name("scores.quarantine.csv").read_text(encoding="utf-8")


def test_without_out_the_table_goes_to_standard_output(request_for, tmp_path: Path, capsys) -> None:
    predict(request_for(write_wav(tmp_path / "x.wav", tone(0, 50, 0.5), RATE_HZ), out=None))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("file,begin_s,end_s,top_class,top_score,p_brook,")
    assert len(lines) == 2


def test_an_interrupted_run_leaves_the_older_table(request_for, tmp_path: Path, monkeypatch) -> None:
    request = request_for(write_wav(tmp_path / "x.wav", tone(0, 50), RATE_HZ))
    predict(request)
    before = request.out.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evensong.listen.found.told_moment", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict(replace(request, clock=Clock(UTC, UTC)))
    assert request.out.read_bytes() == before
    names = ["scores.csv", "scores.quarantine.csv", "scores.recordings.csv", "scores.work"]
    assert sorted(path.name for path in request.out.parent.iterdir()) == names


def test_by_default_the_table_has_detections_alone(request_for, tmp_path: Path) -> None:
    wave = np.concatenate([tone(0, 50, 1.0), np.zeros(RATE_HZ, np.float32), tone(1, 51, 1.0)])
    path = write_wav(tmp_path / "x.wav", wave, RATE_HZ)
    table = scores(request_for(path, all_windows=False, hop_seconds=0.5, raven=tmp_path / "raven"))
    assert table.columns.tolist() == ["file", "begin_s", "end_s", "class", "score", "windows"]
    events = read_selections(tmp_path / "raven" / "x.Table.1.selections.txt")
    assert len(events) >= 2
    assert table["begin_s"].tolist() == [event.begin_s for event in events]
    assert table["class"].tolist() == [event.class_name for event in events]


def test_the_clock_tells_when_and_hours_choose(request_for, tmp_path: Path, capsys) -> None:
    for name in ("20240612_205959", "20240612_120000", "owl"):
        write_wav(tmp_path / f"{name}.wav", tone(1, 50, 2.0), RATE_HZ)
    named = [tmp_path / f"{name}.wav" for name in ("20240612_205959", "20240612_120000", "owl")]
    clock = Clock(ZoneInfo("Europe/Zurich"), timezone(timedelta(hours=1)))  # the recorder knows no daylight saving
    table = scores(request_for(*named, clock=clock, hop_seconds=0.5))
    assert table["begin_time"].tolist()[:2] == ["2024-06-12T21:59:59.000+02:00", "2024-06-12T21:59:59.500+02:00"]
    assert table["begin_time"].isna().tolist() == [False] * 8 + [True] * 4
    assert "1 recording without a time that is known (owl.wav)" in capsys.readouterr().err
    request = request_for(
        *named, clock=clock, hop_seconds=0.5, hours=Hours(time(22), time(5)), raven=tmp_path / "raven"
    )
    with pytest.raises(DataError, match="1 of 2 recordings could not be used"):
        predict(request)
    table = pd.read_csv(request.out)
    assert table["begin_s"].tolist() == [1.0, 1.5]
    assert all(one.begin_s >= 1 for one in read_selections(tmp_path / "raven/20240612_205959.Table.1.selections.txt"))
    account = pd.read_csv(request.out.with_name("scores.recordings.csv"))
    assert account[["outcome", "reason", "begin_time", "clock"]].fillna("").to_numpy().tolist() == [
        ["scored", "", "2024-06-12T21:59:59.000+02:00", "name"],
        ["refused", "Q_CLOCK", "", ""],
        ["skipped", "outside --hours", "", ""],
    ]


def test_the_time_that_lies_in_the_hours_is_told_apart(request_for, tmp_path: Path, capsys) -> None:
    path = write_wav(tmp_path / "20240612_215900.wav", tone(1, 50, 108.0), RATE_HZ)
    clock = Clock(UTC, UTC)
    assert "1 recording, 0.03 h, " in _told(request_for(path, clock=clock, hop_seconds=0.5), capsys)
    request = request_for(path, clock=clock, hop_seconds=0.5, hours=Hours(time(22), time(5)))
    assert "1 recording, 0.03 h (0.01 h of them in --hours), 216 windows\n" in _told(request, capsys)


def test_included_and_excluded_classes(trained: Trained, request_for) -> None:
    named = list(trained.pool.values())
    low = {"all_windows": False, "min_score": 0.2}
    both = scores(request_for(*named, **low))
    assert set(both["class"]) == set(CLASSES)
    one = scores(request_for(*named, **low, include=[CLASSES[1]]))
    pd.testing.assert_frame_equal(one, both[both["class"] == CLASSES[1]].reset_index(drop=True))
    pd.testing.assert_frame_equal(one, scores(request_for(*named, **low, exclude=[CLASSES[0]])))


def test_without_thresholds_one_half_decides_and_is_said(request_for, trained: Trained, capsys) -> None:
    predict(request_for(*trained.pool.values(), min_score=None))
    assert "at a score of 0.5 or more, for want of thresholds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_score": 1.5}, "--min-score 1.5"),
        ({"thresholds": Path("t.json")}, "--min-score and --thresholds"),
        ({"workers": 0}, "--workers 0"),
        ({"include": ["brok"]}, "'brok' is no class of the model; did you mean 'brook'"),
        ({"exclude": ["ow"]}, f"'ow' is no class of the model; its classes: {', '.join(CLASSES)}$"),
        ({"exclude": CLASSES}, "leave no class to report"),
        ({"hours": Hours(time(21), time(5))}, "--hours needs --clock"),
        ({"out": Path()}, "a folder; name a file in it"),
        ({"hop_seconds": 0.6}, "--hop-seconds 0.6: must lie above 0 and within the model's windows of 0.5 s"),
        ({"hop_seconds": 0.0}, "--hop-seconds 0"),
        ({"hop_seconds": float("nan")}, "--hop-seconds nan"),
        ({"named": (Path("nowhere.wav"),)}, r"nowhere\.wav: no such file"),
        ({"out": Path("night.wav")}, r"--out night\.wav: the name must end in \.csv"),
        ({"birdnet": Path("b.txt")}, r"--birdnet b\.txt: the name must end in \.csv"),
        ({"out": Path("f.csv"), "birdnet": Path("f.csv")}, r"--birdnet f\.csv: that is a place of --out"),
        ({"out": Path("f.csv"), "birdnet": Path("f.recordings.csv")}, "that is a place of --out"),
        ({"out": Path("f.csv"), "raven": Path("f.work")}, r"f\.work: that is a place of --out"),
        ({"out": Path("f.csv"), "audacity": Path("f.csv")}, r"--raven or --audacity f\.csv: that is a place of --out"),
        ({"out": Path("s/review.csv"), "segments": Sample(Path("s"))}, r"--segments s/review\.csv: .* of --out"),
        ({"out": Path("a/nights.csv"), "activity": Path("a"), "clock": Clock(UTC, UTC)}, r"--activity a/nights\.csv"),
    ],
)
def test_options_out_of_range_are_refused(trained: Trained, request_for, changes, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        predict(request_for(*trained.pool.values(), **changes))


def test_tables_that_cannot_be_written_are_refused_before_anything_is_scored(request_for, tmp_path: Path) -> None:
    fits = write_wav(tmp_path / f"{'x' * 232}.wav", tone(1, 50), RATE_HZ)  # and 23 of ".Table.1.selections.txt"
    predict(request_for(fits, raven=tmp_path / "raven"))
    assert [len(path.name) for path in (tmp_path / "raven").iterdir()] == [255]
    long = fits.rename(tmp_path / f"{'x' * 233}.wav")
    with pytest.raises(ParamsError, match="longer than a file name may be"):
        predict(request_for(long, raven=tmp_path / "raven"))
    with pytest.raises(ParamsError, match="a file; name a folder"):
        predict(request_for(long, raven=long))


def test_two_recordings_for_one_table_are_refused(trained: Trained, request_for, tmp_path: Path) -> None:
    clip = next(iter(trained.pool.values()))
    named = [tmp_path / "a.wav", tmp_path / "sub" / "A.mp3"]
    named[1].parent.mkdir()
    for path in named:
        shutil.copy(clip, path)
    with pytest.raises(ParamsError, match=r"a\.wav and .*A\.mp3 would both be written to"):
        predict(request_for(*named, raven=tmp_path / "raven"))


def test_a_folder_without_recordings_is_refused(request_for, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no recordings in"):
        predict(request_for(tmp_path / "empty"))


@pytest.mark.fault("M02")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_probabilities_that_are_not_finite_are_an_error_and_no_silence(
    trained: Trained, request_for, tmp_path: Path, bad: float
) -> None:
    """The weights of a stranger: every digest fits, and the network answers NaN."""
    folder = shutil.copytree(trained.folder / "fold_00", tmp_path / "fold")
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "model.safetensors")
    filled = {name: torch.full_like(tensor, bad) for name, tensor in weights.items() if tensor.is_floating_point()}
    write_model(folder, weights | filled, {name: value for name, value in card.items() if name != "card_sha256"})
    request = request_for(*trained.pool.values(), model=folder)
    with pytest.raises(IntegrityError, match=r"no finite probabilities.*again$"):
        predict(request)
    assert not request.out.exists()


@pytest.mark.slow
@pytest.mark.fault("M01")
def test_a_changed_card_ends_the_command_with_code_4(trained: Trained, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.folder / "fold_00", tmp_path / "fold")
    raw = (folder / "model.json").read_bytes()
    (folder / "model.json").write_bytes(raw.replace(b"brook", b"bropk"))
    clip = str(next(iter(trained.pool.values())))
    done = subprocess.run(
        [sys.executable, "-m", "evensong.cli", "predict", clip, "--model", str(folder)],
        env={**os.environ, "PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "")
    assert "model.json: changed since it was written" in done.stderr


def test_a_folder_without_a_model_is_refused(trained: Trained, request_for, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="no trained model"):
        predict(request_for(*trained.pool.values(), model=tmp_path))
