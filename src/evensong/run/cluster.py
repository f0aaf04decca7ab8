"""The tasks of a stage on a Ray cluster: same folder on every machine, same results in task order, whoever computes.

A task is tried again, on another machine where there is one, when its own dies or runs out of memory, and named when
that does not help. The cluster is RAY_ADDRESS, or one of this machine's cores that lives as long as this process.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from evensong.errors import ParamsError, ResourceError, WorkerKilledError

Task = TypeVar("Task")
Result = TypeVar("Result")

_RETRIES = 3
# Ray would try for ever. It waits for 1, 2, 4 ... 60 s in between: three minutes for the tasks beside it to make room.
_MEMORY_RETRIES = 8
_AHEAD = 4  # tasks a core that wait in the cluster: enough to keep it busy, few enough to hold in memory
# What a stage tells its libraries before they load; a worker's libraries must hear it too.
_TOLD = ("ATEN_", "CUBLAS_", "EVENSONG_", "MKL_", "NUMEXPR_", "OMP_", "ONEDNN_", "OPENBLAS_")


def ray_results(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, cores: int, gpus: float
) -> Iterator[Result]:
    """Apply a function to every task on the cluster, in task order.

    Args:
        function: a module-level function; its result must depend on its task alone, and on files under this folder.
        tasks: picklable arguments.
        cores: of this machine, where no RAY_ADDRESS is given.
        gpus: of a task, a fraction where several share one.

    Raises:
        ParamsError: Ray is not installed, or nothing answers at RAY_ADDRESS.
        ResourceError: a task's process died, or was killed for lack of memory, each time it was tried.
    """
    ray = _connect(cores)
    environment = {name: value for name, value in os.environ.items() if name.startswith(_TOLD)}
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(part).resolve()) for part in sys.path if part)
    remote = ray.remote(_call).options(
        num_cpus=1,
        num_gpus=gpus,
        max_retries=_RETRIES,
        retry_exceptions=[WorkerKilledError],
        runtime_env={"env_vars": environment},
    )
    at_once = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    shared, folder = ray.put(function), str(Path.cwd())
    pending: deque[Any] = deque()
    waiting = iter(tasks)
    try:
        for number in range(1, len(tasks) + 1):
            more = islice(waiting, at_once - len(pending))
            pending.extend(remote.remote(shared, task, folder) for task in more)
            yield _result(ray, pending.popleft(), f"task {number} of {len(tasks)}")
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)


def _call(function: Callable[[Task], Result], task: Task, folder: str) -> Result:
    """One task in a worker, in the folder that its paths are relative to."""
    os.chdir(folder)
    return function(task)


def _connect(cores: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    os.environ.setdefault("RAY_task_oom_retries", str(_MEMORY_RETRIES))  # read as Ray is loaded
    try:
        import ray
    except ImportError as error:
        raise ParamsError(
            "backend ray, and Ray is not installed; pip install 'evensong[ray]', or choose the backend local"
        ) from error
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS")
        own = {"address": "local", "num_cpus": cores, "include_dashboard": False}
        form: dict[str, Any] = {"address": address} if address else own
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **form)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ParamsError(f"backend ray, and no cluster answers at {address or 'this machine'}: {error}") from error
    return ray


def _result(ray: Any, reference: Any, name: str) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, WorkerKilledError):
            raise ResourceError(f"{name}, {_RETRIES + 1} times: {error.cause}") from error
        raise error.cause from error
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
        raise ResourceError(f"{name}: its process died {_RETRIES + 1} times; see the logs of the cluster") from error
    except ray.exceptions.OutOfMemoryError as error:
        raise ResourceError(
            f"{name}: killed for lack of memory each time it was tried; give Ray larger machines, or fewer cores"
        ) from error
