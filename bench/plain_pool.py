"""The pool as a plain script makes it: what night_speed.py compares with, run by it.

    python bench/plain_pool.py JOBS [--rate HZ] [--processes 2]

JOBS is a JSON list of {source, target, transform, parameters}. One pool file a task over multiprocessing.Pool:
librosa.load, audiomentations, sf.write. Nothing of this project is imported.
"""

import argparse
import functools
import json
import multiprocessing
from pathlib import Path

import audiomentations
import librosa
import soundfile


def make_pool_file(job: dict, rate_hz: int | None) -> None:
    """Write one pool file at rate_hz, or at the rate of its original."""
    wave, sample_rate_hz = librosa.load(job["source"], sr=rate_hz)
    wave = augmentation(job["transform"], job["parameters"])(samples=wave, sample_rate=sample_rate_hz)
    soundfile.write(job["target"], wave, sample_rate_hz)


def augmentation(transform: str, values: dict) -> audiomentations.Compose:
    """The transforms of one copy with the values that ours has drawn; none for an original."""
    steps = []
    if transform in ("time_stretch", "combined"):
        steps.append(audiomentations.TimeStretch(values["rate"], values["rate"], leave_length_unchanged=False, p=1.0))
    if transform in ("noise", "combined"):
        steps.append(audiomentations.AddGaussianSNR(values["snr_db"], values["snr_db"], p=1.0))
    if transform in ("volume", "combined"):
        steps.append(audiomentations.Gain(values["gain_db"], values["gain_db"], p=1.0))
    if transform == "pitch_shift":
        steps.append(audiomentations.PitchShift(values["semitones"], values["semitones"], p=1.0))
    return audiomentations.Compose(steps)


def main() -> None:
    """Make all pool files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--rate", type=int, help="sample rate of the pool in Hz; without it every file keeps its own")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    jobs = json.loads(arguments.jobs.read_text(encoding="utf-8"))
    for folder in {Path(job["target"]).parent for job in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool(arguments.processes) as pool:
        pool.map(functools.partial(make_pool_file, rate_hz=arguments.rate), jobs)


if __name__ == "__main__":
    main()
