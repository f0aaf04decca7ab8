"""Exit codes and messages of a stage script, seen from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"


def run_script(tmp_path: Path, body: str, name: str = "stage.py") -> subprocess.CompletedProcess[str]:
    script = tmp_path / name
    header = "import errno, os\nfrom evensong.errors import *\nfrom evensong.run.stage import run_stage\n"
    script.write_text(header + body)
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    return subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("run_stage(lambda: None)", 0, ""),
        ("def main(): raise ParamsError('a.b: unknown')\nrun_stage(main)", 2, "ERROR: a.b: unknown\n"),
        ("def main(): raise DataError('bad')\nrun_stage(main)", 3, "ERROR: bad\n"),
        ("def main(): raise IntegrityError('bad')\nrun_stage(main)", 4, "ERROR: bad\n"),
        ("def main(): raise OSError(errno.ENOSPC, 'No space left on device')\nrun_stage(main)", 5, "No space left"),
        ("def main(): raise MemoryError('17 GB')\nrun_stage(main)", 5, "17 GB"),
        ('def main(): raise RuntimeError("can\'t start new thread")\nrun_stage(main)', 5, "ERROR: out of memory\n"),
        ("raise ImportError('x.so: failed to map segment from shared object')", 5, "ERROR: out of memory while the"),
        ("raise MemoryError", 5, "ERROR: out of memory while the program was loaded\n"),
        ("def main(): raise BusyError('busy')\nrun_stage(main)", 6, "ERROR: busy\n"),
        ("def main(): raise KeyboardInterrupt\nrun_stage(main)", 130, "interrupted"),
    ],
)
def test_expected_failure_has_its_code_and_one_line(tmp_path: Path, body: str, code: int, message: str) -> None:
    done = run_script(tmp_path, body)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.fault("D27")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux limits the address space")
def test_stage_without_the_address_space_to_load_its_libraries_is_a_resource_error(tmp_path: Path) -> None:
    body = (
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "import torch\nrun_stage(lambda: None)"
    )
    done = run_script(tmp_path, body)
    assert (done.returncode, done.stderr) == (5, "ERROR: out of memory while the program was loaded\n")


def test_import_that_fails_for_another_reason_keeps_its_traceback(tmp_path: Path) -> None:
    done = run_script(tmp_path, "import no_such_module")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_bug_has_a_traceback(tmp_path: Path) -> None:
    done = run_script(tmp_path, "def main(): [][1]\nrun_stage(main)")
    assert done.returncode == 70
    assert "IndexError" in done.stderr
    assert "Traceback" in done.stderr


def test_one_thread_a_library(tmp_path: Path) -> None:
    done = run_script(tmp_path, "run_stage(lambda: print(os.environ['OMP_NUM_THREADS']))")
    assert done.stdout == "1\n"


IN_MAIN = "run_stage(beat)"
IN_IMPORTS = "beat()\nrun_stage(lambda: None)"  # a module that takes long to import


def start_beating(tmp_path: Path, body: str, launcher: Sequence[str]) -> tuple[subprocess.Popen[str], Path]:
    """A stage that writes a growing number for ten seconds, once it does so."""
    alive, stage = tmp_path / "alive", tmp_path / "stage.py"
    stage.write_text(
        "from evensong.run.stage import run_stage\nimport time, pathlib\n"
        "def beat():\n"
        "    for beat in range(200):\n"
        f"        pathlib.Path({str(alive)!r}).write_text(str(beat))\n"
        f"        time.sleep(0.05)\n{body}"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    process = subprocess.Popen(
        [sys.executable, *launcher, str(stage)],
        env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # which a shell's background ignores
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not alive.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process, alive


@pytest.mark.slow
@pytest.mark.fault("D12")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process that its parent died")
@pytest.mark.parametrize("body", [IN_MAIN, IN_IMPORTS])
def test_stage_dies_with_its_parent(tmp_path: Path, body: str) -> None:
    launcher = ["-c", "import subprocess, sys; subprocess.run([sys.executable, sys.argv[1]])"]
    parent, alive = start_beating(tmp_path, body, launcher)
    parent.kill()
    parent.wait()
    last = None
    while last != (last := alive.read_text()):
        time.sleep(0.5)
    assert last != "199"  # it did not come to its own end


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process that its parent died")
def test_process_whose_parent_is_gone_already_ends() -> None:
    code = "import os; from evensong.run.machine import die_with_parent; die_with_parent(os.getppid() + 1)"
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == -signal.SIGTERM


@pytest.mark.parametrize("body", [IN_MAIN, IN_IMPORTS])
def test_interrupt_is_one_line_and_130_also_during_imports(tmp_path: Path, body: str) -> None:
    stage, _ = start_beating(tmp_path, body, [])
    stage.send_signal(signal.SIGINT)
    _, said = stage.communicate(timeout=60)
    assert (stage.returncode, said) == (130, "interrupted; nothing was published\n")


@pytest.mark.fault("D13")
@pytest.mark.parametrize("is_held", [True, False])
def test_interrupt_after_the_outputs_are_published_says_so(tmp_path: Path, is_held: bool) -> None:
    body = f"""
import signal
from evensong.run import publish
os.chdir({str(tmp_path)!r})
os.rename = lambda *names, move=os.rename: (move(*names), {is_held} and os.kill(os.getpid(), signal.SIGINT))
def main():
    with publish.publishing("x", ["out.txt"]) as staged:
        staged["out.txt"].write_text("whole")
    os.kill(os.getpid(), signal.SIGINT)
run_stage(main)"""
    done = run_script(tmp_path, body)
    assert (done.returncode, done.stderr) == (130, "interrupted; the outputs are published\n")
    assert (tmp_path / "out.txt").read_text() == "whole"


def test_interrupt_is_one_line_while_the_frame_itself_is_imported(tmp_path: Path) -> None:
    (tmp_path / "sqlite3.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    )  # the frame needs it
    (tmp_path / "stage.py").write_text("from evensong.run.stage import run_stage\n")
    stage = subprocess.run(
        [sys.executable, "stage.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(SRC)}, check=False,
        capture_output=True, text=True, preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (stage.returncode, stage.stderr) == (130, "interrupted; nothing was published\n")


@pytest.mark.parametrize(("script", "is_told"), [("voice_x.py", False), ("night_x.py", True)])
def test_bug_in_a_voice_stage_quotes_no_data(tmp_path: Path, script: str, is_told: bool) -> None:
    done = run_script(tmp_path, "def main(): {}['patient-17']\nrun_stage(main)", script)
    assert done.returncode == 70
    assert "KeyError" in done.stderr
    assert ("KeyError: 'patient-17'" in done.stderr) == is_told
    assert ("patient-17" in done.stderr.replace("{}['patient-17']", "")) == is_told  # less the line of code itself


def test_os_error_names_the_folder_and_not_the_file(tmp_path: Path) -> None:
    done = run_script(tmp_path, "def main(): open('data/voice/patient-17_1_a.wav')\nrun_stage(main)")
    assert done.returncode == 5
    assert done.stderr == "ERROR: No such file or directory in data/voice\n"


def test_a_stage_first_finishes_what_a_killed_one_has_published(tmp_path: Path) -> None:
    staged = tmp_path / "artifacts/.staging/other/artifacts/table.csv"
    staged.parent.mkdir(parents=True)
    staged.write_text("whole")
    moves = '[["artifacts/table.csv", "artifacts/.staging/other/artifacts/table.csv"]]'
    (tmp_path / "artifacts/.staging/other.journal").write_text(moves)
    body = f"os.chdir({str(tmp_path)!r})\nrun_stage(lambda: print(open('artifacts/table.csv').read()))\n"
    assert run_script(tmp_path, body).stdout == "whole\n"
