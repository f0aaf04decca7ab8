import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.learn.synthetic import NO_AUGMENT, fold_table, labels_of, track_settings, train_settings, write_arrays

from evensong.errors import DataError
from evensong.keys import keyed_generator
from evensong.learn import resume
from evensong.learn.device import batch_reader
from evensong.learn.fit import Fitted, Fold, Trainer, fit_fold, learning_rate_at, shuffled_batches
from evensong.learn.fold_table import Subset, items_of, subset_of
from evensong.learn.resume import FoldState
from evensong.learn.store import ArrayStore

OVERFIT: dict[str, Any] = {
    "epochs": 40, "learning_rate": 0.005, "weight_decay": 0.0, "label_smoothing": 0.0, "mixup_alpha": 0.0,
    "spec_augment": NO_AUGMENT, "select": "last",
}  # fmt: skip


def _fold(number: int = 0, *, batch_size: int = 8, **train: Any) -> Fold:
    table = fold_table()
    parts = (subset_of(items_of(table, number, subset)) for subset in ("train", "val", "test"))
    return Fold(number, *parts, 2, track_settings(batch_size=batch_size), train_settings(**train))


def _store(folder: Path) -> ArrayStore:
    if not (folder / "arrays.npy").exists():
        write_arrays(folder / "arrays.npy", labels_of(fold_table()))
    return ArrayStore([folder / "arrays.npy"])


def _fit(folder: Path, fold: Fold) -> Fitted:
    return fit_fold(fold, _store(folder), FoldState(folder / "state"), lambda _: None)


def _same(one: Fitted, other: Fitted) -> bool:
    weights = all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    return weights and np.array_equal(one.probs["test"], other.probs["test"]) and one.history == other.history


@pytest.mark.slow
def test_eight_items_are_learned_by_heart(tmp_path: Path) -> None:
    fold = _fold(**OVERFIT)
    assert len(fold.train_set) == 8
    fitted = _fit(tmp_path, Fold(0, fold.train_set, fold.val_set, fold.train_set, 2, fold.track, fold.train))
    own = fitted.probs["test"][np.arange(8), fold.train_set.labels]
    assert fitted.history[-1].train_loss < 0.05
    assert own.min() > 0.7
    assert fitted.selected_epoch == 40


def test_same_seed_gives_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    one, again, other = (_fit(tmp_path, _fold(seed=seed)) for seed in (1, 1, 2))
    assert _same(one, again)
    assert not _same(one, other)


def test_what_ran_before_in_the_process_does_not_show(tmp_path: Path) -> None:
    alone = _fit(tmp_path, _fold(1))
    _fit(tmp_path, _fold(0))
    torch.rand(17)
    np.random.default_rng().random()
    assert _same(alone, _fit(tmp_path, _fold(1)))


@pytest.mark.slow
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_continued_training_ends_as_the_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema_decay: float
) -> None:
    fold = _fold(epochs=4, ema_decay=ema_decay)
    whole = _fit(tmp_path, fold)
    monkeypatch.setattr(resume, "SAVE_EVERY_S", 0.0)
    state = FoldState(tmp_path / "killed")

    def stop_after_two(row: Any) -> None:
        if row.epoch == 3:
            raise KeyboardInterrupt

    store = ArrayStore([tmp_path / "arrays.npy"])
    with pytest.raises(KeyboardInterrupt):
        fit_fold(fold, store, state, stop_after_two)
    seen: list[int] = []
    resumed = fit_fold(fold, store, state, lambda row: seen.append(row.epoch))
    assert seen == [3, 4]
    assert _same(whole, resumed)


def test_best_epoch_is_the_first_of_the_best_validation_scores(tmp_path: Path) -> None:
    fitted = _fit(tmp_path, _fold(epochs=6))
    ranks = [(-row.val_macro_f1, row.val_loss) for row in fitted.history]
    assert fitted.selected_epoch == 1 + ranks.index(min(ranks))


def test_predictions_are_those_of_the_selected_epoch(tmp_path: Path) -> None:
    selected = []
    for seed in (4, 9):
        fold = _fold(epochs=6, learning_rate=0.01, seed=seed)
        fitted = _fit(tmp_path, fold)
        own = fitted.probs["val"][np.arange(len(fold.val_set)), fold.val_set.labels][fold.val_set.originals]
        chosen = fitted.history[fitted.selected_epoch - 1]
        assert -np.log(own).mean() == pytest.approx(chosen.val_loss, rel=1e-4)
        assert np.allclose(fitted.probs["test"].sum(axis=1), 1)
        selected.append(fitted.selected_epoch)
    assert min(selected) < 6  # else nothing would tell the selected epoch from the last


def test_averaged_weights_follow_the_steps_by_hand(tmp_path: Path) -> None:
    fold = _fold(ema_decay=0.9)
    trainer = Trainer(fold, _store(tmp_path))
    name = next(iter(dict(trainer.model.named_parameters())))
    expected = trainer.model.state_dict()[name].clone()
    for step in range(1, 3):
        with torch.no_grad():
            trainer.model.state_dict()[name].add_(step)
        trainer.average.update(trainer.model, step=step)
        decay = min(0.9, 1 - step ** -(3 / 4))  # the first step is taken over whole
        expected = decay * expected + (1 - decay) * trainer.model.state_dict()[name]
    assert torch.allclose(trainer.scored.state_dict()[name], expected, rtol=1e-6)


@pytest.mark.slow
def test_averaged_weights_are_kept_and_predict(tmp_path: Path) -> None:
    plain, averaged = (_fit(tmp_path, _fold(ema_decay=decay, epochs=4, select="last")) for decay in (0.0, 0.9))
    first = next(iter(plain.weights))
    assert plain.history[-1].train_loss == averaged.history[-1].train_loss  # the steps themselves are the same
    assert not torch.equal(plain.weights[first], averaged.weights[first])
    assert not np.array_equal(plain.probs["test"], averaged.probs["test"])


def test_prediction_averages_over_time_shifts(tmp_path: Path) -> None:
    trainer = Trainer(_fold(), _store(tmp_path))
    rows = trainer.fold.test_set.rows
    halves = trainer.predict(rows, n_shifts=2)
    array = np.load(tmp_path / "arrays.npy")
    np.save(tmp_path / "rolled.npy", np.roll(array, array.shape[2] // 2, axis=2))
    trainer.read = batch_reader(ArrayStore([tmp_path / "rolled.npy"]), trainer.device)
    rolled = trainer.predict(rows)
    trainer.read = batch_reader(_store(tmp_path), trainer.device)
    assert np.allclose(halves, (trainer.predict(rows) + rolled) / 2, atol=1e-6)


def test_without_validation_the_last_epoch_is_taken(tmp_path: Path) -> None:
    fold = _fold()
    empty = Subset(fold.val_set.rows[:0], fold.val_set.labels[:0], fold.val_set.originals[:0])
    fitted = _fit(tmp_path, Fold(0, fold.train_set, empty, fold.test_set, 2, fold.track, fold.train))
    assert fitted.selected_epoch == 2
    assert fitted.history[0].val_loss is None
    assert fitted.probs["val"].shape == (0, 2)


def test_bfloat16_and_two_threads_train(tmp_path: Path) -> None:
    fitted = _fit(tmp_path, _fold(precision="bfloat16", threads=2, epochs=1))
    assert math.isfinite(fitted.history[0].train_loss)


def test_single_training_item_is_refused(tmp_path: Path) -> None:
    fold = _fold()
    one = Subset(fold.train_set.rows[:1], fold.train_set.labels[:1], fold.train_set.originals[:1])
    with pytest.raises(DataError, match="1 training item"):
        _fit(tmp_path, Fold(0, one, fold.val_set, fold.test_set, 2, fold.track, fold.train))


@given(st.integers(2, 300), st.integers(1, 64), st.integers(0, 9))
def test_batches_hold_every_item_once_and_none_alone(n_items: int, batch_size: int, seed: int) -> None:
    batches = shuffled_batches(n_items, batch_size, keyed_generator(seed))
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches).tolist()) == list(range(n_items))
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size, 3)


@given(st.integers(1, 40), st.integers(1, 30), st.floats(0, 60))
def test_learning_rate_rises_to_its_peak_and_falls_to_nothing(epochs: int, per_epoch: int, warmup: float) -> None:
    settings = train_settings(epochs=epochs, warmup_epochs=warmup, learning_rate=0.01)
    rates = [learning_rate_at(step, per_epoch, settings) for step in range(epochs * per_epoch)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.01)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert min(rates) >= 0
    if len(rates) > 1:
        assert rates[-1] < 0.01 * 0.01
