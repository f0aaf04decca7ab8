"""The frame around every stage script: one thread a library, exit codes, and death with the parent.

Import this before anything heavy. The thread counts are read when the numerical libraries load, and one thread a
process is what the stages' process pools are built on. A parent that dies and an interrupt are answered from here on,
not only after the seconds that the other imports take.
"""

import os
import sys

import _signal  # type: ignore[import-not-found]  # `signal` without the enumerations it loads: an interrupt there is lost

_INTERRUPTED = "interrupted; nothing was published"


def _interrupt(_signum: int, _frame: object) -> None:
    """One line and the end, while a stage's script imports: a raised KeyboardInterrupt can be lost in a callback there.

    Another program that has this module, as the tests do, is interrupted as ever.
    """
    is_loaded = "run_stage" in globals()
    if is_loaded and not hasattr(sys.modules["__main__"], "run_stage"):
        raise KeyboardInterrupt
    os.write(2, f"{_INTERRUPTED}\n".encode())
    os._exit(130)


if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # and not ignored, as in a shell's background
    _signal.signal(_signal.SIGINT, _interrupt)

import signal
import sqlite3
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

from evensong.errors import EvensongError
from evensong.run.machine import die_with_parent
from evensong.run.publish import finish_interrupted, has_published

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[_variable] = "1"

_BUG = 70
_DISK_FAULTS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_NO_MEMORY = "ERROR: out of memory"
# What a library says that could not be loaded, and a thread that could not be started.
_SIGNS_OF_NO_MEMORY = ("failed to map segment", "annot allocate memory", "can't start new thread")


def run_stage(main: Callable[[], None]) -> NoReturn:
    """Run one stage and leave with its exit code.

    0 done, 2 params, 3 data, 4 integrity, 5 resource, 6 busy, 130 interrupted, 143 terminated, 70 a bug of ours.
    """
    try:
        signal.signal(signal.SIGTERM, _terminate)
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        finish_interrupted()
        main()
    except EvensongError as error:
        _leave(f"ERROR: {error}", error.exit_code)
    except KeyboardInterrupt:
        _leave("interrupted; the outputs are published" if has_published() else _INTERRUPTED, 130)
    except OSError as error:
        if error.errno is None:
            _unexpected(error)
        _leave(f"ERROR: {error.strerror}{_folder_of(error)}", 5)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DISK_FAULTS:  # the lowest byte is the kind of error
            _bug(error)
        _leave(f"ERROR: {error}", 5)
    except Exception as error:
        _unexpected(error)
    _leave("", 0)


def _terminate(_signum: int, _frame: object) -> NoReturn:
    raise SystemExit(143)


def _unloaded(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Exit code and line where a stage's script has no memory to import what it needs."""
    if not _lacks_memory(error):
        sys.__excepthook__(kind, error, trace)
        return
    os.write(2, f"{_NO_MEMORY} while the program was loaded\n".encode())
    os._exit(5)


def _lacks_memory(error: BaseException | None) -> bool:
    """Whether this error, or one behind it, came of a lack of memory or address space."""
    while error is not None:
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS_OF_NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _folder_of(error: OSError) -> str:
    """Where it happened, without the file's name: a recording's name holds its patient's id."""
    folder = os.path.dirname(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else ""
    return f" in {folder}" if folder else ""


def _unexpected(error: Exception) -> NoReturn:
    if _lacks_memory(error):
        _leave(_NO_MEMORY + (f": {error}" if isinstance(error, MemoryError) else ""), 5)
    _bug(error)


def _bug(error: Exception) -> NoReturn:
    if os.path.basename(sys.argv[0]).startswith("voice") or "forget" in sys.argv[1:2]:
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


die_with_parent()
sys.excepthook = _unloaded
