"""The tasks of a stage on a Ray cluster: same folder on every machine, same results in task order, whoever computes.

A task is tried again on another machine when its own dies or runs out of memory. The cluster is RAY_ADDRESS, or one of
this machine's cores that lives as long as the stage.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from evensong.errors import ParamsError, ResourceError

Task = TypeVar("Task")
Result = TypeVar("Result")

_RETRIES = 3
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
        ResourceError: a task's process died each time it was tried.
    """
    ray = _connect(cores)
    environment = {name: value for name, value in os.environ.items() if name.startswith(_TOLD)}
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(part).resolve()) for part in sys.path if part)
    remote = ray.remote(_call).options(
        num_cpus=1, num_gpus=gpus, max_retries=_RETRIES, runtime_env={"env_vars": environment}
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
    try:
        import ray
    except ImportError as error:
        raise ParamsError(
            "runtime.backend: ray, and Ray is not installed; pip install 'evensong[ray]', or set it to local"
        ) from error
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS")
        own = {"address": "local", "num_cpus": cores, "include_dashboard": False}
        form: dict[str, Any] = {"address": address} if address else own
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **form)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ParamsError(
                f"runtime.backend: ray, and no cluster answers at {address or 'this machine'}: {error}"
            ) from error
    return ray


def _result(ray: Any, reference: Any, name: str) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
        raise ResourceError(f"{name}: its process died {_RETRIES + 1} times; see the logs of the cluster") from error
    except ray.exceptions.OutOfMemoryError as error:
        raise ResourceError(f"{name}: memory ran out each time; give Ray's tasks larger machines") from error
