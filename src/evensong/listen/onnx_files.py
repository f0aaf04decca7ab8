"""What every export to ONNX does around its graph: checks before it, two files that belong together after it."""

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evensong.errors import IntegrityError, ParamsError, ResourceError
from evensong.listen.outputs import replacing
from evensong.run.text import write_json

MAX_DIFFERENCE = 1e-4  # of a probability, between onnxruntime and what trained the model


def check_export(out: Path, needed: Sequence[str]) -> None:
    """Refuse before the work what would fail after it.

    Raises:
        ParamsError: out is not named *.onnx.
        ResourceError: a package that the export needs is not installed.
    """
    if out.suffix != ".onnx":
        raise ParamsError(f"--out {out}: the name must end in .onnx")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ResourceError(f"export onnx needs {', '.join(missing)}; install with: pip install {' '.join(missing)}")


def write_export(model: Path, out: Path, raw: bytes, facts: Mapping[str, Any], difference: float, of: str) -> None:
    """Write a graph that gives what its model gives, and a JSON of the same name; both are replaced if there.

    Args:
        model: what was exported, for the message.
        raw: the graph.
        facts: of the JSON; the digest of the graph and the difference are added.
        difference: the greatest of a probability.
        of: what the graph was compared with.

    Raises:
        IntegrityError: the difference is too great, or no number.
    """
    if not difference <= MAX_DIFFERENCE:
        raise IntegrityError(
            f"{model}: the exported graph differs from {of} by {difference:.3g}, more than {MAX_DIFFERENCE:g}; "
            "nothing was written"
        )
    told = {f"greatest_difference_from_{of}": float(f"{difference:.3g}")}
    with replacing(out) as part:
        part.write_bytes(raw)
        write_json(out.with_suffix(".json"), {**facts, "onnx_sha256": hashlib.sha256(raw).hexdigest(), **told})
