"""Pools made of numbers, and what a split makes of them."""

import hashlib

import numpy as np
import pandas as pd

from evensong.keys import file_sha256
from evensong.night.split import group_table

SPLITS = ("train", "val", "test")
RATIOS = (0.8, 0.1, 0.1)


def pool_of(originals, copies=0):
    """A pool from (class, source) pairs, one an original; every original gets the same number of copies."""
    rows = []
    for n, (class_name, source) in enumerate(originals):
        digest = hashlib.sha256(f"{n} {class_name} {source}".encode()).hexdigest()
        rows += [
            {
                "class_name": str(class_name),
                "source_id": str(source),
                "is_augmented": int(copy > 0),
                "pcm_sha256": digest,
                "original_file": f"{class_name}/{n}.wav",
            }
            for copy in range(copies + 1)
        ]
    return pd.DataFrame(rows)


def private(sizes, class_name="owl"):
    return [(class_name, f"{class_name}{group}") for group, size in enumerate(sizes) for _ in range(size)]


def counts_of(pool, split, n_parts, column="files"):
    table = group_table(pool)
    counts = np.zeros((n_parts, table["class_name"].nunique()), int)
    classes = {name: k for k, name in enumerate(sorted(table["class_name"].unique()))}
    for row in table.itertuples():
        counts[split.parts[row.source_id], classes[row.class_name]] += getattr(row, column)
    return counts


def pool_of_table(rows):
    """A pool from (n_groups, n_classes) numbers of originals."""
    return pool_of(
        [
            (f"class{column}", f"site{group}")
            for group, row in enumerate(rows)
            for column, n in enumerate(row)
            for _ in range(n)
        ]
    )


def part_counts(sizes, parts, n_parts):
    """(n_parts, n_classes) sums of the (n_groups, n_classes) sizes of the groups in each part."""
    counts = np.zeros((n_parts, sizes.shape[1]), sizes.dtype)
    np.add.at(counts, parts, sizes)
    return counts


def deviation(counts, shares):
    """Sum over classes and parts of |files - share x files of the class|, in files of the class: every class weighs
    the same, and where all classes have as many files, as in a pool, it is proportional to the plain sum of files."""
    return float(np.abs(counts / counts.sum(axis=0) - np.asarray(shares)[:, None]).sum())


def tree(folder):
    """Digest of every file below a folder, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
