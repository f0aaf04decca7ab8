"""Exit codes and messages of a stage script, seen from outside."""

import os
import signal
import subprocess
import sys
import time
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
        ("def main(): raise BusyError('busy')\nrun_stage(main)", 6, "ERROR: busy\n"),
        ("def main(): raise KeyboardInterrupt\nrun_stage(main)", 130, "interrupted"),
    ],
)
def test_expected_failure_has_its_code_and_one_line(tmp_path: Path, body: str, code: int, message: str) -> None:
    done = run_script(tmp_path, body)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_bug_has_a_traceback(tmp_path: Path) -> None:
    done = run_script(tmp_path, "def main(): [][1]\nrun_stage(main)")
    assert done.returncode == 70
    assert "IndexError" in done.stderr
    assert "Traceback" in done.stderr


def test_one_thread_a_library(tmp_path: Path) -> None:
    done = run_script(tmp_path, "run_stage(lambda: print(os.environ['OMP_NUM_THREADS']))")
    assert done.stdout == "1\n"


@pytest.mark.fault("D12")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process that its parent died")
def test_stage_dies_with_its_parent(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    stage = tmp_path / "stage.py"
    stage.write_text(
        "import time, pathlib\nfrom evensong.run.stage import run_stage\n"
        "def main():\n"
        "    for beat in range(200):\n"
        f"        pathlib.Path({str(alive)!r}).write_text(str(beat))\n"
        "        time.sleep(0.05)\n"
        "run_stage(main)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, {str(stage)!r}])"],
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )
    deadline = time.monotonic() + 20
    while not alive.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    time.sleep(0.5)
    first = alive.read_text()
    time.sleep(0.5)
    assert alive.read_text() == first


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
