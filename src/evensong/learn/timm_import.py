"""Imports timm without torch's compiler, which nothing here uses and which takes longer to load than all the rest.

torchvision and timm each ask the compiler one small question while they load. Answering it here saves every
training stage three of its eight seconds of imports. The real compiler stays importable afterwards.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"


def import_timm() -> ModuleType:
    """Import timm, or return it if it is there."""
    with _compiler_not_needed():
        import timm
    return timm


@contextmanager
def _compiler_not_needed() -> Iterator[None]:
    """Answer for the compiler while the block imports, unless the real one is already loaded."""
    if _COMPILER in sys.modules or "timm" in sys.modules:
        yield
        return
    answers, helpers = ModuleType(_COMPILER), ModuleType(f"{_COMPILER}.utils")
    answers.disable = _leave_as_is  # type: ignore[attr-defined]  # timm marks functions that must not be compiled
    helpers.is_compile_supported = lambda _device: False  # type: ignore[attr-defined]  # torchvision.ops asks
    answers.utils = helpers  # type: ignore[attr-defined]
    sys.modules.update({answers.__name__: answers, helpers.__name__: helpers})
    try:
        yield
    finally:
        for module in (answers, helpers):
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]


def _leave_as_is(function: Callable[..., Any] | None = None, *_args: object, **_options: object) -> Any:
    return function if function is not None else _leave_as_is
