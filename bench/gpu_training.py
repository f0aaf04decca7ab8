"""Training on one GPU: items a second, how busy it is, how near its arithmetic limit, and ninety small folds in one go.

    python bench/gpu_training.py [--device cuda] [--workers 1 4 8 16] [--quick] [--json FILE]

`fold`    one fold alone: items a second over its epochs after a first one; mean utilisation as nvidia-smi reports it;
          FLOPs of a training step as torch counts them, a second, as a share of what a large matrix product reaches on
          this device in the same precision.
`ninety`  ninety inception_v3 trainings of 60 images x 3 epochs as one run of 90 folds, for several numbers of worker
          processes on the one GPU; the hash of all predictions and weights says whether results depend on them.

Every measurement runs in a process of its own: workers are forked, and a process that has used CUDA cannot be.
`--device cpu --quick` shows that the script runs where there is no GPU; its figures mean nothing.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np
import pandas as pd
import torch

from evensong.errors import ParamsError
from evensong.learn.cv import Training, run_folds
from evensong.learn.device import check_device
from evensong.learn.fit import Fold, Trainer
from evensong.learn.fold_table import SUBSETS, items_of, subset_of
from evensong.learn.store import ArrayStore
from evensong.params import load_section
from evensong.schemas import TrackTrain, Train

ROOT = Path(__file__).resolve().parent.parent


class Case(NamedTuple):
    """One fold that is trained alone."""

    model: str
    height: int
    width: int
    batch_size: int
    dtype: Literal["uint8", "float32"]
    precision: Literal["float32", "bfloat16"]


CASES = {
    "inception_v3_128_b32": Case("inception_v3", 128, 128, 32, "uint8", "bfloat16"),
    "inception_v3_128_b256": Case("inception_v3", 128, 128, 256, "uint8", "bfloat16"),
    "inception_v3_128_b256_float32": Case("inception_v3", 128, 128, 256, "uint8", "float32"),
    "efficientnet_b1_128x345_b128": Case("efficientnet_b1", 128, 345, 128, "float32", "bfloat16"),
}
QUICK = Case("test_efficientnet", 32, 32, 8, "uint8", "bfloat16")
NINETY = Case("inception_v3", 96, 96, 32, "uint8", "bfloat16")


def fold_table(n_items: int, n_folds: int) -> pd.DataFrame:
    """Each fold trains on all but two tenths of the items; item i has label i % 2."""
    names = np.array(["train"] * 8 + ["val", "test"])
    items = np.arange(n_items)
    folds = [
        pd.DataFrame({"row": items, "label": items % 2, "fold": fold, "subset": names[(items // 2 + fold) % 10]})
        for fold in range(n_folds)
    ]
    table = pd.concat(folds, ignore_index=True)
    return table.assign(item_id=table["row"].map("{:06d}".format), group=lambda t: t["item_id"], is_original=True)


def make_training(folder: Path, case: Case, n_items: int, n_folds: int, epochs: int, device: str) -> Training:
    """Random items in one packed array, and the recipe of params.yaml on that device."""
    rng = np.random.default_rng(0)
    items = rng.integers(0, 256, (n_items, case.height, case.width)).astype(case.dtype)
    np.save(folder / "items.npy", items)
    recipe = load_section("train", Train, ROOT / "params.yaml")
    return Training(
        table=fold_table(n_items, n_folds),
        arrays=[folder / "items.npy"],
        classes=["0", "1"],
        track=TrackTrain(model=case.model, batch_size=case.batch_size, pretrained=None, folds="all"),
        train=recipe.model_copy(
            update={"epochs": epochs, "precision": case.precision, "instruction_set": "native", "device": device}
        ),
        mels={},
    )


def measure_fold(case: Case, n_items: int, epochs: int, device: str, folder: Path) -> dict[str, Any]:
    """Items a second, utilisation and share of the arithmetic limit of one fold."""
    training = make_training(folder, case, n_items, 1, epochs + 1, device)
    parts = (subset_of(items_of(training.table, 0, name)) for name in SUBSETS)
    fold = Fold(0, *parts, 2, training.track, training.train)
    trainer = Trainer(fold, ArrayStore(training.arrays))
    trainer.train_epoch(1)  # cuDNN chooses, the allocator fills
    wait(device)
    with Utilisation(device) as busy:
        before = time.perf_counter()
        for epoch in range(2, epochs + 2):
            trainer.train_epoch(epoch)
        wait(device)
        seconds = time.perf_counter() - before
    n_seen = len(fold.train_set) * epochs
    rate = n_seen * step_flops(trainer) / seconds
    limit = matrix_rate(case.precision, device)
    memory = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    return {
        "items_per_s": n_seen / seconds,
        "utilisation_percent": busy.mean,
        "tflops": rate / 1e12,
        "limit_tflops": limit / 1e12,
        "share_of_limit": rate / limit,
        "memory_gib": memory,
    }


def wait(device: str) -> None:
    """Until the GPU has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def step_flops(trainer: Trainer) -> float:
    """FLOPs of one item's share of a training step, forward and backward; validation is not counted."""
    from torch.utils.flop_counter import FlopCounterMode

    mels = torch.rand(2, 1, *trainer.size, device=trainer.device)
    with FlopCounterMode(display=False) as counter:
        trainer.model.train()(mels).sum().backward()
    return counter.get_total_flops() / 2


def matrix_rate(precision: str, device: str) -> float:
    """FLOPs a second of a large matrix product of random numbers, the best of ten."""
    size = 8192 if device == "cuda" else 512
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    one, other = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        wait(device)
        before = time.perf_counter()
        one @ other
        wait(device)
        best = min(best, time.perf_counter() - before)
    return 2 * size**3 / best


class Utilisation:
    """Mean share of the time in which any kernel ran, sampled five times a second by nvidia-smi; None without it."""

    def __init__(self, device: str) -> None:
        self._command = shutil.which("nvidia-smi") if device == "cuda" else None
        self.mean: float | None = None

    def __enter__(self) -> "Utilisation":
        if self._command:
            query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0", "--loop-ms=200"]
            self._reader = subprocess.Popen([self._command, *query], stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._command:
            self._reader.terminate()
            said, _ = self._reader.communicate()
            shares = [float(line) for line in said.split() if line.isdigit()]
            self.mean = float(np.mean(shares)) if shares else None


def measure_ninety(case: Case, workers: int, device: str, folder: Path, *, n_folds: int) -> dict[str, Any]:
    """Seconds of all folds, and one hash over everything that was written."""
    training = make_training(folder, case, 75, n_folds, 3, device)  # 60 of 75 are trained on
    before = time.perf_counter()
    with Utilisation(device) as busy:
        run_folds(training, folder / "out", workers).prune()
    seconds = time.perf_counter() - before
    digest = hashlib.sha256()
    for path in sorted((folder / "out").rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return {
        "workers": workers,
        "folds": n_folds,
        "seconds": seconds,
        "utilisation_percent": busy.mean,
        "sha256": digest.hexdigest(),
    }


def in_own_process(what: str, options: argparse.Namespace, *extra: str) -> dict[str, Any]:
    """Run one measurement of this script elsewhere."""
    command = [sys.executable, __file__, "--measure", what, "--device", options.device, *extra]
    command += ["--quick"] if options.quick else []
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # as run.stage does
    done = subprocess.run(command, env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(what: str, options: argparse.Namespace) -> dict[str, Any]:
    """One measurement, here."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)  # outside any repository: the state of the folds goes here too
        if what == "ninety":
            case, n_folds = (QUICK, 4) if options.quick else (NINETY, 90)
            return measure_ninety(case, options.workers[0], options.device, folder, n_folds=n_folds)
        case, n_items, epochs = (QUICK, 40, 1) if options.quick else (CASES[what], 4096, 4)
        return measure_fold(case, n_items, epochs, options.device, folder)


def text(value: float | None, form: str) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else format(value, form)


def main() -> None:
    """Print two tables, and write the figures behind them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--quick", action="store_true", help="a tiny model and four folds: does it run?")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=["ninety", *CASES], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options)))
        return
    try:
        check_device(options.device)
    except ParamsError as error:
        parser.error(str(error))
    found: dict[str, Any] = {"fold": {}, "ninety": []}
    print(f"{'fold':34}{'items/s':>10}{'busy %':>8}{'TFLOP/s':>10}{'limit':>9}{'share':>8}{'GiB':>7}")
    for name in list(CASES)[:1] if options.quick else CASES:
        one = found["fold"][name] = in_own_process(name, options)
        print(
            f"{name:34}{one['items_per_s']:10.1f}{text(one['utilisation_percent'], '.0f'):>8}{one['tflops']:10.2f}"
            f"{one['limit_tflops']:9.1f}{one['share_of_limit']:8.1%}{text(one['memory_gib'], '.1f'):>7}",
            flush=True,
        )
    print(f"\n{'ninety folds, workers':34}{'seconds':>10}{'busy %':>8}  sha256")
    for workers in options.workers:
        one = in_own_process("ninety", options, "--workers", str(workers))
        found["ninety"].append(one)
        busy = text(one["utilisation_percent"], ".0f")
        print(f"{workers:<34}{one['seconds']:10.1f}{busy:>8}  {one['sha256'][:16]}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
