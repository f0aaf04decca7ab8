"""How far a long run is: files, hours heard, speed and time left, on standard error."""

import sys
import time
from typing import Self

from tqdm import tqdm

_EVERY_S = 60.0


class Progress:
    """A bar on a terminal, elsewhere a line a minute; the time left is that of the bytes that are left.

    Args:
        n_bytes: of all recordings that are to be heard.
        n_files: of them.
    """

    def __init__(self, n_files: int, n_bytes: int) -> None:
        self._n_files, self._left = n_files, n_bytes
        self._files = self._bytes = 0
        self._heard_s = 0.0
        self._started = self._told = time.monotonic()
        self._bar = tqdm(total=n_bytes, disable=None, mininterval=0.5, bar_format="{percentage:3.0f}%|{bar:20}| {desc}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def add(self, n_bytes: int, seconds: float) -> None:
        """One recording more is heard.

        Args:
            n_bytes: of its file.
            seconds: of sound; 0 for a refused one.
        """
        self._files, self._bytes, self._left = self._files + 1, self._bytes + n_bytes, self._left - n_bytes
        self._heard_s += seconds
        now = time.monotonic()
        self._bar.set_description_str(self.line(now - self._started), refresh=False)
        self._bar.update(n_bytes)
        if self._bar.disable and now - self._told >= _EVERY_S:
            self._told = now
            tell(self.line(now - self._started))

    def line(self, elapsed_s: float) -> str:
        """Where the run is after so many seconds."""
        speed = self._heard_s / max(elapsed_s, 1e-9)
        left_s = elapsed_s * self._left / max(self._bytes, 1)
        return (
            f"{self._files} of {self._n_files} files, {self._heard_s / 3600:.1f} h heard, {speed:.0f} times real time, "
            f"{told_time(left_s)} left"
        )


def told_time(seconds: float) -> str:
    """Seconds in the two largest units that people use, such as 2 h 05 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def tell(line: str) -> None:
    """Tell the user, beside the table that may go to standard output."""
    tqdm.write(line, file=sys.stderr)
