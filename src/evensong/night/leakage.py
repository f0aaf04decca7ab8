"""What must never lie in two splits, counted from the tables that training will read."""

from collections.abc import Mapping

import pandas as pd

from evensong.errors import IntegrityError


def audit_leakage(pool: pd.DataFrame, folds: pd.DataFrame) -> dict[str, int]:
    """Count, over all folds, whatever lies in more than one subset of a fold.

    Args:
        pool: one row a pool file: source_id, original_file, pcm_sha256.
        folds: fold, source_id, subset; may hold a source twice, that is what is looked for.

    Returns:
        Counts by kind; all are 0 in a sound index.
    """
    placed = pool[["source_id", "original_file", "pcm_sha256"]].merge(folds, on="source_id", how="left")
    kinds = {
        "sources_in_two_subsets": "source_id",
        "originals_in_two_subsets": "original_file",
        "sounds_in_two_subsets": "pcm_sha256",
    }
    counts = {
        kind: int((placed.groupby(["fold", column])["subset"].nunique() > 1).sum()) for kind, column in kinds.items()
    }
    labels = pool.assign(label=pool["class_name"]).groupby("pcm_sha256")["label"].nunique()
    counts["sounds_in_two_classes"] = int((labels > 1).sum())
    counts["files_in_no_subset"] = int(placed["subset"].isna().sum())
    return counts


def refuse_leakage(counts: Mapping[str, int]) -> None:
    """Stop the stage where anything leaks.

    Raises:
        IntegrityError: a count is not 0.
    """
    found = {kind: n for kind, n in counts.items() if n}
    if found:
        named = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in found.items())
        raise IntegrityError(f"the index would leak: {named}; rerun dvc repro -f night_scan, and report it if it stays")
