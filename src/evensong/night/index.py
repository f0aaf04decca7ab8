"""The SQLite index: its schema, how it is written with equal bytes, and how training reads it."""

import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from evensong.errors import IntegrityError

SCHEMA_VERSION = 4
_SCHEMA = (
    """
CREATE TABLE classes (
    label INTEGER PRIMARY KEY,           -- 0, 1, ... in the order of the names
    class_name TEXT NOT NULL UNIQUE,     -- as the folder is named
    class_slug TEXT NOT NULL UNIQUE      -- folder in the pool, and name of the mel array
)""",
    """
CREATE TABLE audio_samples (
    id INTEGER PRIMARY KEY,
    file_path TEXT NOT NULL UNIQUE,      -- relative to the pool folder
    class_name TEXT NOT NULL REFERENCES classes (class_name),
    is_augmented INTEGER NOT NULL CHECK (is_augmented IN (0, 1)),
    original_file TEXT NOT NULL,         -- relative to data/night
    augmentation_type TEXT NOT NULL,     -- 'original' or the transform
    split TEXT NOT NULL,                 -- train, val or test; with folds, the fold that tests it
    source_id TEXT NOT NULL,             -- what never lies in two splits
    copy INTEGER NOT NULL,               -- 0 is the original
    mel_row INTEGER NOT NULL,            -- row in the class's mel array
    class_slug TEXT NOT NULL,
    is_reviewed INTEGER NOT NULL CHECK (is_reviewed IN (0, 1)), -- a model chose it: it trains, and is never tested
    UNIQUE (class_slug, mel_row)
)""",
    """
CREATE TABLE folds (
    fold INTEGER NOT NULL,
    source_id TEXT NOT NULL,
    subset TEXT NOT NULL CHECK (subset IN ('train', 'val', 'test')),
    PRIMARY KEY (fold, source_id)
)""",
    """
CREATE TABLE pool (
    sha256 TEXT NOT NULL                 -- of the pool table that the rows above were made of
)""",
    """
CREATE TABLE content (
    sha256 TEXT NOT NULL                 -- of all rows above: SQLite itself does not notice a changed value
)""",
)
_TABLES = ("audio_samples", "classes", "folds", "pool")
_DAMAGED = "the file is damaged; restore it (dvc checkout) or rerun night_index"
_SAMPLE_COLUMNS = [
    "id",
    "file_path",
    "class_name",
    "is_augmented",
    "original_file",
    "augmentation_type",
    "split",
    "source_id",
    "copy",
    "mel_row",
    "class_slug",
    "is_reviewed",
]


def index_tables(
    pool: pd.DataFrame, folds: pd.DataFrame, splits: pd.Series, pool_sha256: str, reviewed: Collection[str] = ()
) -> dict[str, pd.DataFrame]:
    """The rows of every table of the index, sorted as they are written.

    Args:
        pool: one row a pool file.
        folds: fold, source_id, subset.
        splits: name of the split or of the testing fold, by source id.
        pool_sha256: digest of the pool's table, for what reads the index together with the mels.
        reviewed: originals that a model chose and a person reviewed.
    """
    names = pool[["class_name", "class_slug"]].drop_duplicates().sort_values("class_name", ignore_index=True)
    classes = names.assign(label=range(len(names)))[["label", "class_name", "class_slug"]]
    samples = pool.sort_values(["class_name", "mel_row"], ignore_index=True)
    samples = samples.assign(id=range(1, len(samples) + 1), split=samples["source_id"].map(splits))
    samples["is_reviewed"] = samples["original_file"].isin(reviewed).astype(np.int64)
    folds = folds[["fold", "source_id", "subset"]].sort_values(["fold", "source_id"], ignore_index=True)
    origin = pd.DataFrame({"sha256": [pool_sha256]})
    return {"classes": classes, "audio_samples": samples[_SAMPLE_COLUMNS], "folds": folds, "pool": origin}


def build_index(path: Path, tables: dict[str, pd.DataFrame]) -> str:
    """Write the index; equal tables give equal bytes (one SQLite version, one transaction, sorted rows).

    Args:
        path: file to create; must not exist.
        tables: from `index_tables`.

    Returns:
        The digest of the rows, `logical_sha256`.

    Raises:
        IntegrityError: a row breaks the schema, such as two files with one mel row.
    """
    content = logical_sha256(tables)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for pragma in ("page_size = 4096", "encoding = 'UTF-8'", "journal_mode = DELETE", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION:d}")
            connection.execute("BEGIN")
            for statement in _SCHEMA:
                connection.execute(statement)
            for name, table in tables.items():
                marks = ", ".join("?" for _ in table.columns)
                rows = table.astype(object).itertuples(index=False, name=None)
                columns = ", ".join(table.columns)
                connection.executemany(f"INSERT INTO {name} ({columns}) VALUES ({marks})", rows)
            connection.execute("INSERT INTO content VALUES (?)", (content,))
            connection.execute("COMMIT")
    except sqlite3.IntegrityError as error:
        raise IntegrityError(
            f"the pool's rows do not fit the index ({error}); rerun dvc repro night_augment"
        ) from error
    return content


def logical_sha256(tables: dict[str, pd.DataFrame]) -> str:
    """Digest of the rows alone: equal for equal content, whatever SQLite version wrote the file."""
    digest = hashlib.sha256()
    for name in sorted(tables):
        digest.update(f"{name} {' '.join(tables[name].columns)}\n".encode())
        for row in tables[name].astype(object).itertuples(index=False, name=None):
            digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n")
    return digest.hexdigest()


def read_fold_table(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read the index as training uses it.

    Args:
        path: index that `build_index` wrote.

    Returns:
        items: one row an item and fold: row (int64, in the mel arrays joined in label order), item_id (file path),
            group (source id), label (int64), is_original (bool), fold (int64), subset (train, val or test); sorted
            by fold and row. Reviewed items are in it where they train, and nowhere else.
        classes: class names in label order.

    Raises:
        IntegrityError: not an index of this version, or its rows do not fit together.
    """
    with _opened(path) as connection:
        classes = _rows(connection, "SELECT label, class_name, class_slug FROM classes ORDER BY label")
        samples = _rows(
            connection,
            "SELECT file_path AS item_id, source_id AS 'group', label, is_augmented, is_reviewed, mel_row "
            "FROM audio_samples JOIN classes USING (class_name) ORDER BY label, mel_row",
        )
        folds = _rows(connection, "SELECT fold, source_id AS 'group', subset FROM folds ORDER BY fold, source_id")
        n_samples = int(connection.execute("SELECT count(*) FROM audio_samples").fetchone()[0])
    sizes = samples.groupby("label").size().reindex(classes["label"], fill_value=0)
    expected = np.concatenate([np.arange(size) for size in sizes]) if len(sizes) else np.empty(0)
    if len(samples) != n_samples or samples["mel_row"].tolist() != expected.tolist() or (sizes == 0).any():
        raise IntegrityError(f"{path}: a class has no rows, or its mel rows are not 0, 1, ...; rerun night_index")
    # Sorted by label and mel row, so the position in the table is the row in the joined arrays.
    samples = samples.assign(row=np.arange(len(samples)), is_original=samples["is_augmented"] == 0)
    items = samples.merge(folds, on="group", how="inner", validate="many_to_many")
    if len(items) != len(samples) * folds["fold"].nunique():
        raise IntegrityError(f"{path}: a source lacks a row in the fold table; rerun night_index")
    items = items[(items["is_reviewed"] == 0) | (items["subset"] == "train")]
    columns = ["row", "item_id", "group", "label", "is_original", "fold", "subset"]
    return items.sort_values(["fold", "row"], ignore_index=True)[columns], [str(name) for name in classes["class_name"]]


def read_source_folds(path: Path) -> pd.DataFrame:
    """Every source's subset in every fold: fold, source_id, subset; also of field recordings that no clip comes from.

    Raises:
        IntegrityError: not an index of this version.
    """
    with _opened(path) as connection:
        return _rows(connection, "SELECT fold, source_id, subset FROM folds ORDER BY fold, source_id")


def read_array_names(path: Path) -> list[str]:
    """File stems of the classes' mel arrays, in label order.

    Raises:
        IntegrityError: not an index of this version.
    """
    with _opened(path) as connection:
        return [str(slug) for slug in _rows(connection, "SELECT class_slug FROM classes ORDER BY label")["class_slug"]]


def read_pool_sha256(path: Path) -> str:
    """Digest of the pool table that the index was made of.

    Raises:
        IntegrityError: not an index of this version.
    """
    with _opened(path) as connection:
        return str(_rows(connection, "SELECT sha256 FROM pool")["sha256"].iloc[0])


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The index, read-only; anything that is not one is an error and never an empty result."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA query_only = ON")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise IntegrityError(
                    f"{path}: schema version {version}, this program reads {SCHEMA_VERSION}; rerun night_index"
                )
            if not _holds_what_was_written(connection):
                raise IntegrityError(f"{path}: {_DAMAGED}")
            yield connection
    except sqlite3.Error as error:
        raise IntegrityError(f"{path}: not a readable index ({error}); run dvc repro night_index") from error


def _holds_what_was_written(connection: sqlite3.Connection) -> bool:
    """Whether the pages hang together and the rows have their digest."""
    try:
        if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            return False
        tables = {name: _rows(connection, f"SELECT * FROM {name} ORDER BY rowid") for name in _TABLES}
        return connection.execute("SELECT sha256 FROM content").fetchall() == [(logical_sha256(tables),)]
    except (TypeError, ValueError):  # a cell is no text any more, or no number
        return False


def _rows(connection: sqlite3.Connection, query: str) -> pd.DataFrame:
    cursor = connection.execute(query)
    columns = [column[0] for column in cursor.description]
    table = pd.DataFrame(cursor.fetchall(), columns=columns)
    numbers = [name for name in ("label", "mel_row", "fold", "is_augmented") if name in columns]
    return table.astype({name: np.int64 for name in numbers})
