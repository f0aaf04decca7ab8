"""README and docs/ -> their console blocks and commands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TOOLS = ("dvc", "make", "evensong", "python")  # whose commands are checked wherever they stand
_BLOCK = re.compile(r"^(?P<mark><!-- run -->\n)?```console\n(?P<body>.*?)^```$", re.M | re.S)
_CODE = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)


class Block(NamedTuple):
    """One console block: its commands as they stand, and whether `make test-docs` executes them."""

    page: Path
    line: int
    commands: list[str]
    runs: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The console blocks of one page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text[: found.start("body")].count("\n"), _commands(found["body"]), bool(found["mark"]))
        for found in _BLOCK.finditer(text)
    ]


def simple_commands(page: Path) -> Iterator[list[str]]:
    """Every command of a page as its words: of console blocks, and in `code` between words of text."""
    for block in blocks(page):
        for command in block.commands:
            yield from _words(command)
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for code in _CODE.findall(text):
        if code.split()[0] in TOOLS and len(code.split()) > 1:
            yield from _words(code)
        elif code.startswith("-S "):
            yield from _words(f"dvc exp run {code}")


def _commands(body: str) -> list[str]:
    """Lines that start with a prompt, and those that a backslash continues; all else is output."""
    joined = body.replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


def _words(command: str) -> Iterator[list[str]]:
    words: list[str] = []
    for word in shlex.split(command.replace("…", ""), comments=True):
        if word == "&&":
            yield words
            words = []
        else:
            words.append(word)
    yield words
