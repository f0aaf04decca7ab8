"""thresholds.json: each trained fold of the voice track, as far as deciding about people goes; no id is in it."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from evensong.errors import IntegrityError

FILE = "thresholds.json"
_STRICT = ConfigDict(extra="ignore", strict=True, frozen=True)


class Judge(BaseModel):
    """One trained fold, as far as deciding goes.

    Attributes:
        member: the training it is of, such as ``subdb3``.
        fold: its number.
        card_sha256: which model it is, to the byte.
        threshold: of a person's mean probability of class 1.
        reason: why the threshold is one half and not chosen on validation; None where it was chosen.
        train_share_1: share of class 1 among the recordings that it was trained on.
    """

    model_config = _STRICT
    member: str
    fold: Annotated[int, Field(ge=0)]
    card_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    threshold: Annotated[float, Field(ge=0, le=1)]
    reason: str | None
    train_share_1: Annotated[float, Field(gt=0, lt=1)]


class _Judges(BaseModel):
    model_config = _STRICT
    models: Annotated[list[Judge], Field(min_length=1)]


def read_judges(path: Path) -> list[Judge]:
    """Read thresholds.json.

    Raises:
        IntegrityError: it is missing, or not such a file.
    """
    try:
        return _Judges.model_validate(json.loads(path.read_text(encoding="utf-8"))).models
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"{path}: no thresholds of voice models ({type(error).__name__}); run dvc repro voice_evaluate, or name "
            "the right file with --thresholds"
        ) from error
