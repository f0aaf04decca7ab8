"""Draw every plot of `dvc plots show` (or `diff`) as a PNG, without a browser and without a network.

    python tools/render_plots.py OUT [REVISION ...]

With revisions it draws `dvc plots diff REVISION ...`. Needs the package vl-convert-python, which is no dependency of
the project: its 80 MB are for looking at plots only. Install it beside the project's environment if you like.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    """Render into the folder given first; returns the exit code."""
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        import vl_convert
    except ImportError:
        print("needs vl-convert-python (pip install vl-convert-python); it is no dependency", file=sys.stderr)
        return 2
    out = Path(arguments[0])
    out.mkdir(parents=True, exist_ok=True)
    n_failed = 0
    for name, plots in read_plots(arguments[1:]).items():
        for position, plot in enumerate(plots):
            path = (
                out
                / f"{re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_').lower()}{f'_{position}' if position else ''}.png"
            )
            if plot["type"] == "image":
                shutil.copyfile(plot["url"], path)
                continue
            try:
                path.write_bytes(vl_convert.vegalite_to_png(as_specification(plot), scale=1.5))
            except ValueError as error:
                n_failed += 1
                print(f"{name}: {error}", file=sys.stderr)
    return 1 if n_failed else 0


def read_plots(revisions: list[str]) -> dict[str, list[dict[str, Any]]]:
    """What DVC would draw: lists of plots by name, each with type and content or url."""
    command = ["dvc", "plots", "diff", *revisions] if revisions else ["dvc", "plots", "show"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    tree = json.loads(done.stdout)
    for error in tree.get("errors", []):
        print(f"not shown: {error}", file=sys.stderr)
    return dict(tree["data"])


def as_specification(plot: dict[str, Any]) -> dict[str, Any]:
    """The Vega-Lite specification of one plot."""
    content = plot["content"]
    return json.loads(content) if isinstance(content, str) else content


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
