"""The packages of src/ stand on floors: none imports from a floor above, and no two modules import each other."""

from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from tools.sync_deps import SRC, imported_modules

# From the bottom up.
FLOORS = (
    {"errors", "params", "schemas", "keys"},
    {"run"},
    {"audio", "intake", "score"},
    {"learn", "preflight"},
    {"night", "voice"},
    {"listen", "report", "doctor", "verify", "forget", "preset"},
    {"importing", "look", "project"},
    {"commands"},
    {"cli"},
)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts)


def room_of(module: str) -> str:
    return module.split(".")[1]


FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    return {
        module_of(path): {name for name in imported_modules(path) if name.startswith("evensong.")}
        for path in sorted((SRC / "evensong").rglob("*.py"))
        if path.name != "__init__.py"
    }


def test_every_room_has_a_floor(imports: dict[str, set[str]]) -> None:
    assert {room_of(module) for module in imports} == set(FLOOR_OF)


def test_no_import_runs_up_or_across(imports: dict[str, set[str]]) -> None:
    across = {("intake", "audio")}  # listings know the formats of recordings
    wrong = {
        (module, name)
        for module, names in imports.items()
        for name in names
        if (here := room_of(module)) != (there := room_of(name))
        and FLOOR_OF[there] >= FLOOR_OF[here]
        and FLOOR_OF[here] > 0
        and (here, there) not in across
    }
    assert not wrong


def test_no_circle(imports: dict[str, set[str]]) -> None:
    list(TopologicalSorter(imports).static_order())  # a circle is an error
