"""People whom no model has seen, decided on -> the scores of a study, without ids and small cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evensong.schemas import Evaluate
from evensong.score import palette
from evensong.score.clinical import calibration_line, count_decisions, decision_scores
from evensong.score.estimates import Estimate, Scored, Units, binary_scores, make_bootstrap, rounded, score, trees
from evensong.score.intervals import INTERVAL
from evensong.score.probability_scores import brier, calibration_error
from evensong.voice.decision import RULES
from evensong.voice.disclosure import SMALLEST_COUNT, told, told_split, untold_scores
from evensong.score.judges import Judge
from evensong.voice.patients import curve_tables, two_columns

_NAME = "second cohort"
_RULES = RULES | {
    "auroc": "of score, over all people: every model scored everyone, so that it is one scale; DeLong's variance",
    "auprc, brier, calibration_error": "of score",
    "accuracy, balanced_accuracy, macro_f1, mcc, sensitivity, specificity": "of decision",
    "clinical": (
        "of decision; predictive values at the prevalence of these people; shares: Wilson's interval, likelihood "
        "ratios: the log method's; calibration_slope and calibration_intercept of score (Cox 1958), Wald's"
    ),
    "interval": f"{INTERVAL}; AUROC: Wilson's, with DeLong's variance; groups are people",
}


class Overlap(NamedTuple):
    """What a cohort shares with the one that was trained on."""

    n_recordings: int  # of equal content
    n_people: int  # who have such a recording
    n_ids: int  # healthCodes of both


@dataclass(frozen=True)
class Cohort:
    """A second cohort.

    Attributes:
        table: from `decision.decide_people`; with a survey also label, blank where there is none.
        judges: the models that scored it.
        prevalence: that score_at_prevalence is for, or None.
        overlap: with the training's cohort; None where that is not here to be compared.
    """

    table: pd.DataFrame
    judges: Sequence[Judge]
    prevalence: float | None
    overlap: Overlap | None

    def labelled(self) -> pd.DataFrame:
        """The people with a diagnosis."""
        return self.table[self.table["label"].notna()].reset_index(drop=True)


def overlap_of(used: pd.DataFrame, trained: pd.DataFrame) -> Overlap:
    """Compare two scans' recordings by content and by id.

    Args:
        used: of this cohort, with healthCode, kind and content_sha256.
        trained: of the cohort that was trained on.
    """
    ours, theirs = (table["kind"] + " " + table["content_sha256"] for table in (used, trained))
    shared = used[ours.isin(set(theirs))]
    n_ids = len(set(used["healthCode"]) & set(trained["healthCode"]))
    return Overlap(len(shared), int(shared["healthCode"].nunique()), n_ids)


def lines(cohort: Cohort) -> list[str]:
    """What was done, to read."""
    members = sorted({judge.member for judge in cohort.judges})
    shares = [judge.train_share_1 for judge in cohort.judges]
    n_half = sum(judge.reason is not None for judge in cohort.judges)
    prior = "--prevalence P adds them at another"
    if cohort.prevalence is not None:
        prior = f"score_at_prevalence is at {cohort.prevalence:g}, and changes no decision"
    told_lines = [
        f"{told(len(cohort.table))} people scored by {len(cohort.judges)} models of {', '.join(members)}; decision: "
        "class 1 where half of the models or more reach their own validation threshold",
        f"scores are at the class share of training ({min(shares):.2f} to {max(shares):.2f}); {prior}",
    ]
    if n_half:
        told_lines.append(f"NOTE: {n_half} models have the threshold 0.5, as their validation could not choose one")
    return told_lines + _overlap_lines(cohort.overlap)


def _overlap_lines(overlap: Overlap | None) -> list[str]:
    if overlap is None:
        return [
            "NOTE: no scan of the training's recordings beside the model: whether it knows these people is not told"
        ]
    if not any(overlap):
        return []
    return [
        f"WARNING: {overlap.n_recordings} recordings, of {told(overlap.n_people)} people, are those of the cohort that "
        f"was trained on, and {told(overlap.n_ids)} healthCodes are in both: scores of people whom the models know say "
        "nothing of others; take them out"
    ]


def score_cohort(labelled: pd.DataFrame, settings: Evaluate) -> Scored:
    """Score the people with a diagnosis."""
    units = _units(labelled)
    return score(units, binary_scores, make_bootstrap(units, settings, "voice"))


def _units(labelled: pd.DataFrame) -> Units:
    """One fold: all models scored everyone."""
    return Units(
        labelled["label"].to_numpy(np.int64),
        two_columns(labelled["score"].to_numpy(np.float64)),
        labelled["decision"].to_numpy(np.int64),
        labelled["healthCode"].tolist(),
        np.zeros(len(labelled), np.int64),
    )


def summary_tree(
    cohort: Cohort, scored: Scored, surveyed: Mapping[str, int | None], confidence: float
) -> dict[str, Any]:
    """Everything that may be told.

    Args:
        confidence: of the intervals.
        surveyed: label by healthCode of everyone in the survey.
    """
    labelled = cohort.labelled()
    n, n_positive = told_split(len(labelled), int(labelled["label"].sum()))
    overlap = cohort.overlap
    return {
        "rules": _RULES,
        "models": [judge.model_dump() for judge in cohort.judges],
        "people": told(len(cohort.table)),
        "n": n,
        "n_positive": n_positive,
        "without_diagnosis": told(len(cohort.table) - len(labelled)),
        "without_recording": told(len(set(surveyed) - set(cohort.table["healthCode"]))),
        "shared_with_training": overlap
        and {"recordings": overlap.n_recordings, "people": told(overlap.n_people), "ids": told(overlap.n_ids)},
        "scores": trees(_shown(labelled, scored)),
        "clinical": _clinical(labelled, confidence),
        "at_prevalence": cohort.prevalence and _at_prevalence(labelled, cohort.prevalence),
    }


def _shown(labelled: pd.DataFrame, scored: Scored) -> dict[str, Estimate]:
    """Without what would count a few people, and the pooled AUROC, which is the AUROC here."""
    hidden = untold_scores(len(labelled), int(labelled["label"].sum())) | {"auroc_pooled"}
    return {name: one for name, one in scored.estimates().items() if name not in hidden}


def _clinical(labelled: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """Of the decision, as `voice.clinical` has it of cross-validation; nothing where a class has few people."""
    units = _units(labelled)
    if untold_scores(len(units.labels), int(units.labels.sum())):
        return {"reason": f"a class has fewer than {SMALLEST_COUNT} people"}
    positive = units.labels == 1
    decided = decision_scores(count_decisions(positive, units.predicted == 1), confidence)
    return trees(decided | calibration_line(positive, units.probabilities[:, 1], confidence))


def _at_prevalence(labelled: pd.DataFrame, prevalence: float) -> dict[str, float | None]:
    labels = labelled["label"].to_numpy(np.int64)
    corrected = two_columns(labelled["score_at_prevalence"].to_numpy(np.float64))
    values = {"brier": brier(labels, corrected), "calibration_error": calibration_error(labels, corrected)}
    return {"stated": prevalence} | {name: rounded(float(value)) for name, value in values.items()}


def curves_of(labelled: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """`curve_tables` of the score."""
    units = _units(labelled)
    return curve_tables({_NAME: (units.labels, units.probabilities, palette.method("soft_mean"))})


def score_lines(labelled: pd.DataFrame, scored: Scored) -> list[str]:
    """The headline, to read."""
    n, n_positive = told_split(len(labelled), int(labelled["label"].sum()))
    shown = _shown(labelled, scored)
    names = [name for name in ("auroc", "balanced_accuracy", "sensitivity", "specificity") if name in shown]
    return [f"{n} people with a diagnosis, {n_positive} of class 1"] + [
        f"{name} {shown[name].text()}" for name in names
    ]
