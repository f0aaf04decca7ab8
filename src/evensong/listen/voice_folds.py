"""Folders of voice models -> one network that gives what each of them says, beside their mean."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evensong.errors import IntegrityError
from evensong.listen.folds import FoldMean, TrainedFolds, folders_of, read_folds
from evensong.listen.scorer import Infer
from evensong.score.judges import Judge, read_judges

_SHARED = ("classes", "mels", "stored_input", "output")


class Each(nn.Module):
    """Several models side by side.

    Args:
        networks: one a model, with its own normalisation.
    """

    def __init__(self, networks: Sequence[FoldMean]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities.

        Args:
            mel: (batch, height, width) float32, 8-bit images divided by 255, not standardised.

        Returns:
            Mean over the models, (batch, n_classes); and each model's own, (batch, n_models, n_classes).
        """
        each = torch.stack([network(mel) for network in self.networks], dim=1)
        return each.mean(dim=1), each


def read_each(model: Path, thresholds: Path) -> tuple[Each, list[TrainedFolds], list[Judge]]:
    """Read models and what they decide by.

    Raises:
        IntegrityError: a model is damaged, they do not belong together, or the thresholds are of other models.
    """
    known = read_judges(thresholds)
    named = [model / judge.member / f"fold_{judge.fold:02d}" for judge in known]  # of the folder of all trainings
    trained = [read_folds(folder) for folder in folders_of(model) or named]
    first = trained[0].cards[0]
    differing = sorted({key for one in trained for key in _SHARED if one.cards[0].get(key) != first.get(key)})
    if differing:
        raise IntegrityError(f"{model}: its models cannot be used as one: {', '.join(differing)} differ")
    by_card = {judge.card_sha256: judge for judge in known}
    cards = [one.cards[0]["card_sha256"] for one in trained]
    n_other = sum(card not in by_card for card in cards)
    if n_other:
        raise IntegrityError(
            f"{thresholds}: knows nothing of {n_other} of the {len(cards)} models in {model}; run dvc repro "
            "voice_evaluate, or name the right file with --thresholds"
        )
    return Each([one.network for one in trained]).eval(), trained, [by_card[card] for card in cards]


def read_voice_folds(model: Path, thresholds: Path) -> tuple[Infer, list[Judge], dict[str, Any]]:
    """What each model says, in one thread and in the memory order of training; what they decide by; their mels.

    Raises:
        IntegrityError: as `read_each`.
    """
    torch.set_num_threads(1)  # forking must find no thread pool
    network, trained, judges = read_each(model, thresholds)
    network.to(memory_format=torch.channels_last)
    return functools.partial(_infer, network), judges, trained[0].cards[0]["mels"]


def _infer(network: Each, images: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        each: NDArray[np.float32] = network(torch.from_numpy(images))[1].numpy()
    return each
