import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.learn.synthetic import train_settings

from evensong.errors import DataError, ParamsError
from evensong.learn.device import (
    DeviceArrays,
    batch_reader,
    check_device,
    fitting_batch,
    is_out_of_memory,
    open_device,
)
from evensong.learn.store import ArrayStore

CPU = torch.device("cpu")


def stored(folder: Path, values: np.ndarray) -> ArrayStore:
    np.save(folder / "one.npy", values[:3])
    np.save(folder / "two.npy", values[3:])
    return ArrayStore([folder / "one.npy", folder / "two.npy"])


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_items_on_a_device_are_those_of_the_store_to_the_bit(tmp_path: Path, dtype: type) -> None:
    values = np.random.default_rng(0).integers(0, 256, (1100, 4, 5)).astype(dtype)  # more than two chunks of rows
    store = stored(tmp_path, values)
    rows = np.array([1099, 0, 3, 3, 512], np.int64)
    on_device, on_host = DeviceArrays(store, CPU), batch_reader(store, CPU)
    assert torch.equal(on_device.read(rows), on_host(rows))
    on_device.read(rows).zero_()
    assert torch.equal(on_device.read(rows), on_host(rows))  # what a reader does with a batch stays its own


@pytest.mark.fault("G02")
def test_items_that_are_not_finite_never_reach_a_device(tmp_path: Path) -> None:
    values = np.zeros((6, 2, 2), np.float32)
    values[4, 1, 1] = np.inf
    with pytest.raises(DataError, match=r"first rows \[4\]"):
        DeviceArrays(stored(tmp_path, values), CPU)


@pytest.mark.parametrize(("cuda", "said"), [("13.0", "torch finds no GPU here"), (None, "is built without CUDA here")])
def test_missing_gpu_is_a_params_error_that_says_what_is_lacking(
    cuda: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    check_device("cpu")
    with pytest.raises(ParamsError, match=rf"train\.device: cuda, but .*{said}; set train\.device to cpu"):
        open_device(train_settings(device="cuda"))


def test_opened_device_computes_full_float32_on_as_many_threads_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    try:
        assert open_device(train_settings(threads=2)) == CPU
        assert torch.get_num_threads() == 2
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.get_deterministic_debug_mode() == 2  # an error
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("shape '[2]' is invalid for input of size 3"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


@given(st.integers(1, 4096), st.integers(0, 4096))
def test_fitting_batch_is_the_largest_halving_that_runs(batch_size: int, capacity: int) -> None:
    tried: list[int] = []

    def attempt(n_items: int) -> None:
        tried.append(n_items)
        if n_items > capacity:
            raise MemoryError

    fits = fitting_batch(attempt, batch_size, MemoryError())
    assert tried == sorted(set(tried), reverse=True)
    assert all(2 <= size < max(batch_size, 3) for size in tried)
    assert fits == (tried[-1] if tried and tried[-1] <= capacity else 0)
    if capacity >= 2 and batch_size > 2:
        assert fits * 2 >= min(capacity, batch_size - 1)


def test_another_failure_on_the_way_is_not_taken_for_lack_of_memory() -> None:
    def attempt(_n_items: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        fitting_batch(attempt, 8, MemoryError())


HUNGRY = """
import resource, torch
from evensong.learn.device import fitting_batch, is_out_of_memory

def attempt(n_items):
    rows = [torch.ones(n_items, 2**20) for _ in range(4)]  # 16 MiB an item
    return rows

attempt(1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20,) * 2)
try:
    attempt(64)
except RuntimeError as error:
    assert is_out_of_memory(error), error
    print(fitting_batch(attempt, 64, error))
"""


@pytest.mark.slow
@pytest.mark.fault("G03")
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_batch_that_fits_into_the_real_memory_is_found() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", HUNGRY], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "8\n", done.stderr  # 8 items are 128 MiB, 16 are 256
