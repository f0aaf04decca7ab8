"""Every keyed draw and digest: a purpose in, a number out. The only source of chance, blind to order and process."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_SEPARATOR = "\x1f"  # ASCII's unit separator, which no name or id here can hold: no two purposes read the same

Part = str | int


def joined_key(*purpose: Part) -> str:
    """A purpose, such as ``(seed, "fold", 3)``, as one text."""
    return _SEPARATOR.join(str(part) for part in purpose)


def keyed_hash(*purpose: Part) -> int:
    """0 to 2**64 - 1, from the purpose and from nothing else."""
    return _bits(8, purpose)


def derive_seed(*purpose: Part) -> int:
    """0 to 2**32 - 1, the range of every seed in params.yaml."""
    return _bits(4, purpose)


def keyed_generator(*purpose: Part) -> np.random.Generator:
    """A generator whose stream depends on the purpose alone, not on process, order or earlier draws."""
    return np.random.Generator(np.random.Philox(key=_bits(16, purpose)))


def digest_of(members: Iterable[str]) -> str:
    """32 hex digits that identify a set of hashes, whatever its order."""
    return hashlib.blake2b(joined_key(*sorted(members)).encode(), digest_size=16).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _bits(n_bytes: int, purpose: tuple[Part, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(joined_key(*purpose).encode(), digest_size=n_bytes).digest(), "big")
