"""The pipeline's own CSV tables, read back: text stays text, whatever it looks like."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evensong.errors import IntegrityError

_CLIP_TEXTS = ("path", "class_name", "source_id", "origin", "status", "sha256", "pcm_sha256")
_CLIP_NUMBERS = (
    *("n_channels", "sample_rate_hz", "n_frames", "duration_s", "peak_dbfs", "rms_dbfs"),
    *("clipped_share", "silence_share", "bandwidth_hz", "half_energy_hz"),
)
_POOL_TEXTS = ("file_path", "class_name", "class_slug", "source_id", "pcm_sha256", "sha256")
_POOL_NUMBERS = ("is_augmented", "copy", "half_energy_hz", "sample_rate_hz", "n_samples", "mel_row", "peak_scale")


def read_clips(path: Path) -> pd.DataFrame:
    """Read the night scan's clips.csv, as `read_own_table`."""
    return read_own_table(path, numbers=_CLIP_NUMBERS, texts=_CLIP_TEXTS)


def read_pool(path: Path) -> pd.DataFrame:
    """Read pool.csv, one row a pool file, as `read_own_table`."""
    return read_own_table(path, numbers=_POOL_NUMBERS, texts=_POOL_TEXTS)


def read_recordings(path: Path) -> pd.DataFrame:
    """Read the field recordings that night_cut found, as `read_own_table`; exhaustive is a truth value."""
    table = read_own_table(
        path, numbers=("duration_s", "n_frames"), texts=("path", "source_id", "sha256", "exhaustive")
    )
    return table.assign(exhaustive=table["exhaustive"] == "True")


def read_reviewed(path: Path, clips: pd.DataFrame) -> set[str]:
    """Those clips that night_cut cut because a person had reviewed a detection.

    Args:
        path: its cut.csv.
        clips: of the scan.
    """
    cut = read_own_table(path, texts=("path", "reviewed"))
    return set(cut.loc[cut["reviewed"] == "True", "path"]) & set(clips.loc[clips["origin"] == "field", "path"])


def read_own_table(path: Path, *, numbers: Sequence[str] = (), texts: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table that a stage wrote.

    Args:
        numbers: columns that must be there and are turned into numbers; all others stay text, a blank one empty.
        texts: columns that must be there.

    Raises:
        IntegrityError: the file is missing, or is not what the stage writes.
    """
    try:
        # Without dtype and keep_default_na a class named "007" or "NA" would come back as something else.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        missing = [name for name in (*numbers, *texts) if name not in table]
        if missing:
            raise IntegrityError(f"{path}: no column {', '.join(missing)}; rerun the stage that writes it")
        return table.assign(**{name: pd.to_numeric(table[name]) for name in numbers})
    except FileNotFoundError as error:
        raise IntegrityError(f"{path}: no such file; run the stage that writes it first (dvc repro)") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise IntegrityError(f"{path}: not the table this stage reads; rerun the stage before it") from error


def used_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a scan's table that later stages work on, in their order."""
    return table[table["status"] == "used"].reset_index(drop=True)
