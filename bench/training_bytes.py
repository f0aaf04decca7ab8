"""Whether a training's bytes depend on the CPU: a hash of one small fold's weights and predictions for each variant.

    python bench/training_bytes.py [--models test_efficientnet ...] [--qemu FILE --cpus Haswell EPYC-Rome] [--json FILE]

Every variant trains the same fold in a process of its own, with `train.instruction_set` native and portable. What a
variable can mask is masked on this CPU; with --qemu (QEMU's user emulator for x86-64, 7.2 or newer) whole CPUs are
emulated, which takes minutes each. Leaves with 1 if two hashes of `portable` differ. (Any number of fold workers, kills
and other folders are tests: tests/learn/test_determinism.py, test_resume.py.)
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SETS = ("native", "portable")

TRAIN = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from evensong.run import stage  # first: it sets the thread counts
from evensong.learn.device import pin_instruction_set
from evensong.learn.fit import Fold, fit_fold
from evensong.learn.resume import FoldState
from evensong.learn.store import ArrayStore
from evensong.learn.fold_table import Subset
from evensong.params import load_section
from evensong.schemas import TrackTrain, Train
import numpy as np

model, instruction_set, params = sys.argv[2:]
pin_instruction_set(instruction_set)
size = 80 if model.startswith("inception") else 32
np.save("items.npy", np.random.default_rng(0).normal(-40, 12, (24, size, size)).astype(np.float32))
subsets = [
    Subset(rows=rows, labels=rows % 2, originals=np.ones(len(rows), bool)) for rows in np.split(np.arange(24), [16, 20])
]
train = load_section("train", Train, Path(params)).model_copy(
    update={"epochs": 2, "device": "cpu", "precision": "float32", "threads": 1, "instruction_set": instruction_set}
)
track = TrackTrain(model=model, batch_size=8, pretrained=None, folds="all")
fold = Fold(0, *subsets, 2, track, train)
fitted = fit_fold(fold, ArrayStore([Path("items.npy")]), FoldState(Path("state")), lambda row: None)
digest = hashlib.sha256()
for name in sorted(fitted.weights):
    digest.update(fitted.weights[name].contiguous().numpy().tobytes())
digest.update(fitted.probs["val"].tobytes() + fitted.probs["test"].tobytes())
print(digest.hexdigest())
"""


class Variant(NamedTuple):
    """One CPU, or what is left of it."""

    name: str
    prefix: Sequence[str] = ()
    variables: Mapping[str, str] = {}


MASKED = (
    Variant("this CPU"),
    Variant(
        "NumPy, OpenBLAS and libc without AVX-512",
        variables={
            "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
            "OPENBLAS_CORETYPE": "Haswell",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ",
        },
    ),
    Variant(
        "torch and oneDNN without AVX-512", variables={"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    ),
    Variant(
        "torch and oneDNN without AVX2", variables={"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    ),
)


def hash_of(variant: Variant, model: str, instruction_set: str) -> str:
    """The first 16 digits of the hash that a training in a fresh process prints."""
    arguments = [sys.executable, "-c", TRAIN, str(ROOT / "src"), model, instruction_set, str(ROOT / "params.yaml")]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONWARNINGS": "ignore", **variant.variables}
        done = subprocess.run(
            [*variant.prefix, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"{variant.name}, {model}, {instruction_set}:\n{done.stderr}")
    return done.stdout.split()[-1][:16]


def main() -> int:
    """One table a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["test_efficientnet", "test_resnet", "inception_v3"])
    parser.add_argument("--qemu", type=Path)
    parser.add_argument("--cpus", nargs="+", default=["Haswell", "EPYC-Rome"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    emulated = [Variant(f"{cpu}, emulated", (str(options.qemu), "-cpu", cpu)) for cpu in options.cpus]
    variants = [*MASKED, *(emulated if options.qemu else [])]
    rows = []
    for model in options.models:
        print(f"\n{model:42}" + "".join(f"{name:20}" for name in SETS))
        for variant in variants:
            found = {name: hash_of(variant, model, name) for name in SETS}
            rows.append({"model": model, "variant": variant.name, **found})
            print(f"{variant.name:42}" + "".join(f"{found[name]:20}" for name in SETS), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    portable = {(row["model"], row["portable"]) for row in rows}
    print(f"\nportable: {len(portable)} hashes for {len(options.models)} models and {len(variants)} variants")
    return int(len(portable) > len(options.models))


if __name__ == "__main__":
    sys.exit(main())
