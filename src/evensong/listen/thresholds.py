"""thresholds.json: a threshold and a calibration a class, and the very models they were chosen for."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from evensong.errors import IntegrityError
from evensong.score.calibration import Calibration

FILE = "thresholds.json"
_KNOWN = ConfigDict(extra="ignore", strict=True)


class _Map(BaseModel):
    model_config = _KNOWN
    slope: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    intercept: float = Field(default=0.0, allow_inf_nan=False)


class _One(BaseModel):
    model_config = _KNOWN
    threshold: float = Field(ge=0, le=1)
    calibration: _Map = _Map()


class _Thresholds(BaseModel):
    model_config = _KNOWN
    card_sha256s: list[str]
    thresholds: dict[str, _One]


class Chosen(NamedTuple):
    """By class, both empty where there were no recordings.

    Attributes:
        thresholds: of softmax probabilities.
        calibrations: maps of these to one-against-rest ones, of the classes that had enough events to fit one.
    """

    thresholds: dict[str, float]
    calibrations: dict[str, Calibration]


def thresholds_tree(
    card_sha256s: Collection[str],
    thresholds: Mapping[str, Mapping[str, Any]],
    calibrations: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """What the file holds: the digest of every fold's card, and by class a threshold, a calibration, their origin."""
    maps = calibrations or {}
    classes = {name: {**one, "calibration": dict(maps.get(name, {}))} for name, one in thresholds.items()}
    return {"card_sha256s": sorted(card_sha256s), "thresholds": classes}


def beside(model: Path) -> Path:
    """Where night_detect leaves the thresholds of a training folder, or of one of its folds."""
    training = model.parent if (model / "model.json").is_file() else model
    return training.parent / "detect" / FILE


def read_thresholds(path: Path, card_sha256s: Collection[str]) -> Chosen:
    """Thresholds and calibrations; a file from before there were calibrations has none.

    Args:
        card_sha256s: of the folds that are to listen; all of them must be among those of the file.

    Raises:
        IntegrityError: not such a file, or of other models.
    """
    try:
        found = _Thresholds.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path}: not a table of thresholds ({type(error).__name__}); run night_detect") from error
    if not set(card_sha256s) <= set(found.card_sha256s):
        raise IntegrityError(
            f"{path}: chosen for another model than this one; run dvc repro night_detect, name the right file with "
            "--thresholds, or give one threshold for all classes with --min-score"
        )
    maps = {name: one.calibration for name, one in found.thresholds.items()}
    return Chosen(
        {name: one.threshold for name, one in found.thresholds.items()},
        {name: Calibration(one.slope, one.intercept) for name, one in maps.items() if one.slope is not None},
    )
