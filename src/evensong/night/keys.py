"""Hashes: of files, and keyed ones, the only source of chance in the plan and the split, blind to order and names."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def keyed_hash(*parts: str | int) -> int:
    """A 64-bit number that depends on nothing but the parts."""
    text = "|".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")


def digest_of(members: Iterable[str]) -> str:
    """32 hex digits that identify a set of hashes, whatever its order."""
    return hashlib.blake2b("|".join(sorted(members)).encode("utf-8"), digest_size=16).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
