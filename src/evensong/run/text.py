"""Text outputs with one fixed form, so that equal content is equal bytes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_json(path: Path, tree: Any) -> None:
    """Write sorted, indented UTF-8 JSON with a final newline.

    Raises:
        ValueError: a NaN or an infinity is in the tree; write null and a reason instead.
    """
    text = json.dumps(tree, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_csv(path: Path, table: "pd.DataFrame", float_format: str | None = None, *, for_people: bool = False) -> None:
    """Write a table as UTF-8 CSV without its index, lines ending in a bare newline.

    Args:
        float_format: printf form of floats, such as ``%.6g``; shortest round-trip form when absent.
        for_people: nothing reads the table back, and a spreadsheet may: its texts go through `plain_cell`.
    """
    if for_people:
        table = table.map(plain_cell)
    table.to_csv(path, index=False, lineterminator="\n", encoding="utf-8", float_format=float_format)


def plain_cell(cell: Any) -> Any:
    """A cell that a spreadsheet shows and never computes: a text that looks like a formula gets an apostrophe first."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell
