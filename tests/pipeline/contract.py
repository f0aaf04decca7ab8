"""dvc.yaml as the tests read it: its stages, their outputs, and the params that a script loads."""

import ast
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
DVC_YAML: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, dict[str, Any]] = {name: stage.get("do", stage) for name, stage in DVC_YAML["stages"].items()}


def loaded_sections(script: Path) -> set[str]:
    """The params keys a script loads, as first arguments of load_section and load_value: a text, or one with names
    of variables in it, which a foreach of dvc.yaml gives."""
    return {
        ast.unparse(node.args[0])[2:-1].replace("{", "${")
        if isinstance(node.args[0], ast.JoinedStr)
        else ast.literal_eval(node.args[0])
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("load_section", "load_value")
    }


def outputs(stage: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [next(iter(out.items())) if isinstance(out, dict) else (out, {}) for out in stage["outs"]]
