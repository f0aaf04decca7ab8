"""One seed for every random draw, derived from what the draw is for and from nothing else."""

import hashlib

import numpy as np


def derive_seed(*purpose: int | str) -> int:
    """Digest a purpose, such as ``(seed, "fold", 3, "epoch", 7)``, into a seed.

    Returns:
        0 to 2**32 - 1, the range of every seed in params.yaml.
    """
    text = "/".join(str(part) for part in purpose)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def keyed_generator(*purpose: int | str) -> np.random.Generator:
    """A generator whose stream depends on the purpose alone, not on process, order or earlier draws."""
    text = "/".join(str(part) for part in purpose)
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    return np.random.Generator(np.random.Philox(key=key))
