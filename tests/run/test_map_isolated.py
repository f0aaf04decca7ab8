"""Workers that crash, hang or are killed: the task is named, tried again in a fresh process, and the rest goes on."""

import faulthandler
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from evensong.errors import DataError, InputFault, ResourceError
from evensong.run.parallel import map_isolated

LONG_S = 20  # much longer than the tests' deadline


def run(function, tasks, *, workers=2, seconds=30.0):
    results = map_isolated(function, tasks, workers=workers, seconds=seconds, label="test")
    return [(found.reason, found.detail) if isinstance(found, InputFault) else found for found in results]


def square(value: int) -> int:
    return value * value


def crash_on_three(value: int) -> int:
    if value == 3:
        faulthandler.disable()  # pytest's: it would print where the test stands
        os.kill(os.getpid(), signal.SIGSEGV)
    return value


def leave_on_three(value: int) -> int:
    if value == 3:
        os._exit(7)
    return value


def spin_on_three(value: int) -> int:
    end = time.monotonic() + LONG_S
    while value == 3 and time.monotonic() < end:
        pass
    return value


def sleep_on_three(value: int) -> int:
    time.sleep(LONG_S if value == 3 else 0)
    return value


def be_killed_on_three(value: int) -> int:
    if value == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def crash_once(path: Path) -> str:
    """Dies in the first process that tries it, as after damage by an earlier file."""
    if not path.exists():
        path.touch()
        faulthandler.disable()
        os.abort()
    return path.name


def refuse_two(value: int) -> int:
    if value == 2:
        raise DataError("two is refused")
    return value


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_are_in_task_order(workers: int) -> None:
    assert run(square, range(20), workers=workers) == [value * value for value in range(20)]


def test_no_tasks_is_no_results() -> None:
    assert run(square, []) == []


@pytest.mark.slow
@pytest.mark.fault("A30")
@pytest.mark.parametrize(
    ("function", "workers", "fault"),
    [
        (crash_on_three, 1, ("Q_DECODER_CRASH", "the decoder ended its process (SIGSEGV)")),
        (crash_on_three, 2, ("Q_DECODER_CRASH", "the decoder ended its process (SIGSEGV)")),
        (leave_on_three, 2, ("Q_DECODER_CRASH", "the decoder ended its process (exit code 7)")),
        (spin_on_three, 2, ("Q_DECODER_TIMEOUT", "the decoder was not done after 1 s")),
        (sleep_on_three, 1, ("Q_DECODER_TIMEOUT", "the decoder was not done after 1 s")),
    ],
)
def test_task_that_ends_or_stops_its_process_is_one_fault_and_the_rest_goes_on(function, workers: int, fault) -> None:
    assert run(function, range(8), workers=workers, seconds=1) == [0, 1, 2, fault, 4, 5, 6, 7]


@pytest.mark.fault("A30")
def test_task_that_works_in_a_fresh_process_is_no_fault(tmp_path: Path) -> None:
    assert run(crash_once, [tmp_path / "a", tmp_path / "b"]) == ["a", "b"]


def test_worker_killed_from_outside_is_a_resource_error_and_no_fault_of_the_file() -> None:
    with pytest.raises(ResourceError, match=r"was killed \(signal 9\), most likely for lack of memory"):
        run(be_killed_on_three, range(8))


def test_error_of_a_task_is_raised_with_where_it_happened() -> None:
    with pytest.raises(DataError, match="two is refused") as caught:
        run(refuse_two, range(4))
    assert "in refuse_two" in "".join(caught.value.__notes__)


def test_no_process_stays_behind() -> None:
    results = map_isolated(square, range(50), workers=2, seconds=30, label="test")
    assert next(results) == 0
    results.close()
    assert not multiprocessing.active_children()
