"""evensong export pool: the sounds of the pool as a WAV file each, whatever the pool's own layout is."""

from collections.abc import Sequence
from pathlib import Path

from evensong.errors import ParamsError
from evensong.intake.names import some_of
from evensong.intake.tables import read_pool
from evensong.listen.new_folder import new_folder, refuse_existing
from evensong.night.pool_files import pool_files

_NAMES = ["class_name", "class_slug", "file_path"]
_ROOM = 4_096  # bytes that a file takes beyond its own, at most, on common file systems


def export_pool(table: Path, pool_folder: Path, names: Sequence[str], out: Path) -> int:
    """Write ``out/{class_slug}/{file}.wav``, the very bytes that pool.csv has the digests of.

    Args:
        table: pool.csv.
        pool_folder: of its files.
        names: classes, their folders, or files, as in the table; none for all.
        out: folder to create; it appears when it is complete.

    Returns:
        Number of files written.

    Raises:
        ParamsError: a name is not in the table, or out is there already.
        IntegrityError: a file is not the one in the table.
        ResourceError: the disk is too full.
    """
    refuse_existing(out)
    pool = read_pool(table)
    pool = pool.assign(file=pool_files(pool, pool_folder))
    if names:
        pool = pool[pool[_NAMES].isin(names).any(axis=1)]
    if strange := sorted(set(names).difference(*(pool[column] for column in _NAMES))):
        raise ParamsError(f"{some_of(strange)}: neither a class nor a file of {table}")
    n_bytes = int(2 * pool["n_samples"].sum()) + len(pool) * _ROOM
    with new_folder(out, n_bytes) as part:
        for class_slug in pool["class_slug"].unique():
            (part / class_slug).mkdir()
        for file in pool["file"]:
            (part / file.name).write_bytes(file.content())
    return len(pool)
