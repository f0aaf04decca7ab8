"""Tasks on a Ray cluster: skipped, visibly, where Ray is not installed (pip install 'evensong[ray]')."""

import os
import signal
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


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


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
    with pytest.raises(ParamsError, match=r"runtime\.backend: ray, and Ray is not installed"):
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


def test_a_decoder_that_crashes_or_hangs_costs_its_file(on_ray, folder):
    found = list(map_isolated(crash_on_three, range(12), workers=2, seconds=2, label=""))
    reasons = {index: outcome.reason for index, outcome in enumerate(found) if isinstance(outcome, InputFault)}
    assert reasons == {3: "Q_DECODER_CRASH", 4: "Q_DECODER_TIMEOUT"}
    assert [outcome for outcome in found if not isinstance(outcome, InputFault)] == [0, 1, 2, *range(5, 12)]
