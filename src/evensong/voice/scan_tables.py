"""The scan's tables and the image table, read back as text."""

from pathlib import Path

import pandas as pd

from evensong.voice.names import Located


def read_text_table(path: Path) -> pd.DataFrame:
    """Read one of the pipeline's own CSVs; every cell stays text, a blank is an empty string."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def used_recordings(recordings: pd.DataFrame) -> pd.DataFrame:
    """The rows of recordings.csv that later stages work on, in their order (by item id)."""
    return recordings[recordings["status"] == "used"].reset_index(drop=True)


def locate_patients(recordings: pd.DataFrame, path: Path) -> Located:
    """The line of recordings.csv on which each patient stands first."""
    first: dict[str, int] = {}
    for line, patient in enumerate(recordings["healthCode"], start=2):
        first.setdefault(patient, line)
    return Located(str(path), "line", first)
