"""A folder of --out: room for it is known before, and it is there when it is whole."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evensong.errors import ParamsError, ResourceError


def refuse_existing(out: Path) -> None:
    """Before any work for it.

    Raises:
        ParamsError: there is something of that name already.
    """
    if out.exists():
        raise ParamsError(f"--out {out}: is there already; choose a new folder")


@contextmanager
def new_folder(out: Path, n_bytes: int) -> Iterator[Path]:
    """Hand out a folder to fill; it takes its name when the block ends well, and is gone when it does not.

    Args:
        out: its name, of which nothing is there (`refuse_existing`).
        n_bytes: that it will take on the disk, about.

    Raises:
        ResourceError: the disk is too full.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    if n_bytes > (free := shutil.disk_usage(out.parent).free):
        needed = f"{out} needs about {n_bytes / 1e9:.1f} GB"
        raise ResourceError(f"{needed} and {free / 1e9:.1f} GB are free in {out.parent}")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        yield part
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
