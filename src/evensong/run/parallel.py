"""One function over many tasks in worker processes, results in task order."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, TypeVar

from tqdm import tqdm

from evensong.errors import ResourceError
from evensong.params import load_section
from evensong.run.stage import die_with_parent
from evensong.schemas import Runtime

Task = TypeVar("Task")
Result = TypeVar("Result")
StartMethod = Literal["fork", "spawn"]

_START_METHOD: StartMethod = "fork" if sys.platform == "linux" else "spawn"


def n_cores() -> int:
    """Cores this process may run on, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_workers() -> int:
    """Worker processes as ``runtime.workers`` says, at most four a core.

    ``auto`` is one for each core this process may use.
    """
    workers = load_section("runtime", Runtime).workers
    return n_cores() if workers == "auto" else min(workers, 4 * n_cores())


def map_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    label: str,
    unit: str = "file",
    start_method: StartMethod = _START_METHOD,
) -> Iterator[Result]:
    """Apply a function to every task and yield the results in task order.

    Args:
        function: a module-level function; its result must depend on its task alone.
        tasks: picklable arguments.
        workers: processes; 1 runs everything in this process.
        label: name on the progress bar, which shows on a terminal only.
        unit: what one task is, for the bar.
        start_method: fork shares what the parent has loaded; spawn starts clean.

    Raises:
        ResourceError: a worker process died (killed, or out of memory).
    """
    with tqdm(total=len(tasks), desc=label, unit=unit, disable=None, mininterval=0.5, dynamic_ncols=True) as bar:
        for result in _results(function, tasks, min(workers, len(tasks)), start_method):
            bar.update()
            yield result


def _results(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, start_method: StartMethod
) -> Iterator[Result]:
    if workers <= 1:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context(start_method)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield from pool.map(function, tasks, chunksize=1)
    except BrokenProcessPool as error:
        _break_off(pool)
        raise ResourceError(
            "a worker process died, most likely killed for lack of memory; lower runtime.workers, or see the system log"
        ) from error
    except BaseException:  # one task failed, or the stage is interrupted: nobody waits for the others
        _break_off(pool)
        raise
    pool.shutdown()


def _break_off(pool: ProcessPoolExecutor) -> None:
    """End the workers in the middle of their tasks; what they write counts only when it is whole."""
    processes = list((pool._processes or {}).values())
    for process in processes:  # `kill_workers` from Python 3.14 on
        process.kill()
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:  # what they hold with us, such as the lock on the outputs, is free when they are gone
        process.join()


def _start_worker() -> None:
    """A worker ends with its parent, and leaves Ctrl-C to it."""
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
