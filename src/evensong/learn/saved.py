"""A trained fold on disk: safetensors weights and a JSON card that says everything needed to use them."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from evensong.errors import IntegrityError, ParamsError
from evensong.learn.card import Card, open_card, seal
from evensong.learn.models import InputSize, build_model
from evensong.learn.timm_import import import_timm
from evensong.run.text import write_json


def write_model(folder: Path, weights: dict[str, Tensor], card: Card) -> None:
    """Write ``model.safetensors`` and ``model.json``; the card gets the weights' sha256 and its own."""
    # One metadata key at most: with more, safetensors writes them in another order each time.
    raw = save_safetensors({name: tensor.contiguous() for name, tensor in weights.items()}, metadata={"format": "pt"})
    (folder / "model.safetensors").write_bytes(raw)
    sha256 = hashlib.sha256(raw).hexdigest()
    write_json(folder / "model.json", seal({**card, "timm": import_timm().__version__, "weights_sha256": sha256}))


def read_model(folder: Path) -> tuple[nn.Module, Card]:
    """Rebuild a trained model, ready to predict, and read its card.

    Raises:
        IntegrityError: a file is missing, the card is not to be believed, or the weights are not the card's.
    """
    try:
        card = open_card((folder / "model.json").read_bytes(), folder / "model.json")
        raw = (folder / "model.safetensors").read_bytes()
    except OSError as error:
        raise IntegrityError(f"{folder}: no readable model ({type(error).__name__})") from error
    if hashlib.sha256(raw).hexdigest() != card["weights_sha256"]:
        raise IntegrityError(f"{folder}: model.safetensors is not the file its card was written for")
    size = InputSize(card["network_input"]["height"], card["network_input"]["width"])
    try:
        model = build_model(card["model"], len(card["classes"]), size)
        model.load_state_dict(load_safetensors(raw), strict=True)
    except (ParamsError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise IntegrityError(f"{folder}: the weights are not those of the card's {card['model']} ({reason})") from error
    return model.eval(), card
