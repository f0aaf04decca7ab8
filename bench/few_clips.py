"""A network with few clips a class against the baseline on the same ones: the part of the learning curve that costs.

    python bench/few_clips.py --clips DIR [--out DIR] [--sizes 4 8 16] [--seeds 0 1] [--files 100] [--epochs 20]

DIR holds ESC's clips, a folder a class; their own folds are tested, without a validation set. A seed draws the training
originals as `evensong learning-curve` does, source after source, and the first weights. The network trains on a pool of
--files a class made of them, by the recipe of presets/small_set.yaml; the baseline is fitted to the originals.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from balance_worth import macro_f1, originals_of, planned_files, read_clips, write_store
from equal_steps import Arm, kept, kept_in, parsed, parser_of_clips, table, train_arm
from night_copy import machine
from recipe import COARSE, todays

from evensong.learn.baseline import statistics_of
from evensong.learn.heads import fit_head
from evensong.report.learning_curve import drawn
from evensong.schemas import TrackTrain

Found = dict[tuple[str, int], dict[int, list[pd.DataFrame]]]  # by arm and size, and seed: a table a fold


def run(arguments: argparse.Namespace, out: Path) -> None:
    """Train whatever is not there yet, and print the table."""
    clips = read_clips(arguments.clips)
    labels = dict(zip(clips["class_name"], clips["label"], strict=True))
    named = clips.rename(columns={"source_id": "group", "path": "item_id"})
    keys = [(size, seed, fold) for size in arguments.sizes for seed in arguments.seeds for fold in range(3)]
    few = {
        (size, seed, fold): clips.loc[drawn(named[named["fold"] != fold], size, seed).index]
        for size, seed, fold in keys
    }
    plans = {key: planned_files(own, target_samples=arguments.files) for key, own in few.items()}
    planned = [originals_of(clips), *plans.values()]
    store, rows = write_store(out, clips, arguments.clips, planned, COARSE["n_fft"], COARSE["hop_length"])
    features = statistics_of(sorted((out / "mels").glob("*.npy")), 1)
    track = TrackTrain(model=arguments.model, batch_size=32, pretrained=None, folds="all")
    shared = todays(arguments.epochs, "float32")
    found: Found = {(arm, size): {} for size in arguments.sizes for arm in ("baseline", "network")}
    for size, seed, fold in keys:
        test = clips[clips["fold"] == fold].sort_values("path")
        items = pd.DataFrame({"item_id": test["path"], "group": test["source_id"], "label": test["label"]})
        asked = np.array([rows[path, 0] for path in test["path"]])
        own, files = few[size, seed, fold], plans[size, seed, fold]
        pool = np.array([rows[key] for key in zip(files["original_file"], files["copy"], strict=True)])
        arm = Arm(pool, files["class_name"].map(labels).to_numpy())
        train = shared.model_copy(update={"seed": seed})
        makes = {
            "network": partial(
                train_arm, arm, asked, store, n_classes=len(labels), fold=fold, track=track, train=train
            ),
            "baseline": partial(by_baseline, features, own, rows, asked),
        }
        for name, make in makes.items():
            one = kept(out / f"{name}-{size}-{seed}-{fold}.csv", items, make)
            found[name, size].setdefault(seed, []).append(one)
    report(found, sorted(labels), arguments)


def by_baseline(
    features: np.ndarray, own: pd.DataFrame, rows: dict[tuple[str, int], int], asked: np.ndarray
) -> np.ndarray:
    """Probabilities of the baseline's head, fitted to the originals themselves."""
    mine = [rows[path, 0] for path in own["path"]]
    return fit_head("logistic", features[mine], own["label"].to_numpy(), "few clips").probabilities(features[asked])


def report(found: Found, names: list[str], arguments: argparse.Namespace) -> None:
    """Macro-F1 of both at each size, over seeds, and what the network has more."""
    print(machine([0]))
    for size in arguments.sizes:
        scores = {}
        for arm in ("baseline", "network"):
            joined = {seed: pd.concat(parts) for seed, parts in found[arm, size].items()}
            scores[arm] = partial(macro_f1, joined, names)
        first = pd.concat(found["network", size][arguments.seeds[0]])
        rows = table(scores, "baseline", arguments.seeds, first["group"].tolist(), first["label"].to_numpy())
        cpu_s = np.mean([one["cpu_s"].iloc[0] for parts in found["network", size].values() for one in parts])
        print(
            f"\n{size} clips a class; {cpu_s:.0f} CPU s a network\n{rows.to_string(index=False, float_format='%.1f')}"
        )


def main() -> None:
    """Run the bench."""
    parser = parser_of_clips(__doc__, seeds=[0, 1], files=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 8, 16])
    arguments = parsed(parser)
    with kept_in(arguments.out) as out:
        run(arguments, out)


if __name__ == "__main__":
    main()
