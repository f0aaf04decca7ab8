"""What every step costs as the data grows, DVC's own share included: a row a size, and the exponent of growth.

    python bench/growth_table.py [--only night_index ...] [--model artifacts/night/train] [--json FILE] [--figure FILE]
    python bench/growth_table.py --draw FILE.json --figure FILE

Audio is made: half a second of noise at 8 kHz a clip, so that the cost a file is seen and not that of its sound. Beyond
what a machine can hold as audio, the tables alone that earlier stages would have left (bench/index_growth.py). Every
step is a process of its own in a temporary folder, one worker; CPU seconds and the largest resident memory are what
the operating system counts for it and its children. Growth is told between the two largest sizes: what one more costs,
and the exponent, the slope of log cost over log size: 1 is linear, and less where start-up, which is in every number,
still weighs. --model is a trained night model, for predict.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np
import pandas as pd
import soundfile
from index_growth import make_originals, write_tables
from night_copy import ROOT, set_params

from evensong.audio.quality import ClipStats
from evensong.intake.quarantine import QUARANTINE_COLUMNS
from evensong.intake.twins import TWIN_COLUMNS
from evensong.score import palette
from evensong.voice.scan import RECORDING_COLUMNS
from evensong.voice.twins import TWINS_NAME

RATE_HZ = 8_000
N_CLASSES = 10
PER_CLASS = 500  # pool files, in the tables alone
PER_PATIENT = 75_000 / 7_000  # recordings
NIGHT, VOICE = "artifacts/night", "artifacts/voice"
MELS = {"n_fft": 256, "hop_length": 128, "n_mels": 32, "fmax_hz": 4000, "clip_seconds": 0.5}


@dataclass(frozen=True)
class Step:
    """One command to be measured.

    Args:
        command: its words after the Python that runs this; a path beside this checkout's root, or ``-m``.
        outputs: what it writes, under the folder.
    """

    name: str
    command: Sequence[str]
    outputs: Sequence[str]


@dataclass(frozen=True)
class Family:
    """Steps that run one after the other on the same data, at several sizes."""

    unit: str
    sizes: Sequence[int]
    prepare: Callable[[Path, int], None]
    steps: Sequence[Step]


def stage(name: str, *outputs: str) -> Step:
    """A stage's script."""
    return Step(name, [str(ROOT / f"src/{name}.py")], outputs)


def write_wave(path: Path, rng: np.random.Generator) -> None:
    """Half a second that no other file has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * rng.standard_normal(RATE_HZ // 2), RATE_HZ, subtype="PCM_16")


def write_clips(folder: Path, n_files: int) -> None:
    """Classes of 0.6 and 1.4 times their mean by turns, two takes a source; as many pool files as clips."""
    rng, mean = np.random.default_rng(0), n_files // N_CLASSES
    for label in range(N_CLASSES):
        for clip in range(int(mean * (0.6, 1.4)[label % 2])):
            write_wave(folder / f"data/night/c{label}/s{label}x{clip // 2}_take{clip % 2}.wav", rng)
    (folder / "artifacts/night/cut").mkdir(parents=True)
    (folder / "artifacts/night/cut/cut.csv").write_text("path,reviewed\n", encoding="utf-8")
    values = {f"night.mels.{name}": value for name, value in MELS.items()}
    write_params(folder, values | {"night.augment.target_samples": mean, "night.augment.sample_rate_hz": RATE_HZ})


def write_clip_tables(folder: Path, n_files: int) -> None:
    """What night_augment and night_scan would have left."""
    write_tables(folder, make_originals(n_files // PER_CLASS, PER_CLASS, 0.05))
    write_params(folder, {})


def recording_names(n_recordings: int) -> Iterator[tuple[str, str]]:
    """Patient and record; ids of the reserved form, a patient's number of recordings uneven."""
    rng, n_patients = np.random.default_rng(1), max(30, round(n_recordings / PER_PATIENT))
    owners = np.concatenate([np.arange(n_patients), rng.zipf(2.0, n_recordings) % n_patients])[:n_recordings]
    for record, owner in enumerate(np.sort(owners).tolist()):
        yield f"00000000-0000-4000-8000-{owner:012d}", str(uuid.UUID(int=record))


def write_recordings(folder: Path, n_recordings: int) -> None:
    """A cohort as audio."""
    rng = np.random.default_rng(0)
    for patient, record in recording_names(n_recordings):
        write_wave(folder / f"data/voice/recordings/{patient}_{record}_audio.wav", rng)
    values = {f"voice.mels.{name}": value for name, value in MELS.items()}
    write_params(folder, values | {"voice.mels.sample_rate_hz": RATE_HZ, "voice.mels.width_px": 32})


def write_cohort_tables(folder: Path, n_recordings: int) -> None:
    """A survey, and what voice_scan and voice_mels would have left."""
    table = pd.DataFrame(recording_names(n_recordings), columns=["healthCode", "record_id"]).assign(column_id="audio")
    item = table["healthCode"] + "_" + table["record_id"] + "_audio"
    rng = np.random.default_rng(2)
    traits = {name: rng.normal(size=len(table)).round(4) for name in ClipStats.__dataclass_fields__}
    facts = {"path": item + ".m4a", "kind": "audio", "status": "used", "sha256": "", "content_sha256": item}
    rows = table.assign(**traits | facts | {"container": "m4a", "codec": "aac", "warnings": ""})
    rows = rows.reindex(columns=RECORDING_COLUMNS)
    images = table.assign(row=range(len(table)), item_id=item, image_rel_path=f"{VOICE}/melSpec/" + item + ".jpg")
    survey = pd.DataFrame({"healthCode": table["healthCode"].unique()})
    survey["professional-diagnosis"] = rng.random(len(survey)) < 0.25
    scan, cohort = folder / "artifacts/voice/scan", folder / "data/voice/cohort"
    for place in (scan, cohort):
        place.mkdir(parents=True)
    rows.to_csv(scan / "recordings.csv", index=False)
    pd.DataFrame(columns=QUARANTINE_COLUMNS).to_csv(scan / "quarantine.csv", index=False)
    pd.DataFrame(columns=TWIN_COLUMNS).to_csv(scan / TWINS_NAME, index=False)
    images.to_csv(folder / "artifacts/voice/mels.csv", index=False)
    survey.to_csv(cohort / "Demographics_Survey.csv", index=False)
    write_params(folder, {})


def write_hours(folder: Path, hours: int) -> None:
    """One recording, 16 kHz, mono."""
    rng, rate_hz = np.random.default_rng(0), 16_000
    minute = (0.02 * rng.standard_normal(60 * rate_hz)).astype(np.float32)
    with soundfile.SoundFile(folder / "night.wav", "w", rate_hz, 1, "PCM_16") as file:
        for _ in range(60 * hours):
            file.write(minute)
    write_params(folder, {})


def write_pool(folder: Path, n_files: int) -> None:
    """As many files as a pool has, and what packing reads of their table, in a DVC repository."""
    rng = np.random.default_rng(0)
    pool = pd.DataFrame({"mel_row": np.arange(n_files) // N_CLASSES, "class_slug": np.arange(n_files) % N_CLASSES})
    pool["class_slug"] = "c" + pool["class_slug"].astype(str)
    pool["file_path"] = [f"{class_slug}/{row:06d}.wav" for row, class_slug in pool.to_numpy()]
    for name in pool["file_path"]:
        path = folder / "pool" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.bytes(RATE_HZ))
    pool.to_csv(folder / "pool.csv", index=False)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)


def write_params(folder: Path, values: dict[str, Any]) -> None:
    """This checkout's params.yaml with one worker, and other values."""
    shutil.copy(ROOT / "params.yaml", folder)
    set_params(folder, values | {"runtime.workers": 1})


def dvc(name: str, *words: str) -> Step:
    """A DVC command; the cache is what it writes."""
    return Step(name, ["-m", "dvc", *words], [".dvc/cache"])


PACK = """
import pandas
from pathlib import Path
from evensong.night.pool_files import pack
pack(pandas.read_csv("pool.csv"), Path("pool"), Path("packed"), workers=1)
"""
# A process is counted with the memory of the one that starts it: this one is small.
LAUNCHER = """
import json, os, sys
nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=nowhere)
_, status, used = os.wait4(pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
PREDICT = ["-m", "evensong.cli", "predict", "night.wav", "--out", "out.csv", "--workers", "1"]
FAMILIES = (
    Family("clips", (1_250, 5_000, 50_000), write_clips, [
        stage("night_scan", f"{NIGHT}/scan"),
        stage("night_augment", f"{NIGHT}/pool", f"{NIGHT}/pool.csv", f"{NIGHT}/pool_metadata.json"),
        stage("night_mels", f"{NIGHT}/mels"),
    ]),
    Family("pool rows", (5_000, 50_000, 750_000), write_clip_tables, [
        stage("night_index", f"{NIGHT}/balanced_audio_index.db"),
    ]),
    Family("recordings", (1_250, 5_000, 50_000), write_recordings, [
        stage("voice_scan", f"{VOICE}/scan"),
        stage("voice_mels", f"{VOICE}/melSpec", f"{VOICE}/mels.npy", f"{VOICE}/mels.csv"),
    ]),
    Family("recordings", (2_000, 12_000, 75_000), write_cohort_tables, [
        stage("voice_splits", f"{VOICE}/splits"), stage("voice_tables", f"{VOICE}/combined"),
    ]),
    Family("hours", (1, 6, 24), write_hours, [Step("predict", PREDICT, ["out.csv"])]),
    Family("files", (1_250, 5_000, 20_000), write_pool, [
        dvc("dvc add", "add", "-q", "pool"),
        dvc("dvc add, unchanged", "add", "-q", "pool"),
        Step("pack", ["-c", PACK], ["packed"]),
        dvc("dvc add, packed", "add", "-q", "packed"),
        dvc("dvc add, packed, unchanged", "add", "-q", "packed"),
    ]),
)  # fmt: skip


def measure(step: Step, folder: Path, model: Path) -> dict[str, float]:
    """Run a step to its end; leave with its name where it fails."""
    variables = {"PYTHONPATH": str(ROOT / "src"), "DVC_SITE_CACHE_DIR": str(folder / "site"), "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, *step.command, *(["--model", str(model)] if step.name == "predict" else [])]
    before, start = written(folder, step), time.perf_counter()
    launched = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    said = subprocess.run(launched, cwd=folder, env=os.environ | variables, stdout=subprocess.PIPE, check=True).stdout
    code, cpu_s, peak_kb = json.loads(said)
    if code:
        sys.exit(f"{step.name} ended with {code}")
    after = written(folder, step)
    return {
        "CPU s": round(cpu_s, 1),
        "wall s": round(time.perf_counter() - start, 1),
        "peak MB": round(peak_kb / 1024),
        "files": after[0] - before[0],
        "MB": round((after[1] - before[1]) / 1e6, 1),
    }


def written(folder: Path, step: Step) -> tuple[int, int]:
    """Files and bytes of a step's outputs."""
    roots = [folder / name for name in step.outputs]
    files = [path for root in roots for path in (root.rglob("*") if root.is_dir() else [root]) if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def rows_of(family: Family, size: int, only: Sequence[str], model: Path) -> Iterator[dict[str, Any]]:
    """The steps at one size, up to the last that is asked for."""
    wanted = [step.name in only for step in family.steps] if only else [True] * len(family.steps)
    if not any(wanted):
        return
    with tempfile.TemporaryDirectory(prefix="evensong-growth-") as name:
        family.prepare(Path(name), size)
        for step, is_wanted in list(zip(family.steps, wanted, strict=True))[: len(wanted) - wanted[::-1].index(True)]:
            cost = measure(step, Path(name), model)
            if is_wanted:
                yield {"step": step.name, "size": size, "of": family.unit} | cost


def growth(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By step, between its two largest sizes: CPU ms that one more costs, exponents of CPU seconds and of memory."""
    table = pd.DataFrame(rows)
    found = {}
    for name, part in table.groupby("step", sort=False):
        if len(part) > 1:
            less, more = part.iloc[-2], part.iloc[-1]
            span = math.log(more["size"] / less["size"])
            slopes = {key: math.log(more[key] / less[key]) / span for key in ("CPU s", "peak MB")}
            one_more_ms = 1000 * (more["CPU s"] - less["CPU s"]) / (more["size"] - less["size"])
            found[str(name)] = {"one more, CPU ms": round(one_more_ms, 3)} | {
                f"exponent of {key}": round(value, 2) for key, value in slopes.items()
            }
    return found


def draw(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """CPU seconds and memory of every step against its size, both axes logarithmic: linear growth is a diagonal."""
    table = pd.DataFrame(rows)
    with palette.figure(path, (10, 4.8)) as figure:
        for axes, key in zip(figure.subplots(1, 2), ("CPU s", "peak MB"), strict=True):
            for number, (name, part) in enumerate(table.groupby("step", sort=False)):
                style = {"color": f"C{number % 10}", "linestyle": "--" if number > 9 else "-"}
                axes.plot(
                    part["size"], part[key], marker="o", markersize=3, label=f"{name} ({part['of'].iloc[0]})", **style
                )
            axes.set(xscale="log", yscale="log", xlabel="how many", ylabel=key)
            axes.grid(color="0.5", alpha=0.25)
        axes.set_yticks([100, 200, 500, 1000], ["100", "200", "500", "1000"])
        axes.minorticks_off()
        low, high = table["size"].min(), table["size"].max()
        diagonal = (low, high), (1e-3 * low, 1e-3 * high)
        figure.axes[0].plot(*diagonal, color="0.6", linestyle=":", label="linear", scaley=False)
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8
        )


def main() -> None:
    """Measure every step and print a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="STEP")
    parser.add_argument("--model", type=Path, default=ROOT / "artifacts/night/train")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument(
        "--draw", type=Path, metavar="JSON", help="measure nothing, draw what an earlier run has written"
    )
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(options.draw.read_text(encoding="utf-8"))["rows"] if options.draw else []
    for family in () if options.draw else FAMILIES:
        for size in family.sizes:
            for row in rows_of(family, size, options.only, options.model.resolve()):
                rows.append(row)
                print(" ".join(f"{key} {value}," for key, value in row.items()), flush=True)
    for name, found in growth(rows).items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in found.items()))
    if options.figure:
        draw(options.figure, rows)
    if options.json:
        text = json.dumps({"rows": rows, "growth": growth(rows)}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
