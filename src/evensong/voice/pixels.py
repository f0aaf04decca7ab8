"""One digest an image of the packed array, so that a table and an array of two runs are never read together."""

import hashlib
from pathlib import Path

import numpy as np

from evensong.errors import IntegrityError
from evensong.intake.tables import read_own_table
from evensong.learn.store import ArrayStore


def pixel_digests(array: Path) -> list[str]:
    """SHA-256 of every image's pixels, in the order of the array's rows.

    Raises:
        IntegrityError: not a readable array.
    """
    store = ArrayStore([array])
    return [hashlib.sha256(store.stored(np.array([row])).tobytes()).hexdigest() for row in range(store.shape[0])]


def refuse_other_images(table: Path, array: Path) -> None:
    """Stop where an image of the array is not the one of its row in the table.

    Args:
        table: mels.csv, with row and pixels_sha256.
        array: mels.npy.

    Raises:
        IntegrityError: says how many images are others, or that a file cannot be read.
    """
    rows = read_own_table(table, numbers=["row"], texts=["pixels_sha256"]).sort_values("row")
    found, wanted = pixel_digests(array), rows["pixels_sha256"].tolist()
    n_others = sum(one != other for one, other in zip(found, wanted, strict=False)) + abs(len(found) - len(wanted))
    if n_others:
        raise IntegrityError(
            f"{array} and {table} do not belong together ({n_others} of {len(wanted)} images are others); run dvc "
            "repro voice_mels"
        )
