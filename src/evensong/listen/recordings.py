"""What the user names -> recordings, refused ones among them, and what is passed over; nothing is opened."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evensong.audio.containers import AUDIO_SUFFIXES
from evensong.errors import DataError, InputFault, ParamsError
from evensong.intake.listing import AUDIO, list_files
from evensong.intake.names import name_fault, printable


@dataclass(frozen=True)
class Listing:
    """Everything that was named.

    Attributes:
        names: of the recordings by the path the user reaches them by, in order: the name below the folder that was
            named, or the bare file name.
        faults: of those that cannot be used by their name; they are among the names.
        skipped: what is passed over, and the rule.
    """

    names: dict[Path, Path] = field(default_factory=dict)
    faults: dict[Path, InputFault] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)


def list_recordings(named: Sequence[Path], own: Path | None) -> Listing:
    """List files as they are named, and every audio file inside the folders, sorted; links are not followed.

    Args:
        own: a folder of ours that is not looked into; None for none.

    Raises:
        ParamsError: something named is not there.
        DataError: no recording at all, or a folder that cannot be read.
    """
    listing = Listing()
    for path in named:
        if not os.path.lexists(path):
            raise ParamsError(f"{path}: no such file or folder")
        if path.is_dir():
            _add_folder(listing, path, own)
        elif listing.names.setdefault(path, Path(path.name)) and (fault := name_fault(str(path))):
            listing.faults[path] = InputFault("Q_NAME", fault)
    if not listing.names:
        raise DataError(
            f"no recordings in {', '.join(map(str, named))}; read are files named {', '.join(sorted(AUDIO_SUFFIXES))}"
        )
    return listing


def _add_folder(listing: Listing, folder: Path, own: Path | None) -> None:
    try:
        entries = list_files(folder, AUDIO)
    except OSError as error:
        raise DataError(f"{printable(error.filename)}: the folder cannot be read ({error.strerror})") from error
    for entry in entries:
        path = folder / entry.path
        if own is not None and own in path.parents:
            continue
        if entry.outcome == "ignored":
            listing.skipped[path] = entry.reason
            continue
        listing.names.setdefault(path, Path(entry.path))
        if entry.outcome == "quarantined":
            listing.faults[path] = InputFault(entry.reason, entry.detail)
        elif fault := name_fault(str(path)):
            listing.faults[path] = InputFault("Q_NAME", fault)
