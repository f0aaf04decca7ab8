"""Whether the night track's bytes depend on anything but the clips and params.yaml: one row of hashes a variant.

    python bench/night_bytes.py --clips DIR [--per-class 12] [--json FILE]

DIR holds a folder of recordings a class. The stages night_scan to night_mels run in a copy of the checkout, once for
every variant of workers, start method, folder, locale, time zone, hash seed, listing order, threads and processor
features. Leaves with 1 if any hash differs from the first row's.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy
from night_copy import make_copy, remove, set_params

STAGES = ("night_cut", "night_scan", "night_augment", "night_index", "night_mels")
OUTPUTS = {
    "pool": "artifacts/night/pool",
    "pool.csv": "artifacts/night/pool.csv",
    "index": "artifacts/night/balanced_audio_index.db",
    "mels": "artifacts/night/mels",
}
# NumPy is told the names of its own build: others it ignores without a word.
DISPATCHED = [name for name in numpy._core._multiarray_umath.__cpu_dispatch__ if name.startswith(("X86_V", "AVX"))]
BEYOND_AVX2 = [name for name in DISPATCHED if name == "X86_V4" or name.startswith("AVX512")]
TWO_THREADS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "2")
# Runs a stage's script as `python` does, after what a variant changes first.
PLAIN = "import runpy, sys; sys.path[0:0] = ['src']; {first}; runpy.run_path(sys.argv[1], run_name='__main__')"
SPAWN = (
    "import multiprocessing; from evensong.run import parallel; "
    "parallel._CONTEXT = multiprocessing.get_context('spawn')"
)
REVERSED = (
    "import os; ls, walk, scan = os.listdir, os.walk, os.scandir; "
    "os.listdir = lambda *a: sorted(ls(*a), reverse=True); "
    "import pathlib; it = pathlib.Path.iterdir; "
    "pathlib.Path.iterdir = lambda p: iter(sorted(it(p), reverse=True))"
)


@dataclass(frozen=True)
class Variant:
    """One way to run the same stages on the same clips."""

    name: str
    workers: int = 2
    first: str = "pass"
    variables: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    is_elsewhere: bool = False
    is_copied_backwards: bool = False


VARIANTS = (
    Variant("2 workers"),
    Variant("1 worker", workers=1),
    Variant("4 workers", workers=4),
    Variant("spawned workers", first=SPAWN),
    Variant("another folder", is_elsewhere=True),
    Variant("listing reversed", first=REVERSED),
    Variant("files created in reverse", is_copied_backwards=True),
    Variant("LC_ALL=C", variables={"LC_ALL": "C", "LANG": "C"}),
    Variant("TZ=Pacific/Chatham", variables={"TZ": "Pacific/Chatham"}),
    Variant("PYTHONHASHSEED=1", variables={"PYTHONHASHSEED": "1"}),
    Variant("2 threads", variables=TWO_THREADS),
    Variant("one core", prefix=("taskset", "-c", "0")),
    Variant("NumPy without AVX-512", variables={"NPY_DISABLE_CPU_FEATURES": " ".join(BEYOND_AVX2)}),
    Variant("NumPy without AVX2", variables={"NPY_DISABLE_CPU_FEATURES": " ".join(DISPATCHED)}),
    Variant("OpenBLAS as Haswell", variables={"OPENBLAS_CORETYPE": "Haswell"}),
    Variant("OpenBLAS as Prescott", variables={"OPENBLAS_CORETYPE": "Prescott"}),
    Variant("numba for any processor", variables={"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}),
)


def main() -> None:
    """Run every variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--per-class", type=int, default=12, help="pool files a class (default: %(default)s)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(f"{'variant':<26}" + "".join(f"{name:<18}" for name in OUTPUTS), flush=True)
    with tempfile.TemporaryDirectory(prefix="evensong-bytes-") as folder:
        copy = make_copy(Path(folder) / "here", arguments.clips, workers=2)
        set_params(copy, {"night.augment.target_samples": arguments.per_class})
        table = {variant.name: hashes_of(variant, copy) for variant in VARIANTS}
    first = next(iter(table.values()))
    differing = [name for name, found in table.items() if found != first]
    print(f"\n{', '.join(differing)} differ" if differing else f"\n{len(table)} variants, one hash an output")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if differing else 0)


def hashes_of(variant: Variant, copy: Path) -> dict[str, str]:
    """Run the stages one way and hash what they made."""
    where = copy
    if variant.is_elsewhere:
        where = copy.parent.parent / "a folder with blanks, é"
        shutil.copytree(copy, where)
    if variant.is_copied_backwards:
        copy_backwards(where / "data/night")
    set_params(where, {"runtime.workers": variant.workers})
    remove(where / "artifacts/night")
    (where / "metrics/night").mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        command = [*variant.prefix, sys.executable, "-c", PLAIN.format(first=variant.first), f"src/{stage}.py"]
        environment = os.environ | {"PYTHONPATH": str(where / "src")} | dict(variant.variables)
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{variant.name}, {stage} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    found = {name: digest(where / path) for name, path in OUTPUTS.items()}
    print(f"{variant.name:<26}" + "".join(f"{value[:16]:<18}" for value in found.values()), flush=True)
    return found


def copy_backwards(folder: Path) -> None:
    """Create every file anew, last name first, so that the directory lists them in another order."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), reverse=True)
    contents = [(path, path.read_bytes()) for path in files]
    shutil.rmtree(folder)
    for path, content in contents:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def digest(path: Path) -> str:
    """sha256 over the names and bytes of a folder's files, or of one file."""
    found = hashlib.sha256()
    for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if one.is_file():
            found.update(f"{one.relative_to(path.parent).as_posix()}\0{one.stat().st_size}\0".encode())
            found.update(one.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    main()
