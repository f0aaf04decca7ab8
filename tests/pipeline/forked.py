"""Stages as processes of their own, forked from one that has loaded what they load, which takes longer than they do."""

import functools
import json
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
FORKING = f"""
import json, os, runpy, sys, tempfile
sys.path.insert(0, {str(SRC)!r})
import evensong.run.stage  # first, as in every stage
import evensong.voice.mels, evensong.voice.scan, evensong.voice.splits, evensong.voice.tables
for line in sys.stdin:
    folder, script = json.loads(line)
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            os.chdir(folder)
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.argv = [script]
            runpy.run_path(script, run_name="__main__")
            sys.exit()  # and never the next line
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        print(json.dumps([code, said.read().decode("latin-1")]), flush=True)
"""


@functools.cache
def _forking() -> "subprocess.Popen[str]":
    """Ends with this process, which holds the only other end of its stdin."""
    return subprocess.Popen([sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run_stage(folder: Path, stage: str) -> tuple[int, bytes]:
    """Run a stage's script in a folder; returns its exit code and all it said."""
    process = _forking()
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps([str(folder), str(SRC / f"{stage}.py")]) + "\n")
    process.stdin.flush()
    code, said = json.loads(process.stdout.readline())
    return code, said.encode("latin-1")
