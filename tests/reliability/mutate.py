"""Change the source one place at a time, and count the changes that the tests notice.

    python -m tests.reliability.mutate src/evensong/run/publish.py --tests tests/run/test_publish.py --most 40 --seed 1

Each mutant is written into a copy of the checkout and tested there; the working tree is never touched. A comparison, a
boolean or arithmetic operator, a number, a condition or a returned value is another, a `raise` or a call is gone.
Texts, decorators and `strict=` of zip stay: the last two assert what holds anyway. Tests that fail or hang notice it;
what survived is printed with its line.
"""

import argparse
import ast
import importlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

WORKERS = 2
_QUICK = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not docs and not real")
_SEEDED = ("--hypothesis-profile=fast", "--hypothesis-seed=0")
_PRELOADED = ("hypothesis", "numpy", "scipy.stats", "soundfile", "av", "torch")  # once, not once a mutant
_MOST_BYTES = 6 << 30
_ANOTHER_SOURCE = 99  # the exit code of tests that imported evensong from elsewhere
_OTHERS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
}


@dataclass(frozen=True)
class Mutant:
    """One change of a file: its line, what it is, and the whole changed text."""

    line: int
    change: str
    text: str


class _Swap(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, without what a message is made of, decorators and `strict=`."""
    yield node
    if not isinstance(node, ast.Raise | ast.JoinedStr):
        decorators = getattr(node, "decorator_list", [])
        for child in ast.iter_child_nodes(node):
            if child not in decorators and not (isinstance(child, ast.keyword) and child.arg == "strict"):
                yield from nodes(child)


def changes(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Nodes at or just below this one, each with one that may stand in its place."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=right):
            yield from ((node, ast.Compare(left, [other()], right)) for other in _OTHERS.get(type(op), ()))
        case ast.BoolOp(op=op, values=values):
            yield from ((node, ast.BoolOp(other(), values)) for other in _OTHERS[type(op)])
        case ast.BinOp(left=left, op=op, right=right):
            yield from ((node, ast.BinOp(left, other(), right)) for other in _OTHERS.get(type(op), ()))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, operand
        case ast.Constant(value=bool(value)):
            yield node, ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield from ((node, ast.Constant(value + step)) for step in (1, -1))
        case _:
            yield from changes_of_flow(node)


def changes_of_flow(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """The same for conditions, statements that may be gone, and what a function returns."""
    match node:
        case ast.If(test=test) | ast.IfExp(test=test):
            yield from ((test, ast.Constant(forced)) for forced in (True, False))
        case ast.comprehension(ifs=[*tests]):
            yield from ((test, ast.Constant(True)) for test in tests)
        case ast.Raise() | ast.Expr(value=ast.Call()):
            yield node, ast.Pass()
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield node, ast.Return(ast.Constant(None))
        case ast.FunctionDef(returns=ast.Name(id="bool")):
            for value in [below.value for below in ast.walk(node) if isinstance(below, ast.Return) and below.value]:
                yield value, ast.UnaryOp(ast.Not(), value)


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a text, in the order of the lines."""
    tree = ast.parse(source)
    found = []
    for old, new in [pair for node in nodes(tree) for pair in changes(node)]:
        line, before, after = old.lineno, ast.unparse(old), ast.unparse(ast.fix_missing_locations(new))  # type: ignore[attr-defined]
        wrapped = _Swap(old, new)
        text = ast.unparse(ast.fix_missing_locations(wrapped.visit(tree)))
        _Swap(new, old).visit(tree)
        found.append(Mutant(line, f"{before.splitlines()[0]} -> {after.splitlines()[0]}", text))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.change))


def copy_checkout(folder: Path) -> Path:
    """Copy what git tracks, and what is new, to a folder; no data."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and os.path.isfile(name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, folder / name)
    return folder


def start(folder: Path, tests: list[str]) -> int:
    """Run tests in a copy, in a process group of their own; the process's id."""
    if (process := os.fork()) == 0:
        code = _ANOTHER_SOURCE
        try:
            code = run_tests(folder, tests)
        finally:
            os._exit(code)
    return process


def run_tests(folder: Path, tests: list[str]) -> int:
    """pytest's exit code for the copy's tests of the copy's source, in this process."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it, and tests send it
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(1, 2)
    sys.path = [part for part in sys.path if Path(part or ".").resolve() != Path.cwd()]
    for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "evensong")]:
        del sys.modules[name]
    os.chdir(folder)
    sys.dont_write_bytecode = True  # two mutants of one second and length would share it
    os.environ |= {"PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    code = int(pytest.main([*_QUICK, *_SEEDED, *tests]))
    files = [str(module.__file__) for name, module in sys.modules.items() if name.startswith("evensong.")]
    return code if all(file.startswith(str(folder)) for file in files) else _ANOTHER_SOURCE


def wait(process: int, until: float) -> int:
    """The exit code, or 1 past the deadline; nothing of the tests runs on."""
    ended, status = 0, 0
    while not ended and time.monotonic() < until:
        time.sleep(0.02)
        ended, status = os.waitpid(process, os.WNOHANG)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    if not ended:
        os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status) if ended else 1


def survivors(file: str, drawn: list[Mutant], tests: list[str], copies: list[Path]) -> list[Mutant]:
    """The mutants that all tests pass with.

    Raises:
        SystemExit: the tests fail as the file is, or import another source.
    """
    begun = time.monotonic()
    if code := wait(start(copies[0], tests), begun + 600):
        raise SystemExit(f"{file}: unchanged, the tests end with {code}")
    limit = 20 + 5 * (time.monotonic() - begun)
    original, found = Path(file).read_text(encoding="utf-8"), []
    for first in range(0, len(drawn), len(copies)):
        batch = list(zip(copies, drawn[first : first + len(copies)], strict=False))
        for copy, mutant in batch:
            (copy / file).write_text(mutant.text, encoding="utf-8")
        running = [(start(copy, tests), mutant) for copy, mutant in batch]
        codes = [(wait(process, time.monotonic() + limit), mutant) for process, mutant in running]
        if any(code == _ANOTHER_SOURCE for code, _ in codes):
            raise SystemExit(f"{file}: the tests import another source")
        found += [mutant for code, mutant in codes if code == 0]
    for copy in copies:
        (copy / file).write_text(original, encoding="utf-8")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--tests", nargs="+", required=True, metavar="PATH")
    parser.add_argument("--most", type=int, default=40, help="mutants drawn of each file")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name in _PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        copies = [copy_checkout(Path(folder).resolve() / str(n)) for n in range(WORKERS)]
        for file in options.files:
            every = mutants(Path(file).read_text(encoding="utf-8"))
            chance = random.Random(f"{options.seed}:{file}")
            drawn = sorted(chance.sample(every, min(options.most, len(every))), key=lambda mutant: mutant.line)
            lived = survivors(file, drawn, options.tests, copies)
            print(f"{file}: killed {len(drawn) - len(lived)} of {len(drawn)}", flush=True)
            for mutant in lived:
                print(f"  line {mutant.line}: {mutant.change}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
