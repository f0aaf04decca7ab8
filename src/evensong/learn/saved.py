"""A trained fold on disk: safetensors weights, a JSON card that says everything needed to use them, a DVCLive run."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from evensong.errors import IntegrityError, ParamsError
from evensong.learn.card import Card, open_card, seal
from evensong.learn.fit import Epoch
from evensong.learn.models import InputSize, build_model, import_timm
from evensong.run.text import write_json

Scores = Mapping[str, Mapping[str, float | int | None]]


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


def write_run(folder: Path, history: list[Epoch], selected_epoch: int, scores: Scores) -> None:
    """Write one fold as a DVCLive run: its curves in plots/metrics/*.tsv, one step an epoch, and metrics.json.

    The whole history is written at once, so that a continued training leaves the same bytes as an uninterrupted one.

    Args:
        folder: of the run; nothing outside it is looked at or written.
        scores: of the selected epoch by subset and name; metrics.json holds them beside the last epoch's values.
    """
    with _live(folder) as live:
        for row in history:
            live.step = row.epoch
            for name, value in row._asdict().items():
                if name != "epoch" and value is not None:
                    live.log_metric(name, value)
            live.make_summary()
        live.summary |= {"selected_epoch": selected_epoch, **scores}
        live.make_summary()


def _live(folder: Path) -> Any:
    """A DVCLive logger that knows its folder alone.

    DVCLive's own looks for the DVC repository around it, and makes one where there is only git.
    """
    from dvclive.live import Live  # a second of imports, for the one process that writes runs

    class FolderOnly(Live):
        def _init_dvc(self) -> None:
            """Nothing: what DVCLive would learn of the repository is for experiments, which it is not to save."""

    os.environ["DVC_STUDIO_OFFLINE"] = "true"  # runs stay here, whatever token a user has set for other projects
    return FolderOnly(dir=str(folder), dvcyaml=None, save_dvc_exp=False, report=None, monitor_system=False)
