"""Batches computed in parts are steps of the whole batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.learn.synthetic import NO_AUGMENT, fold_table, labels_of, track_settings, train_settings, write_arrays

from evensong.learn.fit import Fold, Trainer
from evensong.learn.fold_table import SUBSETS, items_of, subset_of
from evensong.learn.store import ArrayStore


def trained_epoch(folder: Path, *, batch_size: int, model: str, **settings: Any) -> Trainer:
    table = fold_table(n_groups=18)
    path = write_arrays(folder / "arrays.npy", labels_of(table), size=(32, 32))
    parts = (subset_of(items_of(table, 0, subset)) for subset in SUBSETS)
    track = track_settings(model=model, batch_size=batch_size)
    trainer = Trainer(Fold(0, *parts, 2, track, train_settings(epochs=1, **settings)), ArrayStore([path]))
    trainer.train_epoch(1)
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "accumulate_batches"), [(4, 3), (5, 3), (2, 6)])
def test_parts_of_a_batch_make_the_step_of_the_batch(tmp_path: Path, batch_size: int, accumulate_batches: int) -> None:
    # a transformer: without batch statistics and mixing, the parts of a batch know nothing of each other
    plain: dict[str, Any] = {"model": "test_vit", "mixup_alpha": 0.0, "spec_augment": NO_AUGMENT, "warmup_epochs": 0.0}
    whole = trained_epoch(tmp_path, batch_size=batch_size * accumulate_batches, **plain)
    parts = trained_epoch(tmp_path, batch_size=batch_size, accumulate_batches=accumulate_batches, **plain)
    assert parts.history[0].train_loss == pytest.approx(whole.history[0].train_loss, rel=1e-5)
    assert parts.history[0].learning_rate == whole.history[0].learning_rate
    ours, its = (trainer.optimizer.named_state() for trainer in (parts, whole))
    assert ours["step/head.weight"] == its["step/head.weight"] == 1  # 12 items: the epoch is one step
    for name in (name for name in ours if name.startswith("exp_avg/")):  # a tenth of the gradient
        assert torch.allclose(ours[name], its[name], rtol=1e-3, atol=1e-6), name


def test_no_part_is_larger_than_a_batch_by_more_than_one_item_or_a_single_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = Trainer._backward

    def note(self: Trainer, rows: Any, *rest: Any) -> float:
        sizes.append(len(rows))
        return original(self, rows, *rest)

    monkeypatch.setattr(Trainer, "_backward", note)
    trained_epoch(tmp_path, batch_size=2, accumulate_batches=5, model="test_efficientnet")
    assert sum(sizes) == 12
    assert min(sizes) >= 2
    assert max(sizes) <= 3
