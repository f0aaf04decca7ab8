"""For the benches that compare ways of training: the project's own trainer at equal steps, and differences over seeds.

Linux on a CPU, one process and one thread. A training that is there already is not repeated, so that a bench that was
stopped goes on.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.special import stdtrit

from evensong.learn.fit import Fold, Trainer
from evensong.learn.fold_table import Subset
from evensong.learn.mixing import mixup, spec_augment
from evensong.learn.store import ArrayStore
from evensong.schemas import Evaluate, TrackTrain, Train
from evensong.score.intervals import Bootstrap
from evensong.score.scores import Floats, Ints

SETTINGS = Evaluate(seed=42, n_bootstrap=2000, confidence=0.95)
NOBODY = np.zeros(0, np.int64)


def parser_of_clips(description: str | None, *, seeds: Sequence[int], files: int) -> argparse.ArgumentParser:
    """The options of every bench that trains on ESC's clips, with a bench's own defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="where mels and predictions are kept, and taken from in a later run")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    parser.add_argument("--files", type=int, default=files, help="of a class, originals and copies")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--model", default="test_efficientnet")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line of a bench with --seeds; one alone has no spread, and is refused before the trainings."""
    arguments = parser.parse_args()
    if len(set(arguments.seeds)) < 2:
        parser.error("--seeds: two at least, differences are told over them")
    return arguments


@contextmanager
def kept_in(out: Path | None) -> Iterator[Path]:
    """The folder of a bench's files: the one that is named, for a later run to go on from, or one for this run."""
    if out is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
        return
    out.mkdir(parents=True, exist_ok=True)
    yield out


@dataclass(frozen=True)
class Arm:
    """What a training sees: rows and labels of an epoch, and how much each class weighs in the loss.

    Args:
        rows: (n_items,) of the store, repeats allowed.
        labels: (n_items,).
        weighs: whether classes are weighed by the inverse of their number of items.
    """

    rows: Ints
    labels: Ints
    weighs: bool = False

    def resized(self, n_items: int) -> "Arm":
        """The same items again and again, in turn, to so many an epoch: equal steps for arms of unequal size."""
        return Arm(np.resize(self.rows, n_items), np.resize(self.labels, n_items), self.weighs)


class WeighingTrainer(Trainer):
    """The product's trainer with a loss in which classes weigh alike, whatever their number of items."""

    class_weights: torch.Tensor | None = None

    def _backward(self, rows: Ints, labels: Ints, share: float, rng: np.random.Generator) -> float:
        if self.class_weights is None:
            return super()._backward(rows, labels, share, rng)
        train = self.fold.train
        mels = spec_augment(self._inputs(rows), train.spec_augment, rng)
        mels, targets = mixup(mels, torch.from_numpy(labels), self.fold.n_classes, train.mixup_alpha, rng)
        logits = self.model(mels).float()
        loss = share * F.cross_entropy(logits, targets, self.class_weights, label_smoothing=train.label_smoothing)
        loss.backward()
        return loss.item()


def train_arm(
    arm: Arm, asked: Ints, store: ArrayStore, *, n_classes: int, fold: int, track: TrackTrain, train: Train
) -> Floats:
    """Train on an arm's items, without a validation set, and predict.

    Args:
        asked: (n_asked,) rows to predict.

    Returns:
        (n_asked, n_classes) probabilities.
    """
    items = Subset(arm.rows, arm.labels, np.ones(len(arm.rows), np.bool_))
    nothing = Subset(NOBODY, NOBODY, NOBODY.astype(np.bool_))
    trainer = WeighingTrainer(Fold(fold, items, nothing, nothing, n_classes, track, train), store)
    if arm.weighs:
        counts = np.bincount(arm.labels, minlength=n_classes)
        trainer.class_weights = torch.from_numpy(len(arm.labels) / (n_classes * counts)).float()
    for epoch in range(1, train.epochs + 1):
        trainer.train_epoch(epoch)
    return trainer.predict(asked, train.test_shifts)


def kept(path: Path, items: pd.DataFrame, make: Callable[[], Floats]) -> pd.DataFrame:
    """Items with a probability column a class, made now or read from where an earlier run has left them."""
    if not path.exists():
        start = time.process_time()
        probabilities = make()
        columns = {f"p{label}": probabilities[:, label] for label in range(probabilities.shape[1])}
        table = items.assign(**columns, cpu_s=time.process_time() - start)
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path.with_suffix(".part"), index=False)
        path.with_suffix(".part").rename(path)
        print(f"{path.stem}: {table['cpu_s'].iloc[0]:.0f} CPU s", flush=True)
    return pd.read_csv(path, dtype={"item_id": str, "group": str})


class Difference(NamedTuple):
    """A mean over seeds and its interval."""

    value: float
    low: float
    high: float

    def text(self) -> str:
        """For a table, in hundredths."""
        return f"{100 * self.value:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


Score = Callable[[int, Floats | None], Floats]  # of a seed, under weights of the units


def difference(one: Score, other: Score, seeds: Sequence[int], groups: Sequence[str], labels: Ints) -> Difference:
    """One arm's score minus another's, paired twice over: the same tested sources or patients, and the same seeds.

    Two kinds of luck are added: that of which groups were tested (a bootstrap of the mean over seeds) and that of the
    draws and first weights (the deviation over seeds), with Satterthwaite's degrees of freedom for Student's t.
    """

    def between(seed: int, weights: Floats | None = None) -> Floats:
        return np.asarray(one(seed, weights) - other(seed, weights))

    by_seed = np.array([float(between(seed)) for seed in seeds])
    bootstrap = Bootstrap(groups, labels, SETTINGS, "bench")
    draws = bootstrap.draws(lambda weights: {"mean": np.mean([between(seed, weights) for seed in seeds], axis=0)})[
        "mean"
    ]
    n_groups, n_seeds = bootstrap.n_groups, len(seeds)
    tested = float(np.nanvar(draws, ddof=1)) * n_groups / (n_groups - 1)
    trained = float(by_seed.var(ddof=1)) / n_seeds
    spread = tested**2 / (n_groups - 1) + trained**2 / (n_seeds - 1)
    freedom = (tested + trained) ** 2 / spread if spread else 1.0
    half = float(stdtrit(freedom, (1 + SETTINGS.confidence) / 2)) * (tested + trained) ** 0.5
    value = float(by_seed.mean())
    return Difference(value, value - half, value + half)


def table(
    arms: Mapping[str, Score], against: str, seeds: Sequence[int], groups: Sequence[str], labels: Ints
) -> pd.DataFrame:
    """Every arm's mean over seeds, the least and largest seed, and its paired difference from one of them."""
    rows = []
    for name, score in arms.items():
        values = [100 * float(score(seed, None)) for seed in seeds]
        minus = "" if name == against else difference(score, arms[against], seeds, groups, labels).text()
        rows.append({"arm": name, "mean": np.mean(values), "least": min(values), "most": max(values), "minus": minus})
    return pd.DataFrame(rows).rename(columns={"minus": f"minus {against}"})
