"""A path -> whose model it is, and what listens behind it: a network's folds, a graph, or the arm of an embedding."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evensong.errors import ParamsError

if TYPE_CHECKING:
    from evensong.listen.scorer import Listener

_CARDS = ("model.json", "fold_*/model.json", "*/fold_*/model.json")
_HEAD = ".safetensors"


def track_of(model: Path) -> Literal["night", "voice"]:
    """The track of a model, by its mels; night where there is none to be read, and night's reader then says so.

    Args:
        model: a folder with the model of a fold, of a training or of several, or an exported .onnx.
    """
    cards = (sorted(model.glob(form)) for form in _CARDS)
    found = [model.with_suffix(".json")] if model.suffix == ".onnx" else next(filter(None, cards), [])
    try:
        mels = json.loads(found[0].read_text(encoding="utf-8"))["mels"]
    except (IndexError, OSError, ValueError, KeyError, TypeError):
        return "night"
    return "voice" if isinstance(mels, dict) and "width_px" in mels else "night"


def read_listener(model: Path) -> "Listener":
    """Read once a process; forked workers find it read. Nothing is loaded that this kind of model does not need.

    Args:
        model: a training folder or one fold's; an exported .onnx with its .json; an arm's folder or one head in it.

    Raises:
        ParamsError: an arm that keeps no heads.
        IntegrityError: no model there, or a damaged one.
        DataError: the file of an arm's embedding cannot be used, see `open_graph`.
        ResourceError: a package that it needs is not installed.
    """
    if model.suffix == ".onnx":
        from evensong.listen.exported import read_exported  # and no torch

        return read_exported(model)
    if is_arm(model):
        from evensong.listen.arm import read_arm_to_listen  # nor here

        return read_arm_to_listen(model)
    if (model / "predictions.csv").is_file() and not any(model.glob("fold_*")):
        raise ParamsError(
            f"{model}: this arm is a yardstick and keeps no heads; take artifacts/night/train, an arm of "
            "night.embed.models or an exported .onnx"
        )
    from evensong.listen.folds import read_to_listen

    return read_to_listen(model)


def is_arm(model: Path) -> bool:
    """Whether a path names the arm of an embedding, or one of its heads."""
    return model.suffix == _HEAD or (model / "card.json").is_file()


def fold_paths(model: Path) -> dict[int, Path]:
    """Where each fold of a training folder or an arm's folder lies, in order."""
    found = [*model.glob("fold_*/model.json"), *model.glob(f"head_*{_HEAD}")]
    places = [path.parent if path.name == "model.json" else path for path in found]
    return dict(sorted((int(place.stem.partition("_")[2]), place) for place in places))
