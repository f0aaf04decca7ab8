"""Rewrite the code dependencies in dvc.yaml from the scripts' imports.

    python tools/sync_deps.py

The contract test compares the lists with the same closure; this saves typing them.
"""

import ast
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"

# Code that cannot change a result: errors, readers and schemas of params (they hold no values), and the process frame.
# check_params is about the schemas, so it lists them.
EXEMPT = {"evensong.errors", "evensong.params", "evensong.schemas"}
LIGHT_STAGES = {"check_params"}


def is_exempt(module: str) -> bool:
    """Whether a module cannot change a result."""
    return module in EXEMPT or module.startswith("evensong.run")


def imported_modules(path: Path) -> set[str]:
    """Every evensong module that a file imports, anywhere in it, less what is for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "evensong" and module_path(name).is_file()}


def module_path(module: str) -> Path:
    """Where a module stands."""
    return (SRC / Path(*module.split("."))).with_suffix(".py")


def import_closure(script: Path) -> set[str]:
    """The files a script's result can depend on, relative to the repository."""
    seen: set[str] = set()
    waiting = imported_modules(script)
    while waiting:
        module = waiting.pop()
        if module not in seen and not is_exempt(module):
            seen.add(module)
            waiting |= imported_modules(module_path(module))
    return {script.relative_to(ROOT).as_posix()} | {module_path(module).relative_to(ROOT).as_posix() for module in seen}


def main() -> None:
    """Keep data dependencies as they stand and replace the list of .py files behind them."""
    yaml = YAML()
    yaml.width = 120
    path = ROOT / "dvc.yaml"
    tree = yaml.load(path.read_text(encoding="utf-8"))
    for name, stage in tree["stages"].items():
        script = SRC / f"{name}.py"
        if name in LIGHT_STAGES or not script.exists():
            continue
        stage = stage.get("do", stage)
        data = [dep for dep in stage["deps"] if not dep.endswith(".py")]
        stage["deps"] = [*data, *sorted(import_closure(script))]
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        yaml.dump(tree, handle)


if __name__ == "__main__":
    main()
