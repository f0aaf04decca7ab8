"""What exact balance is worth for patients of whom one in ten is positive, against simpler cures, at equal steps.

    python bench/balance_voice.py --data DIR [--out DIR] [--seeds 0 1 2] [--folds 5] [--epochs 6] [--set KEY=VALUE ...]

DIR holds recordings/ and cohort/. Images, splits and sub-databases are made by the product's own stages; a seed draws
the folds, the patients who stay, and the first weights. Every arm makes the same number of steps of the same batch
size, on the same test patients at the cohort's own prevalence, and without an epoch chosen.

as it is   sub-database 1: one training patient in ten is positive
weights    the same, and a loss in which classes weigh alike
repeated   the same, the positives' recordings again and again until both classes have as many
left out   sub-database 5, the product's way: patients of the larger class are left out, half are positive
all        every training patient at the cohort's own prevalence: what finding more positives would bring
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from equal_steps import Arm, kept, kept_in, parsed, table, train_arm
from night_copy import machine
from voice_folds import prepare, run_stage, setting, write_params

from evensong.learn.fold_table import items_of
from evensong.learn.store import ArrayStore
from evensong.params import load_section
from evensong.schemas import TrackTrain, Train
from evensong.score.predictions import Predictions
from evensong.score.probability_scores import auroc
from evensong.score.scores import Floats, balanced_accuracy_from, class_recall, confusion, macro_f1_from, ratio
from evensong.voice.patients import decide, level_of
from evensong.voice.tables import CONTROL, read_fold_table

PARAMS = Path(__file__).resolve().parent.parent / "params.yaml"
COMBINED, IMAGES = "artifacts/voice/combined", "artifacts/voice/mels"
FEW, EVEN = "subdb1", "subdb5"
ARMS = ("as it is", "weights", "repeated", "left out", "all")


def tables_of(folder: Path, seed: int) -> dict[str, pd.DataFrame]:
    """The fold tables of a seed's splits."""
    write_params(folder, {"voice.splits.seed": seed})
    for stage in ("voice_splits", "voice_tables"):
        run_stage(folder, stage)
    path = folder / COMBINED
    images = folder / f"{IMAGES}.csv"
    return {
        name: read_fold_table(path / name / f"audio_imbalmed_{name}_combined.csv", images)
        for name in (FEW, EVEN, CONTROL)
    }


def arms_of(tables: Mapping[str, pd.DataFrame], fold: int) -> dict[str, Arm]:
    """What every arm trains on in an epoch of the same length: once what the largest holds."""

    def arm(name: str, *, weighs: bool = False) -> Arm:
        items = items_of(tables[name], fold, "train")
        return Arm(items["row"].to_numpy(np.int64), items["label"].to_numpy(np.int64), weighs)

    few = arm(FEW)
    found = {
        "as it is": few,
        "weights": arm(FEW, weighs=True),
        "repeated": evened(few),
        "left out": arm(EVEN),
        "all": arm(CONTROL),
    }
    n_items = max(len(one.rows) for one in found.values())
    return {name: found[name].resized(n_items) for name in ARMS}


def evened(arm: Arm) -> Arm:
    """The smaller class repeated until both have as many items."""
    each = [np.flatnonzero(arm.labels == label) for label in (0, 1)]
    places = np.concatenate([np.resize(own, max(map(len, each))) for own in each])
    return Arm(arm.rows[places], arm.labels[places])


def by_patient(folds: Sequence[pd.DataFrame]) -> Predictions:
    """A seed's predictions of all folds, the mean over a patient's recordings."""
    joined = pd.concat(folds).sort_values(["fold", "subset", "item_id"], ignore_index=True)
    return Predictions(joined, joined[["p0", "p1"]].to_numpy()).by_group()


class Seed:
    """The test patients of one seed, in the order of their ids: classes chosen at one half, and as validation chose."""

    def __init__(self, folds: Sequence[pd.DataFrame]) -> None:
        level = level_of(by_patient(folds))
        order = np.argsort(level.test.table["group"].to_numpy(), kind="stable")
        self.groups = level.test.table["group"].to_numpy()[order].tolist()
        self.labels, self.folds = level.test.labels[order], level.test.table["fold"].to_numpy()[order]
        self.scores = level.test.probabilities[order, 1]
        self.at_half = (self.scores >= 0.5).astype(np.int64)
        self.at_cut = decide(level.test, level.thresholds)[order]


def within_folds(one: Seed, weights: Floats | None) -> Floats:
    """AUROC of the pairs of a fold, over all folds."""
    total = pairs = 0.0
    for fold in np.unique(one.folds):
        here = one.folds == fold
        positive, own = one.labels[here] == 1, None if weights is None else weights[:, here]
        rows = np.ones((1, here.sum())) if own is None else own
        n_pairs = rows[:, positive].sum(axis=1) * rows[:, ~positive].sum(axis=1)
        total = total + np.nan_to_num(auroc(positive, one.scores[here], own)) * n_pairs
        pairs = pairs + n_pairs
    return np.squeeze(ratio(total, pairs))


SCORES = {
    "AUROC within folds": within_folds,
    "balanced accuracy, threshold chosen on validation": lambda one, weights: balanced_accuracy_from(
        confusion(one.labels, one.at_cut, 2, weights)
    ),
    "macro-F1 at one half": lambda one, weights: macro_f1_from(confusion(one.labels, one.at_half, 2, weights)),
    "recall of the positives at one half": lambda one, weights: class_recall(
        confusion(one.labels, one.at_half, 2, weights)
    )[..., 1],
}


def run(arguments: argparse.Namespace, out: Path) -> None:
    """Train whatever is not there yet, and print the tables."""
    folder = out / "voice"
    if not (folder / f"{IMAGES}.npy").exists():
        made_with = {"subdbs": 2, "folds": 1, "size": 64, "model": arguments.model, "epochs": 1, "workers": 1}
        lists = [("voice.subdbs", [1, 5]), ("voice.splits.n_folds", arguments.folds)]
        prepare(folder, arguments.data.resolve(), argparse.Namespace(**made_with, set=[*lists, *arguments.set]))
    store = ArrayStore([folder / f"{IMAGES}.npy"])
    track = TrackTrain(model=arguments.model, batch_size=16, pretrained=None, folds="all")
    shared = load_section("train", Train, PARAMS).model_copy(update={"epochs": arguments.epochs, "select": "last"})
    found: dict[str, dict[int, Seed]] = {name: {} for name in ARMS}
    for seed in arguments.seeds:
        tables, train = tables_of(folder, seed), shared.model_copy(update={"seed": seed})
        parts: dict[str, list[pd.DataFrame]] = {name: [] for name in ARMS}
        for fold in range(arguments.folds):
            items = pd.concat([items_of(tables[CONTROL], fold, subset) for subset in ("val", "test")])
            for name, arm in arms_of(tables, fold).items():
                asked = items["row"].to_numpy(np.int64)
                make = partial(train_arm, arm, asked, store, n_classes=2, fold=fold, track=track, train=train)
                path = out / f"{name.replace(' ', '_')}-{seed}-{fold}.csv"
                parts[name].append(kept(path, items, make))
        for name in ARMS:
            found[name][seed] = Seed(parts[name])
    report(arguments.seeds, found)


def report(seeds: Sequence[int], found: Mapping[str, Mapping[int, Seed]]) -> None:
    """Every score of every arm."""
    print(machine([0]))
    first = found["as it is"][seeds[0]]
    print(f"{len(first.labels)} test patients, {first.labels.sum()} of them positive")
    for title, scorer in SCORES.items():
        scores = {arm: partial(_of_seed, scorer, one) for arm, one in found.items()}
        rows = table(scores, "left out", seeds, first.groups, first.labels)
        print(f"\n{title}\n{rows.to_string(index=False, float_format='%.1f')}")


def _of_seed(scorer, found: Mapping[int, Seed], seed: int, weights: Floats | None) -> Floats:  # type: ignore[no-untyped-def]
    return scorer(found[seed], weights)


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="where images and predictions are kept, and taken from in a later run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--model", default="test_efficientnet")
    parser.add_argument("--set", type=setting, nargs="+", default=[], metavar="KEY=VALUE")
    arguments = parsed(parser)
    with kept_in(arguments.out) as out:
        run(arguments, out)


if __name__ == "__main__":
    main()
