"""Damaged files through every reader of the product: none may end it, hang it, be lost, or get two verdicts.

    python -m tests.reliability.fuzz --minutes 5 --seed 1
    python -m tests.reliability.fuzz --again wav/1/53/7

Recordings go through the scan's look and predict's reading, which must agree to the sample; surveys, split lists,
groups.csv, params.yaml and model cards through theirs, beside readers of our own. Workers read them, which may die.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))  # the library is run from there, never installed

from tests.reliability.fuzz_audio import recordings
from tests.reliability.fuzz_settings import model
from tests.reliability.subjects import AUDIO, SUBJECTS, verdict

from evensong.errors import InputFault
from evensong.run.machine import n_cores
from evensong.run.parallel import map_isolated

# Batches of each kind in one round: most of them audio.
_ROUND = {**dict.fromkeys(AUDIO, 3), "survey": 1, "splits": 1, "groups": 1, "params": 1, "models": 1}
_HUNG_AFTER_S = 120.0
_WRONG = ("deaths", "hangs", "unaccounted", "disagreements")


@dataclass(frozen=True)
class Batch:
    """Files ``start`` to ``stop`` of one kind and number, drawn and read by one worker."""

    name: str
    seed: int
    number: int
    start: int
    stop: int
    folder: Path

    def key(self, index: int) -> str:
        return f"{self.name}/{self.seed}/{self.number}/{index}"


@dataclass
class Tally:
    """Verdicts by kind of file, and what went wrong."""

    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def n_audio(self) -> int:
        return sum(n for (name, _), n in self.verdicts.items() if name in AUDIO)

    def add(self, name: str, key: str, said: str, fault: str) -> None:
        self.verdicts[name, said or fault.split(":")[0]] += 1
        if fault:
            self.wrong[f"{fault.split(':')[0]}s"] += 1
            self.faults.append(f"{key}: {fault}")

    def table(self) -> list[str]:
        """One line a kind: how often it got which verdict."""
        names = sorted({name for name, _ in self.verdicts})
        by_name = {
            name: Counter({said: n for (own, said), n in self.verdicts.items() if own == name}) for name in names
        }
        return [
            f"  {name}: " + ", ".join(f"{n} {said}" for said, n in found.most_common())
            for name, found in by_name.items()
        ]

    def line(self) -> str:
        wrong = ", ".join(f"{self.wrong[kind]} {kind}" for kind in _WRONG)
        return f"{self.verdicts.total()} files ({self.n_audio} audio): {wrong}"


def main() -> int:
    """Fuzz until the time or the number is reached; exit code 1 where a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--files", type=int, help="recordings at least, however long it takes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=n_cores())
    parser.add_argument("--again", metavar="KEY", help="read one file again that a fault names")
    options = parser.parse_args()
    if options.again:
        return again(options.again)
    tally = fuzz(options.seed, minutes=options.minutes, n_audio=options.files, workers=options.workers)
    print("", *tally.table(), tally.line(), *tally.faults, sep="\n")
    return 1 if tally.faults else 0


def again(key: str) -> int:
    """Read one file in this process, so that a debugger sees what happens."""
    name, *numbers = key.split("/")
    with tempfile.TemporaryDirectory() as folder:
        said = verdict(name, random.Random("/".join([name, *numbers])), Path(folder))
    print(*said)
    return 1 if said[1] else 0


def fuzz(seed: int, *, minutes: float, n_audio: int | None, workers: int) -> Tally:
    """Rounds of batches until so many recordings are read, or for so long where no number is given."""
    recordings(), model()  # once, for all workers
    tally, number = Tally(), 0
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        while tally.n_audio < n_audio if n_audio else time.monotonic() < end:
            names = [name for name, n in _ROUND.items() for _ in range(n)]
            batches = [
                Batch(name, seed, number + n, 0, SUBJECTS[name].batch, Path(folder)) for n, name in enumerate(names)
            ]
            number += len(batches)
            run(batches, tally, workers)
            print(f"\r{tally.line()}", end="", flush=True)
    return tally


def run(batches: Sequence[Batch], tally: Tally, workers: int) -> None:
    """Read batches; one whose worker died is read again file by file, to find the file."""
    results = map_isolated(read_batch, batches, workers=workers, seconds=_HUNG_AFTER_S, label="fuzz")
    for batch, result in zip(batches, results, strict=True):
        if not isinstance(result, InputFault):
            for index, (said, fault) in enumerate(result, batch.start):
                tally.add(batch.name, batch.key(index), said, fault)
            if len(result) < batch.stop - batch.start:
                tally.wrong["unaccounted"] += (lost := batch.stop - batch.start - len(result))
                tally.faults.append(f"{batch.key(batch.start)}: {lost} files of the batch unaccounted")
        elif batch.stop - batch.start > 1:
            singles = [
                Batch(batch.name, batch.seed, batch.number, n, n + 1, batch.folder)
                for n in range(batch.start, batch.stop)
            ]
            run(singles, tally, workers)
        else:
            kind = "hang" if result.reason == "Q_DECODER_TIMEOUT" else "death"
            tally.add(batch.name, batch.key(batch.start), "", f"{kind}: {result.detail}")


def read_batch(batch: Batch) -> list[tuple[str, str]]:
    """Draw and read every file of a batch, in a worker."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C say there what they make of damage
    with tempfile.TemporaryDirectory(dir=batch.folder) as folder:
        return [
            verdict(batch.name, random.Random(batch.key(index)), Path(folder))
            for index in range(batch.start, batch.stop)
        ]


if __name__ == "__main__":
    raise SystemExit(main())
