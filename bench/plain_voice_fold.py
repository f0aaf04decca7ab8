"""One fold of a voice training as such scripts are usually written; `voice_folds.py` runs it as the peer.

    python bench/plain_voice_fold.py SETTINGS.json

A process a fold, with its own imports, as many threads as torch takes, float32, channels first, and DataLoader workers
that open every image anew in every epoch. Model, epochs, batch size, learning rate, augmentation and the choice of the
epoch are those of the pipeline. What it is spared: it is handed the mean and deviation of the images.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.metrics import f1_score
from torch.utils.data import DataLoader, Dataset

Settings = dict[str, Any]


class MelImages(Dataset):
    """One standardised image and its label at a time; shifted and masked while training."""

    def __init__(self, table: pd.DataFrame, settings: Settings, *, augments: bool) -> None:
        self.table, self.settings, self.augments = table, settings, augments

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        row = self.table.iloc[index]
        image = Image.open(row["image_rel_path"]).convert("L")
        mel = torch.from_numpy(np.asarray(image, dtype=np.float32)) / 255
        mel = (mel - self.settings["mean"]) / self.settings["std"]
        if self.augments:
            mel = augmented(mel, self.settings["train"]["spec_augment"])
        return mel[None], int(row["label"])


def augmented(mel: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Roll in time, then mask bands and frames, as the pipeline does."""
    furthest = math.floor(settings["max_shift_share"] * mel.shape[1])
    mel = mel.roll(int(torch.randint(-furthest, furthest + 1, ())), dims=1)
    for dim, kind in ((0, "freq"), (1, "time")):
        for _ in range(settings[f"n_{kind}_masks"]):
            width = int(torch.randint(0, math.floor(settings[f"max_{kind}_share"] * mel.shape[dim]) + 1, ()))
            start = int(torch.randint(0, mel.shape[dim] - width + 1, ()))
            mel.narrow(dim, start, width).fill_(0)
    return mel


def mixed(mels: torch.Tensor, labels: torch.Tensor, alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixup with a share of its own for each item."""
    targets = F.one_hot(labels, 2).float()
    if alpha == 0:
        return mels, targets
    share = torch.distributions.Beta(alpha, alpha).sample((len(mels),))
    partner = torch.randperm(len(mels))
    mels = share[:, None, None, None] * mels + (1 - share)[:, None, None, None] * mels[partner]
    return mels, share[:, None] * targets + (1 - share)[:, None] * targets[partner]


def make_optimizer(model: torch.nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW that does not decay norms and biases."""
    matrices = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim <= 1]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings["learning_rate"], weight_decay=settings["weight_decay"])


def make_schedule(optimizer: torch.optim.Optimizer, settings: Settings, n_batches: int) -> Any:
    """Linear warm-up, then a cosine to zero."""
    n_warmup, n_steps = settings["warmup_epochs"] * n_batches, settings["epochs"] * n_batches

    def factor(step: int) -> float:
        if step < n_warmup:
            return (step + 1) / (n_warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - n_warmup) / max(1, n_steps - 1 - n_warmup))))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


@torch.no_grad()
def predict(model: torch.nn.Module, loader: DataLoader, n_shifts: int = 1) -> np.ndarray:
    """(n_items, 2) probabilities in the loader's order, the mean over equal steps of circular time shifts."""
    model.eval()
    batches = []
    for mels, _ in loader:
        steps = [shift * mels.shape[3] // n_shifts for shift in range(n_shifts)]
        batches.append(torch.stack([model(mels.roll(step, dims=3)).softmax(dim=1) for step in steps]).mean(dim=0))
    return torch.cat(batches).double().numpy()


def train(settings: Settings) -> pd.DataFrame:
    """Train one fold; predictions of its validation and test items by the best epoch."""
    table = pd.read_csv(settings["table"], dtype={"healthCode": str, "record_id": str, "column_id": str})
    table = table[table["fold"] == settings["fold"]].reset_index(drop=True)
    parts = {subset: table[table["subset"] == subset].reset_index(drop=True) for subset in ("train", "val", "test")}
    recipe, batch_size = settings["train"], settings["batch_size"]
    torch.manual_seed(recipe["seed"] + settings["fold"])
    model = timm.create_model(settings["model"], pretrained=False, in_chans=1, num_classes=2)
    head = model.get_classifier()  # starts at 0, as ours does: the arms differ in how they compute alone
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    loaders = {
        subset: DataLoader(
            MelImages(part, settings, augments=subset == "train"),
            batch_size=batch_size,
            shuffle=subset == "train",
            drop_last=subset == "train" and len(part) % batch_size == 1,
            num_workers=2,
        )
        for subset, part in parts.items()
    }
    average = timm.utils.ModelEmaV3(model, decay=recipe["ema_decay"], use_warmup=True, warmup_power=3 / 4)
    scored = average.module if recipe["ema_decay"] else model
    optimizer, n_steps = make_optimizer(model, recipe), 0
    schedule = make_schedule(optimizer, recipe, len(loaders["train"]))
    truth, best, best_score = parts["val"]["label"].to_numpy(), {}, (-1.0, 0.0)
    for _ in range(recipe["epochs"]):
        model.train()
        for mels, labels in loaders["train"]:
            mels, targets = mixed(mels, labels, recipe["mixup_alpha"])
            loss = F.cross_entropy(model(mels), targets, label_smoothing=recipe["label_smoothing"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            n_steps += 1
            if scored is not model:
                average.update(model, step=n_steps)
        probabilities = predict(scored, loaders["val"])
        likelihood = float(np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-300)).mean())
        score = (float(f1_score(truth, probabilities.argmax(axis=1), average="macro")), likelihood)
        if score > best_score:
            best, best_score = {name: value.clone() for name, value in scored.state_dict().items()}, score
    scored.load_state_dict(best)
    n_shifts = recipe["test_shifts"]
    return pd.concat([as_rows(parts[one], predict(scored, loaders[one], n_shifts)) for one in ("test", "val")])


def as_rows(items: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """The rows that the pipeline's predictions.csv would hold."""
    rows = items[["fold", "subset", "healthCode", "label"]].rename(columns={"healthCode": "group"})
    item_id = items["healthCode"] + "_" + items["record_id"] + "_" + items["column_id"]
    return rows.assign(item_id=item_id, is_original=1, p0=probabilities[:, 0], p1=probabilities[:, 1])


def main() -> None:
    """Train the fold that the settings name."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    columns = ["fold", "subset", "item_id", "group", "is_original", "label", "p0", "p1"]
    train(settings)[columns].to_csv(settings["out"], index=False, float_format="%.9g")


if __name__ == "__main__":
    main()
