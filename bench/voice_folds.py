"""The trainings of several sub-databases: our stage against the same trainings done the plain way, one after the other.

    python bench/voice_folds.py [--data DIR] [--subdbs 2] [--folds 4] [--epochs 10] [--model inception_v3] [--size 96]
        [--precision float32 bfloat16] [--set voice.mels.fmax_hz=1000 ...] [--json FILE]

DIR holds recordings/ and cohort/; without it the sample in data/voice is used. Ours is `src/voice_train.py`: the folds
side by side over runtime.workers, from one parent that has imported everything, over images decoded once (the decoding
is measured and counted). The peer is `bench/plain_voice_fold.py`, a process a fold. Both arms start from the same
images, splits and settings, and are scored by the same code: the AUROC by patient over the pooled test folds, and the
paired difference of the arms. Everything is made in a temporary folder.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np
import pandas as pd
from night_copy import set_params
from PIL import Image
from ruamel.yaml import YAML

from evensong.params import read_params
from evensong.schemas import Evaluate
from evensong.score.estimates import Scored, binary_scores, make_bootstrap, score
from evensong.score.predictions import Predictions, read_predictions
from evensong.voice.fusion import check_same_rows
from evensong.voice.patients import level_of, units_of

ROOT = Path(__file__).resolve().parent.parent
SUBDBS = (5, 3, 7, 1, 9, 2, 4, 6, 8)  # in this order, as many as are asked for


@dataclass
class Arm:
    """What one way of training took, and what it predicted by sub-database."""

    name: str
    wall_s: float = 0.0
    cpu_s: float = 0.0
    predictions: dict[int, Predictions] = field(default_factory=dict)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Add the wall time of the block, and the CPU time of it and of the processes that ended in it."""
        wall, cpu = time.perf_counter(), _cpu_s()
        yield
        self.wall_s += time.perf_counter() - wall
        self.cpu_s += _cpu_s() - cpu


def prepare(folder: Path, data: Path, arguments: argparse.Namespace) -> None:
    """Make images, splits and tables in ``folder`` with our stages."""
    for name in ("recordings", "cohort"):
        shutil.copytree(data / name, folder / "data/voice" / name)
    changes = {
        "voice.subdbs": list(SUBDBS[: arguments.subdbs]),
        "voice.mels.n_mels": arguments.size,
        "voice.mels.width_px": arguments.size,
        "voice.train.model": arguments.model,
        "voice.train.folds": list(range(arguments.folds)),
        "train.epochs": arguments.epochs,
        "runtime.workers": arguments.workers,
    }
    write_params(folder, changes | dict(arguments.set))
    for stage in ("voice_scan", "voice_mels", "voice_splits", "voice_tables"):
        run_stage(folder, stage)


def write_params(folder: Path, changes: dict[str, Any]) -> None:
    """The project's params.yaml, or the one already in the folder, with some values changed."""
    if not (folder / "params.yaml").exists():
        shutil.copy(ROOT / "params.yaml", folder)
    set_params(folder, changes)


def run_stage(folder: Path, name: str, *arguments: str) -> None:
    """One of our scripts, in the folder."""
    run([str(ROOT / "src" / f"{name}.py"), *arguments], folder)


def run(command: list[str], folder: Path) -> None:
    """A Python script, which must succeed; what it says is shown if it does not."""
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")


def train_ours(folder: Path, precision: str) -> Arm:
    """Every sub-database by our stage, and each image decoded once."""
    write_params(folder, {"train.precision": precision, "train.instruction_set": "native"})
    arm = Arm(f"ours, {precision}")
    with arm.measured():
        pixels = decode(folder)
    if not np.array_equal(pixels, np.load(folder / "artifacts/voice/mels.npy")):
        raise SystemExit("the packed images are not what the image files hold")
    for subdb in subdbs_of(folder):
        out = folder / f"artifacts/voice/train/subdb{subdb}"
        shutil.rmtree(out, ignore_errors=True)
        with arm.measured():
            run_stage(folder, "voice_train", str(subdb))
        arm.predictions[subdb] = read_predictions(out / "predictions.csv", 2)
    return arm


def train_plain(folder: Path) -> Arm:
    """Every fold of every sub-database by the peer, one after the other."""
    params, pixels, arm = read_params(folder / "params.yaml"), decode(folder), Arm("plain")
    track, shared = params["voice"]["train"], params["train"]
    settings = {
        "model": track["model"],
        "batch_size": track["batch_size"],
        "train": shared,
        "mean": float(pixels.mean() / 255),
        "std": float(pixels.std() / 255),
    }
    for subdb in subdbs_of(folder):
        parts = []
        for fold in track["folds"]:
            out = folder / f"plain_{subdb}_{fold}.csv"
            table = f"artifacts/voice/combined/subdb{subdb}/audio_imbalmed_subdb{subdb}_combined.csv"
            path = folder / "plain.json"
            path.write_text(json.dumps({**settings, "fold": fold, "table": table, "out": str(out)}))
            with arm.measured():
                run([str(ROOT / "bench/plain_voice_fold.py"), str(path)], folder)
            parts.append(pd.read_csv(out, dtype=str))
        pd.concat(parts).to_csv(folder / "plain.csv", index=False)
        arm.predictions[subdb] = read_predictions(folder / "plain.csv", 2)
    return arm


def decode(folder: Path) -> np.ndarray:
    """(n_images, height, width) uint8: every image file opened once, in the order of the packed array."""
    images = pd.read_csv(folder / "artifacts/voice/mels.csv", dtype={"item_id": str})
    paths = [folder / "artifacts/voice/melSpec" / f"{item}.jpg" for item in images.sort_values("row")["item_id"]]
    return np.stack([np.asarray(Image.open(path).convert("L")) for path in paths])


def subdbs_of(folder: Path) -> list[int]:
    """The sub-databases that are trained."""
    return list(read_params(folder / "params.yaml")["voice"]["subdbs"])


def compare(arms: list[Arm], settings: Evaluate) -> list[dict[str, Any]]:
    """AUROC by patient of each arm, sub-database and mean of those, and each arm's paired difference to the first."""
    rows = []
    for subdb in [*arms[0].predictions, "mean"]:
        bootstrap, scored = None, {}
        for arm in arms:
            level = level_of(patients_of(arm, subdb))
            units = units_of(level.test, level.thresholds)
            bootstrap = bootstrap or make_bootstrap(units, settings, "voice")
            scored[arm.name] = score(units, binary_scores, bootstrap)
        n_patients = len(set(units.groups))
        for name, one in scored.items():
            rows.append({"subdb": subdb, "arm": name, "n_patients": n_patients, **_auroc(one, scored[arms[0].name])})
    return rows


def patients_of(arm: Arm, subdb: int | str) -> Predictions:
    """Predictions by patient of one sub-database, or the mean probability over all of them."""
    if subdb != "mean":
        return arm.predictions[int(subdb)].by_group()
    members = [one.by_group() for one in arm.predictions.values()]
    return members[0].replaced(np.mean([member.probabilities for member in members], axis=0))


def report(arms: list[Arm], scores: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    """Print both tables; returns what the JSON file holds."""
    plain = arms[0]
    tree: dict[str, Any] = {**facts, "arms": {}, "scores": scores}
    print(f"\n{'arm':18}{'wall s':>10}{'CPU s':>10}{'x faster':>10}{'x less CPU':>12}")
    for arm in arms:
        ratios = {"wall_ratio": plain.wall_s / arm.wall_s, "cpu_ratio": plain.cpu_s / arm.cpu_s}
        tree["arms"][arm.name] = {"wall_s": arm.wall_s, "cpu_s": arm.cpu_s, **ratios}
        ratio = f"{ratios['wall_ratio']:10.2f}{ratios['cpu_ratio']:12.2f}"
        print(f"{arm.name:18}{arm.wall_s:10.1f}{arm.cpu_s:10.1f}{ratio}")
    print(f"\n{'sub-database':14}{'arm':18}{'AUROC by patient':28}minus plain, paired")
    for row in scores:
        print(f"{row['subdb']:<14}{row['arm']:18}{_text(row['auroc']):28}{_text(row['minus_plain'])}")
    return tree


def main() -> None:
    """Run the bench."""
    arguments = parse()
    data = arguments.data or ROOT / "data/voice"
    with tempfile.TemporaryDirectory(prefix="voice_folds_") as name:
        folder = Path(name)
        prepare(folder, data.resolve(), arguments)
        run(["-c", "import torch, timm"], folder)  # neither arm pays for reading the libraries from disk
        arms = [train_plain(folder), *(train_ours(folder, precision) for precision in arguments.precision)]
        for arm in arms[1:]:
            for subdb, predictions in arm.predictions.items():
                check_same_rows(arms[0].name, arms[0].predictions[subdb], arm.name, predictions)
        params = read_params(folder / "params.yaml")
    facts = {
        "n_cores": len(os.sched_getaffinity(0)),
        "n_trainings": arguments.subdbs * arguments.folds,
        "settings": {"voice.train": params["voice"]["train"], "voice.mels": params["voice"]["mels"]},
        "epochs": arguments.epochs,
    }
    print(f"{facts['n_trainings']} trainings of {arguments.epochs} epochs, {arguments.model}, {facts['n_cores']} cores")
    tree = report(arms, compare(arms, Evaluate(seed=42, n_bootstrap=2000, confidence=0.95)), facts)
    if arguments.json:
        arguments.json.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--subdbs", type=int, default=2, choices=range(1, 10))
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--model", default="inception_v3")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--workers", type=_number, default="auto")
    parser.add_argument("--set", type=setting, nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def setting(text: str) -> tuple[str, Any]:
    """A dotted key of params.yaml and its value, of KEY=VALUE."""
    name, _, value = text.partition("=")
    return name, YAML(typ="safe").load(value)


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _auroc(one: Scored, first: Scored) -> dict[str, Any]:
    return {"auroc": one.estimate("auroc").tree(), "minus_plain": one.minus(first, "auroc").tree()}


def _text(numbers: dict[str, Any]) -> str:
    if numbers["low"] is None:
        return f"{numbers['value']}, {numbers['reason']}"
    return f"{numbers['value']:.3f} ({numbers['low']:.3f} to {numbers['high']:.3f})"


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
