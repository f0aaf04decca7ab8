"""Pool and mels side by side with a plain script that does the same work on the same clips.

    python bench/night_speed.py --clips DIR [--per-class 500] [--repeats 3] [--workers 2] [--folder DIR] [--json FILE]

DIR holds a folder of recordings a class; the figures in docs/speed.md are of 240 ESC-10 clips (ogg, 5 s, 44.1 kHz).
Every arm makes the same files: ours has drawn which copies and which values, the peers are given them. Every arm is a
process of its own with as many workers, imports and start-up included; the order turns round from repeat to repeat.

The peer (bench/plain_pool.py, bench/plain_mels.py) is run as people write it, with the numerical libraries' default
threads; tuned, with one thread a worker; and, to tell what is won by the sample rate alone, tuned and at our 22.05 kHz.
Before ours runs night_scan, which decodes and checks every original; the peers check nothing, so its time stands apart.
Takes about 7 GB in the temporary folder at 500 files a class, and nothing of the checkout is changed.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np
import pandas as pd
from night_copy import (
    POOL_RATE_HZ,
    SOURCE_MELS,
    THREAD_VARIABLES,
    Cost,
    describe,
    machine,
    make_copy,
    make_parser,
    pin,
    remove,
    run,
    set_params,
)
from plain_mels import log_mel

from evensong.audio.wav import read_wav
from evensong.intake.tables import read_clips, read_pool
from evensong.night.plan import plan_pool
from evensong.params import load_section
from evensong.run.parallel import map_tasks
from evensong.schemas import NightAugment

BENCH = Path(__file__).resolve().parent
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")
OURS = "ours"
PEERS = (
    ("peer, as written", "own", {}),
    ("peer, tuned", "own", ONE_THREAD),
    ("peer, tuned, 22.05 kHz", "22k", ONE_THREAD),
)
MEL_SETTINGS = SOURCE_MELS | {"sample_rate_hz": POOL_RATE_HZ}


@dataclass
class Arm:
    """One way of doing a stage.

    Attributes:
        note: what it reads and writes.
        made: what it makes, deleted before every run.
    """

    name: str
    note: str
    command: Sequence[str]
    made: Sequence[Path]
    variables: dict[str, str] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)


def main() -> None:
    """Measure everything and print one report."""
    parser = make_parser(__doc__)
    parser.add_argument("--per-class", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    facts = machine(pin(arguments.workers))
    print(describe(facts), flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="evensong-bench-") as folder:
        report = compare(Path(folder), arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts} | report, indent=1) + "\n", encoding="utf-8")


def compare(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Scan once, then run every arm of both stages; returns the numbers."""
    copy = make_copy(folder, arguments.clips.resolve(), arguments.workers)
    set_params(copy, {"night.augment.target_samples": arguments.per_class})
    scan = run([sys.executable, "src/night_scan.py"], copy)
    plan = planned(copy)
    size = {"originals": plan["original_file"].nunique(), "files": len(plan), "classes": plan["class_name"].nunique()}
    print(
        f"{size['originals']} originals of {size['classes']} classes -> {size['files']} pool files and as many mels "
        f"({SOURCE_MELS['n_mels']} bands, {SOURCE_MELS['clip_seconds']} s); {arguments.workers} processes; medians of "
        f"{arguments.repeats}\nnight_scan before it: {scan.wall_s:.1f} s, CPU {scan.cpu_s:.1f} s",
        flush=True,
    )
    report: dict[str, Any] = {"settings": size | {"workers": arguments.workers, "repeats": arguments.repeats}}
    report["scan"] = vars(scan)
    for stage, arms in (
        ("pool", pool_arms(folder, copy, plan, arguments.workers)),
        ("mels", mel_arms(folder, copy, plan, arguments.workers)),
    ):
        measure(arms, arguments.repeats, copy)
        report[stage] = tabulate(stage, arms, len(plan))
    report["mels_error_db"] = worst_error_db(copy, arguments.workers)
    print(f"\nours against librosa in float64, all {len(plan)} mels: at most {report['mels_error_db']:.1e} dB apart")
    return report


def planned(copy: Path) -> pd.DataFrame:
    """The pool that night_augment will make of the copy's clips."""
    clips = read_clips(copy / "artifacts/night/scan/clips.csv")
    settings = load_section("night.augment", NightAugment, copy / "params.yaml")
    return plan_pool(clips[clips["status"] == "used"], settings)[0]


def pool_arms(folder: Path, copy: Path, plan: pd.DataFrame, workers: int) -> list[Arm]:
    """Ours and the peers; the peers are given the drawn values."""
    outputs = [copy / "artifacts/night" / name for name in ("pool", "pool.csv", "pool_metadata.json")]
    arms = [Arm(OURS, "writes 22.05 kHz", [sys.executable, "src/night_augment.py"], outputs)]
    for name, rate, variables in PEERS:
        jobs = [
            {
                "source": str(copy / "data/night" / row["original_file"]),
                "target": str(folder / f"pool_{rate}" / row["file_path"]),
                "transform": row["augmentation_type"],
                "parameters": json.loads(row["parameters"]),
            }
            for row in plan.to_dict("records")
        ]
        command = peer_command("plain_pool.py", folder / f"pool_{rate}.json", jobs, workers)
        if rate == "22k":
            command += ["--rate", str(POOL_RATE_HZ)]
        note = "writes 22.05 kHz" if rate == "22k" else "writes the originals' rate"
        arms.append(Arm(name, note, command, [folder / f"pool_{rate}"], variables))
    return arms


def mel_arms(folder: Path, copy: Path, plan: pd.DataFrame, workers: int) -> list[Arm]:
    """Ours and the peers, each on the pool it would have."""
    ours = [sys.executable, "src/night_mels.py"]
    arms = [Arm(OURS, "reads its pool at 22.05 kHz, packs a class", ours, [copy / "artifacts/night/mels"])]
    target = folder / "mels"
    for name, rate, variables in PEERS:
        jobs = [
            {
                "source": str(folder / f"pool_{rate}" / path),
                "target": str((target / path).with_suffix(".npy")),
                "settings": MEL_SETTINGS,
            }
            for path in plan["file_path"]
        ]
        command = peer_command("plain_mels.py", folder / f"mels_{rate}.json", jobs, workers)
        read = "22.05 kHz" if rate == "22k" else "the originals' rate"
        arms.append(Arm(name, f"reads its pool at {read}, .npy a file", command, [target], variables))
    return arms


def peer_command(script: str, path: Path, jobs: list[dict[str, Any]], workers: int) -> list[str]:
    """Write a peer's jobs where it reads them, and what runs it."""
    path.write_text(json.dumps(jobs), encoding="utf-8")
    return [sys.executable, str(BENCH / script), str(path), "--processes", str(workers)]


def measure(arms: Sequence[Arm], repeats: int, copy: Path) -> None:
    """Run every arm so many times, in turn and in turned order, each without what an earlier run has made."""
    for repeat in range(repeats):
        for arm in arms if repeat % 2 == 0 else arms[::-1]:
            remove(*arm.made)
            arm.costs.append(run(arm.command, copy, arm.variables))


def tabulate(stage: str, arms: Sequence[Arm], n_files: int) -> dict[str, Any]:
    """Print one stage's table and return its numbers."""
    numbers = {
        arm.name: {
            "wall_s": statistics.median(cost.wall_s for cost in arm.costs),
            "cpu_s": statistics.median(cost.cpu_s for cost in arm.costs),
            "runs": [vars(cost) for cost in arm.costs],
        }
        for arm in arms
    }
    ours = numbers[OURS]
    print(f"\n{stage:26}{'wall s':>9}{'CPU s':>9}{'CPU ms a file':>15}{'x ours, wall':>14}{'x ours, CPU':>13}")
    for arm in arms:
        row = numbers[arm.name]
        row |= {key.replace("_s", "_ratio"): row[key] / ours[key] for key in ("wall_s", "cpu_s")}
        print(
            f"{arm.name:26}{row['wall_s']:9.1f}{row['cpu_s']:9.1f}{1000 * row['cpu_s'] / n_files:15.2f}"
            f"{row['wall_ratio']:14.2f}{row['cpu_ratio']:13.2f}  {arm.note}",
            flush=True,
        )
    return numbers


def worst_error_db(copy: Path, workers: int) -> float:
    """Largest distance of any value of our mels to librosa's in float64, over all files."""
    pool = read_pool(copy / "artifacts/night/pool.csv")
    tasks = [
        (
            copy / "artifacts/night/pool" / row.file_path,
            copy / f"artifacts/night/mels/{row.class_slug}.npy",
            row.mel_row,
        )
        for row in pool.itertuples()
    ]
    return max(map_tasks(error_db, tasks, workers=workers, label="librosa in float64"))


def error_db(task: tuple[Path, Path, int]) -> float:
    """The same of one file."""
    path, array, row = task
    wave = read_wav(path)[0].astype(np.float64)
    ours = np.load(array, mmap_mode="r")[row].astype(np.float64)
    return float(np.abs(ours - log_mel(wave, MEL_SETTINGS)).max())


if __name__ == "__main__":
    main()
