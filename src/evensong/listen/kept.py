"""One recording -> its scores and facts, kept in a file of its own, so that a run that was killed goes on."""

import os
import zipfile
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from evensong.audio.containers import open_regular
from evensong.audio.decode import open_stream
from evensong.errors import InputFault
from evensong.keys import digest_of, file_sha256, joined_key
from evensong.listen.scorer import Hearing, Listener, Scorer
from evensong.listen.windows import score_recording
from evensong.score.detection import Scores

CUT_SHORT, LOW_RATE, COPY = "W_CUT_SHORT", "W_LOW_RATE", "W_COPY"
_FORMAT = "1"  # to be raised when the same recording and settings may score otherwise
_END_BYTES = 1 << 16
_SLACK_S = 0.01


@dataclass(frozen=True)
class Heard:
    """What listening to one recording gave.

    Attributes:
        sample_rate_hz: the recording's own.
        warnings: of its decoder; W_CUT_SHORT where it ends too early, W_LOW_RATE where it cannot hold what the model
            listens for.
    """

    scores: Scores
    sample_rate_hz: int
    warnings: tuple[str, ...]


def hear(path: Path, scorer: Scorer, listening: Hearing) -> Heard:
    """Score a recording as far as it goes.

    Raises:
        InputFault: it cannot be used.
        IntegrityError: a probability that is not finite.
    """
    scores = score_recording(path, scorer, listening)
    with open_stream(path, as_far_as_it_goes=True) as stream:
        rate_hz, warnings = stream.sample_rate_hz, list(stream.warnings)
        declared_s = (stream.n_frames or 0) / rate_hz if stream.container == "flac" else 0.0
    if declared_s > scores.ends_s[-1] + _SLACK_S:
        warnings.append(CUT_SHORT)
    if rate_hz < 2 * listening.band_hz[1]:
        warnings.append(LOW_RATE)
    return Heard(scores, rate_hz, tuple(warnings))


class Kept:
    """The folder of one model's results with one hop, each in a file that is there only when it is complete.

    A recording is known by its size, its time of change and its first and last 64 KiB: not by its path, since two cards
    may hold files of one name, size and time; and not by all its bytes, since to read a season takes hours.
    """

    def __init__(self, folder: Path, model: Listener, listening: Hearing) -> None:
        self.folder = folder / digest_of([joined_key(_FORMAT, model.digest, repr(listening.hop_seconds))])
        self.folder.mkdir(parents=True, exist_ok=True)

    def path_of(self, recording: Path) -> Path:
        """Where the result of a recording is kept.

        Raises:
            InputFault: it cannot be opened.
        """
        with open_regular(recording) as (file, size):
            facts = f"{size} {os.fstat(file.fileno()).st_mtime_ns}"
            first, last = _ends(file, size)
        return self.folder / f"{digest_of([joined_key(facts, first.hex(), last.hex())])}.npz"


def copies_of(recordings: Iterable[Path]) -> dict[Path, Path]:
    """Recordings with the bytes of an earlier one, and which.

    Only what is alike in size and ends is read as a whole. One that cannot be read is no copy.
    """
    groups = [list(recordings)]
    for trait in (lambda path: path.stat().st_size, _ends_of, file_sha256):
        groups = [alike for group in groups for alike in _alike(group, trait) if len(alike) > 1]
    return {path: first for first, *others in groups for path in others}


def _alike(paths: Iterable[Path], trait: Callable[[Path], Hashable]) -> Iterable[list[Path]]:
    groups: dict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        with suppress(OSError, InputFault):
            groups[trait(path)].append(path)
    return groups.values()


def _ends_of(path: Path) -> str:
    with open_regular(path) as (file, size):
        return digest_of([end.hex() for end in _ends(file, size)])


def _ends(file: BinaryIO, size: int) -> tuple[bytes, bytes]:
    first = file.read(_END_BYTES)
    file.seek(max(0, size - _END_BYTES))
    return first, file.read()


def write_heard(path: Path, heard: Heard) -> None:
    """Write a result under its name when it is whole; its probabilities came as float32 and lose nothing."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(
                file,
                begins_s=heard.scores.begins_s,
                ends_s=heard.scores.ends_s,
                probs=heard.scores.probs.astype(np.float32),
                sample_rate_hz=np.int64(heard.sample_rate_hz),
                warnings=np.array(heard.warnings, dtype=np.str_),
            )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_heard(path: Path) -> Heard | None:
    """Read a result; None where there is none, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            scores = Scores(stored["begins_s"], stored["ends_s"], stored["probs"].astype(np.float64))
            return Heard(scores, int(stored["sample_rate_hz"]), tuple(map(str, stored["warnings"])))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
