"""Trained voice models -> what every single one of them says of mel images, and what each decides by."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evensong.errors import IntegrityError
from evensong.listen.scorer import Infer
from evensong.schemas import VoiceMels
from evensong.score.judges import FILE, Judge


@dataclass(frozen=True)
class VoiceModels:
    """Models that are ready to score.

    Attributes:
        infer: (n, n_mels, width_px) float32 images, 0 to 1 -> (n, n_models, 2) float32 probabilities.
        judges: (n_models,) in the order of the probabilities.
        mels: how its images are drawn.
        home: the folder with the scan of the recordings they were trained on; None where it is not known.
    """

    infer: Infer
    judges: list[Judge]
    mels: VoiceMels
    home: Path | None


@functools.cache
def read_voice(model: Path, thresholds: Path | None) -> VoiceModels:
    """Read once a process; forked workers find it read.

    Args:
        model: one fold, a training with its folds, the folder of all trainings, or an exported .onnx.
        thresholds: of voice_evaluate; None takes those beside the model, an exported one has its own.

    Raises:
        IntegrityError: something is missing or damaged, or they do not belong together.
    """
    home = None
    if model.suffix == ".onnx":
        from evensong.listen.exported import read_exported_voice  # and no torch

        infer, judges, mels = read_exported_voice(model)
    else:
        from evensong.listen.voice_folds import read_voice_folds

        known = thresholds or beside(model)
        infer, judges, mels = read_voice_folds(model, known)
        home = known.parent
    return VoiceModels(infer, judges, _mels_of(mels, model), home)


def beside(model: Path) -> Path:
    """Where voice_evaluate leaves the thresholds of a folder of trainings, of one of these, or of one of its folds."""
    places = [parent / FILE for parent in model.absolute().parents[:3]]
    return next((place for place in places if place.is_file()), model.parent / FILE)


def _mels_of(facts: dict[str, Any], where: Path) -> VoiceMels:
    """The settings of the images.

    Raises:
        IntegrityError: they are not those of the voice track.
    """
    try:
        return VoiceMels.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        raise IntegrityError(f"{where}: mels: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
