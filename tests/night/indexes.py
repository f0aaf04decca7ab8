"""The tables of a small index: two classes, one of them with a hostile name, an original and a copy a source."""

import hashlib

import pandas as pd

from evensong.night.index import index_tables

HOSTILE = "x'); DROP TABLE folds;--"
POOL = "0" * 64


def tables_of(classes=("crow", HOSTILE), n_sources=3):
    pool = pd.DataFrame(
        [
            {
                "file_path": f"{slug}/{source}_{copy}.wav",
                "class_name": name,
                "class_slug": slug,
                "is_augmented": int(copy > 0),
                "original_file": f"{name}/{source}.wav",
                "source_id": f"{slug}{source}",
                "copy": copy,
                "augmentation_type": "noise" if copy else "original",
                "pcm_sha256": hashlib.sha256(f"{name}{source}".encode()).hexdigest(),
                "mel_row": 2 * source + copy,
            }
            for slug, name in zip("ab", classes, strict=True)
            for source in range(n_sources)
            for copy in range(2)
        ]
    )
    subsets = ("train", "val", "test")
    folds = pd.DataFrame(
        [
            {"fold": 0, "source_id": f"{slug}{source}", "subset": subsets[source % 3]}
            for slug in "ab"
            for source in range(n_sources)
        ]
    )
    splits = folds.set_index("source_id")["subset"]
    return pool, folds, index_tables(pool, folds, splits, POOL)
