"""One fold: arrays in; weights, history and probabilities out. A plain loop, read top to bottom.

Every random draw is keyed by (seed, fold, epoch), so neither the process, nor what ran before in it, nor a
restart between two epochs can be seen in the weights.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evensong.errors import DataError, ResourceError
from evensong.learn.device import batch_reader, fitting_batch, is_out_of_memory, open_device
from evensong.learn.mixing import mixup, spec_augment, time_shifts
from evensong.learn.models import build_model, import_timm, input_size, load_pretrained
from evensong.learn.optimizer import AdamW
from evensong.learn.resume import Facts, FoldState, Tensors
from evensong.score.scores import Floats, Ints, balanced_accuracy, macro_f1
from evensong.keys import derive_seed, keyed_generator
from evensong.learn.store import ArrayStore
from evensong.learn.fold_table import Subset
from evensong.schemas import TrackTrain, Train

EVALUATED = ("test", "val")  # in the order of predictions.csv


class Epoch(NamedTuple):
    """One epoch's row of history; the learning rate is that of its last step.

    Validation scores are those of the originals, None where there is no validation set.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float | None
    val_macro_f1: float | None
    val_balanced_accuracy: float | None


@dataclass(frozen=True)
class Fold:
    """Everything that decides the weights of one fold, besides the stored arrays."""

    number: int
    train_set: Subset
    val_set: Subset
    test_set: Subset
    n_classes: int
    track: TrackTrain
    train: Train

    @property
    def subsets(self) -> dict[str, Subset]:
        """The three by name."""
        return {"train": self.train_set, "val": self.val_set, "test": self.test_set}

    @property
    def selects_best(self) -> bool:
        """Whether an epoch is chosen; without a validation set the last one is taken."""
        return self.train.select == "best" and len(self.val_set) > 0


@dataclass(frozen=True)
class Fitted:
    """What one fold leaves behind.

    Args:
        weights: of the selected epoch, by name.
        probs: of ``val`` and ``test``: (n_items, n_classes) float64, rows as in the fold's subset, each summing to 1.
        history: one entry an epoch.
        selected_epoch: counted from 1.
        mean: of the training values, with std what inputs are standardised by.
        left_out: pretrained tensors that were not used.
    """

    weights: Tensors
    probs: dict[str, Floats]
    history: list[Epoch]
    selected_epoch: int
    mean: float
    std: float
    left_out: list[str]

    def to_state(self) -> tuple[Tensors, Facts]:
        """Named tensors and plain facts, from which `from_state` makes the same again to the bit."""
        tensors = {f"weights/{name}": tensor for name, tensor in self.weights.items()}
        tensors |= {f"probs/{subset}": torch.from_numpy(probs) for subset, probs in self.probs.items()}
        return tensors, {name: getattr(self, name) for name in ("history", "selected_epoch", "mean", "std", "left_out")}

    @classmethod
    def from_state(cls, tensors: Tensors, facts: Facts) -> "Fitted":
        """The inverse of `to_state`."""
        probs = {subset: tensor.numpy() for subset, tensor in _named(tensors, "probs/").items()}
        return cls(_named(tensors, "weights/"), probs, **{**facts, "history": _rows(facts)})


def fit_fold(fold: Fold, store: ArrayStore, state: FoldState, report: Callable[[Epoch], None]) -> Fitted:
    """Train one fold from its first epoch, or from where a killed run left it.

    Args:
        report: called after each epoch with its row of history.

    Raises:
        DataError: the training items cannot be standardised or are fewer than two.
        ParamsError: unknown model, inputs too small for it, or no such device.
        IntegrityError: the pretrained file is not the one that was asked for.
        ResourceError: the loss stopped being finite, or memory ran out.
    """
    trainer = None
    try:
        trainer = Trainer(fold, store)
        trainer.restore(state.load_epoch())
        for epoch in range(len(trainer.history) + 1, fold.train.epochs + 1):
            trainer.train_epoch(epoch)
            report(trainer.history[-1])
            if state.is_due() and epoch < fold.train.epochs:
                state.save_epoch(*trainer.snapshot())
        return trainer.finish()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fits = fitting_batch(trainer.try_step, fold.track.batch_size, error) if trainer else 0
        advice = f"{fits} fits" if fits else "not even 2 fit: take a smaller model or mels, or fewer runtime.workers"
        batch_size = fold.track.batch_size
        raise ResourceError(f"fold {fold.number}: out of memory at a batch_size of {batch_size}; {advice}") from None


class Trainer:
    """Model, optimiser and history of one fold."""

    def __init__(self, fold: Fold, store: ArrayStore) -> None:
        if len(fold.train_set) < 2:
            raise DataError(f"fold {fold.number}: {len(fold.train_set)} training item; batch statistics need two")
        self.fold = fold
        self.device = open_device(fold.train)
        self.read = batch_reader(store, self.device)
        self.mean, self.std = store.statistics(fold.train_set.rows)
        self.size = input_size(fold.track.model, *store.shape[1:])
        torch.manual_seed(derive_seed(fold.train.seed, "weights", fold.number))
        model = build_model(fold.track.model, fold.n_classes, self.size)
        self.left_out = load_pretrained(model, fold.track.pretrained) if fold.track.pretrained else []
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = _average_of(self.model, fold.train.ema_decay)
        self.optimizer = AdamW(self.model, fold.train.weight_decay)
        self.history: list[Epoch] = []
        self.best: Tensors = {}
        self.best_epoch = 0

    @property
    def scored(self) -> nn.Module:
        """The network that is validated, kept and predicts: the averaged one where there is one."""
        network: nn.Module = self.average.module if self.average else self.model
        return network

    def train_epoch(self, epoch: int) -> None:
        """One pass over the training items, then the validation scores of the originals.

        Raises:
            ResourceError: a loss was not finite; names epoch, step and array rows.
        """
        fold, train_set = self.fold, self.fold.train_set
        rng = keyed_generator(fold.train.seed, "epoch", fold.number, epoch)
        torch.manual_seed(derive_seed(fold.train.seed, "dropout", fold.number, epoch))
        batches = shuffled_batches(len(train_set), fold.track.batch_size * fold.train.accumulate_batches, rng)
        total_loss, learning_rate = 0.0, 0.0
        self.model.train()
        for index, batch in enumerate(batches):
            step = (epoch - 1) * len(batches) + index
            learning_rate = learning_rate_at(step, len(batches), fold.train)
            loss = self._train_batch(train_set.rows[batch], train_set.labels[batch], learning_rate, rng)
            if self.average:
                self.average.update(self.model, step=step + 1)
            if not math.isfinite(loss):
                raise ResourceError(
                    f"fold {fold.number}: the loss is {loss} at epoch {epoch}, step {index + 1} of {len(batches)} "
                    f"(array rows {train_set.rows[batch][:8].tolist()} ...); lower train.learning_rate"
                )
            total_loss += loss * len(batch)
        self.history.append(Epoch(epoch, learning_rate, total_loss / len(train_set), *self._validate()))
        if fold.selects_best and self._best_so_far() == epoch:
            self.best, self.best_epoch = self._weights(), epoch

    def _best_so_far(self) -> int:
        """Highest macro-F1, then lowest loss, then the earliest epoch."""
        return min((-(row.val_macro_f1 or 0), row.val_loss, row.epoch) for row in self.history)[2]

    def _train_batch(self, rows: Ints, labels: Ints, learning_rate: float, rng: np.random.Generator) -> float:
        """One step of the optimiser over a batch, computed in parts that fit the memory; its mean loss."""
        n_parts = min(self.fold.train.accumulate_batches, len(rows) // 2)
        parts = np.array_split(np.arange(len(rows)), n_parts)
        loss = sum(self._backward(rows[part], labels[part], len(part) / len(rows), rng) for part in parts)
        self.optimizer.step(learning_rate)
        return loss

    def _backward(self, rows: Ints, labels: Ints, share: float, rng: np.random.Generator) -> float:
        """Add a part's gradient to the batch's; the part's mean loss times its share of the batch."""
        train = self.fold.train
        mels = spec_augment(self._inputs(rows), train.spec_augment, rng)
        classes = torch.from_numpy(labels).to(self.device)
        mels, targets = mixup(mels, classes, self.fold.n_classes, train.mixup_alpha, rng)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=train.precision == "bfloat16"):
            logits = self.model(mels)
        loss = share * F.cross_entropy(logits.float(), targets, label_smoothing=train.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def try_step(self, n_items: int) -> None:
        """Ask the memory for what a training step of so many items takes; the weights are of no use afterwards."""
        mels = torch.zeros(n_items, 1, *self.size, device=self.device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.fold.train.precision == "bfloat16"):
            logits = self.model.train()(mels)
        logits.float().sum().backward()
        for weight in self.model.parameters():
            weight.grad = None

    def _validate(self) -> tuple[float, float, float] | tuple[None, None, None]:
        """Loss, macro-F1 and balanced accuracy of the validation set's originals, where there is such a set."""
        val_set = self.fold.val_set
        if len(val_set) == 0:
            return None, None, None
        labels, probs = val_set.labels[val_set.originals], self.predict(val_set.rows[val_set.originals])
        chosen, n_classes = probs.argmax(axis=1), self.fold.n_classes
        own = np.maximum(probs[np.arange(len(labels)), labels], np.finfo(np.float64).tiny)
        scores = macro_f1(labels, chosen, n_classes), balanced_accuracy(labels, chosen, n_classes)
        return float(-np.log(own).mean()), *scores

    def predict(self, rows: Ints, n_shifts: int = 1) -> Floats:
        """Class probabilities of stored items, in float32 whatever the training precision.

        Args:
            n_shifts: circular time shifts to average over, the first of them none.

        Returns:
            (len(rows), n_classes) float64, each row summing to 1.

        Raises:
            ResourceError: a probability is not finite.
        """
        self.scored.eval()
        batches = [rows[i : i + self.fold.track.batch_size] for i in range(0, len(rows), self.fold.track.batch_size)]
        with torch.inference_mode():
            probs = [self._probabilities(self._inputs(batch), n_shifts) for batch in batches]
        stacked: Floats = np.concatenate(probs) if probs else np.empty((0, self.fold.n_classes))
        if not np.isfinite(stacked).all():
            raise ResourceError(
                f"fold {self.fold.number}: the model gives values that are not finite; lower train.learning_rate"
            )
        return stacked

    def _probabilities(self, mels: Tensor, n_shifts: int) -> Floats:
        views = [self.scored(view).double().softmax(dim=1) for view in time_shifts(mels, n_shifts)]
        return torch.stack(views).mean(dim=0).cpu().numpy()

    def _inputs(self, rows: Ints) -> Tensor:
        """Standardised (batch, 1, height, width) float32 on the device, at the size the network takes."""
        mels = self.read(rows).sub_(self.mean).div_(self.std).unsqueeze(1)
        if tuple(mels.shape[2:]) != tuple(self.size):
            mels = F.interpolate(mels, size=tuple(self.size), mode="bilinear", align_corners=False)
        return mels.contiguous(memory_format=torch.channels_last)

    def _weights(self) -> Tensors:
        return {name: tensor.detach().cpu().clone() for name, tensor in self.scored.state_dict().items()}

    def finish(self) -> Fitted:
        """Go back to the selected epoch and predict all validation and test items, copies included."""
        if self.best:
            self.scored.load_state_dict(self.best, strict=True)
        n_shifts = self.fold.train.test_shifts
        return Fitted(
            weights=self._weights(),
            probs={name: self.predict(self.fold.subsets[name].rows, n_shifts) for name in EVALUATED},
            history=self.history,
            selected_epoch=self.best_epoch or len(self.history),
            mean=self.mean,
            std=self.std,
            left_out=self.left_out,
        )

    def snapshot(self) -> tuple[Tensors, Facts]:
        """All that the next epoch depends on, as named tensors and plain facts."""
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self.average:
            tensors |= {f"average/{name}": tensor for name, tensor in self.scored.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        tensors |= self.optimizer.named_state()
        return tensors, {"history": self.history, "best_epoch": self.best_epoch}

    def restore(self, saved: tuple[Tensors, Facts] | None) -> None:
        """Continue after the epoch of a snapshot; None starts afresh."""
        if saved is None:
            return
        tensors, facts = saved
        self.model.load_state_dict(_named(tensors, "model/"), strict=True)
        if self.average:
            self.average.module.load_state_dict(_named(tensors, "average/"), strict=True)
        self.best, self.best_epoch = _named(tensors, "best/"), facts["best_epoch"]
        self.history = _rows(facts)
        self.optimizer.restore(tensors)


def shuffled_batches(n_items: int, batch_size: int, rng: np.random.Generator) -> list[Ints]:
    """Cut a permutation into batches of nearly equal size, none of one item alone.

    Batch norm cannot use a single item, and a short last batch would weigh its items more than the others.

    Returns:
        Index arrays that hold each of 0 to n_items - 1 once; at most one item above batch_size, where two
        items make the smallest batch.
    """
    n_batches = max(1, min(math.ceil(n_items / batch_size), n_items // 2))
    return list(np.array_split(rng.permutation(n_items), n_batches))


def learning_rate_at(step: int, steps_per_epoch: int, train: Train) -> float:
    """Linear warm-up, then a cosine from the peak down to exactly 0 at the last step.

    Args:
        step: 0 to epochs * steps_per_epoch - 1.
    """
    n_steps = train.epochs * steps_per_epoch
    n_warmup = min(round(train.warmup_epochs * steps_per_epoch), max(0, n_steps - 2))
    if step < n_warmup:
        return train.learning_rate * (step + 1) / (n_warmup + 1)
    share = (step - n_warmup) / max(1, n_steps - 1 - n_warmup)
    return train.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _average_of(model: nn.Module, decay: float) -> Any:
    """A moving average of weights and batch statistics; short at first, so that the first steps are forgotten."""
    ema = import_timm().utils.ModelEmaV3
    return ema(model, decay=decay, use_warmup=True, warmup_power=3 / 4) if decay else None


def _rows(facts: Facts) -> list[Epoch]:
    return [Epoch(*row) for row in facts["history"]]  # lists, as JSON has made them


def _named(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
