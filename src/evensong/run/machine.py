"""What this process may use of the machine, and how long it may live."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # options of glibc's mallopt


def n_cores() -> int:
    """Cores this process may run on, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Keep what a step frees for the next one; to get it from the kernel anew takes up to a third of a step's time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def die_with_parent(parent: int | None = None) -> None:
    """Ask Linux to end this process when its parent dies, so that a killed `dvc repro` leaves no writer behind.

    Args:
        parent: its process id, where it is known; else that of the parent this process has now.
    """
    parent = parent or os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died just before the request, which is for the deaths to come
            os.kill(os.getpid(), signal.SIGTERM)
