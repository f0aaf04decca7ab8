"""A trained fold on disk: safetensors weights and a JSON card that says everything needed to use them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from evensong.errors import IntegrityError
from evensong.learn.models import InputSize, build_model
from evensong.learn.timm_import import import_timm
from evensong.run.text import write_json

FORMAT = "evensong-model-1"
Card = dict[str, Any]


def write_model(folder: Path, weights: dict[str, Tensor], card: Card) -> None:
    """Write ``model.safetensors`` and ``model.json``; the card gets the weights' sha256."""
    # One metadata key at most: with more, safetensors writes them in another order each time.
    raw = save_safetensors({name: tensor.contiguous() for name, tensor in weights.items()}, metadata={"format": "pt"})
    (folder / "model.safetensors").write_bytes(raw)
    sha256 = hashlib.sha256(raw).hexdigest()
    write_json(
        folder / "model.json", {**card, "format": FORMAT, "timm": import_timm().__version__, "weights_sha256": sha256}
    )


def read_model(folder: Path) -> tuple[nn.Module, Card]:
    """Rebuild a trained model, ready to predict, and read its card.

    Raises:
        IntegrityError: a file is missing or of another format, or the weights are not the card's.
    """
    try:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        raw = (folder / "model.safetensors").read_bytes()
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{folder}: no readable model ({type(error).__name__})") from error
    if card.get("format") != FORMAT:
        raise IntegrityError(f"{folder}: model format {card.get('format')!r}, this version reads {FORMAT}")
    if hashlib.sha256(raw).hexdigest() != card["weights_sha256"]:
        raise IntegrityError(f"{folder}: model.safetensors is not the file its card was written for")
    size = InputSize(card["network_input"]["height"], card["network_input"]["width"])
    model = build_model(card["model"], len(card["classes"]), size)
    model.load_state_dict(load_safetensors(raw), strict=True)
    return model.eval(), card
