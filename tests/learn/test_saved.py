import json
import multiprocessing
import subprocess
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from evensong.learn.fit import Epoch
from evensong.learn.saved import write_run

ROWS = [Epoch(epoch, 0.1 / epoch, 2.0 / epoch, 1.0, epoch / 4, 0.5) for epoch in (1, 2, 3)]
SCORES = {"test": {"macro_f1": 0.5, "n": 8}, "val": {"macro_f1": None, "n": 0}}


def write(folder: Path) -> None:
    write_run(folder / "live", ROWS, 3, SCORES)


@pytest.mark.fault("G19")
def test_runs_leave_the_git_repository_around_them_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    with ProcessPoolExecutor(8, multiprocessing.get_context("fork")) as pool:  # a Pool's end by SIGTERM can hang
        list(pool.map(write, [tmp_path / f"fold_{number:02d}" for number in range(8)]))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".git", *(f"fold_{n:02d}" for n in range(8))]
    status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    assert set(status.split()[1::2]) == {f"fold_{number:02d}/" for number in range(8)}  # and nothing is staged


def test_run_holds_one_row_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    curve = (tmp_path / "live/plots/metrics/val_macro_f1.tsv").read_text(encoding="utf-8").split()
    assert curve == ["step", "val_macro_f1", "1", "0.25", "2", "0.5", "3", "0.75"]
    names = {path.stem for path in (tmp_path / "live/plots/metrics").iterdir()}
    assert names == {"learning_rate", "train_loss", "val_loss", "val_macro_f1", "val_balanced_accuracy"}
    summary = json.loads((tmp_path / "live/metrics.json").read_text(encoding="utf-8"))
    assert summary == {
        "step": 3, "learning_rate": 0.1 / 3, "train_loss": 2.0 / 3, "val_loss": 1.0, "val_macro_f1": 0.75,
        "val_balanced_accuracy": 0.5, "selected_epoch": 3, **SCORES,
    }  # fmt: skip
