"""Every error a user can cause or meet, each with its process exit code."""


class EvensongError(Exception):
    """Base of all expected failures; the message says what, where and what to do."""

    exit_code = 70


class ParamsError(EvensongError):
    """params.yaml or a command line is wrong; nothing was started."""

    exit_code = 2


class DataError(EvensongError):
    """Input data was refused; nothing was published."""

    exit_code = 3


class IntegrityError(EvensongError):
    """Something stored does not match its hash, its schema or its declared counts."""

    exit_code = 4


class ResourceError(EvensongError):
    """Disk, memory, GPU or a worker process failed."""

    exit_code = 5


class WorkerKilledError(ResourceError):
    """A worker was killed from outside, as happens when memory runs out; another machine may have the room."""


class BusyError(EvensongError):
    """Another process is running the same stage in this workspace."""

    exit_code = 6


class InputFault(DataError):
    """One input file is unusable; the stage turns it into a quarantine row.

    Args:
        reason: closed-list code such as ``Q_TRUNCATED``.
        detail: what was found, without the file's name (names can identify patients), and the name of the parameter
            that decided, where there is one.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["InputFault"], tuple[str, str]]:
        return (InputFault, (self.reason, self.detail))
