"""Where a fold is trained: the device, how exactly it computes, the items on it, and what fits into its memory."""

import os
import platform
import traceback
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evensong.errors import ParamsError
from evensong.learn.store import ArrayStore
from evensong.run.machine import keep_freed_memory
from evensong.schemas import Train

# Of torch's own kernels, of oneDNN's convolutions and of MKL's products; MKL's other modes depend on the CPU's maker.
_PORTABLE = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}
_CHUNK_ROWS = 512

# What torch and oneDNN say when the system gives them no more memory. A GPU has an error class of its own for tensors;
# its context and its libraries' handles, which the other folds leave no room for, have these texts.
_NO_MEMORY = (
    *("can't allocate memory", "not enough memory", "could not create a primitive", "could not create a memory"),
    *("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)


def check_device(name: str) -> None:
    """Refuse a device that is not there.

    Raises:
        ParamsError: no GPU; says whether torch or the machine lacks it.
    """
    if name == "cuda" and not torch.cuda.is_available():
        lacking = "torch finds no GPU" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
        raise ParamsError(f"train.device: cuda, but {lacking} here; set train.device to cpu")


def pin_instruction_set(name: Literal["portable", "native"]) -> None:
    """Have every x86-64 CPU with AVX2 compute the same bits, for portable; native leaves each what it does best.

    The libraries read their settings once, so this comes before the first operation of torch in a process. Another
    architecture has nothing to pin.

    Raises:
        ParamsError: an x86-64 CPU without AVX2.
    """
    if name == "native" or platform.machine() not in ("x86_64", "AMD64"):
        return
    os.environ.update(_PORTABLE)
    if not torch.cpu._is_avx2_supported():
        raise ParamsError("train.instruction_set: portable needs a CPU with AVX2; this one lacks it, set it to native")
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        raise RuntimeError("torch computed before the instruction set was pinned")


def open_device(train: Train) -> torch.device:
    """Set this process up for one fold: its threads, its device, and arithmetic that can be repeated.

    float32 means float32 on a GPU too, not its shortened form. A layer without a repeatable algorithm is an error on
    a CPU and a warning on a GPU.

    Raises:
        ParamsError: the device is not there.
    """
    check_device(train.device)
    keep_freed_memory()
    torch.set_num_threads(train.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which older releases of torch ask for
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if train.device == "cuda":  # the other kernels of attention repeat only where a layer without repeats is an error
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        torch.backends.cuda.enable_cudnn_sdp(False)
    # use_deterministic_algorithms, less an import of the compiler
    torch.set_deterministic_debug_mode("warn" if train.device == "cuda" else "error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device(train.device)


def batch_reader(store: ArrayStore, device: torch.device) -> Callable[[NDArray[np.int64]], Tensor]:
    """Rows in, (batch, height, width) float32 on the device out, as `ArrayStore.read` gives them."""
    if device.type == "cpu":
        return lambda rows: torch.from_numpy(store.read(rows))
    return DeviceArrays(store, device).read


class DeviceArrays:
    """All items of a store in a device's memory, in the type they are stored in.

    Raises:
        DataError: an item holds a value that is not finite.
        torch.OutOfMemoryError: they do not fit.
    """

    def __init__(self, store: ArrayStore, device: torch.device) -> None:
        self._scale = 255 if store.dtype == np.uint8 else 1
        dtype = torch.uint8 if store.dtype == np.uint8 else torch.float32
        self._items = torch.empty(store.shape, dtype=dtype, device=device)
        for start in range(0, store.shape[0], _CHUNK_ROWS):
            rows = np.arange(start, min(start + _CHUNK_ROWS, store.shape[0]))
            self._items[start : start + len(rows)] = torch.from_numpy(store.stored(rows)).to(device)

    def read(self, rows: NDArray[np.int64]) -> Tensor:
        """The same values as `ArrayStore.read`, as a new tensor on the device."""
        batch = self._items[torch.from_numpy(rows).to(self._items.device)].float()
        return batch.div_(self._scale) if self._scale > 1 else batch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator gave up, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)


def fitting_batch(attempt: Callable[[int], object], batch_size: int, error: BaseException) -> int:
    """The largest halving of a batch size that runs, found by trying; 0 where not even two items fit.

    Args:
        attempt: one training step of so many items.
        batch_size: that ran out of memory.
        error: of that step, whose frames hold its memory until they are cleared here.
    """
    while batch_size > 2:
        batch_size = max(2, batch_size // 2)
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        torch.cuda.empty_cache()
        try:
            attempt(batch_size)
        except (RuntimeError, MemoryError) as again:
            if not is_out_of_memory(again):
                raise
            error = again
        else:
            return batch_size
    return 0
