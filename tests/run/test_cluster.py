"""Tasks on a Ray cluster: skipped, visibly, where Ray is not installed (pip install 'evensong[ray]')."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evensong.errors import InputFault, ParamsError, ResourceError
from evensong.run import cluster, parallel
from evensong.run.parallel import map_isolated, map_tasks

pytestmark = pytest.mark.slow


def where(value: int) -> tuple[int, str, str]:
    """A task that tells its folder and what its libraries were told."""
    return value * value, Path.cwd().name, os.environ.get("OMP_NUM_THREADS", "")


def die_once(path: Path) -> str:
    """Dies when it is tried first."""
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die_on_three(value: int) -> int:
    if value == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_a_while(value: int) -> int:
    time.sleep(20)
    return value


def slow_square(value: int) -> int:
    time.sleep(0.5)
    return value * value


def refuse(value: int) -> int:
    if value == 2:
        raise InputFault("Q_EMPTY", "0 bytes")
    return value


def crash_on_three(value: int) -> int:
    if value == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if value == 4:
        time.sleep(600)
    return value


def test_without_ray_the_parameter_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ParamsError, match="backend ray, and Ray is not installed"):
        list(cluster.ray_results(refuse, [1], cores=1, gpus=0))


@pytest.fixture(scope="module")
def on_ray():
    """Two cores as a cluster."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "_backend", parallel._Backend(is_ray=True))
        yield
    ray.shutdown()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def test_results_are_in_task_order_from_the_same_folder(on_ray, folder):
    results = list(map_tasks(where, range(30), workers=2, label=""))
    assert results == [(value * value, folder.name, "1") for value in range(30)]
    assert list(map_tasks(where, [], workers=2, label="")) == []


def test_an_error_of_a_task_is_the_error(on_ray, folder):
    with pytest.raises(InputFault, match="Q_EMPTY: 0 bytes"):
        list(map_tasks(refuse, range(5), workers=2, label=""))


def test_a_task_whose_process_dies_is_tried_again_and_then_named(on_ray, folder):
    assert list(map_tasks(die_once, [folder / "a", folder / "b"], workers=2, label="")) == ["done", "done"]
    with pytest.raises(ResourceError, match="task 1 of 1: its process died 4 times"):
        list(map_tasks(die, [0], workers=2, label=""))


def test_a_process_of_an_isolated_task_that_is_killed_counts_as_one_of_the_task(on_ray, folder):
    tasks = [folder / name for name in "abc"]
    assert list(map_isolated(die_once, tasks, workers=2, seconds=20, label="", together=2)) == ["done"] * 3
    with pytest.raises(ResourceError, match=r"task 2 of 2, 4 times: a worker process was killed \(signal 9\)"):
        list(map_isolated(die_on_three, [1, 3], workers=2, seconds=20, label="", together=1))


def test_a_decoder_that_crashes_or_hangs_costs_its_file(on_ray, folder):
    found = list(map_isolated(crash_on_three, range(12), workers=2, seconds=2, label=""))
    reasons = {index: outcome.reason for index, outcome in enumerate(found) if isinstance(outcome, InputFault)}
    assert reasons == {3: "Q_DECODER_CRASH", 4: "Q_DECODER_TIMEOUT"}
    assert [outcome for outcome in found if not isinstance(outcome, InputFault)] == [0, 1, 2, *range(5, 12)]


def in_another_process(code: str, **told: str) -> subprocess.CompletedProcess[str]:
    """Run a script that has a cluster of its own, since Ray reads its settings once."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {**own, **told, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=240)


def test_a_task_that_never_fits_in_memory_is_named(on_ray):
    code = """
from evensong.run import cluster
from tests.run.test_cluster import wait_a_while

cluster._MEMORY_RETRIES = 1
list(cluster.ray_results(wait_a_while, [1], cores=1, gpus=0))
"""
    full = {"RAY_memory_usage_threshold": "0.0001", "RAY_memory_monitor_refresh_ms": "100"}  # whatever else runs
    done = in_another_process(code, **full)
    assert "ResourceError: task 1 of 1: killed for lack of memory each time it was tried" in done.stderr


def test_the_tasks_of_a_machine_that_dies_are_done_by_another(on_ray):
    code = """
import os

from ray.cluster_utils import Cluster

from evensong.run.cluster import ray_results
from tests.run.test_cluster import slow_square

machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
other = machines.add_node(num_cpus=1)
os.environ["RAY_ADDRESS"] = machines.address
results = ray_results(slow_square, range(12), cores=1, gpus=0)
found = [next(results), next(results)]
machines.remove_node(other, allow_graceful=False)
print([*found, *results] == [value * value for value in range(12)])
"""
    done = in_another_process(code)
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr
