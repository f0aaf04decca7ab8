"""A stored arm, read again and checked, to hear what is new: the model's file in front, a head a fold behind."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from evensong.errors import DataError, IntegrityError
from evensong.learn.card import DIGEST, Card, card_digest
from evensong.learn.embedding import open_graph, refuse_lower_rates
from evensong.learn.head_choice import FORMAT, head_name
from evensong.learn.heads import Floats, Head, head_from
from evensong.schemas import Embedding


@dataclass(frozen=True)
class Arm:
    """A stored arm.

    Attributes:
        where: its folder, for messages.
        card: the card, checked.
        classes: names in label order.
        model: the network in front of the heads, as params.yaml had it.
        heads: by fold.
    """

    where: Path
    card: Card
    classes: list[str]
    model: Embedding
    heads: Mapping[int, Head]

    def probabilities(self, fold: int, vectors: NDArray[np.float32]) -> Floats:
        """What the head of a fold says of vectors, (n_items, dim): (n_items, n_classes).

        Raises:
            DataError: the vectors are not as long as those it was fitted on.
        """
        head = self.heads[fold]
        if vectors.shape[1] != head.mean.size:
            raise DataError(f"{self.where}: takes vectors of {head.mean.size} values, got {vectors.shape[1]}")
        return head.probabilities(vectors)

    def hear(self, wave: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
        """The vector, (dim,), of a recording (n,), full scale +/-1, by the model's file, which must still be there.

        Raises:
            EvensongError: as `open_graph`, `refuse_lower_rates` and `Graph.vector`.
        """
        refuse_lower_rates(str(self.where), self.model, np.array([sample_rate_hz]), "record at that rate")
        return open_graph(str(self.where), self.model).vector(wave, sample_rate_hz)


def read_arm(folder: Path) -> Arm:
    """Read an arm's card and heads.

    Raises:
        IntegrityError: a file is missing or is not the one that was written.
    """
    try:
        card = json.loads((folder / "card.json").read_bytes().decode("utf-8"))
        raw = {int(fold): (folder / head_name(int(fold))).read_bytes() for fold in card["heads"]}
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder}: no readable arm ({type(error).__name__}); run dvc repro again") from error
    if card.get("format") != FORMAT or card.get(DIGEST) != card_digest(card):
        raise IntegrityError(f"{folder}/card.json: not {FORMAT}, or changed since it was written; run dvc repro again")
    wrong = [
        head_name(fold) for fold, held in raw.items() if hashlib.sha256(held).hexdigest() != card["heads"][str(fold)]
    ]
    if wrong:
        raise IntegrityError(f"{folder}/{wrong[0]}: not the file its card was written for; run dvc repro again")
    try:
        model = Embedding.model_validate({name: card[name] for name in Embedding.model_fields})
        heads = {fold: head_from(load_safetensors(held), len(card["classes"])) for fold, held in raw.items()}
    except (ValidationError, KeyError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise IntegrityError(f"{folder}: an arm of another version ({reason}); run dvc repro again") from error
    return Arm(folder, card, card["classes"], model, heads)
