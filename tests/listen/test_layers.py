"""Nothing but the command line and the benchmarks stands on top of listen: no stage's result can depend on it."""

from pathlib import Path

SRC = Path(__file__).parents[2] / "src"


def test_nothing_imports_listen_but_the_command_line() -> None:
    others = [path for path in SRC.rglob("*.py") if "listen" not in path.parts and path.name != "cli.py"]
    assert len(others) > 50
    assert [path.name for path in others if "evensong.listen" in path.read_text(encoding="utf-8")] == []
