"""Which head an embedding's arm gets, and the arm's folder: what the heads predicted, the heads, and a card."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import save as save_safetensors

from evensong.errors import ParamsError
from evensong.learn.card import DIGEST, Card, card_digest
from evensong.learn.head_folds import FoldHead, fit_folds, write_folds
from evensong.learn.heads import Floats, Ints, Kind
from evensong.run.text import write_json
from evensong.schemas import Folds, HeadChoice
from evensong.score.scores import macro_f1
from evensong.score.within_folds import auroc_within

FORMAT = "evensong-arm-1"
_NO_GAIN = 1e-9  # a lead that rounding could make

Measure = Callable[[Ints, Floats, Ints], float]  # labels, probabilities and folds of validation items


def mean_macro_f1(labels: Ints, probabilities: Floats, folds: Ints) -> float:
    """Macro-F1, the mean over folds."""
    chosen, n_classes = probabilities.argmax(axis=1), probabilities.shape[1]
    return float(
        np.mean([macro_f1(labels[at], chosen[at], n_classes) for at in (folds == f for f in np.unique(folds))])
    )


def auroc_in_folds(labels: Ints, probabilities: Floats, folds: Ints) -> float:
    """AUROC of the second class, within folds; NaN where no fold has both classes."""
    return auroc_within(labels == 1, probabilities[:, 1], folds).value


@dataclass(frozen=True)
class Choice:
    """How a head is chosen.

    Attributes:
        wanted: best is one kind for all folds: the MLP where ``measure`` over the validation originals of all folds is
            higher, else logistic regression. Nothing is asked of the test parts.
        where: the parameter that holds it.
    """

    wanted: HeadChoice
    where: str
    measure: Measure


def run_arm(
    table: pd.DataFrame,
    features: NDArray[np.float32],
    classes: Sequence[str],
    folds: Folds,
    out: Path,
    workers: int,
    choice: Choice,
    facts: Card,
) -> list[str]:
    """Fit the wanted head to every fold, and write the arm: predictions.csv, folds.csv, classes.json, heads, card.json.

    Args:
        table, features, classes, folds, workers: as `fit_folds` and `write_folds`.
        out: the folder to write; it must not exist yet.
        facts: of the embedding, see `evensong.learn.vectors`.

    Returns:
        A line on what was chosen, where there was a choice.

    Raises:
        EvensongError: as `fit_folds`.
        ParamsError: best, and nothing to choose by.
    """
    kinds: list[Kind] = ["logistic", "mlp"] if choice.wanted == "best" else [choice.wanted]
    found = {kind: fit_folds(kind, table, features, len(classes), folds, workers) for kind in kinds}
    scores = {str(kind): _validated(fitted, choice) for kind, fitted in found.items() if len(kinds) > 1}
    kind: Kind = "mlp" if scores and scores["mlp"] > scores["logistic"] + _NO_GAIN else kinds[0]
    write_folds(out, table, found[kind], classes)
    measure = choice.measure.__name__
    chosen = {"head": kind, "validation": {"measure": measure, "scores": scores} if scores else None}
    card = {**facts, **chosen, "classes": list(classes), "heads": _write_heads(out, found[kind]), "format": FORMAT}
    write_json(out / "card.json", {**card, DIGEST: card_digest(card)})
    told = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    return [f"the head is {kind}; {measure} in validation: {told}"] if scores else []


def _validated(fitted: Sequence[FoldHead], choice: Choice) -> float:
    rows = [one.asked["subset"].eq("val") & one.asked["is_original"].astype(bool) for one in fitted]
    asked = pd.concat([one.asked[at] for one, at in zip(fitted, rows, strict=True)])
    if asked.empty:
        raise ParamsError(
            f"{choice.where}: best chooses by validation items, and the folds have none; say logistic or mlp, or give "
            "them a validation part (night.index.validation: next_fold)"
        )
    probabilities = np.concatenate([one.probabilities[at] for one, at in zip(fitted, rows, strict=True)])
    score = choice.measure(asked["label"].to_numpy(np.int64), probabilities, asked["fold"].to_numpy(np.int64))
    if not np.isfinite(score):
        raise ParamsError(
            f"{choice.where}: best chooses by validation items, and no fold has both classes; say logistic or mlp"
        )
    return score


def _write_heads(out: Path, fitted: Sequence[FoldHead]) -> dict[str, str]:
    """Digest of every head by fold."""
    digests = {}
    for one in fitted:
        raw = save_safetensors(one.head.tensors())
        (out / head_name(one.fold)).write_bytes(raw)
        digests[str(one.fold)] = hashlib.sha256(raw).hexdigest()
    return digests


def head_name(fold: int) -> str:
    """The file of a fold's head."""
    return f"head_{fold:02d}.safetensors"
