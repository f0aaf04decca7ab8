"""Tasks in processes: order, equality over workers and start methods, and a dead worker is an error, not a hang."""

import fcntl
import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evensong.errors import DataError, InputFault, ResourceError
from evensong.run import parallel
from evensong.run.parallel import map_tasks, n_workers


def square(value: int) -> int:
    return value * value


def die_on_three(value: int) -> int:
    if value == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def refuse_two(value: int) -> int:
    if value == 2:
        raise InputFault("Q_EMPTY", "0 bytes")
    return value


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "method"), [(1, "fork"), (2, "fork"), (4, "fork"), (2, "spawn")])
def test_results_are_in_task_order(workers: int, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_CONTEXT", multiprocessing.get_context(method))
    results = map_tasks(square, range(20), workers=workers, label="squares")
    assert list(results) == [value * value for value in range(20)]


def test_no_tasks_is_no_results() -> None:
    assert list(map_tasks(square, [], workers=2, label="none")) == []


def test_killed_worker_is_a_resource_error() -> None:
    with pytest.raises(ResourceError, match="worker process died"):
        list(map_tasks(die_on_three, range(8), workers=2, label="deadly"))


def note_and_wait(folder: Path) -> None:
    """Leave the process's number and go on for ten minutes; the last of the folders makes the task fail instead."""
    if folder.name == "fail":
        while len(list(folder.parent.glob("*.pid"))) < 1:
            time.sleep(0.01)
        raise InputFault("Q_EMPTY", "0 bytes")
    unnamed = folder.with_suffix(".part")  # who sees the name may kill at once, and is to find the number
    unnamed.write_text(str(os.getpid()), encoding="utf-8")
    unnamed.rename(folder.with_suffix(".pid"))
    time.sleep(600)


def wait_until_gone(folder: Path) -> None:
    """Until the processes that left their numbers have ended."""
    waiting = [int(path.read_text(encoding="utf-8")) for path in folder.glob("*.pid")]
    assert waiting
    deadline = time.monotonic() + 60
    while any(is_running(number) for number in waiting):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(number: int) -> bool:
    """Whether the process has not ended; one that nobody has asked for its exit code yet has."""
    try:
        return " Z " not in Path(f"/proc/{number}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):  # it went before or while it was read
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_task_that_fails_is_told_at_once_and_ends_the_others(tmp_path: Path) -> None:
    with pytest.raises(InputFault):
        list(map_tasks(note_and_wait, [tmp_path / "fail", tmp_path / "wait"], workers=2, label="tasks"))
    wait_until_gone(tmp_path)


def test_workers_are_gone_when_one_has_died(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ResourceError, match="worker process died"):
            list(map_tasks(die_on_three, range(8), workers=4, label="deadly"))
    with (tmp_path / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a worker that lived on would hold it still


STAGE = """
import sys
from pathlib import Path
from evensong.run.stage import run_stage
from evensong.run.parallel import map_tasks
from tests.run.test_parallel import note_and_wait
run_stage(lambda: list(map_tasks(note_and_wait, [Path(sys.argv[1]) / name for name in "ab"], workers=2, label="x")))
"""


@pytest.mark.fault("D12", "D13")
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_stage_that_is_terminated_ends_its_workers_in_the_middle_of_their_tasks(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    stage = subprocess.Popen([sys.executable, "-c", STAGE, tmp_path], env=environment)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    stage.terminate()
    assert stage.wait(60) == 143
    wait_until_gone(tmp_path)


ORPHANING = """
import sys
from pathlib import Path
from evensong.run.parallel import map_isolated, map_tasks
from tests.run.test_parallel import note_and_wait
map_them = {"map_tasks": map_tasks, "map_isolated": lambda *a, **k: map_isolated(*a, seconds=600, **k)}[sys.argv[1]]
list(map_them(note_and_wait, [Path(sys.argv[2]) / name for name in "ab"], workers=2, label="x"))
"""


@pytest.mark.fault("D12")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process that its parent died")
@pytest.mark.parametrize("pool", ["map_tasks", "map_isolated"])
def test_workers_end_in_the_middle_of_their_tasks_when_their_parent_is_killed(tmp_path: Path, pool: str) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    parent = subprocess.Popen([sys.executable, "-c", ORPHANING, pool, tmp_path], env=environment)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    wait_until_gone(tmp_path)


def test_fault_keeps_its_reason_across_processes() -> None:
    with pytest.raises(InputFault) as caught:
        list(map_tasks(refuse_two, range(4), workers=2, label="faulty"))
    assert (caught.value.reason, caught.value.detail) == ("Q_EMPTY", "0 bytes")
    assert isinstance(caught.value, DataError)


def test_workers_follow_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cores = len(os.sched_getaffinity(0))
    for workers, expected in (("3", 3), ("1000", 4 * cores), ("auto", cores)):
        section = f"runtime:\n  workers: {workers}\n  backend: local\n  gpus_a_fold: 0\n"
        Path("params.yaml").write_text(section, encoding="utf-8")
        assert n_workers() == expected


class Terminal(io.StringIO):
    """A stderr that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_shows_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    list(map_tasks(square, range(20), workers=workers, label="squares", unit="clip"))
    assert re.search(r"squares: 100%\|.*\| 20/20 \[\d\d:\d\d<\d\d:\d\d, .*clip/s\]", screen.getvalue())


@pytest.mark.parametrize("workers", [1, 2])
def test_without_a_terminal_nothing_is_shown(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    list(map_tasks(square, range(20), workers=workers, label="squares"))
    assert log.getvalue() == ""
