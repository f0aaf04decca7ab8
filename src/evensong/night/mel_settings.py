"""settings.json beside the mel arrays: what they were made with, and of which pool."""

import json
from pathlib import Path
from typing import Any

from evensong.errors import IntegrityError
from evensong.run.text import write_json

_FILE = "settings.json"


def write_mel_settings(folder: Path, settings: dict[str, Any], pool_sha256: str) -> None:
    """Write the settings of the arrays in a folder.

    Args:
        pool_sha256: digest of pool.csv, which has a digest of every pool file.
    """
    write_json(folder / _FILE, settings | {"pool_sha256": pool_sha256})


def read_mel_settings(folder: Path, pool_sha256: str) -> dict[str, Any]:
    """The settings of the arrays in a folder, once it is sure that they are of the index's pool.

    Args:
        pool_sha256: from `read_pool_sha256` of the index.

    Raises:
        IntegrityError: they are of two pools, or a file cannot be read.
    """
    try:
        settings: dict[str, Any] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        found = settings.pop("pool_sha256")
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder / _FILE}: cannot be read; run dvc repro night_mels") from error
    if found != pool_sha256:
        raise IntegrityError(
            f"{folder} and the index are of two pools and do not belong together; run dvc repro night_index night_mels"
        )
    return settings
