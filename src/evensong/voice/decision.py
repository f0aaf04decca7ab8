"""What new people are decided with: of every trained fold its own threshold and class share, and how they are joined.

Every fold of every member is one model. People of a second cohort are new to all of them, so that all score everyone,
and the mean score is on one scale.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evensong.errors import IntegrityError
from evensong.learn.card import open_card
from evensong.score.predictions import TrainingRun
from evensong.score.scores import Floats
from evensong.score.judges import Judge
from evensong.voice.patients import levels_of

RULES = {
    "score": "mean over all models of the person's mean probability of class 1 over their recordings",
    "votes": "share of the models whose mean probability reaches the threshold that its own validation patients chose",
    "decision": "class 1 where votes is one half or more",
    "prior": "score is at the class shares of training (train_share_1 of each model), whatever the prevalence here",
    "score_at_prevalence": (
        "the same mean after each model's odds on each recording were multiplied by the odds of the stated prevalence "
        "over those of its train_share_1 (Elkan 2001, theorem 2; Saerens, Latinne and Decaestecker 2002); right where "
        "the classes sound as in training and only their shares differ; decision and votes do not change"
    ),
}
_HALF = 0.5


def judges_of(folder: Path, run: TrainingRun) -> list[Judge]:
    """The folds of one training run, each with the threshold that its validation patients chose.

    Args:
        folder: of the training; its name is the member's.

    Raises:
        IntegrityError: a model's card is missing, or is not to be believed.
    """
    thresholds = levels_of(run)["patient"].thresholds
    shares = {int(row["fold"]): float(row["train_share_1"]) for row in run.folds.to_dict("records")}
    return [
        Judge(
            member=folder.name,
            fold=fold,
            card_sha256=_card_digest(folder / f"fold_{fold:02d}/model.json"),
            threshold=cut.value,
            reason=cut.reason,
            train_share_1=shares[fold],
        )
        for fold, cut in sorted(thresholds.items())
    ]


def _card_digest(path: Path) -> str:
    try:
        return str(open_card(path.read_bytes(), path)["card_sha256"])
    except OSError as error:
        raise IntegrityError(f"{path}: cannot be read ({error.strerror}); run the training again") from error


def judges_tree(judges: Sequence[Judge]) -> dict[str, Any]:
    """What thresholds.json holds: no id, and no score of a person."""
    return {"rules": RULES, "models": [judge.model_dump() for judge in judges]}


def at_prevalence(probabilities: Floats, share: Floats | float, prevalence: float) -> Floats:
    """Probabilities of class 1 for another share of class 1 than that of training (Elkan 2001, theorem 2).

    Args:
        probabilities: 0 to 1.
        share: of class 1 in training, above 0 and below 1; broadcast against the probabilities.
        prevalence: of class 1, above 0 and below 1.
    """
    ratio = prevalence / (1 - prevalence) * (1 - share) / share
    corrected: Floats = probabilities * ratio / (probabilities * ratio + (1 - probabilities))
    return corrected


def decide_people(
    probabilities: Floats, people: Sequence[str], judges: Sequence[Judge], prevalence: float | None = None
) -> pd.DataFrame:
    """Decide on people whom no model has seen, see `RULES`.

    Args:
        probabilities: (n_models, n_recordings) of class 1.
        people: (n_recordings,) healthCode of each recording.
        judges: (n_models,) in the order of the probabilities.
        prevalence: of class 1 where the scores are to be used; None corrects nothing.

    Returns:
        healthCode, n_recordings, score, votes, decision, and score_at_prevalence where one is stated; a row a person,
        sorted.
    """
    names, owner = np.unique(np.asarray(people, dtype=object).astype(str), return_inverse=True)
    n_recordings = np.bincount(owner)
    means = _person_means(probabilities, owner, n_recordings)
    cuts = np.array([judge.threshold for judge in judges])
    votes = (means >= cuts[:, None]).mean(axis=0)
    table = pd.DataFrame({"healthCode": names, "n_recordings": n_recordings, "score": means.mean(axis=0)})
    table = table.assign(votes=votes, decision=(votes >= _HALF).astype(int))
    if prevalence is not None:
        shares = np.array([judge.train_share_1 for judge in judges])[:, None]
        corrected = _person_means(at_prevalence(probabilities, shares, prevalence), owner, n_recordings)
        table["score_at_prevalence"] = corrected.mean(axis=0)
    return table


def _person_means(probabilities: Floats, owner: np.ndarray, n_recordings: np.ndarray) -> Floats:
    """(n_models, n_people) mean over each person's recordings."""
    means: Floats = np.stack([np.bincount(owner, row) for row in probabilities]) / n_recordings
    return means
