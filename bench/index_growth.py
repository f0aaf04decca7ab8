"""What night_index costs as the number of classes grows: CPU seconds, memory, and how near the shares it comes.

    python bench/index_growth.py [--classes 200 600 1500] [--files 500] [--spanning 0.05] [--folds 1] [--root DIR]

Makes the tables that night_augment and night_scan would have left (no audio): classes of 40 to 250 originals in
sources of one to four clips, filled up to --files with copies; a share of the sources has clips in a second class too.
For every size night_index runs once in a fresh process and a temporary folder. --root names another checkout to compare
with.
"""

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from night_copy import ROOT, set_params

TABLES = {
    "pool": "artifacts/night/pool.csv",
    "clips": "artifacts/night/scan/clips.csv",
    "recordings": "artifacts/night/field/recordings.csv",
    "cut": "artifacts/night/cut/cut.csv",
}
INDEX, METRICS = "artifacts/night/balanced_audio_index.db", "metrics/night/index.json"


def make_originals(n_classes: int, n_files: int, spanning: float) -> pd.DataFrame:
    """One row an original: class number, source, and how many pool files it stands for."""
    rng = np.random.default_rng(7)
    rows = []
    for label in range(n_classes):
        n_originals = int(rng.integers(min(40, n_files), min(250, n_files) + 1))
        source_of = np.repeat(np.arange(n_originals), rng.integers(1, 5, n_originals))[:n_originals]
        other = np.where(rng.random(n_originals) < spanning, rng.integers(0, n_classes, n_originals), label)
        # A source that spans classes takes the name of one of another class.
        names = [f"{other[source]}-{source if other[source] == label else source % 20}" for source in source_of]
        n_copies = np.full(n_originals, n_files // n_originals) + (np.arange(n_originals) < n_files % n_originals)
        rows += [(label, name, n) for name, n in zip(names, n_copies.tolist(), strict=True)]
    return pd.DataFrame(rows, columns=["label", "source_id", "n_files"])


def write_tables(folder: Path, originals: pd.DataFrame) -> None:
    """The tables that night_index reads."""
    rng = np.random.default_rng(8)
    names = originals["label"].map("class {:04d}".format)
    path = names + "/" + originals.index.astype(str) + ".wav"
    digest = [hashlib.sha256(name.encode()).hexdigest() for name in path]
    traits = ("duration_s", "peak_dbfs", "rms_dbfs", "clipped_share", "silence_share", "bandwidth_hz", "half_energy_hz")
    clips = pd.DataFrame({"path": path, "class_name": names, "source_id": originals["source_id"], "status": "used"})
    clips = clips.assign(sha256=digest, pcm_sha256=digest, container="wav", codec="pcm16", n_channels=1, n_frames=9)
    clips = clips.assign(
        sample_rate_hz=rng.choice([22_050, 44_100], len(clips)),
        **{trait: rng.normal(size=len(clips)).round(4) for trait in traits},
    )
    pool = clips[["class_name", "source_id", "pcm_sha256", "half_energy_hz"]].assign(
        original_file=path, class_slug=names.str.replace(" ", "_")
    )
    pool = pool.loc[np.repeat(originals.index, originals["n_files"])]
    pool = pool.assign(copy=pool.groupby("original_file").cumcount(), sample_rate_hz=22_050, n_samples=9, peak_scale=1)
    pool = pool.assign(is_augmented=(pool["copy"] > 0).astype(int), mel_row=pool.groupby("class_name").cumcount())
    pool = pool.assign(augmentation_type=np.where(pool["copy"] > 0, "noise", "original"))
    pool = pool.assign(file_path=pool["class_slug"] + "/" + pool.index.astype(str) + "_" + pool["copy"].astype(str))
    clips, pool = clips.assign(origin="clips"), pool.assign(sha256=hashlib.sha256(b"").hexdigest())
    recordings = pd.DataFrame(columns=["path", "source_id", "sha256", "exhaustive", "duration_s", "n_frames"])
    cut = pd.DataFrame(columns=["path", "reviewed"])
    for name, table in (("pool", pool), ("clips", clips), ("recordings", recordings), ("cut", cut)):
        (folder / TABLES[name]).parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / TABLES[name], index=False)


def measure(folder: Path, root: Path, n_folds: int) -> tuple[float, float]:
    """Run night_index of a checkout in the folder: CPU seconds and peak MB of its process."""
    shutil.copy(root / "params.yaml", folder)
    set_params(folder, {"night.index.n_folds": n_folds})
    ran = subprocess.Popen([sys.executable, root / "src/night_index.py"], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(ran.pid, 0)
    if status:
        sys.exit(f"night_index ended with {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def reached(folder: Path) -> dict[str, float]:
    """What the index holds, and how far from the wanted numbers its classes are, in files over all parts."""
    balance = json.loads((folder / METRICS).read_text(encoding="utf-8"))["index"]["balance"]
    with closing(sqlite3.connect(folder / INDEX)) as connection:
        n_rows = connection.execute("SELECT count(*) FROM audio_samples").fetchone()[0]
    return {
        "files": n_rows,
        "spanning": balance["sources_in_several_classes"],
        "mean gap": balance["gap_files_mean"],
        "least": balance["least_gap_files_mean"],
        "worst gap": balance["gap_files_worst_class"],
        "at best": balance["classes_as_near_as_possible"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[200, 600, 1500])
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--spanning", type=float, default=0.05)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--root", type=Path, default=ROOT)
    options = parser.parse_args(arguments)
    rows = []
    for n_classes in options.classes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_tables(folder, make_originals(n_classes, options.files, options.spanning))
            cpu_s, peak_mb = measure(folder, options.root.resolve(), options.folds)
            rows.append({"classes": n_classes, "CPU s": round(cpu_s, 1), "peak MB": round(peak_mb)} | reached(folder))
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
