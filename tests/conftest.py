"""Shared by all tests: property tests are never judged by the clock, on whatever machine they run."""

import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("evensong", deadline=None, max_examples=50)
settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True)  # the same for the same code
settings.register_profile("fast", deadline=None, max_examples=10)  # for make test-fast
settings.load_profile("ci" if os.environ.get("CI") else "evensong")

# A shell that starts the tests in the background has SIGINT ignored, and processes inherit that: some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first: a process that got one last would go on alone."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
