"""The folder of an embedding: its arrays, whose recordings these are, and the papers of the model that made them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evensong.errors import IntegrityError
from evensong.run.text import write_json
from evensong.schemas import Embedding

_FACTS = "settings.json"
_NON_COMMERCIAL = re.compile(r"\bNC\b|non-?\s?commercial", re.IGNORECASE)


def warnings_of(settings: Embedding) -> list[str]:
    """What a user should know before using the arm, a line each."""
    data = ", ".join(settings.training_data)
    lines = [f"declared training data: {data}; where your recordings are among it, the scores are too high"]
    if _NON_COMMERCIAL.search(settings.licence):
        lines.append(f"the licence, {settings.licence}, does not allow commercial use")
    return lines


def overlap_warnings(training_data: Sequence[str], own: Sequence[str]) -> list[str]:
    """A line where names of the user's data are among those that a model declares, however they are spelled.

    Names are all that is compared: the same recording under two names is not found.
    """
    declared = {_plain(name) for name in training_data}
    found = [name for name in own if _plain(name) in declared]
    line = f"trained on {', '.join(found)}, and your recordings are from there: its scores may be of what it has heard"
    return [line] if found else []


def _plain(name: str) -> str:
    """Letters and digits alone, so that ESC-50, esc50 and ESC 50 are one."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def write_facts(folder: Path, settings: Embedding, facts: Mapping[str, Any]) -> None:
    """Write settings.json beside the arrays of an embedding.

    Args:
        facts: what else to keep, such as the digest of the table that the rows belong to.
    """
    write_json(folder / _FACTS, settings.model_dump() | dict(facts) | {"warnings": warnings_of(settings)})


def read_facts(folder: Path, made_of: str) -> dict[str, Any]:
    """What `write_facts` wrote, once it is sure that the rows are those of a table.

    Args:
        made_of: digest of the table that the rows belong to.

    Raises:
        IntegrityError: they are of another table, or the file cannot be read.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{folder / _FACTS}: cannot be read; run dvc repro again") from error
    if facts.get("made_of") != made_of:
        raise IntegrityError(f"{folder} was made of other recordings and does not belong here; run dvc repro again")
    return facts


def read_vectors(paths: Sequence[Path], n_rows: int) -> NDArray[np.float32]:
    """The arrays of an embedding as one, in the order of their paths.

    Returns:
        (n_rows, dim) float32, finite.

    Raises:
        IntegrityError: an array cannot be read, or they have other shapes.
    """
    try:
        found = np.concatenate([np.load(path, allow_pickle=False) for path in paths])
    except (OSError, ValueError, EOFError) as error:
        raise IntegrityError(f"{paths[0].parent}: no readable embeddings ({error}); run dvc repro again") from error
    if found.ndim != 2 or found.dtype != np.float32 or len(found) != n_rows or not np.isfinite(found).all():
        raise IntegrityError(
            f"{paths[0].parent}: {found.dtype} {found.shape} is not one finite float32 row for each of {n_rows} "
            "recordings; run dvc repro again"
        )
    return found


def embedded_items(table: pd.DataFrame, *, copies: bool) -> pd.DataFrame:
    """The fold table over the rows that were embedded: all, or the originals alone.

    Args:
        table: see `evensong.learn.fold_table`; its rows count copies too.
    """
    if copies:
        return table
    kept = table[table["is_original"]]
    return kept.assign(row=np.searchsorted(np.unique(kept["row"]), kept["row"]))
