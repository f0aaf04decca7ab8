"""One function over many files whose decoders may crash or hang: a dead worker costs its file, not the stage."""

import contextlib
import multiprocessing
import resource
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from tqdm import tqdm

from evensong.errors import InputFault, ResourceError
from evensong.run.stage import die_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")

_CONTEXT = multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")
# What a process does to itself. Any other signal comes from outside, and says nothing about the file.
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGTRAP}


def map_isolated(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    seconds: float,
    label: str,
    unit: str = "file",
) -> Iterator[Result | InputFault]:
    """Apply a function to every task in other processes and yield the results in task order.

    A worker holds one task at a time, so its death names the task. The task is then tried in a fresh process, since
    an earlier one may have damaged the first one's memory; if that dies too, a fault takes the result's place.

    Args:
        function: a module-level function; its result must depend on its task alone.
        tasks: picklable arguments, one file each.
        workers: processes; the results do not depend on it.
        seconds: longest time for one task, by the clock.
        label: name on the progress bar, which shows on a terminal only.
        unit: what one task is, for the bar.

    Yields:
        The result, or InputFault Q_DECODER_CRASH or Q_DECODER_TIMEOUT.

    Raises:
        ResourceError: a worker was killed from outside, as happens when memory runs out.
    """
    found: dict[int, Result | InputFault] = {}
    with (
        tqdm(total=len(tasks), desc=label, unit=unit, disable=None, mininterval=0.5, dynamic_ncols=True) as bar,
        contextlib.closing(_outcomes(function, tasks, workers, seconds)) as outcomes,
    ):
        for index in range(len(tasks)):
            while index not in found:
                done, outcome = next(outcomes)
                found[done] = outcome
            bar.update()
            yield found.pop(index)


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
    raise ResourceError(
        f"a worker process was killed (signal {-code}), most likely for lack of memory; lower runtime.workers, or see "
        "the system log"
    )


def _serve(function: Callable[[Task], Result], pipe: Connection, seconds: float) -> None:
    """A worker: one task after another until its parent stops it."""
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
