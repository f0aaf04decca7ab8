"""thresholds.json: a threshold a class, and the very models they were chosen for."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evensong.errors import IntegrityError

FILE = "thresholds.json"


class _Thresholds(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    card_sha256s: list[str]
    thresholds: dict[str, Any]


class _One(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    threshold: float = Field(ge=0, le=1)


def thresholds_tree(card_sha256s: Collection[str], thresholds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the file holds: the digest of every fold's card, and by class a threshold and where it is from."""
    return {"card_sha256s": sorted(card_sha256s), "thresholds": {name: dict(one) for name, one in thresholds.items()}}


def beside(model: Path) -> Path:
    """Where night_detect leaves the thresholds of a training folder, or of one of its folds."""
    training = model.parent if (model / "model.json").is_file() else model
    return training.parent / "detect" / FILE


def read_thresholds(path: Path, card_sha256s: Collection[str]) -> dict[str, float]:
    """Threshold by class; empty where there were no recordings to choose them with.

    Args:
        card_sha256s: of the folds that are to listen; all of them must be among those of the file.

    Raises:
        IntegrityError: not such a file, or of other models.
    """
    try:
        found = _Thresholds.model_validate(json.loads(path.read_text(encoding="utf-8")))
        chosen = {name: _One.model_validate(one).threshold for name, one in found.thresholds.items()}
    except (OSError, ValueError, ValidationError) as error:
        raise IntegrityError(f"{path}: not a table of thresholds ({type(error).__name__}); run night_detect") from error
    if not set(card_sha256s) <= set(found.card_sha256s):
        raise IntegrityError(
            f"{path}: chosen for another model than this one; run dvc repro night_detect, name the right file with "
            "--thresholds, or give one threshold for all classes with --min-score"
        )
    return chosen
