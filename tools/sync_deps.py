"""Rewrite the code dependencies in dvc.yaml from the scripts' imports.

    python tools/sync_deps.py

The contract test recomputes the same closure; this saves typing it.
"""

import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "pipeline")]

from test_dvc_contract import LIGHT_STAGES, SRC, import_closure  # noqa: E402


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
        data = [dep for dep in stage["deps"] if not dep.endswith(".py")]
        stage["deps"] = [*data, *sorted(import_closure(script))]
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        yaml.dump(tree, handle)


if __name__ == "__main__":
    main()
