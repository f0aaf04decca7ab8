"""Being a user whom the modes of files bind, where the tests run as root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_NOBODY = 65_534


@contextmanager
def without_root() -> Iterator[None]:
    """Give root's rights up for the block; whatever is imported in it must be imported before."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
