"""MPEG-4 files: all of their boxes there, and the one stretch of the sound that their edit list plays."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from evensong.errors import InputFault

_MOST_BOXES = 1 << 20
_EMPTY = -1  # the media time of an edit that plays nothing

_Span = tuple[int, int]


@dataclass(frozen=True)
class Played:
    """What an edit list plays: times in seconds, counted along the samples of the track.

    A delay before the first sample is left out, as nothing was recorded in it: silence there would be sound that no
    microphone heard, and would tell one writer of files from another.

    Attributes:
        start: of the recording; what lies before it is the encoder's, or was trimmed.
        length: None: to the end of the track.
        track: the length of all samples; None where only the decoder can count them.
    """

    start: Fraction = Fraction(0)
    length: Fraction | None = None
    track: Fraction | None = None

    def n_frames(self, sample_rate_hz: int, counted: Fraction | None) -> int | None:
        """Frames to be decoded, or None where nothing says so.

        Args:
            counted: by the decoder: the length of the track.
        """
        track = counted if self.track is None else self.track
        ends = [] if track is None else [_frames(track, sample_rate_hz) - _frames(self.start, sample_rate_hz)]
        ends += [] if self.length is None else [_frames(self.length, sample_rate_hz)]
        return max(0, min(ends)) if ends else None


def _frames(seconds: Fraction, sample_rate_hz: int) -> int:
    """The nearest whole number; halves go up, as in FFmpeg, which cuts the samples."""
    return math.floor(seconds * sample_rate_hz + Fraction(1, 2))


def check_m4a(file: BinaryIO, size: int) -> Played:
    """Walk the top-level boxes, all complete and the index among them, and read the sound's edit list.

    Raises:
        InputFault: Q_TRUNCATED, Q_CORRUPT, Q_CODEC or Q_EMPTY_AUDIO.
    """
    index: list[_Span] = []
    for name, start, content, end in _boxes(file, (0, size)):
        if max(end, start + 8) > size:
            raise InputFault("Q_TRUNCATED", f"the M4A box at byte {start} runs beyond the file's {size} bytes")
        if end < content:
            raise InputFault("Q_CORRUPT", f"the M4A box at byte {start} declares {end - start} bytes")
        if name == b"moov" and not index:
            index = [(content, end)]
    if not index:
        raise InputFault("Q_TRUNCATED", "M4A without its index (moov)")
    tracks = [track for track in _find(file, index, b"trak") if _read(file, [track], b"mdia", b"hdlr")[8:12] == b"soun"]
    edits = _edits(_read(file, tracks, b"edts", b"elst")) if len(tracks) == 1 else []
    if not edits:
        return Played()
    start, ticks = _only_stretch(edits)
    movie_hz, _ = _clock(_read(file, index, b"mvhd"))
    track_hz, track_ticks = _clock(_read(file, tracks, b"mdia", b"mdhd"))
    is_whole = track_ticks and not _find(file, index, b"mvex")  # else fragments follow, with samples of their own
    return Played(
        start=Fraction(start, track_hz),
        length=Fraction(ticks, movie_hz) if ticks else None,
        track=Fraction(track_ticks, track_hz) if is_whole else None,
    )


def _only_stretch(edits: list[tuple[int, int]]) -> tuple[int, int]:
    """Start and length (0: to the end) of the only edit that plays something, delays before it left out."""
    played = list(itertools.dropwhile(lambda edit: edit[1] == _EMPTY, edits))
    if not played:
        raise InputFault("Q_EMPTY_AUDIO", "its edit list plays nothing")
    [(length, start), *more] = played
    if more:
        raise InputFault(
            "Q_CODEC",
            "its edit list plays more than one stretch of the sound, or pauses in it; export it as WAV from the "
            "program that cut it",
        )
    if start < 0:
        raise InputFault("Q_CORRUPT", "its edit list begins before the sound")
    return start, length


def _edits(elst: bytes) -> list[tuple[int, int]]:
    """Length on the film's clock and start on the track's, of every edit."""
    n_bytes = 8 if elst[:1] == b"\1" else 4
    rows = [elst[at : at + 2 * n_bytes] for at in range(8, len(elst), 2 * n_bytes + 4)]
    whole = [row for row in rows if len(row) == 2 * n_bytes][: int.from_bytes(elst[4:8], "big")]
    return [(int.from_bytes(row[:n_bytes], "big"), int.from_bytes(row[n_bytes:], "big", signed=True)) for row in whole]


def _clock(header: bytes) -> tuple[int, int]:
    """Ticks a second, and the length in ticks (0: unknown), of a film or a track."""
    at, n_bytes = (20, 8) if header[:1] == b"\1" else (12, 4)
    hz, ticks = header[at : at + 4], header[at + 4 : at + 4 + n_bytes]
    if not any(hz):
        raise InputFault("Q_CORRUPT", "an M4A clock of 0 ticks a second")
    return int.from_bytes(hz, "big"), int.from_bytes(ticks, "big") if ticks.strip(b"\xff") else 0


def _boxes(file: BinaryIO, span: _Span) -> Iterator[tuple[bytes, int, int, int]]:
    """Name, first byte, first byte of the content and end of every box; the last may be no box, or be cut off."""
    start, last = span
    for _ in range(_MOST_BOXES):
        if start >= last:
            return
        file.seek(start)
        head = file.read(16)
        n_bytes, content = int.from_bytes(head[:4], "big"), start + 8
        if n_bytes == 1:
            n_bytes, content = int.from_bytes(head[8:], "big"), start + 16
        elif n_bytes == 0:
            n_bytes = last - start
        yield head[4:8], start, content, start + n_bytes
        if start + n_bytes < content:
            return
        start += n_bytes


def _find(file: BinaryIO, spans: list[_Span], *path: bytes) -> list[_Span]:
    """The contents of all boxes at a path below others."""
    for wanted in path:
        spans = [
            (content, min(end, span[1]))
            for span in spans
            for name, _, content, end in _boxes(file, span)
            if name == wanted
        ]
    return spans


def _read(file: BinaryIO, spans: list[_Span], *path: bytes) -> bytes:
    """The content of the first box at a path, at most a page of it; empty where there is none."""
    for start, end in _find(file, spans, *path)[:1]:
        file.seek(start)
        return file.read(max(0, min(end - start, 4_096)))
    return b""
