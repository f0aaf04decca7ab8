"""Three ideas for a stronger recipe against today's, each with the same seeds, folds and epochs, and all together.

    python bench/recipe.py --clips DIR [--out DIR] [--seeds 0 1] [--folds 0 1 2] [--files 100] [--epochs 20]
        [--model test_efficientnet] [--precision float32] [--arms today fine ...]

DIR holds ESC's clips, a folder a class; their own folds are tested, without a validation set. Today's recipe is that of
docs/recipes.md: shifts, masks, mixup, averaged weights, four shifts at test time.

today     as it is
loudness  every item mixed with another by loudness (between-class learning, Tokozume, Ushiku and Harada, arXiv
          1711.10282), as a sum of mel powers, in the place of mixup
crops     random stretches of 3 s in training, and the mean over five of them in the place of shifts at test time
fine      44.1 kHz up to 20 kHz, and twice as many frames a second
all       the three together
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from balance_worth import PARAMS, counted, planned_files, read_clips
from equal_steps import NOBODY, kept, kept_in, parsed, parser_of_clips, table
from night_copy import machine
from torch import Tensor

from evensong.learn.fit import Fold, Trainer
from evensong.learn.fold_table import Subset
from evensong.learn.mixing import mixup, spec_augment
from evensong.learn.store import ArrayStore
from evensong.night.mels import write_mels
from evensong.night.pool import build_pool
from evensong.params import load_section
from evensong.schemas import NightAugment, NightMels, TrackTrain, Train
from evensong.score.scores import Floats, Ints, accuracy_from

ARMS = {
    "today": frozenset[str](),
    "loudness": frozenset({"loudness"}),
    "crops": frozenset({"crops"}),
    "fine": frozenset({"fine"}),
    "all": frozenset({"loudness", "crops", "fine"}),
}
COARSE = {"sample_rate_hz": 22_050, "hop_length": 512, "n_fft": 1024, "fmax_hz": 11_000}
FINE = {"sample_rate_hz": 44_100, "hop_length": 512, "n_fft": 2048, "fmax_hz": 20_000}
SOUNDS = {"coarse": COARSE, "fine": FINE}
CLIP_S, CROP_S, N_CROPS = 5.0, 3.0, 5
DB_PER_NEPER = 10 / np.log(10)


class TriedTrainer(Trainer):
    """The product's trainer with the ideas switched on by name."""

    ideas: frozenset[str] = frozenset()

    def _backward(self, rows: Ints, labels: Ints, share: float, rng: np.random.Generator) -> float:
        train = self.fold.train
        mels, classes = self._inputs(rows), torch.from_numpy(labels)
        if "loudness" in self.ideas:
            mels, targets = self._by_loudness(mels, classes, rng)
            mels = spec_augment(mels, train.spec_augment, rng)
        else:
            mels = spec_augment(mels, train.spec_augment, rng)
            mels, targets = mixup(mels, classes, self.fold.n_classes, train.mixup_alpha, rng)
        if "crops" in self.ideas:
            mels = self._crop(mels, int(rng.integers(mels.shape[3] - self._n_frames(mels) + 1)))
        with torch.autocast("cpu", torch.bfloat16, enabled=train.precision == "bfloat16"):
            logits = self.model(mels)
        loss = share * F.cross_entropy(logits.float(), targets, label_smoothing=train.label_smoothing)
        loss.backward()
        return loss.item()

    def _by_loudness(self, mels: Tensor, classes: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Each item and another at a share of the heard loudness, which is the share of the targets, too."""
        share = torch.from_numpy(rng.random(len(mels)).astype(np.float32)).clamp(1e-3, 1 - 1e-3)
        partner = torch.from_numpy(rng.permutation(len(mels)))
        power = torch.exp((mels * self.std + self.mean) / DB_PER_NEPER)
        loudness = power.mean(dim=(1, 2, 3)).clamp(min=1e-10).sqrt()
        gain = 1 / (1 + loudness / loudness[partner] * (1 - share) / share)
        own, other = (part[:, None, None, None] for part in (gain**2, (1 - gain) ** 2))
        mixed = (own * power + other * power[partner]) / (own + other)
        targets = F.one_hot(classes, self.fold.n_classes).float()
        mels = (torch.log(mixed.clamp(min=1e-10)) * DB_PER_NEPER - self.mean) / self.std
        return mels, torch.lerp(targets[partner], targets, share[:, None])

    def _n_frames(self, mels: Tensor) -> int:
        return round(mels.shape[3] * CROP_S / CLIP_S)

    def _crop(self, mels: Tensor, start: int) -> Tensor:
        return mels[..., start : start + self._n_frames(mels)].contiguous(memory_format=torch.channels_last)

    def _probabilities(self, mels: Tensor, n_shifts: int) -> Floats:
        if "crops" not in self.ideas:
            return super()._probabilities(mels, n_shifts)
        starts = np.linspace(0, mels.shape[3] - self._n_frames(mels), N_CROPS).round().astype(int)
        views = [self.scored(self._crop(mels, start)).double().softmax(dim=1) for start in starts.tolist()]
        return torch.stack(views).mean(dim=0).numpy()


def todays(epochs: int, precision: str) -> Train:
    """The recipe of docs/recipes.md."""
    shared = load_section("train", Train, PARAMS)
    masks = {"n_freq_masks": 2, "n_time_masks": 2, "max_shift_share": 0.5}
    return shared.model_copy(
        update={
            "epochs": epochs,
            "mixup_alpha": 0.5,
            "spec_augment": shared.spec_augment.model_copy(update=masks),
            "ema_decay": 0.995,
            "test_shifts": 4,
            "precision": precision,
            "select": "last",
        }
    )


def write_store(
    folder: Path, clips: pd.DataFrame, root: Path, files: pd.DataFrame, sound: dict[str, int]
) -> ArrayStore:
    """The pool at a rate, and its mels, by the product's own stages."""
    rate_hz, spectrum = sound["sample_rate_hz"], {name: sound[name] for name in ("hop_length", "n_fft", "fmax_hz")}
    augment = load_section("night.augment", NightAugment, PARAMS).model_copy(update={"sample_rate_hz": rate_hz})
    mels = load_section("night.mels", NightMels, PARAMS)
    mels = mels.model_copy(update={"clip_seconds": CLIP_S, "fmin_hz": 20, **spectrum})
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            made = Path(name) / "pool"
            pool = build_pool(files, clips, roots={"clips": root}, folder=made, settings=augment, workers=1)
            write_mels(pool, pool_sha256="", pool_folder=made, folder=Path(name) / "m", settings=mels, workers=1)
            (Path(name) / "m").rename(folder)
    return ArrayStore([folder / f"{slug}.npy" for slug in files["class_slug"].unique()])


def train_one(fold: Fold, ideas: frozenset[str], store: ArrayStore, asked: Ints) -> Floats:
    """Train a fold and predict."""
    trainer = TriedTrainer(fold, store)
    trainer.ideas = ideas
    for epoch in range(1, fold.train.epochs + 1):
        trainer.train_epoch(epoch)
    return trainer.predict(asked, fold.train.test_shifts)


def run(arguments: argparse.Namespace, out: Path) -> None:
    """Train whatever is not there yet, and print the table."""
    clips = read_clips(arguments.clips)
    files = planned_files(clips, target_samples=arguments.files)
    files["label"] = files["class_name"].map(dict(zip(clips["class_name"], clips["label"], strict=True)))
    files["fold"] = files["original_file"].map(clips.set_index("path")["fold"])
    arms = {name: ARMS[name] for name in dict.fromkeys(["today", *arguments.arms])}
    sounds = {"fine" if "fine" in ideas else "coarse" for ideas in arms.values()}
    stores = {name: write_store(out / name, clips, arguments.clips, files, SOUNDS[name]) for name in sorted(sounds)}
    track = TrackTrain(model=arguments.model, batch_size=32, pretrained=None, folds="all")
    found: dict[str, dict[int, list[pd.DataFrame]]] = {arm: {seed: [] for seed in arguments.seeds} for arm in arms}
    nothing = Subset(NOBODY, NOBODY, NOBODY.astype(np.bool_))
    for seed in arguments.seeds:
        train = todays(arguments.epochs, arguments.precision).model_copy(update={"seed": seed})
        for number in arguments.folds:
            own = files[files["fold"] != number]
            items = Subset(own.index.to_numpy(), own["label"].to_numpy(), np.ones(len(own), np.bool_))
            fold = Fold(number, items, nothing, nothing, clips["class_name"].nunique(), track, train)
            test = files[(files["fold"] == number) & (files["copy"] == 0)]
            named = pd.DataFrame({"item_id": test["original_file"], "group": test["source_id"], "label": test["label"]})
            for arm, ideas in arms.items():
                store = stores["fine" if "fine" in ideas else "coarse"]
                make = partial(train_one, fold, ideas, store, test.index.to_numpy())
                found[arm][seed].append(kept(out / f"{arm}-{seed}-{number}.csv", named, make))
    report({arm: {s: pd.concat(parts) for s, parts in one.items()} for arm, one in found.items()}, arguments.seeds)


def report(found: dict[str, dict[int, pd.DataFrame]], seeds: list[int]) -> None:
    """Accuracy of every arm, its difference from today's, and what it cost."""
    print(machine([0]))
    first = found["today"][seeds[0]]
    n_classes = first["label"].nunique()

    def accuracy(arm: str, seed: int, weights: Floats | None) -> Floats:
        return accuracy_from(counted(found[arm][seed], n_classes, weights))

    scores = {arm: partial(accuracy, arm) for arm in found}
    rows = table(scores, "today", seeds, first["group"].tolist(), first["label"].to_numpy())
    spent = {arm: np.mean([one["cpu_s"].unique().mean() for one in by_seed.values()]) for arm, by_seed in found.items()}
    print(rows.assign(cpu_s_a_fold=rows["arm"].map(spent)).to_string(index=False, float_format="%.1f"))


def main() -> None:
    """Run the bench."""
    parser = parser_of_clips(__doc__, seeds=[0, 1], files=100)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS, help="today is always there")
    arguments = parsed(parser)
    with kept_in(arguments.out) as out:
        run(arguments, out)


if __name__ == "__main__":
    main()
