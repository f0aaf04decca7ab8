"""Whose model is it? Asked before anything heavy is loaded."""

import json
from pathlib import Path
from typing import Literal

_CARDS = ("model.json", "fold_*/model.json", "*/fold_*/model.json")


def track_of(model: Path) -> Literal["night", "voice"]:
    """The track of a model, by its mels; night where there is none to be read, and night's reader then says so.

    Args:
        model: a folder with the model of a fold, of a training or of several, or an exported .onnx.
    """
    found = [model.with_suffix(".json")] if model.suffix == ".onnx" else _cards(model)
    try:
        mels = json.loads(found[0].read_text(encoding="utf-8"))["mels"]
    except (IndexError, OSError, ValueError, KeyError, TypeError):
        return "night"
    return "voice" if isinstance(mels, dict) and "width_px" in mels else "night"


def _cards(model: Path) -> list[Path]:
    return next((found for form in _CARDS if (found := sorted(model.glob(form)))), [])
