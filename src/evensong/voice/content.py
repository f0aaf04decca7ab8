"""Recordings and mel images, opened in parallel -> digests and statistics, or the fault that bars each."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evensong.audio.decode import deadline_s, inspect, pcm_digest
from evensong.audio.mel_images import IMAGE_SUFFIXES, inspect_image
from evensong.errors import InputFault
from evensong.run.isolation import map_isolated
from evensong.schemas import VoiceScan
from evensong.voice.disclosure import unnamed_os_errors


@dataclass(frozen=True)
class Opened:
    """One opened file.

    Args:
        cells: kind, size and sha256; of a usable file also content_sha256 and its statistics.
        fault: reason and detail; None for a usable file.
    """

    cells: dict[str, Any]
    fault: tuple[str, str] | None


@dataclass(frozen=True)
class _Task:
    path: Path
    settings: VoiceScan


def open_all(paths: Sequence[Path], settings: VoiceScan, *, workers: int) -> list[Opened]:
    """Decode every file completely, in the order given; the extension says whether it should be sound or an image."""
    tasks = [_Task(path, settings) for path in paths]
    found = map_isolated(_open_file, tasks, workers=workers, seconds=deadline_s(settings), label="voice recordings")
    return [
        _lost(path, item) if isinstance(item, InputFault) else item for path, item in zip(paths, found, strict=True)
    ]


def _lost(path: Path, fault: InputFault) -> Opened:
    """The row of a file that took its decoder's process down; it is not opened again, so it has no digest."""
    with unnamed_os_errors("a recording cannot be opened"):
        size = path.stat(follow_symlinks=False).st_size
    return Opened({"kind": _kind(path), "size": size, "sha256": ""}, (fault.reason, fault.detail))


def file_digest(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file.

    Raises:
        InputFault: Q_UNREADABLE.
    """
    try:
        with path.open("rb") as file:
            return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": file.tell()}
    except OSError as error:
        raise InputFault("Q_UNREADABLE", f"cannot be read ({error.strerror})") from None


def _kind(path: Path) -> str:
    return "image" if path.suffix.lower() in IMAGE_SUFFIXES else "audio"


def _open_file(task: _Task) -> Opened:
    """Open one file; runs in a worker."""
    path = task.path
    cells: dict[str, Any] = {"kind": _kind(path), "size": 0, "sha256": ""}
    try:
        with unnamed_os_errors("a recording cannot be opened"):
            cells |= file_digest(path)
            cells |= _image_cells(path) if cells["kind"] == "image" else _audio_cells(path, task.settings)
    except InputFault as fault:
        return Opened(cells, (fault.reason, fault.detail))
    return Opened(cells, None)


def _audio_cells(path: Path, settings: VoiceScan) -> dict[str, Any]:
    decoded, _, stats = inspect(path, settings)
    return {**asdict(stats), "content_sha256": pcm_digest(decoded)}


def _image_cells(path: Path) -> dict[str, Any]:
    image, is_colour = inspect_image(path)
    height, width = image.shape
    digest = hashlib.sha256(f"{height} {width}\n".encode() + image.tobytes())
    return {
        "height_px": height,
        "width_px": width,
        "content_sha256": digest.hexdigest(),
        "warnings": ("W_COLOUR",) if is_colour else (),
    }
