"""What the index holds, in numbers that `dvc metrics diff` compares: balance, and what must never lie in two splits."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from evensong.errors import IntegrityError
from evensong.intake.names import some_of
from evensong.night.split import Split

_FEWEST_TESTED = 10  # originals of a class
_FOLDS = 5


def count_classes(samples: pd.DataFrame, part_names: Sequence[str], shares: np.ndarray) -> pd.DataFrame:
    """Files, originals and sources of every class in every split, beside what was wanted.

    Args:
        samples: rows of the index: class_name, split, is_augmented, source_id.
        part_names: splits in their order.
        shares: (n_parts,) wanted.

    Returns:
        One row a class and split: class, split, files, originals, sources, wanted_files, wanted_originals; sorted by
        class and split order.
    """
    counted = (
        samples.assign(originals=(samples["is_augmented"] == 0).astype(np.int64))
        .groupby(["class_name", "split"])
        .agg(files=("originals", "size"), originals=("originals", "sum"), sources=("source_id", "nunique"))
    )
    every = pd.MultiIndex.from_product([sorted(samples["class_name"].unique()), part_names], names=["class", "split"])
    counted.index.names = ["class", "split"]
    counts = counted.reindex(every, fill_value=0).reset_index()
    share = counts["split"].map(dict(zip(part_names, shares, strict=True)))
    totals = counts.groupby("class")[["files", "originals"]].transform("sum")
    return counts.assign(wanted_files=share * totals["files"], wanted_originals=share * totals["originals"])


def nearness(quality: pd.DataFrame) -> str:
    """One line for the user: how far from the wanted counts the furthest class is, and what is proved."""
    worst = max(quality.to_dict("records"), key=lambda row: row["gap_files"])
    furthest = f"class {worst['class_name']}, {worst['gap_files']:g} files over all splits"
    return (
        f"furthest from the wanted counts: {furthest if worst['gap_files'] else 'none'}; "
        f"{quality['is_optimal'].sum()} of {len(quality)} classes proved as near as whole sources allow"
    )


def few_tested(counts: pd.DataFrame, quality: pd.DataFrame) -> str | None:
    """One line where a single split tests a class on under ten originals, with the command that tests them all.

    Args:
        counts: from `count_classes`; of folds every original is tested, so there is nothing to say.
        quality: of the split; no more folds are advised than the smallest class has sources.
    """
    tested = counts[counts["split"] == "test"].sort_values(["originals", "class"])
    few = tested[tested["originals"] < _FEWEST_TESTED]
    if few.empty:
        return None
    n_folds = min(_FOLDS, int(quality["n_sources"].min()))
    named = some_of([f"{name} {n}" for name, n in zip(few["class"], few["originals"], strict=True)])
    return (
        f"NOTE: {len(few)} of {len(tested)} classes have under {_FEWEST_TESTED} originals in the test split ({named}), "
        f"too few to score a class; use n_folds: {n_folds}, which tests every source once: "
        f"dvc exp run -S night.index.n_folds={n_folds}"
    )


def describe_balance(
    counts: pd.DataFrame, split: Split, samples: pd.DataFrame, shares: np.ndarray, part_names: Sequence[str]
) -> dict[str, Any]:
    """The reached balance beside the wanted one.

    Args:
        counts: from `count_classes`.
        split: with the quality of every class.
        samples: rows of the index.
        shares: (n_parts,) wanted.
        part_names: names of the parts.
    """
    quality = split.quality
    by_class = samples.groupby("class_name")
    originals = samples[samples["is_augmented"] == 0].groupby("class_name").size()
    files = by_class.size()
    n_classes_of_source = samples.groupby("source_id")["class_name"].nunique()
    described: dict[str, Any] = {
        "classes": len(files),
        "files": len(samples),
        "originals": int(originals.sum()),
        "sources": len(split.parts),
        "sources_in_several_classes": int((n_classes_of_source > 1).sum()),
        "files_a_class_least": int(files.min()),
        "files_a_class_most": int(files.max()),
        "originals_a_class_least": int(originals.min()),
        "originals_a_class_most": int(originals.max()),
        "classes_as_near_as_possible": int(quality["is_optimal"].sum()),
        "is_proved_optimal": int(quality["is_optimal"].all()),
        # Files away from the wanted numbers, summed over the splits of a class.
        "gap_files_worst_class": _number(quality["gap_files"].max()),
        "gap_files_mean": _number(quality["gap_files"].mean()),
        "least_gap_files_worst_class": _number(quality["least_gap_files"].max()),
        "least_gap_files_mean": _number(quality["least_gap_files"].mean()),
    }
    n_sources = samples.groupby("split")["source_id"].nunique()
    return described | {"splits": _splits(counts, n_sources, shares, part_names)}


def _splits(
    counts: pd.DataFrame, n_sources: pd.Series, shares: np.ndarray, part_names: Sequence[str]
) -> dict[str, Any]:
    totals = counts[["files", "originals"]].sum()
    splits = {}
    for name, share in zip(part_names, shares, strict=True):
        part = counts[counts["split"] == name]
        splits[name] = {
            "files": int(part["files"].sum()),
            "originals": int(part["originals"].sum()),
            "sources": int(n_sources.get(name, 0)),
            "sources_of_a_class_least": int(part["sources"].min()),
            "originals_of_a_class_least": int(part["originals"].min()),
            "share_of_files": _number(part["files"].sum() / totals["files"]),
            "share_of_originals": _number(part["originals"].sum() / totals["originals"]),
            "wanted_share": _number(share),
        }
    return splits


def _number(value: float) -> float:
    return float(f"{value:.6g}")


def audit_leakage(pool: pd.DataFrame, folds: pd.DataFrame) -> dict[str, int]:
    """Count, over all folds, whatever lies in more than one subset of a fold.

    Args:
        pool: one row a pool file: class_name, source_id, original_file, pcm_sha256.
        folds: fold, source_id, subset; may hold a source twice, that is what is looked for.

    Returns:
        Counts by kind; all are 0 in a sound index.
    """
    kinds = {
        "sources_in_two_subsets": "source_id",
        "originals_in_two_subsets": "original_file",
        "sounds_in_two_subsets": "pcm_sha256",
    }
    counts = dict.fromkeys([*kinds, "files_in_no_subset"], 0)
    originals = pool[list(kinds.values())].drop_duplicates()
    for _, subsets in folds.groupby("fold"):  # one at a time: the memory of one fold is enough
        placed = originals.merge(subsets, on="source_id")
        for kind, column in kinds.items():
            counts[kind] += int((placed.groupby(column)["subset"].nunique() > 1).sum())
        counts["files_in_no_subset"] += int((~pool["source_id"].isin(subsets["source_id"])).sum())
    classes = pool[["pcm_sha256", "class_name"]].drop_duplicates()
    counts["sounds_in_two_classes"] = int(classes["pcm_sha256"].duplicated().sum())
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
