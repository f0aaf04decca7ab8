"""Fused predictions and confounders in; out: what these alone tell, and what the voice tells beside them.

Everything compares patients of one fold, but ``matched_over_folds``: small cohorts hold too few pairs that are alike,
so there the scores are brought to one scale by fold, and compared over all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from evensong.schemas import Evaluate
from evensong.score.estimates import Estimate, rounded
from evensong.score.intervals import Bootstrap
from evensong.score.scores import Bools, Floats, Ints
from evensong.score.within_folds import MatchedPairs, Trait, WithinFolds, auroc_matched, auroc_within, pooled_deviation
from evensong.voice.confounders import BLANK, common_answers, encode, grouped, is_numeric
from evensong.voice.disclosure import WITHHELD, told_parts, untold_scores

ALL = "all"
_FEWEST_PATIENTS, _FEWEST_PAIRS = 10, 50
_CALIPER = 0.2  # of the pooled deviation; removes some 98 % of a linear bias (Cochran and Rubin, Sankhya A 35, 1973)
_STRATA = 3
_SMALLEST = 1e-6
_LUCK = 1.96  # standard errors
TOO_FEW = f"fewer than {_FEWEST_PATIENTS} patients of a class or {_FEWEST_PAIRS} pairs are left"
_NO_FOLDS = "the other folds do not hold both classes, so no model of the confounders can be fitted"
RULES = {
    "voice": "fused probability (soft mean) of the test patients, as the headline has it",
    "alone": (
        "logistic regression (L2, C = 1) of the confounders, fitted on the patients that other folds test; numbers "
        "standardised, blanks marked by a column, categories one-hot, those of fewer than five patients joined; only "
        "what differs between the fitted classes (1.96 standard errors) enters, as noise changes its sign from fold "
        "to fold and then scores below chance; AUROC within folds"
    ),
    "matched": (
        "pairs of one fold that agree: numbers within 0.2 of the pooled standard deviation, categories alike; blanks "
        "agree with nothing. Variance as of the headline, over these pairs"
    ),
    "voice_over_folds": "all pairs of matched_over_folds, before they are matched",
    "matched_over_folds": "the same over pairs of all folds, with the log-odds standardised by fold, labels unseen",
    "strata": "pairs of one fold and stratum; numbers in thirds of all patients, categories of five patients and more",
    "added": "the model of the confounders with and without the standardised voice as one more column; paired",
    "floor": f"null where {TOO_FEW}",
}


@dataclass(frozen=True)
class Cohort:
    """Test patients with their confounders, a row a patient and fold.

    Attributes:
        table: of `confounders.read_confounders`, in the order of the rows.
        patients: (n_rows,) healthCodes.
        positive: (n_rows,) bool.
        folds: (n_rows,) int.
        scores: (n_rows,) fused probability.
        standardised: (n_rows,) its log-odds, less the mean and by the deviation of all that its fold's models scored.
        settings: of the intervals.
    """

    table: pd.DataFrame
    patients: "np.ndarray[Any, np.dtype[np.object_]]"
    positive: Bools
    folds: Ints
    scores: Floats
    standardised: Floats
    settings: Evaluate

    @property
    def one_fold(self) -> Ints:
        """Every row in the same fold."""
        return np.zeros(len(self.folds), np.int64)


def make_cohort(predictions: pd.DataFrame, answers: pd.DataFrame, settings: Evaluate) -> Cohort:
    """Join the ensemble's predictions.csv with the confounders of its patients."""
    odds = logit(predictions["soft_mean"].clip(_SMALLEST, 1 - _SMALLEST))
    by_fold = odds.groupby(predictions["fold"])
    scaled = (odds - by_fold.transform("mean")) / by_fold.transform("std", ddof=0).replace(0.0, 1.0)
    is_test = (predictions["subset"] == "test").to_numpy()
    rows = predictions[is_test]
    return Cohort(
        answers.loc[rows["group"]].reset_index(drop=True),
        rows["group"].to_numpy(dtype=object),
        (rows["label"] == 1).to_numpy(),
        rows["fold"].to_numpy(np.int64),
        rows["soft_mean"].to_numpy(np.float64),
        scaled[is_test].to_numpy(np.float64),
        settings,
    )


def out_of_fold(cohort: Cohort, columns: Sequence[str], voice: Floats | None = None) -> Floats | None:
    """(n_rows,) log-odds of a model of these columns that other folds' patients fit; None where one cannot be fitted.

    Args:
        voice: (n_rows,) one more column.
    """
    from sklearn.linear_model import LogisticRegression

    found = np.zeros(len(cohort.folds))
    for fold in np.unique(cohort.folds):
        tested = cohort.folds == fold
        fitted = ~tested & ~np.isin(cohort.patients, cohort.patients[tested])
        fitted &= ~pd.Series(cohort.patients).where(fitted).duplicated().to_numpy()
        if len(np.unique(cohort.positive[fitted])) < 2:
            return None
        design = encode(cohort.table[list(columns)], fitted)
        design = design[:, _differing(design[fitted], cohort.positive[fitted])]
        if voice is not None:
            design = np.column_stack([design, voice])
        if design.shape[1]:
            model = LogisticRegression(max_iter=1000).fit(design[fitted], cohort.positive[fitted])
            found[tested] = model.decision_function(design[tested])
    return found


def _differing(design: Floats, positive: Bools) -> Bools:
    """(n_features,) whether a feature goes with the class by more than luck: the score test of each alone."""
    centred, truth = design - design.mean(axis=0), positive - positive.mean()
    spread = np.sqrt((centred**2).sum(axis=0) * (truth**2).sum() / len(truth))
    differs: Bools = np.abs(truth @ centred) > _LUCK * spread + _SMALLEST
    return differs


def audit(cohort: Cohort) -> dict[str, Any]:
    """What metrics/voice/confounders.json holds beside the first table; estimates are not rounded yet."""
    columns = [str(name) for name in cohort.table]
    voice = auroc_within(cohort.positive, cohort.scores, cohort.folds)
    tree: dict[str, Any] = {"voice": _estimate(cohort, voice), "n_pairs": _pairs_told(cohort, voice)}
    tree["voice_over_folds"] = _estimate(cohort, auroc_within(cohort.positive, cohort.standardised, cohort.one_fold))
    sets = {name: [name] for name in columns} | ({ALL: columns} if len(columns) > 1 else {})
    models = {name: out_of_fold(cohort, own) for name, own in sets.items()}
    tree["alone"] = {name: _alone(cohort, model) for name, model in models.items()}
    for key, folds, scores in (
        ("matched", cohort.folds, cohort.scores),
        ("matched_over_folds", cohort.one_fold, cohort.standardised),
    ):
        tree[key] = {
            name: _matched(cohort, folds, scores, [_trait(cohort, one) for one in own]) for name, own in sets.items()
        }
    tree["strata"] = {name: _strata(cohort, name) for name in columns}
    tree["added"] = _added(cohort, columns, models.get(ALL, next(iter(models.values()), None))) if columns else {}
    return tree


def patient_table(cohort: Cohort) -> pd.DataFrame:
    """Scores and answers, one row a patient and fold: a cached output, never for git. Models are given as log-odds."""
    columns = [str(name) for name in cohort.table]
    rows = {"healthCode": cohort.patients, "fold": cohort.folds, "label": cohort.positive.astype(int)}
    rows |= {"voice_probability": cohort.scores, "voice_standardised": cohort.standardised}
    for name, voice in (("confounders_log_odds", None), ("with_voice_log_odds", cohort.standardised)):
        model = out_of_fold(cohort, columns, voice) if columns else None
        rows[name] = np.full(len(cohort.folds), np.nan) if model is None else model
    return pd.concat([pd.DataFrame(rows), cohort.table], axis=1).sort_values(["healthCode", "fold"], ignore_index=True)


def _alone(cohort: Cohort, model: Floats | None) -> Estimate:
    if model is None:
        return Estimate(None, None, None, _NO_FOLDS)
    return _estimate(cohort, auroc_within(cohort.positive, model, cohort.folds))


def _trait(cohort: Cohort, name: str) -> Trait:
    column = cohort.table[name]
    if is_numeric(column):
        values = column.to_numpy(np.float64)
        return Trait(values, _CALIPER * pooled_deviation(cohort.positive, values))
    codes = pd.factorize(column, sort=True)[0].astype(np.float64)
    return Trait(np.where(column == BLANK, np.nan, codes))


def _matched(cohort: Cohort, folds: Ints, scores: Floats, traits: Sequence[Trait]) -> dict[str, Any]:
    """The voice among alike pairs, and what a lone number still tells there, which should be little."""
    voice = auroc_matched(cohort.positive, scores, folds, traits)
    if _is_short(cohort, voice):
        return {"voice": Estimate(None, None, None, TOO_FEW), "n_pairs": None}
    tree: dict[str, Any] = {"voice": _estimate(cohort, voice.within, voice.in_pair)}
    tree |= {"n_pairs": _pairs_told(cohort, voice.within), "n_patients": _patients_told(cohort, voice.in_pair)}
    if len(traits) == 1 and traits[0].caliper:
        left = auroc_matched(cohort.positive, traits[0].values, folds, traits)
        tree["itself"] = _estimate(cohort, left.within, left.in_pair)
    return tree


def _strata(cohort: Cohort, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for label, rows in _strata_of(cohort.table[name]).items():
        inside = Trait(np.where(rows, 0.0, np.nan))
        pairs = auroc_matched(cohort.positive, cohort.scores, cohort.folds, [inside])
        is_short = _is_short(cohort, pairs)
        estimate = Estimate(None, None, None, TOO_FEW) if is_short else _estimate(cohort, pairs.within, pairs.in_pair)
        found[label] = {"voice": estimate, "n_pairs": None if is_short else _pairs_told(cohort, pairs.within)}
    return found


def _strata_of(column: "pd.Series[Any]") -> dict[str, Bools]:
    if not is_numeric(column):
        answers = grouped(column)
        return {answer: (answers == answer).to_numpy() for answer in common_answers(column)}
    values = column.to_numpy(np.float64)
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, _STRATA + 1)[1:-1]))
    with_ends = [-np.inf, *edges, np.inf]
    names = [f"up to {edges[0]:g}", *(f"over {low:g}, up to {high:g}" for low, high in pairwise(edges))]
    names.append(f"over {edges[-1]:g}")
    return {
        name: (values > low) & (values <= high) for name, (low, high) in zip(names, pairwise(with_ends), strict=True)
    }


def _added(cohort: Cohort, columns: Sequence[str], without: Floats | None) -> dict[str, Any]:
    joined = out_of_fold(cohort, columns, cohort.standardised)
    if without is None or joined is None:
        return dict.fromkeys(("without", "with", "difference"), Estimate(None, None, None, _NO_FOLDS))
    both = [auroc_within(cohort.positive, scores, cohort.folds) for scores in (without, joined)]
    return {
        "without": _estimate(cohort, both[0]),
        "with": _estimate(cohort, both[1]),
        "difference": _difference(cohort, both[1], both[0]),
    }


def _is_short(cohort: Cohort, pairs: MatchedPairs) -> bool:
    sides = (pairs.in_pair & cohort.positive, pairs.in_pair & ~cohort.positive)
    fewest = min(len(set(cohort.patients[rows])) for rows in sides)
    return fewest < _FEWEST_PATIENTS or pairs.within.n_pairs < _FEWEST_PAIRS


def _estimate(cohort: Cohort, found: WithinFolds, rows: Bools | None = None) -> Estimate:
    """A value with its interval; the groups are the patients of these rows."""
    if np.isnan(found.value):
        return Estimate(None, None, None, "no fold holds both classes")
    kept = np.ones(len(cohort.folds), bool) if rows is None else rows
    return Estimate(found.value, *_draws(cohort, kept).interval_by_influence(found.value, found.influence[kept]))


def _difference(cohort: Cohort, one: WithinFolds, other: WithinFolds) -> Estimate:
    value = one.value - other.value
    if np.isnan(value):
        return Estimate(None, None, None, "no fold holds both classes")
    draws = _draws(cohort, np.ones(len(cohort.folds), bool))
    return Estimate(value, *draws.difference_by_influence(value, one.influence - other.influence))


def _draws(cohort: Cohort, rows: Bools) -> Bootstrap:
    """Only for its intervals by influence, which need no draws."""
    few = cohort.settings.model_copy(update={"n_bootstrap": 1})
    return Bootstrap(list(cohort.patients[rows]), cohort.positive[rows].astype(np.int64), few, "confounders")


def _pairs_told(cohort: Cohort, found: WithinFolds) -> int | str:
    n_positive = len(set(cohort.patients[cohort.positive]))
    return WITHHELD if untold_scores(len(set(cohort.patients)), n_positive) else found.n_pairs


def _patients_told(cohort: Cohort, rows: Bools) -> dict[str, int | str]:
    """Patients in a pair by class, unless those left out are few."""
    told = {}
    for name, side in (("negative", ~cohort.positive), ("positive", cohort.positive)):
        inside, every = len(set(cohort.patients[side & rows])), len(set(cohort.patients[side]))
        told[name] = told_parts({"in": inside, "out": every - inside})["in"]
    return told


def as_tree(found: Mapping[str, Any]) -> dict[str, Any]:
    """For JSON: every estimate as value, low, high and reason."""
    return {name: _plain(one) for name, one in found.items()}


def _plain(one: Any) -> Any:
    if isinstance(one, Estimate):
        return one.tree()
    return as_tree(one) if isinstance(one, Mapping) else rounded(one) if isinstance(one, float) else one
