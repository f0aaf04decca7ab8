"""Kill `dvc repro night_train` at random moments, run it again, and compare the bytes with those of an unharmed run.

    python bench/resume.py [--kills 9] [--epochs 8] [--folds 3] [--save-every 1] [--seed 0]

Works on a copy of this checkout (tracked and new files) in a temporary folder, with the sample's data. SIGKILL goes in
turn to the whole process group, to dvc alone and to the stage alone, at a moment drawn over the time an unharmed run
takes. --save-every is the number of seconds between two saved epochs, 30 in the pipeline: the copy is edited for it.
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN = Path("artifacts/night/train")
TRAIN = ("dvc", "repro", "--force", "--single-item", "night_train")
TARGETS = ("all", "dvc", "stage")


def copy_checkout(folder: Path, epochs: int, n_folds: int, save_every_s: float) -> None:
    """A repository of its own with this checkout's files, small settings, and everything that training needs."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    edit(folder / "params.yaml", r"^  epochs: \d+", f"  epochs: {epochs}")
    edit(folder / "params.yaml", r"^    n_folds: 1\b", f"    n_folds: {n_folds}")
    edit(folder / "src/evensong/learn/resume.py", r"^SAVE_EVERY_S = [\d.]+", f"SAVE_EVERY_S = {save_every_s}")
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", *who, "commit", "-qm", "copy"]):
        must(folder, *command)
    must(folder, "dvc", "pull", "-q", "-r", "sample", "data.dvc")
    must(folder, "dvc", "repro", "-q", "night_mels", "night_index")


def edit(path: Path, pattern: str, replacement: str) -> None:
    """Replace exactly one place of a text file."""
    text, n_changed = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if n_changed != 1:
        raise SystemExit(f"{path}: {n_changed} places are like {pattern}")
    path.write_text(text, encoding="utf-8")


def start(folder: Path, *command: str) -> "subprocess.Popen[str]":
    """Start a command of this environment in a process group of its own."""
    variables = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    variables["DVC_SITE_CACHE_DIR"] = str(folder / ".dvc/tmp/site-cache")
    return subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def must(folder: Path, *command: str) -> None:
    """Run a command that has to succeed."""
    process = start(folder, *command)
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")


def stage_processes(folder: Path) -> list[int]:
    """Every process that runs the training script in that folder: the stage first, then its workers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            if b"src/night_train.py" in command and command[0].endswith(b"python") and (entry / "cwd").samefile(folder):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended
    return sorted(found)


def kill(folder: Path, process: "subprocess.Popen[str]", target: str) -> str:
    """Kill what is named and wait until nothing of the run is left; says what was hit."""
    stages = stage_processes(folder)
    progress = sorted(path.relative_to(folder / ".state") for path in (folder / ".state").rglob("*.state"))
    saved = ", ".join("/".join(path.parts[1:]) for path in progress) or "nothing"
    if target == "stage" and stages:
        os.kill(stages[0], signal.SIGKILL)
    elif target == "dvc":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 60
    while (left := stage_processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    if left:
        raise SystemExit(f"killed {target}: processes {left} go on")
    if (folder / RUN).exists():
        raise SystemExit(f"killed {target}: something was published")
    return f"{len(stages)} stage processes; saved: {saved}"


def digest(folder: Path) -> str:
    """One hash over every file of the training's output."""
    whole = hashlib.sha256()
    for path in sorted((folder / RUN).rglob("*")):
        if path.is_file():
            whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def main() -> int:
    """Print a transcript; 1 where the bytes differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--save-every", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_checkout(folder, options.epochs, options.folds, options.save_every)
        before = time.monotonic()
        must(folder, *TRAIN)
        seconds, whole = time.monotonic() - before, digest(folder)
        print(f"unharmed run: {seconds:.0f} s, sha256 {whole}", flush=True)
        for number in range(options.kills):
            process, target = start(folder, *TRAIN), TARGETS[number % len(TARGETS)]
            wait_s = rng.uniform(0.2, 1.0) * seconds
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                print(
                    f"kill {number + 1}: {target:5} after {wait_s:4.1f} s, {kill(folder, process, target)}", flush=True
                )
            else:
                print(f"run {number + 1} ended before its kill after {wait_s:.1f} s, {digest(folder)[:16]}", flush=True)
        must(folder, *TRAIN)
        last, verdict = digest(folder), "equal" if digest(folder) == whole else "DIFFERENT"
        left = ", ".join(path.name for path in (folder / ".state").glob("*")) or "nothing"
        print(f"last run:     sha256 {last}: {verdict}; left in .state: {left}")
    return int(last != whole)


if __name__ == "__main__":
    raise SystemExit(main())
