"""What `evensong predict` costs on a long recording, beside a plain torch loop over such windows with the same folds.

    python bench/predict_speed.py [--model artifacts/night/train] [--exported night.onnx] [--minutes 60]

The recording is stereo noise at 48 kHz, 16 bit. Both sides run in a process of their own, one thread, and pay for their
imports; CPU seconds and the largest resident memory are the operating system's. The loop is what one would write: read
the file whole with soundfile, average the channels, resample with soxr, librosa's mel spectrogram of each window, the
folds' mean in batches of 16. It holds the whole recording, so it gets fewer minutes (--loop-minutes).
With --exported, what `evensong export onnx` wrote listens too, without torch.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from evensong.run.stage import run_stage  # first: it sets the thread counts

# isort: split
import numpy as np
import soundfile

RATE_HZ = 48_000
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent / "src")}


def main() -> None:
    """Measure both sides."""
    options = parse()
    if options.loop_over:
        loop(options.loop_over, options.model)
        return
    with tempfile.TemporaryDirectory() as scratch:
        sides = [("predict", options.minutes, options.model), ("loop", options.loop_minutes, options.model)]
        if options.exported:
            sides.insert(1, ("exported", options.minutes, options.exported))
        for name, minutes, model in sides:
            path = Path(scratch) / f"{name}.wav"
            write_noise(path, minutes)
            ours = ["-m", "evensong.cli", "predict", str(path), "--out", f"{scratch}/{name}.csv", "--workers", "1"]
            theirs = [__file__, "--loop-over", str(path)]
            command = [sys.executable, *(theirs if name == "loop" else ours), "--model", str(model)]
            _, status, usage = os.wait4(subprocess.Popen(command, env=ENVIRONMENT).pid, 0)
            cpu_s = usage.ru_utime + usage.ru_stime
            print(
                f"{name}: {minutes:g} min, exit code {os.waitstatus_to_exitcode(status)}, {cpu_s:.1f} CPU s,", end=" "
            )
            print(f"{cpu_s / minutes * 60:.1f} an hour, largest process {usage.ru_maxrss / 1024:.0f} MB")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("artifacts/night/train"))
    parser.add_argument("--exported", type=Path, metavar="FILE.onnx")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--loop-minutes", type=float, default=10)
    parser.add_argument("--loop-over", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_noise(path: Path, minutes: float) -> None:
    """Stereo noise, a second at a time."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE_HZ, 2, "PCM_16") as file:
        for _ in range(round(60 * minutes)):
            file.write((0.02 * rng.standard_normal((RATE_HZ, 2))).astype(np.float32))


def loop(path: Path, model: Path) -> None:
    """The plain loop."""
    import librosa
    import soxr
    import torch

    from evensong.listen.folds import read_folds

    torch.set_num_threads(1)
    folds = read_folds(model)
    mels, rate_hz = folds.mels, folds.mels["sample_rate_hz"]
    wave, own_hz = soundfile.read(path, dtype="float32", always_2d=True)
    wave = soxr.resample(wave.mean(axis=1), own_hz, rate_hz)
    n_window = round(mels["clip_seconds"] * rate_hz)
    starts = range(0, len(wave) - n_window + 1, n_window // 2)
    form = {"n_fft": mels["n_fft"], "hop_length": mels["hop_length"], "n_mels": mels["n_mels"], "sr": rate_hz}
    rows = []
    for first in range(0, len(starts), 16):
        batch = [wave[start : start + n_window] for start in starts[first : first + 16]]
        powers = [
            librosa.feature.melspectrogram(y=one, fmin=mels["fmin_hz"], fmax=mels["fmax_hz"], **form) for one in batch
        ]
        logs = [librosa.power_to_db(power, top_db=mels["top_db"]) for power in powers]
        with torch.inference_mode():
            rows.append(folds.network(torch.from_numpy(np.stack(logs).astype(np.float32))))
    print(len(torch.cat(rows)), "windows")


if __name__ == "__main__":
    run_stage(main)
