"""For the benches of the night track: a copy of this checkout with other clips, and commands measured in it.

The copy is made in a temporary folder from the files of the checkout as they are, so that neither the outputs nor the
DVC cache of the user are touched. Linux only: processes are pinned to as many cores as there are workers.
"""

import argparse
import importlib.metadata
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SOURCE_MELS = {
    **{"n_fft": 2048, "hop_length": 512, "n_mels": 128, "fmin_hz": 50, "fmax_hz": 11000},
    **{"clip_seconds": 8, "top_db": 80},
}
POOL_RATE_HZ = 22_050
_PACKAGES = ("numpy", "scipy", "librosa", "audiomentations", "soundfile", "soxr", "dvc")


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of the processors in the command and everything it started."""

    wall_s: float
    cpu_s: float


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that the benches share: --clips, --workers, --folder, --json."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--json", type=Path)
    return parser


def make_copy(folder: Path, clips: Path, workers: int) -> Path:
    """Copy the checkout and put the clips into it, with the settings of the source documents.

    Args:
        folder: where the copy comes to lie.
        clips: a folder of recordings a class.
        workers: for runtime.workers.
    """
    copy = folder / "evensong"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and not name.startswith(".dvc/sample-store") and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    for class_folder in sorted(path for path in clips.iterdir() if path.is_dir()):
        shutil.copytree(class_folder, copy / "data/night" / class_folder.name)
    (copy / "data/field").mkdir(parents=True)
    (copy / "data/field/.keep").touch()
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "init.defaultBranch=main"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "the checkout as it is"]):
        subprocess.run([*git, *arguments], cwd=copy, check=True, stdout=subprocess.DEVNULL)
    set_params(
        copy,
        {
            "night.scan.group_pattern": None,
            "night.augment.max_copies": 10_000,
            "night.augment.sample_rate_hz": POOL_RATE_HZ,
            "runtime.workers": workers,
            **{f"night.mels.{name}": value for name, value in SOURCE_MELS.items()},
        },
    )
    return copy


def set_params(copy: Path, values: Mapping[str, Any]) -> None:
    """Change values of params.yaml, given by dotted key."""
    yaml, path = YAML(), copy / "params.yaml"
    tree = yaml.load(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        *sections, name = key.split(".")
        section = tree
        for one in sections:
            section = section[one]
        section[name] = value
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)


def run(command: Sequence[str], cwd: Path, variables: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end, without the user's own thread settings; leave with its output where it fails."""
    environment = {key: value for key, value in os.environ.items() if key not in THREAD_VARIABLES}
    before, start = _children_cpu_s(), time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment | {"PYTHONWARNINGS": "ignore"} | dict(variables or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    cost = Cost(time.perf_counter() - start, _children_cpu_s() - before)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return cost


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def remove(*paths: Path) -> None:
    """Delete files and folders that are there, so that every measurement starts without them."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def pin(n_cores: int) -> list[int]:
    """Keep this process and its children on so many cores; returns which."""
    cores = sorted(os.sched_getaffinity(0))[:n_cores]
    os.sched_setaffinity(0, cores)
    return cores


def machine(cores: Sequence[int]) -> dict[str, Any]:
    """What the numbers were measured on, for the first lines of a report."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "processor": models[0] if models else platform.machine(),
        "cores_used": len(cores),
        "cores_there": os.cpu_count(),
        "memory_gb": round(memory_bytes / 1e9, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def describe(facts: Mapping[str, Any]) -> str:
    """The machine in three lines, and a warning where it is busy."""
    lines = [
        f"{facts['processor']}, {facts['cores_used']} of {facts['cores_there']} cores, {facts['memory_gb']} GB; "
        f"{facts['system']}",
        "Python " + facts["python"] + "".join(f", {name} {facts[name]}" for name in _PACKAGES),
        f"evensong {facts['commit']}; load when this began: {facts['load_at_start']}",
    ]
    if facts["load_at_start"] > facts["cores_there"] / 4:
        lines.append("the machine was busy: wall times are too long, CPU seconds are nearer to the truth")
    return "\n".join(lines)
