"""What DVC would hang on or name, found before DVC reads data/."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.privileges import without_root

from evensong.errors import DataError
from evensong.preflight import PROBLEMS, check_data

SRC = Path(__file__).parents[1] / "src"
PATIENT = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("night/asio/1.wav", f"voice/recordings/{PATIENT}_r_c.m4a", "voice/cohort/Demographics_Survey.csv"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"x")
    return tmp_path


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        check_data(root)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_files_and_folders_are_in_order(root: Path) -> None:
    assert check_data(root) == "data: 8 files and folders, all of them readable"
    assert not (root / "artifacts").exists()


def test_no_data_is_no_fault(tmp_path: Path) -> None:
    assert check_data(tmp_path).startswith("data: 0 files")


@pytest.mark.fault("V03", "V04")
def test_every_kind_outside_the_voice_folder_is_named(root: Path) -> None:
    folder = root / "data/night/asio"
    os.mkfifo(folder / "pipe.wav")
    (folder / "link.wav").symlink_to("nowhere")
    (root / "data/night/linked").symlink_to(folder)  # not followed
    (folder / os.fsdecode(b"caf\xe9.wav")).touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        lines = refusal(root).splitlines()
    assert lines[1:-1] == [
        "  data/night/asio/caf\\xe9.wav: a name that is not UTF-8",
        "  data/night/asio/link.wav: a symbolic link",
        "  data/night/asio/pipe.wav: a pipe (FIFO)",
        "  data/night/asio/s: a socket or a device",
        "  data/night/linked: a symbolic link",
    ]
    assert not (root / PROBLEMS).exists()


@pytest.mark.fault("V03")
def test_patients_files_are_counted_and_named_in_a_local_file_only(root: Path) -> None:
    folder = root / "data/voice/recordings"
    for record in "ab":
        (folder / f"{PATIENT}_{record}_c.m4a").symlink_to("nowhere")
    os.mkfifo(folder / f"{PATIENT}_f_c.m4a")
    text = refusal(root)
    assert "in data/voice: a pipe (FIFO) 1, a symbolic link 2; each one by name in " in text
    assert PATIENT not in text
    named = (root / PROBLEMS).read_text(encoding="utf-8").splitlines()
    assert named[:2] == ["path,reason,detail", f"data/voice/recordings/{PATIENT}_a_c.m4a,a symbolic link,"]
    assert len(named) == 4


def test_what_may_not_be_read_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    root.chmod(0o755)
    Path("data/night/asio/1.wav").chmod(0)
    Path("data/night/rain").mkdir(mode=0)
    with without_root():
        text = refusal(Path())
    assert "data/night/asio/1.wav: cannot be read (Permission denied)" in text
    assert "data/night/rain: cannot be read (Permission denied)" in text


def test_many_names_are_cut(root: Path) -> None:
    for n in range(25):
        (root / f"data/night/asio/{n:02d}.wav").symlink_to("nowhere")
    assert "and 5 more" in refusal(root)


@pytest.mark.fault("V03")
def test_the_command_ends_with_code_3(root: Path) -> None:
    os.mkfifo(root / f"data/voice/recordings/{PATIENT}_f_c.m4a")
    done = subprocess.run(
        [sys.executable, "-m", "evensong.cli", "doctor", "--data"],
        env={**os.environ, "PYTHONPATH": str(SRC)}, cwd=root, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    assert "a pipe (FIFO) 1" in done.stderr
    assert PATIENT not in done.stderr


def checkout(root: Path) -> None:
    """The Makefile with an environment that is ready; its dvc only says that it was called."""
    for name in ("Makefile", "tools/set_up.sh", "tools/get_sample.sh", "requirements.lock"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(SRC.parent / name, root / name)
    scripts = {"dvc": 'echo "dvc $1"', "evensong": f'test $1 = results || exec {sys.executable} -m evensong.cli "$@"'}
    for name, script in scripts.items():
        (root / ".venv/bin" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / ".venv/bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (root / ".venv/bin" / name).chmod(0o755)
    (root / ".venv/.ready").write_text(f"{root}\n")


def made(root: Path, target: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(SRC), "MAKEFLAGS": ""}
    command = ["make", "--no-print-directory", "-C", str(root), target]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
@pytest.mark.fault("V03")
@pytest.mark.parametrize("target", ["repro", "night", "voice"])
def test_make_looks_before_dvc_does(root: Path, target: str) -> None:
    checkout(root)
    done = made(root, target)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if not line.startswith("dvc repro")] == []

    os.mkfifo(root / "data/night/asio/pipe.wav")
    (root / f"data/voice/recordings/{PATIENT}_l_c.m4a").symlink_to("nowhere")
    done = made(root, target)
    assert "Error 3" in done.stderr
    assert "data/night/asio/pipe.wav: a pipe (FIFO)" in done.stderr
    assert "dvc repro" not in done.stdout
    assert PATIENT not in done.stdout + done.stderr
