"""Kill stages at random moments and at every rename, alone and through DVC; whatever is left must be whole.

    python -m tests.reliability.kill --kills 300 --seed 1

A small repository is run once; its outputs are the reference. After each kill nothing of the stage may run on, every
output must be as it was (through DVC files may be absent: DVC removes them, one after another, before it starts
a stage), and the next run must give the reference to the byte.
"""

import argparse
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.pipeline.conftest import BIN, SmallRepo, make_repo, write_data

# Mostly the stages of seconds; a training is killed as often as any of them.
STAGES = (
    *("night_cut", "night_scan", "night_augment", "night_index", "night_mels", "night_train", "night_baseline"),
    *("night_evaluate", "night_detect", "night_report"),
)
STAGES += (
    "voice_scan",
    "voice_mels",
    "voice_splits",
    "voice_tables",
    "voice_train",
    "voice_baseline",
    "voice_evaluate",
    "voice_ensemble",
    "voice_clinical",
    "voice_confounders",
    "voice_report",
)
ARGUMENTS = {"voice_train": ["3"]}
_GONE_WITHIN_S = 20.0
# Runs a stage whose n-th rename is its last: what a power cut between two of them leaves.
_AT_RENAME = """
import os, runpy, signal, sys
left = int(sys.argv.pop(1))
def counting(original):
    def counted(*paths, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*paths, **options)
    return counted
os.rename, os.replace = counting(os.rename), counting(os.replace)
sys.argv = sys.argv[1:]
sys.path.insert(0, "src")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass
class Tally:
    """How many kills of each kind, and what went wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    n_locks_cut: int = 0

    def line(self) -> str:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.kills.items()))
        cut = f", dvc.lock cut off by DVC {self.n_locks_cut} times" if self.n_locks_cut else ""
        return f"{self.kills.total()} kills ({kinds}): {len(self.faults)} faults{cut}"


class Victim:
    """A finished repository and the digests of its outputs."""

    def __init__(self, repo: SmallRepo) -> None:
        self.repo = repo
        self.outputs = {name: self._outputs_of(name) for name in STAGES}
        self.reference = {name: self.digests(name) for name in STAGES}
        self.lock = (repo.folder / "dvc.lock").read_bytes()
        self.seconds: dict[str, float] = {}

    def _outputs_of(self, stage: str) -> list[Path]:
        lock = YAML(typ="safe", pure=True).load((self.repo.folder / "dvc.lock").read_text(encoding="utf-8"))
        key = f"{stage}@{ARGUMENTS[stage][0]}" if stage in ARGUMENTS else stage
        return [self.repo.folder / out["path"] for out in lock["stages"][key]["outs"]]

    def digests(self, stage: str) -> dict[str, str]:
        """SHA-256 by path of every file of a stage's outputs."""
        files = [file for out in self.outputs[stage] for file in (sorted(out.rglob("*")) if out.is_dir() else [out])]
        return {
            str(path.relative_to(self.repo.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if path.is_file()
        }

    def command(self, stage: str) -> list[str]:
        return [str(BIN / "python"), f"src/{stage}.py", *ARGUMENTS.get(stage, [])]

    def start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        variables = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
        variables["DVC_SITE_CACHE_DIR"] = str(self.repo.folder / ".dvc/tmp/site-cache")
        return subprocess.Popen(
            command, cwd=self.repo.folder, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def mend_lock(self) -> bool:
        """Put dvc.lock back where DVC died while it wrote it, as `git checkout dvc.lock` would."""
        path = self.repo.folder / "dvc.lock"
        left = path.read_bytes() if path.exists() else b""
        is_cut = left != self.lock and self.lock.startswith(left)
        if is_cut:
            path.write_bytes(self.lock)
        return is_cut

    def processes(self) -> Iterator[int]:
        """Whatever runs in the repository's folder."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                try:
                    here = os.readlink(entry / "cwd") == str(self.repo.folder)
                    is_dead = re.search(r"\) Z ", (entry / "stat").read_text()) is not None
                except OSError:
                    continue
                if here and not is_dead:
                    yield int(entry.name)

    def timed(self, stage: str) -> float:
        if stage not in self.seconds:
            begin = time.monotonic()
            subprocess.run(self.command(stage), cwd=self.repo.folder, check=True, capture_output=True)
            self.seconds[stage] = time.monotonic() - begin
        return self.seconds[stage]


def main() -> int:
    """Run the kills; exit code 1 where a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        write_data(Path(folder, "data"), monkeypatch)
        repo = make_repo(Path(folder).resolve() / "repository", Path(folder, "data"))
        repo.must("dvc", "repro", "-q")
        victim, tally = Victim(repo), Tally()
        renames = [(stage, n) for stage in options.stages for n in range(1, 6)]
        chance.shuffle(renames)
        while tally.kills.total() < options.kills:
            kind = chance.choice(["alone", "dvc", "at a rename"])
            stage = chance.choice(options.stages)
            if kind == "at a rename" and renames:
                stage, n = renames.pop()
                kill_at_rename(victim, stage, n, tally)
            elif kind == "dvc":
                kill_dvc(victim, stage, chance, tally)
            else:
                kill_alone(victim, stage, chance, tally)
            print(f"\r{tally.line()}", end="", flush=True)
    print(f"\n{tally.line()}", *tally.faults, sep="\n")
    return 1 if tally.faults else 0


def kill_alone(victim: Victim, stage: str, chance: random.Random, tally: Tally) -> None:
    """Start a stage without DVC, during its imports or later, and kill it: outputs stay whole."""
    number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    process = victim.start(victim.command(stage))
    time.sleep(chance.uniform(0, 1.05) * victim.timed(stage) if stage in victim.seconds else chance.uniform(0, 3))
    process.send_signal(number)
    _, said = process.communicate()
    tally.kills[f"alone by {number.name}"] += 1
    if b"Traceback" in said and not is_of_start(said):
        tally.faults.append(f"{stage}: {number.name} ended in a traceback: {said[-300:]!r}")
    check(victim, stage, f"{stage} alone, {number.name}", tally, may_be_absent=False)


def is_of_start(said: bytes) -> bool:
    """Whether Python was still starting, up to our first statement: nothing can answer an interrupt there."""
    return b"Fatal Python error" in said or b"/evensong/" not in said


def kill_at_rename(victim: Victim, stage: str, n: int, tally: Tally) -> None:
    """End a stage at its n-th rename; the next process in the folder finishes what was published."""
    process = victim.start([sys.executable, "-c", _AT_RENAME, str(n), *victim.command(stage)[1:]])
    process.communicate()
    tally.kills["at a rename"] += process.returncode == -signal.SIGKILL
    subprocess.run([str(BIN / "python"), "src/check_params.py"], cwd=victim.repo.folder, check=True)
    check(victim, stage, f"{stage} at rename {n}", tally, may_be_absent=False)


def kill_dvc(victim: Victim, stage: str, chance: random.Random, tally: Tally) -> None:
    """Kill `dvc repro` alone; its stage must die with it, and the next repro must give the reference."""
    key = f"{stage}@{ARGUMENTS[stage][0]}" if stage in ARGUMENTS else stage
    process = victim.start([str(BIN / "dvc"), "repro", "-q", "-f", "-s", key])
    time.sleep(chance.uniform(0, 1.05) * (victim.timed(stage) + 3))
    process.kill()
    process.communicate()
    tally.kills["through dvc by SIGKILL"] += 1
    check(victim, stage, f"{stage} through dvc", tally, may_be_absent=True)
    tally.n_locks_cut += victim.mend_lock()
    done = victim.repo.run("dvc", "repro", "-s", key)
    if done.returncode:
        tally.faults.append(f"{stage}: the next dvc repro failed: {(done.stdout + done.stderr)[-500:]!r}")
    elif victim.digests(stage) != victim.reference[stage]:
        tally.faults.append(f"{stage}: the next dvc repro gave other bytes")


def check(victim: Victim, stage: str, what: str, tally: Tally, *, may_be_absent: bool) -> None:
    """Nothing runs on, and the stage's outputs are the reference, or, where they may be, absent."""
    deadline = time.monotonic() + _GONE_WITHIN_S
    while alive := list(victim.processes()):
        if time.monotonic() > deadline:
            tally.faults.append(f"{what}: {len(alive)} processes ran on")
            for process in alive:
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
    found, wanted = victim.digests(stage), victim.reference[stage]
    if may_be_absent:
        wanted = {path: digest for path, digest in wanted.items() if path in found}
    if found != wanted:
        others = {path for path, digest in found.items() if wanted.get(path) != digest}
        missing = wanted.keys() - found.keys()
        tally.faults.append(f"{what}: {len(missing)} files are missing, {len(others)} are not what they were")
        subprocess.run(victim.command(stage), cwd=victim.repo.folder, check=True, capture_output=True)


if __name__ == "__main__":
    raise SystemExit(main())
