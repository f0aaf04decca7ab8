"""A season's run is killed, goes on and is added to; what comes out is what an uninterrupted run writes."""

import os
import re
import shutil
import signal
import time
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest
from tests.listen.synthetic import RATE_HZ, Trained, tone

from evensong.audio.wav import write_wav
from evensong.keys import file_sha256
from evensong.listen import kept
from evensong.listen import predict as predict_module
from evensong.listen.clock import Clock
from evensong.listen.kept import Heard, read_heard, write_heard
from evensong.listen.predict import Request, predict
from evensong.listen.progress import Progress, told_time
from evensong.score.detection import Scores

pytestmark = pytest.mark.slow


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Six recordings."""
    (tmp_path / "card").mkdir()
    for n in range(6):
        write_wav(tmp_path / f"card/2024061{n}_210000.wav", tone(n % 2, n, 1.0 + n / 10), RATE_HZ)
    return tmp_path / "card"


@pytest.fixture
def season(trained: Trained, card: Path, tmp_path: Path):
    def make(name: str, **changes) -> Request:
        out = tmp_path / name / "season.csv"
        also = {"audacity": out.parent / "labels", "clock": Clock(UTC, UTC), "activity": out.parent / "activity"}
        request = Request([card], trained.folder, out, out.parent / "raven", None, 0.4, 1, **also)
        return replace(request, **changes)

    return make


def written(request: Request) -> dict[str, bytes]:
    """Every output but what is kept."""
    files = [path for path in sorted(request.out.parent.rglob("*")) if path.is_file() and path.suffix != ".npz"]
    return {path.relative_to(request.out.parent).as_posix(): path.read_bytes() for path in files}


def kept_by(request: Request) -> list[Path]:
    return sorted(request.out.parent.rglob("*.npz"))


def test_a_killed_run_goes_on_and_writes_what_an_uninterrupted_one_does(season, monkeypatch, capfd) -> None:
    predict(season("whole"))
    really = predict_module.hear

    def slowly(*arguments):
        time.sleep(0.3)
        return really(*arguments)

    monkeypatch.setattr(predict_module, "hear", slowly)
    request = season("killed")
    child = os.fork()
    if child == 0:
        predict(request)
        os._exit(0)
    while len(kept_by(request)) < 2:
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not request.out.exists()
    capfd.readouterr()
    predict(request)
    assert re.search("[2-5] of 6 recordings were scored before", capfd.readouterr().err)
    assert written(request) == written(season("whole"))
    assert len(written(request)) == 3 + 6 + 6 + 3


def test_new_recordings_are_added_and_changed_or_damaged_ones_scored_again(season, card: Path, capsys) -> None:
    request = season("grown")
    last = sorted(card.iterdir())[-1]
    later = last.rename(card.parent / last.name)
    predict(request)
    later.rename(last)
    write_wav(card / "20240610_210000.wav", tone(1, 99, 1.0), RATE_HZ)  # of the same length
    kept_by(request)[-1].write_bytes(b"damaged")
    capsys.readouterr()
    predict(request)
    told = capsys.readouterr().err
    assert "3 of 6 recordings were scored before" in told or "4 of 6 recordings were scored before" in told
    predict(season("fresh"))
    assert written(request) == written(season("fresh"))


def test_the_name_of_a_recording_is_no_part_of_what_is_kept(season, card: Path, capsys) -> None:
    request = season("moved")
    predict(request)
    card.rename(card.with_name("elsewhere"))
    predict(replace(request, named=[card.with_name("elsewhere")]))
    assert "6 of 6 recordings were scored before" in capsys.readouterr().err


def test_recordings_of_one_name_size_and_time_are_not_mixed_up(trained: Trained, tmp_path: Path) -> None:
    for label in (0, 1):
        (tmp_path / f"card{label}").mkdir()
        path = write_wav(tmp_path / f"card{label}/20240612_210000.WAV", tone(label, label), RATE_HZ)
        os.utime(path, (1_718_226_000, 1_718_226_000))
    out = tmp_path / "out/x.csv"
    predict(Request([tmp_path / "card0", tmp_path / "card1"], trained.folder, out, None, None, 0.0, 1))
    assert len(list(out.parent.rglob("*.npz"))) == 2


def test_another_model_or_hop_keeps_its_own(season, trained: Trained) -> None:
    request = season("two")
    predict(request)
    predict(replace(request, hop_seconds=0.5))
    predict(replace(request, model=trained.folder / "fold_00"))
    assert len({path.parent for path in kept_by(request)}) == 3
    assert len(kept_by(request)) == 18


def test_what_is_kept_inside_the_folder_is_not_listed(season, card: Path, capsys) -> None:
    request = season("x", out=card / "season.csv")
    predict(request)
    capsys.readouterr()
    predict(request)
    assert "npz" not in capsys.readouterr().err
    shutil.rmtree(card / "season.work")


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    probs = np.array([[0.1, 0.9], [np.nan, np.nan]], np.float32).astype(np.float64)
    heard = Heard(Scores(np.array([0, 1 / 3]), np.array([1, 4 / 3]), probs), 384_002, ("W_CUT_SHORT", "W_EXT"))
    write_heard(tmp_path / "a.npz", heard)
    read = read_heard(tmp_path / "a.npz")
    assert read is not None
    for name in ("begins_s", "ends_s", "probs"):
        np.testing.assert_array_equal(getattr(read.scores, name), getattr(heard.scores, name))
    assert (read.sample_rate_hz, read.warnings) == (384_002, ("W_CUT_SHORT", "W_EXT"))
    raw = (tmp_path / "a.npz").read_bytes()
    for n_bytes in (0, 10, len(raw) // 2, len(raw) - 1):
        (tmp_path / "a.npz").write_bytes(raw[:n_bytes])
        assert read_heard(tmp_path / "a.npz") is None
    assert read_heard(tmp_path / "none.npz") is None


def test_progress_worked_by_hand() -> None:
    with Progress(4, 1_000) as progress:
        progress.add(200, 3_600.0)
        progress.add(50, 0.0)
        assert progress.line(120.0) == "2 of 4 files, 1.0 h heard, 30 times real time, 6 min 00 s left"
    assert [told_time(seconds) for seconds in (0, 59.6, 3_599, 7_500)] == [
        "0 min 00 s",
        "1 min 00 s",
        "59 min 59 s",
        "2 h 05 min",
    ]


def test_without_a_terminal_there_is_a_line_a_minute(capsys, monkeypatch) -> None:
    now = iter([0.0, 30.0, 61.0, 90.0])
    monkeypatch.setattr("evensong.listen.progress.time.monotonic", lambda: next(now))
    with Progress(3, 30) as progress:
        for _ in range(3):
            progress.add(10, 60.0)
    assert capsys.readouterr().err == "2 of 3 files, 0.0 h heard, 2 times real time, 0 min 30 s left\n"


def test_only_files_of_one_size_and_with_the_same_ends_are_read_to_find_copies(tmp_path: Path, monkeypatch) -> None:
    middle = bytes(3 << 16)
    for name, content in {
        **{"a": b"1" + middle + b"1", "b": b"1" + middle + b"2", "c": b"1" + middle, "d": b"1" + middle + b"1"},
        "e": b"1" + bytes(1 << 16) + b"x" + middle[1 + (1 << 16) :] + b"1",
    }.items():
        (tmp_path / name).write_bytes(content)
    read = []
    monkeypatch.setattr(kept, "file_sha256", lambda path: read.append(path.name) or file_sha256(path))
    assert kept.copies_of(tmp_path / name for name in "abcdef") == {tmp_path / "d": tmp_path / "a"}
    assert read == ["a", "d", "e"]
