"""All folds of one training: independent jobs over processes; predictions, curves, models and cards out."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from evensong.learn import runlog
from evensong.learn.device import pin_instruction_set
from evensong.learn.fit import Epoch, Fitted, Floats, Fold, fit_fold, history_from_facts, history_to_facts
from evensong.learn.models import check_model_name, input_size
from evensong.learn.resume import Facts, FoldState, JobState, Tensors, job_key
from evensong.learn.saved import write_model
from evensong.score.scores import balanced_accuracy_from, confusion, macro_f1_from
from evensong.learn.store import ArrayStore, digest_of
from evensong.learn.fold_table import SUBSETS, Subset, check_fold_table, choose_folds, items_of, subset_of
from evensong.run.parallel import map_tasks
from evensong.run.text import write_csv, write_json
from evensong.schemas import TrackTrain, Train

EVALUATED = ("test", "val")  # in the order of predictions.csv
_PROBABILITY = "%.9g"


@dataclass(frozen=True)
class Training:
    """One training: a fold table over stored arrays, and how to fit it.

    Args:
        table: fold table, see `evensong.learn.fold_table`.
        arrays: .npy files whose concatenation the table's rows point into.
        classes: names in label order.
        track: model, batch size, folds, pretrained weights.
        train: what both tracks share.
        mels: settings the arrays were made with, for the model card.
    """

    table: pd.DataFrame
    arrays: Sequence[Path]
    classes: Sequence[str]
    track: TrackTrain
    train: Train
    mels: dict[str, Any]


@dataclass(frozen=True)
class _Task:
    """One fold for a worker: no ids, only array rows, labels and where to write."""

    fold: Fold
    arrays: tuple[Path, ...]
    state: FoldState
    folder: Path
    card: Facts
    shows_epochs: bool


@dataclass(frozen=True)
class _Outcome:
    """What the parent needs of a fitted fold for its tables."""

    history: list[Epoch]
    selected_epoch: int
    probs: dict[str, Floats]


def run_folds(training: Training, out: Path, workers: int, save_every_s: float = 30.0) -> JobState:
    """Train the chosen folds and write the training folder; finished folds of a killed run are not redone.

    Writes predictions.csv, history.csv, folds.csv, classes.json and fold_NN/ (model, card, curves).

    Args:
        out: the folder to write; it must not exist yet.
        workers: processes; no result depends on it.
        save_every_s: seconds of training between two saved epochs of a fold.

    Returns:
        The job's state, to be pruned once the outputs are in place.

    Raises:
        DataError: the fold table leaks or lacks something.
        ParamsError: unknown model or fold, a device that is not there, or a git repository without a commit.
        IntegrityError: arrays or pretrained weights are not what they should be.
        ResourceError: a loss was not finite, memory ran out, or a worker died.
    """
    pin_instruction_set(training.train.instruction_set)
    runlog.check_repository()
    store = ArrayStore(training.arrays)
    check_fold_table(training.table, len(training.classes), store.shape[0])
    numbers = choose_folds(training.table, training.track.folds)
    check_model_name(training.track.model)
    state = JobState(_key(training), save_every_s)
    out.mkdir(parents=True)
    tasks = [_task(training, number, out, state, single=len(numbers) == 1) for number in numbers]
    # Forking must find no thread pool here: a child would wait for its threads for ever.
    torch.set_num_threads(1)
    outcomes = list(map_tasks(_run_fold, tasks, workers=workers, label="folds", unit="fold"))
    _write_tables(training, out, [task.fold for task in tasks], outcomes)
    return state


def _key(training: Training) -> str:
    settings = {"track": training.track.model_dump(), "train": training.train.model_dump(), "n": len(training.classes)}
    return job_key(training.table, digest_of(training.arrays), settings)


def _task(training: Training, number: int, out: Path, state: JobState, *, single: bool) -> _Task:
    train_set, val_set, test_set = (subset_of(items_of(training.table, number, subset)) for subset in SUBSETS)
    fold = Fold(number, train_set, val_set, test_set, len(training.classes), training.track, training.train)
    return _Task(
        fold=fold,
        arrays=tuple(training.arrays),
        state=state.fold(number),
        folder=out / f"fold_{number:02d}",
        card={"classes": list(training.classes), "mels": training.mels},
        shows_epochs=single,
    )


def _run_fold(task: _Task) -> _Outcome:
    """Fit one fold, or take its finished result from the state, and write its folder."""
    store = ArrayStore(task.arrays)
    stored = task.state.load_result()
    if stored:
        fitted = _from_state(*stored)
    else:
        with _reporter(task) as report:
            fitted = fit_fold(task.fold, store, task.state, report)
        task.state.save_result(*_to_state(fitted))
    task.folder.mkdir()
    write_model(task.folder, fitted.weights, _card(task, fitted, store))
    probs = {"val": fitted.val_probs, "test": fitted.test_probs}
    scores = {name: _scores(_sets(task.fold)[name], probs[name]) for name in EVALUATED}
    runlog.write_run(task.folder / "live", fitted.history, fitted.selected_epoch, scores)
    return _Outcome(fitted.history, fitted.selected_epoch, probs)


def _scores(items: Subset, probs: Floats) -> dict[str, float | int | None]:
    """Scores of a subset's originals from the probabilities as they are saved; None with fewer than two classes."""
    saved = np.char.mod(_PROBABILITY, probs[items.originals]).astype(np.float64)
    table = confusion(items.labels[items.originals], saved.argmax(axis=1), saved.shape[1])
    values = {"macro_f1": macro_f1_from(table), "balanced_accuracy": balanced_accuracy_from(table)}
    defined = {name: None if np.isnan(value) else float(value) for name, value in values.items()}
    return {"n": len(saved), **defined}


@contextlib.contextmanager
def _reporter(task: _Task) -> Iterator[Callable[[Epoch], None]]:
    """A bar of epochs where they are the only progress to see: with one fold. Many folds are a bar of their own."""
    fold = task.fold
    hidden = None if task.shows_epochs else True  # None: on a terminal only
    with tqdm(total=fold.train.epochs, desc=f"fold {fold.number}", unit="epoch", disable=hidden) as bar:

        def show(row: Epoch) -> None:
            scores = {"val_loss": row.val.loss, "val_macro_f1": row.val.macro_f1} if row.val else {}
            bar.set_postfix({"train_loss": row.train_loss, **scores}, refresh=False)
            bar.update(row.epoch - bar.n)

        yield show


def _card(task: _Task, fitted: Fitted, store: ArrayStore) -> Facts:
    fold, (_, height, width) = task.fold, store.shape
    fed = input_size(fold.track.model, height, width)
    return {
        **task.card,
        "model": fold.track.model,
        "fold": fold.number,
        "selected_epoch": fitted.selected_epoch,
        "stored_input": {"height": height, "width": width, "dtype": str(store.dtype), "uint8_scale": 1 / 255},
        "normalisation": {"mean": fitted.mean, "std": fitted.std},
        "network_input": {"channels": 1, "height": fed.height, "width": fed.width},
        "output": {"n_classes": fold.n_classes, "form": "logits"},
        "params": {"track": fold.track.model_dump(), "train": fold.train.model_dump()},
        "pretrained_left_out": fitted.left_out,
    }


def _to_state(fitted: Fitted) -> tuple[Tensors, Facts]:
    tensors = {f"weights/{name}": tensor for name, tensor in fitted.weights.items()}
    for subset, probs in (("val", fitted.val_probs), ("test", fitted.test_probs)):
        tensors[f"probs/{subset}"] = torch.from_numpy(probs)
    facts = {name: getattr(fitted, name) for name in ("selected_epoch", "mean", "std", "left_out")}
    return tensors, {**facts, "history": history_to_facts(fitted.history)}


def _from_state(tensors: Tensors, facts: Facts) -> Fitted:
    return Fitted(
        weights={name.removeprefix("weights/"): t for name, t in tensors.items() if name.startswith("weights/")},
        val_probs=tensors["probs/val"].numpy(),
        test_probs=tensors["probs/test"].numpy(),
        **{**facts, "history": history_from_facts(facts["history"])},
    )


def _write_tables(training: Training, out: Path, folds: list[Fold], outcomes: list[_Outcome]) -> None:
    predictions = [
        _predictions(items_of(training.table, fold.number, subset), outcome.probs[subset])
        for fold, outcome in zip(folds, outcomes, strict=True)
        for subset in EVALUATED
    ]
    write_csv(out / "predictions.csv", pd.concat(predictions), float_format=_PROBABILITY)
    histories = [
        _history(fold.number, row) for fold, outcome in zip(folds, outcomes, strict=True) for row in outcome.history
    ]
    write_csv(out / "history.csv", pd.DataFrame(histories), float_format="%.6g")
    rows = [_fold_row(fold, outcome) for fold, outcome in zip(folds, outcomes, strict=True)]
    write_csv(out / "folds.csv", pd.DataFrame(rows), float_format="%.9g")
    write_json(out / "classes.json", {"classes": list(training.classes)})


def _predictions(items: pd.DataFrame, probs: Floats) -> pd.DataFrame:
    """Items with one probability column a class; (n_items, n_classes) in the items' order."""
    named = items[["fold", "subset", "item_id", "group", "is_original", "label"]].astype({"is_original": int})
    return named.assign(**{f"p{label}": probs[:, label] for label in range(probs.shape[1])})


def _history(fold: int, row: Epoch) -> Facts:
    val = {f"val_{name}": value for name, value in row.val._asdict().items()} if row.val else {}
    blank = {"val_loss": None, "val_macro_f1": None, "val_balanced_accuracy": None}
    first = {"fold": fold, "epoch": row.epoch, "learning_rate": row.learning_rate, "train_loss": row.train_loss}
    return {**first, **blank, **val}


def _fold_row(fold: Fold, outcome: _Outcome) -> Facts:
    chosen_by = "best" if fold.selects_best else "last" if fold.train.select == "last" else "last_no_val"
    counts = {f"n_{name}": len(part) for name, part in _sets(fold).items()}
    originals = {f"n_{name}_originals": int(part.originals.sum()) for name, part in _sets(fold).items()}
    epochs = {"fold": fold.number, "epochs": len(outcome.history), "selected_epoch": outcome.selected_epoch}
    seen = np.bincount(fold.train_set.labels, minlength=fold.n_classes) / len(fold.train_set)
    shares = {f"train_share_{label}": float(share) for label, share in enumerate(seen)}
    return {**epochs, "selected_by": chosen_by, **counts, **originals, **shares}


def _sets(fold: Fold) -> dict[str, Subset]:
    return {"train": fold.train_set, "val": fold.val_set, "test": fold.test_set}
