"""A training folder -> one network that takes stored mels and gives the mean probabilities of its folds."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from evensong.errors import IntegrityError
from evensong.keys import digest_of
from evensong.learn.mixing import time_shifts
from evensong.learn.models import InputSize
from evensong.learn.saved import read_model
from evensong.listen.scorer import Trained

# What the folds of one training share; the rest of a card (fold, epoch, normalisation, weights) is a fold's own.
_SHARED = ("background", "classes", "mels", "model", "network_input", "output", "params", "stored_input")


class FoldMean(nn.Module):
    """Mean of the folds' probabilities, each fold with its own normalisation, and scored as training scores its tests.

    Args:
        models: trained networks, (batch, 1, height, width) standardised -> (batch, n_classes) logits.
        means: of each fold's training values.
        stds: of each fold's training values.
        size: what the networks are fed; stored mels of another size are resized as in training.
        n_shifts: circular time shifts that each fold's probabilities are averaged over.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        means: Sequence[float],
        stds: Sequence[float],
        *,
        size: InputSize,
        n_shifts: int,
    ) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.size = size
        self.n_shifts = n_shifts
        self.register_buffer("means", torch.tensor(means, dtype=torch.float32))
        self.register_buffer("stds", torch.tensor(stds, dtype=torch.float32))

    def forward(self, mel: Tensor) -> Tensor:
        """Class probabilities.

        Args:
            mel: (batch, height, width) float32, as stored for training, not standardised.

        Returns:
            (batch, n_classes) float32, each row summing to 1.
        """
        probs = [self._probs(index, model, mel) for index, model in enumerate(self.models)]
        return torch.stack(probs).mean(dim=0)

    def _probs(self, index: int, model: nn.Module, mel: Tensor) -> Tensor:
        inputs = ((mel - self.means[index]) / self.stds[index]).unsqueeze(1)  # type: ignore[index]  # buffers
        if tuple(mel.shape[1:]) != tuple(self.size):
            inputs = F.interpolate(inputs, size=tuple(self.size), mode="bilinear", align_corners=False)
        views = [model(view).softmax(dim=1) for view in time_shifts(inputs, self.n_shifts)]
        return torch.stack(views).mean(dim=0)


@dataclass(frozen=True)
class TrainedFolds(Trained):
    """The folds of one training, ready to predict.

    Attributes:
        network: mels as stored -> probabilities.
        stored_input: height, width, dtype of a stored mel, and the scale of 8-bit ones.
    """

    network: FoldMean
    stored_input: dict[str, Any]


def folders_of(model: Path) -> list[Path]:
    """Folders of single models: the one that is named, or its folds; none where there are neither."""
    cards = list(model.glob("model.json")) or sorted(model.glob("fold_*/model.json"))
    return [card.parent for card in cards]


def read_folds(folder: Path) -> TrainedFolds:
    """Read a training folder with its fold folders, or one fold folder alone.

    Raises:
        IntegrityError: no model there, a fold is damaged, or the folds are not of one training.
    """
    folders = folders_of(folder)
    if not folders:
        raise IntegrityError(
            f"{folder}: no trained model (model.json, or fold_NN/model.json); train one with dvc repro, or fetch it "
            "with dvc pull"
        )
    members = [read_model(path) for path in folders]
    cards = [card for _, card in members]
    for path, card in zip(folders, cards, strict=True):
        differing = [key for key in _SHARED if card.get(key) != cards[0].get(key)]
        if differing:
            raise IntegrityError(f"{path}: not of one training with {folders[0]}: {', '.join(differing)} differ")
    network = FoldMean(
        [model for model, _ in members],
        [card["normalisation"]["mean"] for card in cards],
        [card["normalisation"]["std"] for card in cards],
        size=InputSize(cards[0]["network_input"]["height"], cards[0]["network_input"]["width"]),
        n_shifts=cards[0]["params"]["train"]["test_shifts"],
    )
    facts = {key: cards[0][key] for key in ("classes", "mels", "stored_input")}
    digest = digest_of(card["card_sha256"] for card in cards)
    return TrainedFolds(
        infer=functools.partial(_infer, network.eval()),
        network=network,
        background=cards[0].get("background", []),
        cards=cards,
        digest=digest,
        **facts,
    )


@functools.cache
def read_to_listen(folder: Path) -> TrainedFolds:
    """Read once a process, in one thread and in the memory order of training; forked workers find it read.

    Raises:
        IntegrityError: as `read_folds`.
    """
    torch.set_num_threads(1)  # forking must find no thread pool
    trained = read_folds(folder)
    trained.network.to(memory_format=torch.channels_last)
    return trained


def _infer(network: FoldMean, mels: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        probs: NDArray[np.float32] = network(torch.from_numpy(mels)).numpy()
    return probs
