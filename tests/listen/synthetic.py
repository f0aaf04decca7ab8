"""What the tiny model of these tests is trained on: noisy tones, two classes."""

import csv
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evensong.audio.wav import write_wav
from evensong.listen.found import Event
from evensong.listen.predict import Request, predict
from evensong.schemas import LogMels

SRC = Path(__file__).parents[2] / "src"
RATE_HZ = 8_000
CLASSES = ["brook", 'file, a "owl"']  # the second is hostile to every table
PROBS = [f"p_{name}" for name in CLASSES]
MELS = LogMels(n_fft=256, hop_length=128, n_mels=16, fmin_hz=50, fmax_hz=4_000, clip_seconds=0.5, top_db=80)


@dataclass(frozen=True)
class Trained:
    """A training folder, and its pool by item id."""

    folder: Path
    pool: dict[str, Path]


def tone(label: int, seed: int, seconds: float = 0.6) -> np.ndarray:
    """(n_samples,) float32: a low or a high tone in noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = np.sin(2 * np.pi * (400 + 2_200 * label + rng.uniform(-60, 60)) * time_s)
    return (0.3 * wave + 0.03 * rng.standard_normal(time_s.size)).astype(np.float32)


def write_pool(folder: Path, table: pd.DataFrame, seconds: float) -> dict[str, Path]:
    """A WAV file for each item of a fold table, by its id: of so many seconds, and every fourth shorter."""
    labels = table.drop_duplicates("row").set_index("item_id")["label"]
    return {
        str(item): write_wav(folder / f"{item}.wav", tone(int(label), seed, 0.3 if seed % 4 == 0 else seconds), RATE_HZ)
        for seed, (item, label) in enumerate(labels.items())
    }


def modules_of(recording: Path, model: Path, out: Path) -> set[str]:
    """What is loaded where predict listens to one recording and nothing else is done."""
    script = (
        "import sys; from pathlib import Path; from evensong.listen.predict import Request, predict\n"
        "predict(Request([Path(sys.argv[1])], Path(sys.argv[2]), Path(sys.argv[3]), None, None, 0.5, 1))\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, recording, model, out],
        env={"PYTHONPATH": str(SRC)}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def request_of(model: Path, folder: Path, /, *named: Path, **changes: Any) -> Request:
    """All windows of recordings, in a table below a folder."""
    out = folder / "out" / "scores.csv"
    return replace(Request(named, model, out, None, None, 0.5, 1, all_windows=True), **changes)


def scores(request: Request) -> pd.DataFrame:
    """The table that a request writes."""
    predict(request)
    return pd.read_csv(request.out, dtype={"file": str})


def read_selections(path: Path) -> list[Event]:
    """The events of a selection table; its confidences are rounded."""
    with path.open(encoding="utf-8", newline="") as handle:
        return [
            Event(
                begin_s=float(row["Begin Time (s)"]),
                end_s=float(row["End Time (s)"]),
                class_name=row["Annotation"],
                score=float(row["Confidence"]),
                n_windows=int(row["Windows"]),
            )
            for row in csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]
