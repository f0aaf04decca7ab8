"""What the exact pool is worth on real clips that are made imbalanced, against simpler cures, at equal steps.

    python bench/balance_worth.py --clips DIR [--out DIR] [--seeds 0 1 2] [--fewest 4] [--files 48] [--epochs 20]

DIR holds ESC's clips, a folder a class; their own folds are tested in turn, untouched. The training originals of the
classes fall geometrically from all there are to ``--fewest``, whole sources at a time; a seed draws which class is how
rare, the sources that stay, and the first weights. Every arm makes the same number of steps of the same batch size.

as it is   the imbalanced originals
weights    the same, and a loss in which classes weigh alike
repeated   the originals of a class again and again, to the same number of files a class
copies     the augmented copies of the pool for every original alike: the imbalance stays
pool       the product's way: originals and augmented copies, exactly as many files a class
all        the originals that the imbalance took away, too: what recording more would bring
"""

import argparse
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from equal_steps import Arm, kept, kept_in, parsed, parser_of_clips, table, train_arm
from night_copy import machine

from evensong.keys import keyed_hash
from evensong.learn.store import ArrayStore
from evensong.night.mels import write_mels
from evensong.night.plan import plan_pool
from evensong.night.pool import build_pool
from evensong.night.scan import scan_folder
from evensong.params import load_section
from evensong.schemas import NightAugment, NightMels, NightScan, TrackTrain, Train
from evensong.score.scores import Floats, class_recall, confusion, macro_f1_from

ROOT = Path(__file__).resolve().parent.parent
PARAMS = ROOT / "params.yaml"
ARMS = ("as it is", "weights", "repeated", "copies", "pool", "all")

Found = dict[str, dict[int, list[pd.DataFrame]]]  # by arm and seed, a table a fold


def read_clips(folder: Path) -> pd.DataFrame:
    """The usable clips with their class, source, label and fold."""
    settings = load_section("night.scan", NightScan, PARAMS).model_copy(update={"group_pattern": r"^\d-(\d+)-"})
    clips = scan_folder(folder, settings, workers=1).clips
    clips = clips[clips["status"] == "used"].reset_index(drop=True)
    names = clips["path"].str.rpartition("/")[2]
    labels = clips["class_name"].rank(method="dense").astype(int) - 1
    return clips.assign(fold=names.str[0].astype(int) - 1, label=labels)


def rarity(classes: list[str], seed: int) -> list[str]:
    """The classes from the most to the fewest originals, in a seed's own order."""
    return sorted(classes, key=lambda name: keyed_hash(seed, "rarity", name))


def imbalanced(training: pd.DataFrame, fewest: int, seed: int) -> pd.DataFrame:
    """A fold's training originals, from all of a class down to ``fewest``: whole sources, in a seed's own order."""
    order = rarity(sorted(training["class_name"].unique()), seed)
    chosen = []
    for place, name in enumerate(order):
        own = training[training["class_name"] == name]
        wanted = round(len(own) * (fewest / len(own)) ** (place / (len(order) - 1)))
        sizes = own.groupby("source_id").size()
        left = wanted
        for source in sorted(sizes.index, key=lambda source: keyed_hash(seed, "source", source)):
            if sizes[source] <= left:
                left -= sizes[source]
                chosen.append(own[own["source_id"] == source])
    return pd.concat(chosen)


def planned_files(clips: pd.DataFrame, **changes: int | bool) -> pd.DataFrame:
    """The pool's files for some clips, planned by the product with some settings changed."""
    settings = load_section("night.augment", NightAugment, PARAMS)
    return plan_pool(clips, settings.model_copy(update=changes))[0]


def originals_of(clips: pd.DataFrame) -> pd.DataFrame:
    """The pool's files without any copy."""
    return planned_files(clips, target_samples=1, cap_majority=False)


def plans_of(training: pd.DataFrame, arguments: argparse.Namespace, seed: int) -> dict[str, pd.DataFrame]:
    """What a seed trains on in one fold: the pool's files, every original's copies alike, and bare originals."""
    few = imbalanced(training, arguments.fewest, seed)
    n_each = -(-arguments.files * few["class_name"].nunique() // len(few))
    alike = [planned_files(own, target_samples=n_each * len(own)) for _, own in few.groupby("class_name")]
    return {
        "pool": planned_files(few, target_samples=arguments.files),
        "copies": pd.concat(alike),
        "as it is": originals_of(few),
        "all": originals_of(training),
    }


def write_store(
    folder: Path, clips: pd.DataFrame, root: Path, planned: list[pd.DataFrame], n_fft: int = 2048, hop: int = 2048
) -> tuple[ArrayStore, dict[tuple[str, int], int]]:
    """Every planned file once, made and turned into mels by the product's own stages; and its row by original and copy.

    A copy is drawn from the seed of the pool, its original and its number alone: all plans mean the same one.
    """
    files = pd.concat(planned).drop_duplicates(["original_file", "copy"])
    files = files.sort_values(["class_slug", "file_path"], ignore_index=True)
    files["mel_row"] = files.groupby("class_slug").cumcount()
    mels = load_section("night.mels", NightMels, PARAMS)
    mels = mels.model_copy(update={"clip_seconds": 5, "fmin_hz": 20, "n_fft": n_fft, "hop_length": hop})
    augment = load_section("night.augment", NightAugment, PARAMS)
    if not (folder / "mels").exists():
        with tempfile.TemporaryDirectory(dir=folder) as name:
            pool_folder = Path(name) / "pool"
            pool = build_pool(files, clips, roots={"clips": root}, folder=pool_folder, settings=augment, workers=1)
            half = Path(name) / "mels"
            write_mels(pool, pool_sha256="", pool_folder=pool_folder, folder=half, settings=mels, workers=1)
            half.rename(folder / "mels")
    store = ArrayStore([folder / "mels" / f"{slug}.npy" for slug in files["class_slug"].unique()])
    return store, {key: row for row, key in enumerate(zip(files["original_file"], files["copy"], strict=True))}


def arms_of(
    plan: Mapping[str, pd.DataFrame], rows: Mapping[tuple[str, int], int], labels: Mapping[str, int], n_files: int
) -> dict[str, Arm]:
    """What every arm trains on in an epoch of the same length."""

    def arm(files: pd.DataFrame, *, weighs: bool = False) -> Arm:
        keys = zip(files["original_file"], files["copy"], strict=True)
        return Arm(np.array([rows[key] for key in keys]), files["class_name"].map(labels).to_numpy(), weighs)

    plain = plan["as it is"]
    equal = [own.iloc[np.resize(np.arange(len(own)), n_files)] for _, own in plain.groupby("class_name")]
    found = {
        "as it is": arm(plain),
        "weights": arm(plain, weighs=True),
        "repeated": arm(pd.concat(equal)),
        **{name: arm(plan[name]) for name in ("copies", "pool", "all")},
    }
    return {name: found[name].resized(n_files * len(labels)) for name in ARMS}


def run(arguments: argparse.Namespace, out: Path) -> None:
    """Train whatever is not there yet, and print the tables."""
    clips = read_clips(arguments.clips)
    labels = dict(zip(clips["class_name"], clips["label"], strict=True))
    keys = [(seed, fold) for seed in arguments.seeds for fold in sorted(clips["fold"].unique())]
    plans = {(seed, fold): plans_of(clips[clips["fold"] != fold], arguments, seed) for seed, fold in keys}
    every = [originals_of(clips), *(one for plan in plans.values() for one in plan.values())]
    store, rows = write_store(out, clips, arguments.clips, every)
    track = TrackTrain(model=arguments.model, batch_size=16, pretrained=None, folds="all")
    shared = load_section("train", Train, PARAMS).model_copy(update={"epochs": arguments.epochs, "select": "last"})
    found: Found = {name: {seed: [] for seed in arguments.seeds} for name in ARMS}
    for (seed, fold), plan in plans.items():
        test = clips[clips["fold"] == fold].sort_values("path")
        items = pd.DataFrame({"item_id": test["path"], "group": test["source_id"], "label": test["label"]})
        asked, train = np.array([rows[path, 0] for path in test["path"]]), shared.model_copy(update={"seed": seed})
        for name, arm in arms_of(plan, rows, labels, arguments.files).items():
            make = partial(train_arm, arm, asked, store, n_classes=len(labels), fold=fold, track=track, train=train)
            path = out / f"{name.replace(' ', '_')}-{seed}-{fold}.csv"
            found[name][seed].append(kept(path, items, make))
    print(machine([0]))
    for (seed, fold), plan in plans.items():
        counts = plan["as it is"].groupby("class_name").size()
        left = ", ".join(f"{counts[name]} {name}" for name in rarity(sorted(labels), seed))
        print(f"seed {seed}, fold {fold}: originals {left}")
    report(found, sorted(labels), arguments.seeds)


def report(found: Found, names: list[str], seeds: list[int]) -> None:
    """Both scores of every arm."""
    joined = {arm: {seed: pd.concat(folds) for seed, folds in by_seed.items()} for arm, by_seed in found.items()}
    first = joined["pool"][seeds[0]]
    groups, labels = first["group"].tolist(), first["label"].to_numpy()
    for title, scorer in (("macro-F1", macro_f1), ("recall of the rarer half", rare_recall)):
        scores = {arm: partial(scorer, by_seed, names) for arm, by_seed in joined.items()}
        rows = table(scores, "pool", seeds, groups, labels)
        print(f"\n{title}\n{rows.to_string(index=False, float_format='%.1f')}")


def macro_f1(found: Mapping[int, pd.DataFrame], names: list[str], seed: int, weights: Floats | None) -> Floats:
    """Over the test clips of all folds."""
    return macro_f1_from(counted(found[seed], len(names), weights))


def rare_recall(found: Mapping[int, pd.DataFrame], names: list[str], seed: int, weights: Floats | None) -> Floats:
    """Mean recall over the half of the classes that a seed made rare."""
    rare = [names.index(name) for name in rarity(names, seed)[len(names) // 2 :]]
    return class_recall(counted(found[seed], len(names), weights))[..., rare].mean(axis=-1)


def counted(found: pd.DataFrame, n_classes: int, weights: Floats | None) -> Floats:
    """Confusion tables of the likeliest classes."""
    chosen = found[[f"p{label}" for label in range(n_classes)]].to_numpy().argmax(axis=1)
    return confusion(found["label"].to_numpy(), chosen, n_classes, weights)


def main() -> None:
    """Run the bench."""
    parser = parser_of_clips(__doc__, seeds=[0, 1, 2], files=48)
    parser.add_argument("--fewest", type=int, default=4)
    arguments = parsed(parser)
    with kept_in(arguments.out) as out:
        run(arguments, out)


if __name__ == "__main__":
    main()
