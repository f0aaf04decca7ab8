"""Packed arrays on disk in, whole batches out: memory-mapped, each item copied once."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evensong.errors import DataError, IntegrityError
from evensong.keys import file_sha256

_CHUNK_ROWS = 512


class ArrayStore:
    """Several (n, height, width) arrays behind one row index, in the order of their paths.

    float32 arrays are read as they are; uint8 images are scaled to 0 to 1.

    Args:
        paths: .npy files of one dtype, float32 or uint8, and one item shape.

    Raises:
        IntegrityError: a file is missing, is no plain array, or disagrees with the first in shape or dtype.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        if not paths:
            raise IntegrityError("array store: no files")
        self._arrays = [_open_array(path) for path in paths]
        first = self._arrays[0]
        for path, array in zip(paths, self._arrays, strict=True):
            if array.dtype != first.dtype or array.shape[1:] != first.shape[1:]:
                found, wanted = f"{array.dtype} {array.shape[1:]}", f"{first.dtype} {first.shape[1:]}"
                raise IntegrityError(f"{path}: items are {found}, but {wanted} in {paths[0]}; run the mel stage again")
        self._starts = np.cumsum([0, *(len(array) for array in self._arrays)])
        self.dtype = first.dtype

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_items, height, width)."""
        _, height, width = self._arrays[0].shape
        return int(self._starts[-1]), height, width

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read items by row.

        Args:
            rows: (batch,) int64, 0 to n_items - 1, any order, repeats allowed.

        Returns:
            (batch, height, width) float32; uint8 images scaled to 0 to 1.

        Raises:
            DataError: an item holds a value that is not finite.
        """
        batch = self.stored(rows)
        return batch.astype(np.float32) / np.float32(255) if batch.dtype == np.uint8 else batch

    def stored(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Items by row in the type they are stored in.

        Raises:
            DataError: an item holds a value that is not finite.
        """
        batch = np.asarray(self._arrays[0][rows]) if len(self._arrays) == 1 else self._gathered(rows)
        if self.dtype == np.float32 and not _is_finite(batch):
            bad = rows[~np.isfinite(batch).all(axis=(1, 2))]
            raise DataError(
                f"array store: {len(bad)} items hold values that are not finite, first rows {bad[:5].tolist()}"
            )
        return batch

    def _gathered(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        which = np.searchsorted(self._starts, rows, side="right") - 1
        batch = np.empty((len(rows), *self.shape[1:]), self.dtype)
        # a fancy index an array, and its result put in place, copies every item twice: slower for items of any size
        for place, (array, row) in enumerate(zip(which.tolist(), (rows - self._starts[which]).tolist(), strict=True)):
            batch[place] = self._arrays[array][row]
        return batch

    def statistics(self, rows: NDArray[np.int64]) -> tuple[float, float]:
        """Mean and standard deviation over all values of the given rows.

        Summed in float64 in fixed chunks and given to nine digits, so that no machine or order shows.

        Raises:
            DataError: all values are equal: nothing could be learned from them.
        """
        rows = np.sort(rows)
        chunks = [rows[start : start + _CHUNK_ROWS] for start in range(0, len(rows), _CHUNK_ROWS)]
        n_values = len(rows) * int(np.prod(self.shape[1:]))
        mean = sum(float(self.read(chunk).sum(dtype=np.float64)) for chunk in chunks) / n_values
        square = sum(float(np.square(self.read(chunk) - mean, dtype=np.float64).sum()) for chunk in chunks)
        std = float(np.sqrt(square / n_values))
        if std < 1e-8:
            raise DataError(f"array store: all values of {len(rows)} training items are equal; check the mel stage")
        return float(f"{mean:.9g}"), float(f"{std:.9g}")


def _is_finite(batch: NDArray[Any]) -> bool:
    """Whether all values are finite: the sum of their squares says so in one pass; if not, each is asked."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = batch.reshape(-1)
        return bool(np.isfinite(values @ values) or np.isfinite(batch).all())


def digest_of(paths: Sequence[Path]) -> str:
    """One sha256 over the bytes of several files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()


def _open_array(path: Path) -> NDArray[np.float32] | NDArray[np.uint8]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise IntegrityError(
            f"{path}: not a readable .npy array ({type(error).__name__}); run the mel stage again"
        ) from error
    if array.ndim != 3 or array.dtype not in (np.float32, np.uint8) or 0 in array.shape[1:]:
        raise IntegrityError(f"{path}: expected float32 or uint8 (n, height, width), found {array.dtype} {array.shape}")
    return np.asarray(array)  # a memmap costs more with each index
