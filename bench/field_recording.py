"""How much of a ten-minute recording's known events a trained model finds, and how much of what it reports is right.

    python bench/field_recording.py --fold 0 [--clips data/night] [--model artifacts/night/train] [--minutes 10] \
        [--noise-dbfs -60] [--seed 0] [--hop-seconds S] [--min-score 0.5] [--keep DIR]

The recording is white noise with clips at drawn times, one at a time, 2 to 8 s apart, no class twice in a row, at the
levels they were recorded at. Only clips that the fold tests are taken, as its own predictions.csv lists them, and only
that fold's model listens. What is judged is the Raven table that `evensong predict` writes.

A selection is right where its class is that of a clip and the two share at least half of the shorter one's time; each
clip and each selection counts once, the longest shared times first. A clip's time is from its first to its last 20 ms
within 40 dB of its loudest. Precision is right selections over all selections, recall is right selections over clips.
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from evensong.run.stage import run_stage  # first: it sets the thread counts

# isort: split
import numpy as np
import pandas as pd

from evensong.audio.augment import limit_peak
from evensong.audio.containers import AUDIO_SUFFIXES
from evensong.audio.decode import decode, downmix, resample
from evensong.audio.wav import write_wav
from evensong.errors import DataError
from evensong.intake.names import slug
from evensong.learn.saved import read_model
from evensong.listen.found import Event
from evensong.listen.predict import Request, predict

RATE_HZ = 44_100
PAUSE_S = (2.0, 8.0)
BLOCK_S = 0.02
WITHIN_DB = 40.0


class Known(NamedTuple):
    """A clip in the recording, and when it sounds."""

    begin_s: float
    end_s: float
    class_name: str


def main() -> None:
    """Build the recording, let `evensong predict` listen, and judge its table."""
    options = parse()
    folder = options.model / f"fold_{options.fold:02d}"
    clips = held_out_clips(options.clips, options.model / "predictions.csv", read_model(folder)[1]["fold"])
    rng = np.random.default_rng(options.seed)
    wave, known = record(in_turns(clips, rng), options.minutes * 60, options.noise_dbfs, rng)
    with tempfile.TemporaryDirectory() as scratch:
        out = options.keep or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        path = write_wav(out / "field_recording.wav", limit_peak(wave)[0], RATE_HZ)
        pd.DataFrame(known).to_csv(out / "known.csv", index=False)
        predict(Request([path], folder, out / "windows.csv", out, options.hop_seconds, options.min_score, workers=1))
        selections = read_selections(out / f"{path.stem}.Table.1.selections.txt")
    report(known, selections)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fold", type=int, required=True, help="the fold whose model listens to the clips it tests")
    parser.add_argument("--clips", type=Path, default=Path("data/night"), help="a folder of clips a class")
    parser.add_argument("--model", type=Path, default=Path("artifacts/night/train"), help="a training folder")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--noise-dbfs", type=float, default=-60, help="RMS of the noise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hop-seconds", type=float)
    parser.add_argument("--min-score", type=float, default=0.5)
    parser.add_argument("--keep", type=Path, help="where recording and tables are to stay")
    return parser.parse_args()


def read_selections(path: Path) -> list[Event]:
    """The events of a selection table."""
    table = pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False)
    columns = ["Begin Time (s)", "End Time (s)", "Annotation", "Confidence", "Windows"]
    return [Event(*row) for row in table[columns].itertuples(index=False)]


def held_out_clips(folder: Path, predictions: Path, fold: int) -> dict[str, list[Path]]:
    """Clips by class that the fold neither trained on nor chose its epoch with."""
    table = pd.read_csv(predictions, dtype={"item_id": str})
    tested = table[(table["fold"] == fold) & (table["subset"] == "test") & (table["is_original"] == 1)]["item_id"]
    paths = {
        f"{slug(path.parent.name)}/{slug(path.stem)}_original.wav": path
        for path in sorted(folder.glob("*/*"))
        if path.suffix.lower() in AUDIO_SUFFIXES
    }
    classes = {item.split("/")[0] for item in paths}  # others, as a background, are cut from field recordings
    tested = tested[tested.str.split("/").str[0].isin(classes)]
    missing = sorted(set(tested) - paths.keys())
    if missing:
        raise DataError(f"{folder}: {len(missing)} of the clips that fold {fold} tests are not there ({missing[0]})")
    clips: dict[str, list[Path]] = {}
    for item in sorted(tested):
        clips.setdefault(paths[item].parent.name, []).append(paths[item])
    return clips


def in_turns(clips: dict[str, list[Path]], rng: np.random.Generator) -> list[Path]:
    """All clips, one of every class a round, in drawn order, no class twice in a row."""
    left = {name: list(rng.permutation([str(path) for path in paths])) for name, paths in clips.items()}
    ordered: list[Path] = []
    while any(left.values()):
        names = rng.permutation(sorted(name for name, paths in left.items() if paths)).tolist()
        if ordered and names[0] == ordered[-1].parent.name:
            names.append(names.pop(0))
        ordered += [Path(left[name].pop()) for name in names]
    return ordered


def record(
    clips: list[Path], seconds: float, noise_dbfs: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[Known]]:
    """Noise of the given length with as many of the clips as fit; (n_samples,) float32 and the known times."""
    recording = rng.standard_normal(round(seconds * RATE_HZ), dtype=np.float32) * np.float32(10 ** (noise_dbfs / 20))
    known, begin = [], 0
    for path in clips:
        decoded = decode(path, max_seconds=600)
        wave = resample(downmix(decoded.waves)[0], decoded.sample_rate_hz, RATE_HZ)
        begin += round(rng.uniform(*PAUSE_S) * RATE_HZ)
        if begin + wave.size > recording.size:
            break
        recording[begin : begin + wave.size] += wave
        first_s, last_s = sounding_s(wave)
        known.append(Known(begin / RATE_HZ + first_s, begin / RATE_HZ + last_s, path.parent.name))
        begin += wave.size
    return recording, known


def sounding_s(wave: np.ndarray) -> tuple[float, float]:
    """First and last moment of a clip within 40 dB of its loudest 20 ms, in seconds from its beginning."""
    block = round(BLOCK_S * RATE_HZ)
    starts = np.arange(0, wave.size, block)
    energy = np.add.reduceat(np.square(wave, dtype=np.float64), starts)
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-WITHIN_DB / 10))
    return float(starts[loud[0]] / RATE_HZ), min(float(starts[loud[-1]] + block), wave.size) / RATE_HZ


def match(known: list[Known], selections: list[Event]) -> list[tuple[int, int]]:
    """Pairs of a clip and the selection that found it, by their numbers."""
    shared = []
    for clip, truth in enumerate(known):
        for number, found in enumerate(selections):
            seconds = min(truth.end_s, found.end_s) - max(truth.begin_s, found.begin_s)
            shorter = min(truth.end_s - truth.begin_s, found.end_s - found.begin_s)
            if truth.class_name == found.class_name and seconds >= shorter / 2:
                shared.append((-seconds, clip, number))
    pairs: list[tuple[int, int]] = []
    for _, clip, number in sorted(shared):
        if not any(clip == taken or number == used for taken, used in pairs):
            pairs.append((clip, number))
    return pairs


def report(known: list[Known], selections: list[Event]) -> None:
    """Print counts, precision and recall, of each class and of all."""
    found = [known[clip].class_name for clip, _ in match(known, selections)]
    rows = [
        (
            name,
            sum(truth.class_name == name for truth in known),
            sum(event.class_name == name for event in selections),
            found.count(name),
        )
        for name in sorted({truth.class_name for truth in known} | {event.class_name for event in selections})
    ]
    rows.append(("all", len(known), len(selections), len(found)))
    table = pd.DataFrame(rows, columns=["class", "clips", "selections", "right"])
    table["precision"] = table["right"] / table["selections"].where(table["selections"] > 0)
    table["recall"] = table["right"] / table["clips"].where(table["clips"] > 0)
    print(table.to_string(index=False, float_format="%.3f", na_rep="-"))
    n_alone = sum(
        not any(event.begin_s < truth.end_s and truth.begin_s < event.end_s for truth in known) for event in selections
    )
    print(f"{n_alone} of the {len(selections) - len(found)} wrong selections touch no clip: noise alone")


if __name__ == "__main__":
    run_stage(main)
