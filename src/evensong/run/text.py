"""Text outputs with one fixed form, so that equal content is equal bytes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def write_json(path: Path, tree: Any) -> None:
    """Write sorted, indented UTF-8 JSON with a final newline.

    Raises:
        ValueError: a NaN or an infinity is in the tree; write null and a reason instead.
    """
    text = json.dumps(tree, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_csv(path: Path, table: "pd.DataFrame", float_format: str | None = None) -> None:
    """Write a table as UTF-8 CSV without its index, lines ending in a bare newline.

    Args:
        float_format: printf form of floats, such as ``%.6g``; shortest round-trip form when absent.
    """
    table.to_csv(path, index=False, lineterminator="\n", encoding="utf-8", float_format=float_format)
