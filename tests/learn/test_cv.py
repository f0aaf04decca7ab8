import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.learn.synthetic import files_in, track_settings, train_settings, training

from evensong.errors import DataError, IntegrityError, ParamsError
from evensong.learn.cv import run_folds
from evensong.learn.saved import read_model
from evensong.learn.store import ArrayStore
from evensong.score.predictions import read_run


@pytest.fixture(autouse=True)
def _outside_any_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVENSONG_STATE_DIR", raising=False)


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_bytes(tmp_path: Path) -> None:
    for workers in (1, 2, 5):
        run_folds(training(tmp_path), tmp_path / f"out{workers}", workers).prune()
    assert files_in(tmp_path / "out1") == files_in(tmp_path / "out2") == files_in(tmp_path / "out5")
    assert not list((tmp_path / ".state").iterdir())


@pytest.mark.fault("E29")
def test_a_table_that_leaks_or_an_unknown_model_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    leaking = training(tmp_path)
    leaking.table.loc[leaking.table["subset"] == "val", "group"] = "group000"
    unknown = training(tmp_path, track=track_settings(model="no_such_model"))
    for broken, error in ((leaking, DataError), (unknown, ParamsError)):
        with pytest.raises(error):
            run_folds(broken, tmp_path / "out", 1)
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_training_folder_holds_what_the_evaluation_reads(tmp_path: Path) -> None:
    run_folds(training(tmp_path), tmp_path / "out", 1)
    run = read_run(tmp_path / "out")
    assert run.classes == ["quiet", "loud"]
    assert len(run.predictions.table) == 3 * (8 + 8)  # folds * (val + test)
    assert run.folds["selected_by"].tolist() == ["best"] * 3
    assert run.folds["train_share_1"].tolist() == [0.5] * 3
    assert run.part == ""
    raw = pd.read_csv(tmp_path / "out/predictions.csv")
    assert raw.columns.tolist() == ["fold", "subset", "item_id", "group", "is_original", "label", "p0", "p1"]
    assert raw[["fold", "subset", "item_id"]].equals(
        raw[["fold", "subset", "item_id"]].sort_values(["fold", "subset", "item_id"])
    )
    assert set(raw["is_original"]) == {0, 1}
    history = pd.read_csv(tmp_path / "out/history.csv")
    assert history.columns.tolist() == [
        "fold", "epoch", "learning_rate", "train_loss", "val_loss", "val_macro_f1", "val_balanced_accuracy"
    ]  # fmt: skip
    assert len(history) == 3 * 2
    live = tmp_path / "out/fold_00/live"
    assert json.loads((live / "metrics.json").read_text())["selected_epoch"] in (1, 2)
    assert_scores_are_those_of_the_saved_predictions(tmp_path / "out")
    assert (live / "plots/metrics/val_macro_f1.tsv").read_text().splitlines()[0] == "step\tval_macro_f1"


def assert_scores_are_those_of_the_saved_predictions(out: Path) -> None:
    saved = pd.read_csv(out / "predictions.csv").query("is_original == 1")
    for (fold, subset), items in saved.groupby(["fold", "subset"]):
        chosen = items[["p0", "p1"]].to_numpy().argmax(axis=1)
        right = chosen == items["label"]
        logged = json.loads((out / f"fold_{fold:02d}/live/metrics.json").read_text())[subset]
        assert logged["n"] == len(items)
        assert logged["balanced_accuracy"] == pytest.approx(right.groupby(items["label"]).mean().mean())
        overlap = [2 * (right & (items["label"] == c)).sum() for c in (0, 1)]
        sizes = [(chosen == c).sum() + (items["label"] == c).sum() for c in (0, 1)]
        assert logged["macro_f1"] == pytest.approx(np.mean([a / b for a, b in zip(overlap, sizes, strict=True)]))


def test_subset_of_one_class_has_no_score_in_the_run(tmp_path: Path) -> None:
    job = training(tmp_path)
    table = job.table[(job.table["subset"] != "test") | (job.table["label"] == 0)]
    run_folds(dataclasses.replace(job, table=table), tmp_path / "out", 1)
    logged = json.loads((tmp_path / "out/fold_00/live/metrics.json").read_text())
    assert logged["test"] == {"n": 2, "macro_f1": None, "balanced_accuracy": None}
    assert logged["val"]["macro_f1"] is not None


def test_saved_model_gives_the_saved_predictions(tmp_path: Path) -> None:
    import torch

    job = training(tmp_path)
    run_folds(job, tmp_path / "out", 1)
    model, card = read_model(tmp_path / "out/fold_01")
    assert card["mels"] == {"n_mels": 32}
    saved = pd.read_csv(tmp_path / "out/predictions.csv").query("fold == 1")
    rows = job.table.drop_duplicates("item_id").set_index("item_id")["row"]
    mels = ArrayStore(job.arrays).read(rows[saved["item_id"]].to_numpy(np.int64))
    inputs = torch.from_numpy((mels - card["normalisation"]["mean"]) / card["normalisation"]["std"])[:, None]
    with torch.inference_mode():
        probs = model(inputs).softmax(dim=1).numpy()
    assert np.allclose(probs, saved[["p0", "p1"]], atol=1e-5)
    (tmp_path / "out/fold_01/model.safetensors").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="not the file its card was written for"):
        read_model(tmp_path / "out/fold_01")


@pytest.mark.fault("G10")
def test_classes_and_results_do_not_depend_on_the_order_of_the_table(tmp_path: Path) -> None:
    job = training(tmp_path)
    run_folds(job, tmp_path / "one", 1).prune()
    mixed = dataclasses.replace(job, table=job.table.sample(frac=1, random_state=1))
    run_folds(mixed, tmp_path / "other", 1).prune()
    assert files_in(tmp_path / "one") == files_in(tmp_path / "other")
    cards = [json.loads(path.read_text()) for path in (tmp_path / "one").glob("fold_*/model.json")]
    assert [card["classes"] for card in cards] == [["quiet", "loud"]] * 3


def test_listed_folds_only(tmp_path: Path) -> None:
    run_folds(
        training(tmp_path, track=track_settings(folds=[2, 1]), train=train_settings(epochs=1)), tmp_path / "out", 1
    )
    assert sorted(path.name for path in (tmp_path / "out").glob("fold_*")) == ["fold_01", "fold_02"]
    assert set(pd.read_csv(tmp_path / "out/predictions.csv")["fold"]) == {1, 2}
    assert read_run(tmp_path / "out").part == "2 of 3 folds"
