"""The mels as a plain script makes them: what night_speed.py compares with, run by it.

    python bench/plain_mels.py JOBS [--processes 2]

JOBS is a JSON list of {source, target, settings}. One pool file a task over multiprocessing.Pool: librosa.load,
librosa.feature.melspectrogram, librosa.power_to_db, np.save. Nothing of this project is imported.
"""

import argparse
import json
import multiprocessing
from pathlib import Path

import librosa
import numpy as np


def make_mel(job: dict) -> None:
    """Write the log-mel spectrogram of one pool file."""
    settings = job["settings"]
    wave, _ = librosa.load(job["source"], sr=settings["sample_rate_hz"])
    np.save(job["target"], log_mel(wave, settings))


def log_mel(wave: np.ndarray, settings: dict) -> np.ndarray:
    """Log-mel spectrogram of the first clip_seconds, (n_mels, n_frames) dB re power 1.0, as precise as the wave is."""
    power = librosa.feature.melspectrogram(
        y=librosa.util.fix_length(wave, size=round(settings["clip_seconds"] * settings["sample_rate_hz"])),
        sr=settings["sample_rate_hz"],
        n_fft=settings["n_fft"],
        hop_length=settings["hop_length"],
        n_mels=settings["n_mels"],
        fmin=settings["fmin_hz"],
        fmax=settings["fmax_hz"],
    )
    mel_db: np.ndarray = librosa.power_to_db(power, ref=1.0, top_db=settings["top_db"])
    return mel_db


def main() -> None:
    """Make all spectrograms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    jobs = json.loads(arguments.jobs.read_text(encoding="utf-8"))
    for folder in {Path(job["target"]).parent for job in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool(arguments.processes) as pool:
        pool.map(make_mel, jobs)


if __name__ == "__main__":
    main()
