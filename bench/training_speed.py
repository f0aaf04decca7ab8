"""How fast folds train: ours against timm's usual loop, on the same items, model, epochs and cores.

    python bench/training_speed.py [--cases NAME ...] [--items 256] [--epochs 2] [--quick] [--json FILE]

ours    `run_folds` as the stages call it: a one-thread process a core, channels-last, packed arrays read as whole
        batches, the recipe of params.yaml, bfloat16 where the case says so, the CPU's own instruction set, validation
        each epoch, models written.
usual   one fold after another in one process with torch's default threads: a Dataset that loads one .npy an item,
        a DataLoader with a worker a core, float32, channels-first, torch.optim.AdamW, validation each epoch. It has
        no augmentation, and saves nothing, which is in its favour.

Clocks start after the imports and stop when all folds have predicted their test items. `ratio` compares wall times
and means something on an idle machine only; `cpu ratio` compares CPU seconds. Each arm runs in a process of its own.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
N_CORES = len(os.sched_getaffinity(0))
N_FOLDS = 2


class Case(NamedTuple):
    """What is trained, the precision ours uses for it, and the ratio to reach."""

    model: str
    height: int
    width: int
    dtype: Literal["uint8", "float32"]
    precision: Literal["float32", "bfloat16"]
    target: float


CASES = {
    "inception_v3_96": Case("inception_v3", 96, 96, "uint8", "bfloat16", 2.0),
    "inception_v3_128": Case("inception_v3", 128, 128, "uint8", "bfloat16", 2.0),
    "efficientnet_b1_128x345": Case("efficientnet_b1", 128, 345, "float32", "float32", 1.5),
    "efficientnet_b1_64x128": Case("efficientnet_b1", 64, 128, "float32", "float32", 1.5),
    "loader_128x345": Case("", 128, 345, "float32", "float32", 5.0),
    "loader_96": Case("", 96, 96, "uint8", "float32", 5.0),
}


def write_items(folder: Path, case: Case, n_items: int) -> None:
    """The same random items twice: packed as the mel stages do, ten classes or all images, and one file an item."""
    import numpy as np

    rng = np.random.default_rng(0)
    if case.dtype == "uint8":
        items = rng.integers(0, 256, (n_items, case.height, case.width)).astype(np.uint8)
    else:
        items = rng.normal(-40, 12, (n_items, case.height, case.width)).astype(np.float32)
    for number, part in enumerate(np.array_split(items, 1 if case.dtype == "uint8" else 10)):
        np.save(folder / f"packed_{number}.npy", part)
    (folder / "items").mkdir()
    for row, item in enumerate(items):
        np.save(folder / "items" / f"{row:05d}.npy", item)


def fold_rows(n_items: int, fold: int) -> dict[str, list[int]]:
    """Rows by subset: a tenth each for validation and test, others in each fold; row r has label r % 2."""
    turns = {(2 * fold) % 10: "test", (2 * fold + 1) % 10: "val"}
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for row in range(n_items):
        rows[turns.get(row // 2 % 10, "train")].append(row)
    return rows


def train_ours(folder: Path, case: Case, n_items: int, epochs: int, batch_size: int) -> Callable[[], None]:
    """Both folds through the engine, a process a core."""
    import pandas as pd

    from evensong.learn.cv import Training, run_folds
    from evensong.learn.models import import_timm
    from evensong.params import load_section
    from evensong.schemas import TrackTrain, Train

    import_timm()
    table = pd.DataFrame(
        [
            (row, f"{row:05d}", f"{row:05d}", row % 2, True, fold, subset)
            for fold in range(N_FOLDS)
            for subset, rows in fold_rows(n_items, fold).items()
            for row in rows
        ],
        columns=["row", "item_id", "group", "label", "is_original", "fold", "subset"],
    )
    recipe = load_section("train", Train, ROOT / "params.yaml")
    training = Training(
        table=table,
        arrays=sorted(folder.glob("packed_*.npy")),
        classes=["0", "1"],
        track=TrackTrain(model=case.model, batch_size=batch_size, pretrained=None, folds="all"),
        train=recipe.model_copy(
            update={"epochs": epochs, "precision": case.precision, "instruction_set": "native", "threads": 1}
        ),
        mels={},
    )

    def run() -> None:
        run_folds(training, folder / "out", N_CORES).prune()

    return run


def train_usual(folder: Path, case: Case, n_items: int, epochs: int, batch_size: int) -> Callable[[], None]:
    """Both folds, one after another, as most training scripts do it."""
    import timm
    import torch
    from timm.loss import LabelSmoothingCrossEntropy
    from torch.utils.data import DataLoader

    def run_fold(fold: int) -> None:
        torch.manual_seed(fold)
        rows = fold_rows(n_items, fold)
        loaders = {
            subset: DataLoader(
                ItemFiles(folder / "items", rows[subset]), batch_size, shuffle=subset == "train", num_workers=N_CORES
            )
            for subset in rows
        }
        model = timm.create_model(case.model, in_chans=1, num_classes=2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        criterion = LabelSmoothingCrossEntropy()
        for _ in range(epochs):
            model.train()
            for mels, labels in loaders["train"]:
                optimizer.zero_grad()
                criterion(model(mels), labels).backward()
                optimizer.step()
            scheduler.step()
            predict(model, loaders["val"])
        predict(model, loaders["test"])

    def predict(model: Any, loader: Any) -> None:
        model.eval()
        with torch.no_grad():
            for mels, _ in loader:
                model(mels).softmax(dim=1)

    def run() -> None:
        for fold in range(N_FOLDS):
            run_fold(fold)

    return run


class ItemFiles:
    """A map-style dataset: one .npy an item, read when it is asked for."""

    def __init__(self, folder: Path, rows: list[int]) -> None:
        self.folder, self.rows = folder, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        import numpy as np
        import torch

        item = np.load(self.folder / f"{self.rows[index]:05d}.npy")
        mels = torch.from_numpy(item).float().unsqueeze(0)
        return (mels / 255 if item.dtype == np.uint8 else mels), self.rows[index] % 2


def load_ours(folder: Path, _case: Case, n_items: int, epochs: int, batch_size: int) -> Callable[[], None]:
    """Shuffled epochs of whole batches out of the packed arrays, in one process."""
    import numpy as np

    from evensong.learn.store import ArrayStore

    store, rng = ArrayStore(sorted(folder.glob("packed_*.npy"))), np.random.default_rng(0)

    def run() -> None:
        for _ in range(epochs):
            rows = rng.permutation(n_items)
            for start in range(0, n_items, batch_size):
                store.read(rows[start : start + batch_size])

    return run


def load_usual(folder: Path, _case: Case, n_items: int, epochs: int, batch_size: int) -> Callable[[], None]:
    """The same through a DataLoader in the main process, the faster way for small items."""
    from torch.utils.data import DataLoader

    loader = DataLoader(ItemFiles(folder / "items", list(range(n_items))), batch_size, shuffle=True)

    def run() -> None:
        for _ in range(epochs):
            for _batch in loader:
                pass

    return run


def time_arm(arm: str, name: str, folder: Path, n_items: int, epochs: int, batch_size: int) -> dict[str, float]:
    """Wall and CPU seconds of one arm, children included; runs in a process of its own."""
    ours, usual = (train_ours, train_usual) if CASES[name].model else (load_ours, load_usual)
    os.chdir(folder)
    run = (ours if arm == "ours" else usual)(folder, CASES[name], n_items, epochs, batch_size)
    if not CASES[name].model:
        run()  # the files are in memory, for both arms
    cpu_before, before = cpu_seconds(), time.perf_counter()
    run()
    return {"wall_s": time.perf_counter() - before, "cpu_s": cpu_seconds() - cpu_before}


def cpu_seconds() -> float:
    """User and system time of this process and of its children that ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def compare(name: str, n_items: int, epochs: int, batch_size: int) -> dict[str, Any]:
    """Both arms of one case, one after the other, each with the threads its kind of program has."""
    found: dict[str, Any] = {"case": name, **CASES[name]._asdict(), "items": n_items, "epochs": epochs}
    with tempfile.TemporaryDirectory() as folder:
        write_items(Path(folder), CASES[name], n_items)
        for arm in ("usual", "ours"):
            environment = {key: value for key, value in os.environ.items() if key not in THREAD_VARIABLES}
            if arm == "ours":
                environment |= dict.fromkeys(THREAD_VARIABLES, "1")  # as run.stage sets them
            command = [sys.executable, __file__, "--arm", arm, "--cases", name, "--folder", folder]
            command += ["--items", str(n_items), "--epochs", str(epochs), "--batch", str(batch_size)]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            found |= {f"{arm}_{what}": seconds for what, seconds in json.loads(done.stdout.splitlines()[-1]).items()}
    found["ratio"] = found["usual_wall_s"] / found["ours_wall_s"]
    found["cpu_ratio"] = found["usual_cpu_s"] / found["ours_cpu_s"]
    return found


def row_of(found: dict[str, Any]) -> str:
    """One line of the table; items a second count each fold's items once an epoch."""
    n_seen = found["items"] * found["epochs"] * (N_FOLDS if found["model"] else 1)
    rates = [n_seen / found[f"{arm}_wall_s"] for arm in ("usual", "ours")]
    return (
        f"{found['case']:26}{found['precision'] if found['model'] else '':10}{rates[0]:12.1f}{rates[1]:12.1f}"
        f"{found['ratio']:8.2f}{found['target']:8.1f}{found['cpu_ratio']:11.2f}"
    )


def main() -> None:
    """Print the table, and write the figures behind it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--quick", action="store_true", help="40 items, 1 epoch: does it run?")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--arm", choices=["ours", "usual"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        arguments = (options.cases[0], options.folder, options.items, options.epochs, options.batch)
        print(json.dumps(time_arm(options.arm, *arguments)))
        return
    n_items, epochs = (40, 1) if options.quick else (options.items, options.epochs)
    print(f"{N_CORES} cores, items a second of wall time")
    print(f"{'case':26}{'ours in':10}{'usual':>12}{'ours':>12}{'ratio':>8}{'target':>8}{'cpu ratio':>11}")
    table = []
    for name in options.cases:
        is_loader = not CASES[name].model
        table.append(compare(name, n_items * 8 if is_loader else n_items, epochs, 128 if is_loader else options.batch))
        print(row_of(table[-1]), flush=True)
    if options.json:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": N_CORES}
        options.json.write_text(json.dumps({"machine": machine, "cases": table}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
