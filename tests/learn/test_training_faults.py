"""What can go wrong inside a training, and how it stops."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.learn.synthetic import fold_table, labels_of, track_settings, train_settings, training, write_arrays

from evensong.errors import ResourceError
from evensong.learn.cv import run_folds
from evensong.learn.fit import Fold, Trainer, fit_fold
from evensong.learn.fold_table import SUBSETS, items_of, subset_of
from evensong.learn.resume import FoldState
from evensong.learn.store import ArrayStore


@pytest.fixture(autouse=True)
def _outside_any_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVENSONG_STATE_DIR", raising=False)


def fit(**settings: Any) -> None:
    """Fit fold 0 of the synthetic table in the working folder, saving every epoch."""
    table = fold_table()
    write_arrays(Path("arrays.npy"), labels_of(table))
    parts = (subset_of(items_of(table, 0, subset)) for subset in SUBSETS)
    fold = Fold(0, *parts, 2, track_settings(batch_size=4), train_settings(epochs=3, **settings))
    fit_fold(fold, ArrayStore([Path("arrays.npy")]), FoldState(Path("state")), lambda _: None)


@pytest.mark.fault("G01")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_first_loss_that_is_not_finite_stops_the_training_and_says_where(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[np.ndarray] = []
    original = Trainer._train_batch

    def broken(self: Trainer, rows: np.ndarray, *rest: Any) -> float:
        batches.append(rows)
        loss = original(self, rows, *rest)
        return value if len(batches) == 4 else loss

    monkeypatch.setattr(Trainer, "_train_batch", broken)
    with pytest.raises(ResourceError) as stop:
        fit()
    assert len(batches) == 4  # eight items in batches of four: the second step of the second epoch, and no other
    said = str(stop.value)
    assert f"fold 0: the loss is {value} at epoch 2, step 2 of 2" in said
    named = re.search(r"array rows \[([\d, ]+)\]", said)
    assert named is not None
    assert [int(row) for row in named[1].split(",")] == batches[-1][:8].tolist()
    assert "item" not in said
    assert "group" not in said
    assert stop.value.exit_code == 5


@pytest.mark.fault("G01")
def test_run_whose_loss_is_not_finite_leaves_no_prediction() -> None:
    with pytest.raises(ResourceError, match=r"the loss is|not finite"):
        run_folds(training(Path(), train=train_settings(epochs=8, learning_rate=1e30)), Path("out"), 1)
    assert not Path("out/predictions.csv").exists()


@pytest.mark.fault("G01")
def test_probabilities_that_are_not_finite_are_no_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Trainer.finish

    def finish(self: Trainer) -> Any:
        with torch.no_grad():
            for weight in self.model.parameters():
                weight.fill_(float("nan"))
        self.best = {}
        return original(self)

    monkeypatch.setattr(Trainer, "finish", finish)
    with pytest.raises(ResourceError, match="fold 0: the model gives values that are not finite"):
        fit()


@pytest.mark.fault("G03")
@pytest.mark.parametrize(("fits", "said"), [(2, "2 fits"), (0, "not even 2 fit")])
def test_out_of_memory_says_which_batch_would_fit(fits: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(_self: Trainer, rows: np.ndarray, *_rest: Any) -> float:
        raise torch.OutOfMemoryError(f"CUDA out of memory with {len(rows)} items")

    real = Trainer.try_step

    def try_step(self: Trainer, n_items: int) -> None:
        if n_items > fits:
            raise MemoryError
        real(self, n_items)

    monkeypatch.setattr(Trainer, "_train_batch", hungry)
    monkeypatch.setattr(Trainer, "try_step", try_step)
    with pytest.raises(ResourceError, match=rf"fold 0: out of memory at a batch_size of 4; {said}") as stop:
        fit()
    assert stop.value.exit_code == 5


@pytest.mark.fault("G03")
def test_items_that_do_not_fit_at_all_are_out_of_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("evensong.learn.fit.batch_reader", refuse)
    with pytest.raises(ResourceError, match="not even 2 fit: take a smaller model"):
        fit()
