"""Whether teaching back what was reviewed helps: a season is heard, reviewed and learned from, seed by seed.

    python bench/season.py [--seeds 5] [--kill] [--keep DIR]

Each seed is a copy of this checkout in a temporary folder, with the commands that a user types. The first model learns
owl, frog and plain noise from a few clean clips; the recordings also hold a cricket that it has never heard, a pulse
train like the frog's. `predict` hears three nights of recordings with the time in their names, and writes detections,
activity and clips to listen to. review.csv is filled in from what is known of the recordings, as a listener would (what
is no call is `background`), `review` makes annotations of it, and the model is trained again with them. Both models
then hear recordings of other nights.

Judged are the detections that `predict` writes, each found and right as in `evensong.score.detection`: F1 a class, and
their mean. --kill kills the season's run twice and compares every output with an uninterrupted one.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from night_copy import ROOT, make_copy, set_params
from scipy.stats import t

sys.path.insert(0, str(ROOT / "src"))

from evensong.audio.wav import write_wav
from evensong.score.detection import joined, match, rates

RATE_HZ, CLIP_S, MINUTES = 8_000, 2.0, 2.0
CALLS = ("owl", "frog")
SOUNDS = (*CALLS, "cricket")
PARAMS = {
    "night.augment": {"sample_rate_hz": RATE_HZ, "target_samples": 80},
    "night.mels": {"n_fft": 512, "hop_length": 160, "n_mels": 32, "fmax_hz": 4_000, "clip_seconds": CLIP_S},
    "night.cut": {"background_clips": 0},
    "train": {"epochs": 15},
    "runtime": {"workers": 1},
}


class Sound(NamedTuple):
    """What sounds in a recording, and when."""

    begin_s: float
    end_s: float
    name: str


def wave_of(name: str, rng: np.random.Generator) -> np.ndarray:
    """One sound of its kind, 0.6 to 1.2 s, its peak about 1; pitch, pulse rate and length drawn."""
    time_s = np.arange(round(rng.uniform(0.6, 1.2) * RATE_HZ)) / RATE_HZ
    if name == "owl":  # a hoot that falls
        hz = rng.uniform(450, 650)
        phase = hz * time_s - 0.1 * hz * time_s**2
        return np.sin(2 * np.pi * phase) * np.sin(np.pi * time_s / time_s[-1])
    hz, pulses_hz = {
        "frog": (rng.uniform(1_500, 1_900), rng.uniform(9, 13)),
        "cricket": (rng.uniform(1_900, 2_500), rng.uniform(14, 20)),
    }[name]
    return np.sin(2 * np.pi * hz * time_s) * (np.sin(2 * np.pi * pulses_hz * time_s) > 0)


def soundscape(seconds: float, rng: np.random.Generator) -> tuple[np.ndarray, list[Sound]]:
    """Noise whose level and colour are the night's own, with sounds 2 to 5 s apart from 3 to 20 dB above it."""
    noise = rng.standard_normal(round(seconds * RATE_HZ))
    noise = noise + rng.uniform(0, 0.9) * np.concatenate([[0.0], noise[:-1]])
    wave, sounds, at = 0.02 * noise / noise.std(), [], 1.0
    while (at := at + rng.uniform(2, 5)) < seconds - 3:
        name = str(rng.choice(SOUNDS))
        call = 0.02 * 10 ** (rng.uniform(3, 20) / 20) * wave_of(name, rng)
        first = round(at * RATE_HZ)
        wave[first : first + call.size] += call
        sounds.append(Sound(at, at + call.size / RATE_HZ, name))
        at += call.size / RATE_HZ
    return wave.astype(np.float32), sounds


def write_clips(folder: Path, rng: np.random.Generator, n: int = 10) -> None:
    """The clips of the first training: calls well above a noise of one kind, and that noise."""
    for name in (*CALLS, "background"):
        for number in range(n):
            wave = 0.02 * rng.standard_normal(round(CLIP_S * RATE_HZ))
            if name != "background":
                call = 0.02 * 10 ** (rng.uniform(15, 25) / 20) * wave_of(name, rng)
                first = rng.integers(0, wave.size - call.size)
                wave[first : first + call.size] += call
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_wav(folder / name / f"{name}{number}.wav", wave.astype(np.float32), RATE_HZ)


def write_nights(folder: Path, days: range, rng: np.random.Generator) -> dict[str, list[Sound]]:
    """Four recordings a night, called after their time, and what sounds in each."""
    folder.mkdir(parents=True)
    known = {}
    for day in days:
        for hour in (21, 22, 23, 24):
            name = f"SM4_202406{day + hour // 24:02d}_{hour % 24:02d}3000.wav"
            wave, known[name] = soundscape(MINUTES * 60, rng)
            write_wav(folder / name, wave, RATE_HZ)
    return known


def start(copy: Path, *command: str) -> "subprocess.Popen[str]":
    """Start a command in the copy, in a process group of its own."""
    variables = {
        **{"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(copy / "src")},
        **{"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(copy / ".dvc/tmp/site"), "PYTHONWARNINGS": "ignore"},
    }
    command = (sys.executable, "-m", "evensong.cli", *command[1:]) if command[0] == "evensong" else command
    return subprocess.Popen(
        command, cwd=copy, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def must(copy: Path, *command: str) -> str:
    """Run a command that has to succeed; what it says."""
    process = start(copy, *command)
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return said


def learn(copy: Path) -> None:
    """Train, and choose thresholds where there is something to choose them with."""
    must(copy, "dvc", "repro", "night_detect")


def heard(copy: Path, nights: str, out: str, *options: str) -> str:
    """Let the model hear some nights."""
    return must(copy, "evensong", "predict", nights, "--out", out, "--clock", "Europe/Zurich", *options)


def fill_in(review: Path, known: dict[str, list[Sound]]) -> str:
    """Listen to every clip: right where its class sounds in it, else what does sound, and background for no call."""
    table = pd.read_csv(review, dtype={"verdict": str, "other_label": str})
    for row, (file, begin_s, end_s, name) in enumerate(
        table[["file", "begin_s", "end_s", "class"]].itertuples(index=False)
    ):
        shared = {
            one.name: min(end_s, one.end_s) - max(begin_s, one.begin_s)
            for one in known[Path(file).name]
            if min(end_s, one.end_s) - max(begin_s, one.begin_s) > 0.2
        }
        calls = sorted((name for name in shared if name in CALLS), key=lambda name: -shared[name])
        table.loc[row, "verdict"] = "right" if name in calls else "wrong"
        if name not in calls:
            table.loc[row, "other_label"] = calls[0] if calls else "background"
    table.to_csv(review, index=False)
    return f"{len(table)} clips, {(table['verdict'] == 'right').sum()} right"


def scores(table: pd.DataFrame, known: dict[str, list[Sound]]) -> dict[str, float]:
    """F1 of the detections of each class, and their mean, precision and recall."""
    counts = np.zeros((len(CALLS), 4), np.int64)
    for label, name in enumerate(CALLS):
        for file, sounds in known.items():
            own = table[(table["class"] == name) & (table["file"].map(lambda path: Path(path).name) == file)]
            found = own[["begin_s", "end_s"]].to_numpy(np.float64)
            events = joined(np.array([one[:2] for one in sounds if one.name == name]).reshape(-1, 2))
            is_found, is_right = match(events, found, 0.5, CLIP_S)
            counts[label] += [len(events), is_found.sum(), len(found), is_right.sum()]
    precision, recall, f1 = rates(counts)
    own = dict(zip(CALLS, f1.tolist(), strict=True))
    return {**own, "f1": f1.mean(), "precision": np.nan_to_num(precision).mean(), "recall": recall.mean()}


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for the kept scores, whose containers hold times."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".work" not in str(path)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def killed(copy: Path, options: tuple[str, ...]) -> str:
    """Kill the season's run after its first and its fifth recording, let it end, and compare."""
    work = copy / "killed/scores.work"
    for wanted in (1, 5):
        command = ("evensong", "predict", "season", "--out", "killed/scores.csv", "--clock", "Europe/Zurich")
        process = start(copy, *command, *(option.replace("out/", "killed/") for option in options))
        while process.poll() is None and len(list(work.rglob("*.npz"))) < wanted:
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        n_kept = len(list(work.rglob("*.npz")))
        print(f"  killed with {n_kept} recordings kept; scores.csv there: {(copy / 'killed/scores.csv').exists()}")
    said = heard(copy, "season", "killed/scores.csv", *(option.replace("out/", "killed/") for option in options))
    print("  " + next(line for line in said.splitlines() if "scored before" in line))
    one, other = files_of(copy / "out"), files_of(copy / "killed")
    return f"{len(one)} outputs, {'equal to the byte' if one == other else 'DIFFERENT'}"


def season(copy: Path, seed: int, is_killed: bool) -> tuple[dict[str, float], dict[str, float]]:
    """One seed in its copy: scores on unseen nights before and after the review."""
    rng = np.random.default_rng(seed)
    known = write_nights(copy / "season", range(10, 13), rng)
    unseen = write_nights(copy / "unseen", range(20, 22), rng)
    set_params(copy, {f"{section}.{name}": value for section, own in PARAMS.items() for name, value in own.items()})
    set_params(copy, {"train.seed": seed, "night.sources": "both"})
    learn(copy)
    options = ("--activity", "out/activity", "--segments", "out/to-hear", "--segments-per-class", "30")
    print(re.sub("^", "  ", heard(copy, "season", "out/scores.csv", *options).strip(), flags=re.M))
    if is_killed:
        print(f"  {killed(copy, options)}")
    heard(copy, "unseen", "before/scores.csv")
    review = copy / "out/to-hear/review.csv"
    print("  " + fill_in(review, known))
    print(re.sub("^", "  ", must(copy, "evensong", "review", str(review.relative_to(copy))).strip(), flags=re.M))
    shutil.copy(review.with_name("annotations.csv"), copy / "data/field/annotations.csv")
    for name in known:
        shutil.copy(copy / "season" / name, copy / "data/field" / name)
    learn(copy)
    heard(copy, "unseen", "after/scores.csv")
    before, after = (scores(pd.read_csv(copy / when / "scores.csv"), unseen) for when in ("before", "after"))
    return before, after


def seeds(options: argparse.Namespace) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Every seed in a folder of its own."""
    for seed in range(options.seeds):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            folder = options.keep / str(seed) if options.keep else Path(name)
            clips = folder / "clips"
            write_clips(clips, np.random.default_rng([seed, 1]))
            copy = make_copy(folder, clips, 1)
            before, after = season(copy, seed, options.kill and seed == 0)
        print(f"seed {seed}, {time.monotonic() - began:.0f} s: ", end="")
        print(", ".join(f"{name} {before[name]:.3f} -> {after[name]:.3f}" for name in before), flush=True)
        yield before, after


def main() -> None:
    """Print every seed, and the mean of the paired differences with its 95 % interval (Student's t)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--kill", action="store_true", help="kill the first seed's season, and compare")
    parser.add_argument("--keep", type=Path, help="where the folders are to stay")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    pairs = list(seeds(options))
    for name in pairs[0][0]:
        gained = np.array([after[name] - before[name] for before, after in pairs])
        half = t.ppf(0.975, len(gained) - 1) * gained.std(ddof=1) / np.sqrt(len(gained)) if len(gained) > 1 else np.nan
        print(f"{name}: {gained.mean():+.3f} ({gained.mean() - half:+.3f} to {gained.mean() + half:+.3f})")


if __name__ == "__main__":
    main()
