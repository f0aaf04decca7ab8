"""Field recordings of known events: sites, nights, silence and noise, exhaustive and not, tables in three forms."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from evensong.audio.wav import write_wav

RATE_HZ = 8_000
HZ = {"owl": 500.0, "frog": 1_500.0, "fox": 2_800.0}


class Call(NamedTuple):
    begin_s: float
    end_s: float
    name: str


def calls_of(rng, seconds, names, *, gap_s=3.0):
    """Calls of 0.4 to 0.9 s, one at a time, at least `gap_s` apart."""
    calls, at = [], 1.0
    while (at := at + gap_s + rng.uniform(0, 2)) < seconds - 2:
        length = rng.uniform(0.4, 0.9)
        calls.append(Call(round(at, 3), round(at + length, 3), str(rng.choice(names))))
        at += length
    return calls


def write_soundscape(path, seconds, calls, rng, *, quiet=None):
    """Faint noise with a tone a call; almost without noise in the `quiet` seconds, from and to."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = 0.01 * rng.standard_normal(time_s.size)
    if quiet:
        wave[(time_s >= quiet[0]) & (time_s < quiet[1])] *= 0.1
    for begin_s, end_s, name in calls:
        wave += np.where((time_s >= begin_s) & (time_s < end_s), 0.4 * np.sin(2 * np.pi * HZ[name] * time_s), 0)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_wav(Path(path), wave.astype(np.float32), RATE_HZ)


def write_tables(root, planted, exhaustive):
    """Raven tables at the first site, Audacity labels at the second, one CSV at its recordings' top for the others."""
    rows = []
    for n, (path, calls) in enumerate(sorted(planted.items())):
        stem = root / Path(path).with_suffix("")
        if n % 3 == 0:
            lines = [
                f"{k}\tSpectrogram 1\t1\t{one.begin_s}\t{one.end_s}\t{one.name}\t" for k, one in enumerate(calls, 1)
            ]
            header = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tAnnotation\t"
            Path(f"{stem}.Table.1.selections.txt").write_text("\n".join([header, *lines]) + "\n")
        elif n % 3 == 1:
            lines = [f"{one.begin_s}\t{one.end_s}\t{one.name}\n\\\t100\t3000" for one in calls]
            Path(f"{stem}.txt").write_text("\n".join(lines), encoding="utf-16")
        else:
            rows += [f"{path},{one.begin_s},{one.end_s},{one.name}" for one in calls]
    (root / "calls.csv").write_text("\n".join(["file,start,end,label", *rows]) + "\n")
    said = [f"{path},{'yes' if path in exhaustive else 'no'}" for path in sorted(planted)]
    (root / "recordings.csv").write_text("\n".join(["recording,exhaustive", *said]) + "\n")
