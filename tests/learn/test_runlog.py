import json
import subprocess
from pathlib import Path

import pytest

from evensong.errors import ParamsError
from evensong.learn.fit import Epoch, ValScores
from evensong.learn.runlog import check_repository, write_run


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], check=True)


@pytest.mark.fault("G19")
def test_repository_without_a_commit_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    check_repository()
    git("init", "-q")
    with pytest.raises(ParamsError, match="no commit yet"):
        check_repository()
    git("commit", "-q", "--allow-empty", "-m", "x")
    check_repository()


def test_run_holds_one_row_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    rows = [Epoch(epoch, 0.1 / epoch, 2.0 / epoch, ValScores(1.0, epoch / 4, 0.5)) for epoch in (1, 2, 3)]
    scores = {"test": {"macro_f1": 0.5, "n": 8}, "val": {"macro_f1": None, "n": 0}}
    write_run(tmp_path / "live", rows, 3, scores)
    curve = (tmp_path / "live/plots/metrics/val_macro_f1.tsv").read_text(encoding="utf-8").split()
    assert curve == ["step", "val_macro_f1", "1", "0.25", "2", "0.5", "3", "0.75"]
    names = {path.stem for path in (tmp_path / "live/plots/metrics").iterdir()}
    assert names == {"learning_rate", "train_loss", "val_loss", "val_macro_f1", "val_balanced_accuracy"}
    summary = json.loads((tmp_path / "live/metrics.json").read_text(encoding="utf-8"))
    assert summary == {
        "step": 3, "learning_rate": 0.1 / 3, "train_loss": 2.0 / 3, "val_loss": 1.0, "val_macro_f1": 0.75,
        "val_balanced_accuracy": 0.5, "selected_epoch": 3, **scores,
    }  # fmt: skip
