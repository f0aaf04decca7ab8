"""The frame around every stage script: one thread a library, exit codes, and death with the parent.

Import this before numpy: the thread counts are read when the numerical libraries load, and one thread a
process is what the stages' process pools are built on.
"""

import ctypes
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from evensong.errors import EvensongError

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[_variable] = "1"

_PR_SET_PDEATHSIG = 1
_BUG = 70
_DISK_FAULTS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def run_stage(main: Callable[[], None]) -> NoReturn:
    """Run one stage and leave with its exit code.

    0 done, 2 params, 3 data, 4 integrity, 5 resource, 6 busy, 130 interrupted, 143 terminated, 70 a bug of ours.
    """
    die_with_parent()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        main()
    except EvensongError as error:
        _leave(f"ERROR: {error}", error.exit_code)
    except KeyboardInterrupt:
        _leave("interrupted; nothing was published", 130)
    except MemoryError as error:
        _leave(f"ERROR: out of memory: {error}", 5)
    except OSError as error:
        if error.errno is None:
            _bug(error)
        _leave(f"ERROR: {error.strerror}{_folder_of(error)}", 5)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DISK_FAULTS:  # the lowest byte is the kind of error
            _bug(error)
        _leave(f"ERROR: {error}", 5)
    except Exception as error:
        _bug(error)
    _leave("", 0)


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, so that a killed `dvc repro` leaves no writer behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _terminate(_signum: int, _frame: object) -> NoReturn:
    raise SystemExit(143)


def _folder_of(error: OSError) -> str:
    """Where it happened, without the file's name: a recording's name holds its patient's id."""
    folder = os.path.dirname(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else ""
    return f" in {folder}" if folder else ""


def _bug(error: Exception) -> NoReturn:
    if os.path.basename(sys.argv[0]).startswith("voice"):
        # the exception's own text may quote a patient's id, as a KeyError does
        traceback.print_tb(error.__traceback__)
        print(type(error).__name__, file=sys.stderr)
    else:
        traceback.print_exception(error)
    _leave("ERROR: unexpected failure, a bug in evensong; the traceback is above", _BUG)


def _leave(message: str, code: int) -> NoReturn:
    if message:
        print(message, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    raise SystemExit(code)
