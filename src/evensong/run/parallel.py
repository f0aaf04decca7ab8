"""One function over many tasks in worker processes, results in task order.

`map_tasks` is for code that is trusted: a worker that dies ends the stage. `map_isolated` is for decoders of files from
anywhere, which may crash or hang: a worker that dies costs its file. Both go over a cluster where `runtime.backend`
says so (`run/cluster.py`).
"""

import contextlib
import multiprocessing
import resource
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Literal, TypeVar

from tqdm import tqdm

from evensong.errors import InputFault, ResourceError, WorkerKilledError
from evensong.run.cluster import ray_results
from evensong.run.machine import die_with_parent, n_cores
from evensong.params import load_section
from evensong.schemas import Runtime

Task = TypeVar("Task")
Result = TypeVar("Result")
Backend = Literal["local", "ray"]

# fork shares what the parent has loaded; spawn starts clean.
_CONTEXT = multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")
# What a process does to itself. Any other signal comes from outside, and says nothing about the file.
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGTRAP}


def n_workers() -> int:
    """Worker processes as ``runtime.workers`` says, at most four a core; ``runtime.backend`` has the tasks then.

    ``auto`` is one for each core this process may use.
    """
    runtime = load_section("runtime", Runtime)
    use_backend(runtime.backend, runtime.gpus_a_fold)
    return n_cores() if runtime.workers == "auto" else min(runtime.workers, 4 * n_cores())


def use_backend(backend: Backend, gpus: float = 0) -> None:
    """Say where this process has its tasks from now on.

    Args:
        backend: workers of this process, or the Ray cluster at RAY_ADDRESS.
        gpus: on a cluster, of a task that needs one.
    """
    _backend.is_ray, _backend.gpus = backend == "ray", gpus


@dataclass
class _Backend:
    """Where tasks go: workers of this process, or a Ray cluster."""

    is_ray: bool = False
    gpus: float = 0


_backend = _Backend()


def map_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    label: str,
    unit: str = "file",
    needs_gpu: bool = False,
) -> Iterator[Result]:
    """Apply a function to every task and yield the results in task order.

    Args:
        function: a module-level function; its result must depend on its task alone.
        tasks: picklable arguments.
        workers: processes; 1 runs everything in this process.
        label: name on the progress bar, which shows on a terminal only.
        unit: what one task is, for the bar.
        needs_gpu: on a cluster, a task takes ``runtime.gpus_a_fold`` of one.

    Raises:
        ResourceError: a worker process died (killed, or out of memory).
    """
    with _bar(len(tasks), label, unit) as bar:
        if _backend.is_ray:
            results = ray_results(function, tasks, cores=workers, gpus=_backend.gpus if needs_gpu else 0)
        else:
            results = _results(function, tasks, min(workers, len(tasks)))
        for result in results:
            bar.update()
            yield result


def _results(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    if workers <= 1:
        yield from map(function, tasks)
        return
    pool = ProcessPoolExecutor(workers, mp_context=_CONTEXT, initializer=_start_worker)
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


def _bar(total: int, label: str, unit: str) -> Any:
    disable = None if label else True  # None: where there is no terminal
    return tqdm(total=total, desc=label, unit=unit, disable=disable, mininterval=0.5, dynamic_ncols=True)


def _start_worker() -> None:
    """A worker ends with its parent, and leaves Ctrl-C to it."""
    parent = multiprocessing.parent_process()
    die_with_parent(parent.pid if parent else None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def map_isolated(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    seconds: float,
    label: str,
    together: int = 8,
) -> Iterator[Result | InputFault]:
    """Apply a function to every task in other processes and yield the results in task order.

    A worker holds one task at a time, so its death names the task. The task is then tried in a fresh process, since
    an earlier one may have damaged the first one's memory; if that dies too, a fault takes the result's place.

    Args:
        function: a module-level function; its result must depend on its task alone.
        tasks: picklable arguments, one file each.
        workers: processes; the results do not depend on it.
        seconds: longest time for one task, by the clock.
        label: name on the progress bar, which shows on a terminal only; none for no bar.
        together: tasks that go to one machine of a cluster as one, and load what they need once.

    Yields:
        The result, or InputFault Q_DECODER_CRASH or Q_DECODER_TIMEOUT.

    Raises:
        WorkerKilledError: one was killed from outside, as happens when memory runs out.
    """
    if _backend.is_ray:
        parts = [_Part(function, tasks[at : at + together], seconds) for at in range(0, len(tasks), together)]
        for found_there in map_tasks(_map_part, parts, workers=workers, label=label, unit=f"{together} files"):
            yield from found_there
        return
    found: dict[int, Result | InputFault] = {}
    with (
        _bar(len(tasks), label, "file") as bar,
        contextlib.closing(_outcomes(function, tasks, workers, seconds)) as outcomes,
    ):
        for index in range(len(tasks)):
            while index not in found:
                done, outcome = next(outcomes)
                found[done] = outcome
            bar.update()
            yield found.pop(index)


@dataclass(frozen=True)
class _Part(Generic[Task, Result]):
    """Some tasks, each tried in a process of its own on the machine that has the part."""

    function: Callable[[Task], Result]
    tasks: Sequence[Task]
    seconds: float


def _map_part(part: _Part[Task, Result]) -> list[Result | InputFault]:
    return list(map_isolated(part.function, part.tasks, workers=1, seconds=part.seconds, label=""))


@dataclass
class _Worker:
    """A process and the task it holds."""

    process: BaseProcess
    pipe: Connection
    index: int
    is_second_try: bool
    is_dead: bool = False

    def give(self, index: int, task: object) -> None:
        self.index = index
        with contextlib.suppress(OSError):  # it died just now: its pipe tells that next
            self.pipe.send(task)

    def collect(self, seconds: float) -> Any:
        """The task's result, or why there is none; raises what the task raised."""
        try:
            result, error = self.pipe.recv()
        except (EOFError, OSError):
            self.is_dead = True
            self.process.join()
            self.pipe.close()
            return _cause_of_death(self.process.exitcode or 0, seconds)
        if error is not None:
            self.stop()
            raise error
        return result

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _outcomes(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, seconds: float
) -> Generator[tuple[int, Result | InputFault], None, None]:
    """Number and outcome of every task, in the order they end."""
    waiting = deque(range(len(tasks)))
    crew: dict[object, _Worker] = {}

    def hire(index: int, *, is_second_try: bool) -> None:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(function, theirs, seconds), daemon=True)
        process.start()
        theirs.close()
        crew[ours] = _Worker(process, ours, index, is_second_try)
        crew[ours].give(index, tasks[index])

    try:
        while waiting or crew:
            while waiting and len(crew) < max(1, workers):
                hire(waiting.popleft(), is_second_try=False)
            for pipe in wait([worker.pipe for worker in crew.values()]):
                worker = crew.pop(pipe)
                index, outcome = worker.index, worker.collect(seconds)
                if worker.is_dead and not worker.is_second_try:
                    hire(index, is_second_try=True)
                    continue
                if waiting and not worker.is_dead:
                    crew[pipe], worker.is_second_try = worker, False
                    worker.give(following := waiting.popleft(), tasks[following])
                elif not worker.is_dead:
                    worker.stop()
                yield index, outcome
    finally:
        for worker in crew.values():
            worker.stop()


def _cause_of_death(code: int, seconds: float) -> InputFault:
    if code == -signal.SIGALRM:
        return InputFault("Q_DECODER_TIMEOUT", f"the decoder was not done after {seconds:g} s")
    if code >= 0 or -code in _CRASHES:
        cause = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        return InputFault("Q_DECODER_CRASH", f"the decoder ended its process ({cause})")
    raise WorkerKilledError(
        f"a worker process was killed (signal {-code}), most likely for lack of memory; lower runtime.workers, or see "
        "the system log"
    )


def _serve(function: Callable[[Task], Result], pipe: Connection, seconds: float) -> None:
    """A worker: one task after another until its parent stops it."""
    _start_worker()
    # The system ends the process at the alarm, whatever it is doing then; no Python code needs to run for it.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold people's recordings
    while True:
        task = pipe.recv()
        signal.setitimer(signal.ITIMER_REAL, seconds)
        result, error = None, None
        try:
            result = function(task)
        except Exception as raised:
            raised.add_note("".join(traceback.format_exception(raised)))
            error = raised
        signal.setitimer(signal.ITIMER_REAL, 0)
        pipe.send((result, error))
