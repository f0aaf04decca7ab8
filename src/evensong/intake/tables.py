"""Readers of the night track's CSV tables: text stays text, whatever it looks like."""

from pathlib import Path

import pandas as pd

from evensong.errors import IntegrityError

_CLIP_NUMBERS = (
    "n_channels",
    "sample_rate_hz",
    "n_frames",
    "duration_s",
    "peak_dbfs",
    "rms_dbfs",
    "clipped_share",
    "silence_share",
    "bandwidth_hz",
)
_POOL_NUMBERS = ("is_augmented", "copy", "sample_rate_hz", "n_samples", "mel_row", "peak_scale")


def read_clips(path: Path) -> pd.DataFrame:
    """Read the scan's clips.csv.

    Raises:
        IntegrityError: the file is missing, or is not what night_scan writes.
    """
    return _read(path, _CLIP_NUMBERS, ("path", "class_name", "source_id", "status", "sha256", "pcm_sha256"))


def read_pool(path: Path) -> pd.DataFrame:
    """Read pool.csv: one row a pool file.

    Raises:
        IntegrityError: the file is missing, or is not what night_augment writes.
    """
    return _read(path, _POOL_NUMBERS, ("file_path", "class_name", "class_slug", "source_id", "pcm_sha256"))


def _read(path: Path, numbers: tuple[str, ...], texts: tuple[str, ...]) -> pd.DataFrame:
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
        raise IntegrityError(f"{path}: not the table this stage reads ({error}); rerun the stage before it") from error
