"""What night_augment and night_mels cost as the pool grows: time and memory a worker, and DVC's share.

    python bench/night_growth.py --clips DIR [--per-class 50 500 2000] [--workers 2] [--folder DIR] [--json FILE]

DIR holds a folder of recordings a class. For every size both scripts run once by themselves, watched for their memory,
and once under `dvc repro`, every copy new to the DVC cache; DVC's share is what that takes longer than the script it
runs. Then `dvc repro night_mels` is asked once more, with nothing left to do. Memory is what a process has for itself
(its unique set: what it shares with its parent by the fork is not counted), the largest value seen at any moment.
At 20,000 pool files this takes about 22 GB in the temporary folder; nothing of the checkout is changed.
"""

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from night_copy import Cost, describe, machine, make_copy, make_parser, pin, remove, run, set_params

STAGES = {"night_augment": ("pool", "pool.csv", "pool_metadata.json"), "night_mels": ("mels",)}
COLUMNS = {
    "script s": "wall_s",
    "CPU ms a file": "cpu_ms_a_file",
    "MB a worker": "worker_mb",
    "MB parent": "parent_mb",
    "DVC s": "dvc_s",
    "DVC CPU s": "dvc_cpu_s",
}
_LOOK_EVERY_S = 0.1


class MemoryWatch:
    """Follows this process's children in a thread.

    Attributes:
        worker_mb: the most that any grandchild had for itself.
        parent_mb: the most that any child had for itself.
    """

    def __init__(self) -> None:
        self.worker_mb = self.parent_mb = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        here = psutil.Process()
        while not self._ended.wait(_LOOK_EVERY_S):
            for child in here.children():
                self.parent_mb = max(self.parent_mb, own_mb(child))
                for worker in children_of(child):
                    self.worker_mb = max(self.worker_mb, own_mb(worker))


def children_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes it has started; none once it has ended."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def own_mb(process: psutil.Process) -> float:
    """Memory that would be free if only this process ended, in MB; 0 once it has ended."""
    try:
        return process.memory_full_info().uss / 1e6
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return 0.0


class Dvc:
    """DVC in the copy, with a cache and a site cache of its own."""

    def __init__(self, folder: Path, copy: Path) -> None:
        self._copy, self._log = copy, folder / "python.log"
        programs = folder / "bin"
        programs.mkdir()
        timed = programs / "python"  # DVC runs this one, which notes how long the stage's script itself took
        timed.write_text(
            f'#!/bin/sh\nstart=$(date +%s.%N)\n"{sys.executable}" "$@"\ncode=$?\n'
            f'echo "$start $(date +%s.%N)" >> "{self._log}"\nexit $code\n'
        )
        timed.chmod(0o755)
        self._variables = {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            "DVC_NO_ANALYTICS": "1",
        }

    def repro(self, *arguments: str) -> Cost:
        """Run `dvc repro` with these arguments."""
        return run([sys.executable, "-m", "dvc", "repro", "-q", *arguments], self._copy, self._variables)

    def stage(self, name: str) -> tuple[Cost, float]:
        """Run one stage; its cost, and the seconds that its script took of it."""
        remove(self._log)
        whole = self.repro("--single-item", "--force", name)
        start_s, end_s = (float(moment) for moment in self._log.read_text(encoding="utf-8").split())
        return whole, end_s - start_s


def main() -> None:
    """Measure every size and print one table a stage."""
    parser = make_parser(__doc__)
    parser.add_argument("--per-class", type=int, nargs="+", default=[50, 500, 2000])
    arguments = parser.parse_args()
    facts = machine(pin(arguments.workers))
    print(describe(facts), flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="evensong-bench-") as folder:
        copy = make_copy(Path(folder), arguments.clips.resolve(), arguments.workers)
        dvc = Dvc(Path(folder), copy)
        dvc.repro("night_scan")
        sizes = [measure(copy, dvc, per_class) for per_class in arguments.per_class]
    for stage in STAGES:
        print(f"\n{stage:14}" + "".join(f"{title:>15}" for title in COLUMNS))
        for size in sizes:
            row = "".join(f"{size[stage][key]:15.1f}" for key in COLUMNS.values())
            print(f"{size['files']:8} files{row}")
    print("\ndvc repro night_mels with nothing left to do")
    for size in sizes:
        print(f"{size['files']:8} files: {size['idle']['wall_s']:.1f} s, CPU {size['idle']['cpu_s']:.1f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts, "sizes": sizes}, indent=1) + "\n", encoding="utf-8")


def measure(copy: Path, dvc: Dvc, per_class: int) -> dict[str, Any]:
    """Both stages at one size: alone, under DVC, and DVC with nothing to do."""
    # another seed at each size: no file of an earlier one is in DVC's cache
    set_params(copy, {"night.augment.target_samples": per_class, "night.augment.seed": per_class})
    dvc.repro("--single-item", "check_params")
    numbers: dict[str, Any] = {}
    for stage, names in STAGES.items():
        outputs = [copy / "artifacts/night" / name for name in names]
        remove(*outputs)
        with MemoryWatch() as memory:
            alone = run([sys.executable, f"src/{stage}.py"], copy)
        remove(*outputs)
        whole, script_s = dvc.stage(stage)
        n_files = sum(1 for path in (copy / "artifacts/night/pool").rglob("*.wav"))
        numbers[stage] = {
            **vars(alone),
            "cpu_ms_a_file": 1000 * alone.cpu_s / n_files,
            "worker_mb": memory.worker_mb,
            "parent_mb": memory.parent_mb,
            "dvc_s": whole.wall_s - script_s,
            "dvc_cpu_s": whole.cpu_s - alone.cpu_s,
        }
        numbers["files"] = n_files
    dvc.repro("night_mels")
    numbers["idle"] = vars(dvc.repro("night_mels"))
    print(f"{time.strftime('%H:%M:%S')} {n_files} files done", file=sys.stderr, flush=True)
    return numbers


if __name__ == "__main__":
    main()
