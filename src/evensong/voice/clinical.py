"""Patients' predictions in; the tables of a diagnostic study, a curve table each and a row a patient out.

What goes to git follows `voice.disclosure`: no cell of few patients, and nothing where a class has few.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from evensong.score import palette
from evensong.score.clinical import (
    calibration_line,
    count_decisions,
    decision_scores,
    net_benefit,
    specificity_threshold,
)
from evensong.score.estimates import Estimate, rounded, trees
from evensong.score.predictions import Predictions
from evensong.score.probability_scores import Threshold
from evensong.score.scores import Bools, Floats, ratio
from evensong.voice.disclosure import told_parts, told_split, untold_scores
from evensong.voice.ensemble import name_of
from evensong.voice.patients import HALF, Level, counts_of, decide, level_of, two_columns

SPECIFICITIES = (0.9, 0.95)
KEYS = ["fold", "subset", "group", "label"]
MAJORITY = "majority"
GRID = np.arange(2, 100, 2) / 100  # thresholds of the curve tables: round ones, so that none is a patient's score
_DIGITS = 5
_NO_PROBABILITY = "a share of votes is no probability"
_FEW = "a class has fewer than five patients"
_REPEATED = "no interval: folds test a patient more than once"
RULES = {
    "decision": "class 1 at or above the fold's own threshold, which its validation patients chose (Youden)",
    "interval": "shares: Wilson; likelihood ratios: log method (Simel 1991); calibration: Wald; patients independent",
    "predictive_values": "at the prevalence of these patients; elsewhere Bayes' rule with the likelihood ratios",
    "at_specificity": (
        "each fold's threshold is the lowest that leaves this share of its validation negatives below it; specificity "
        "is the one reached on the test patients; n_folds_too_small counts folds with too few validation negatives to "
        "tell that share from 1"
    ),
    "calibration": "Cox: slope, and intercept at slope 1, of the log-odds; sub-databases are trained at other shares",
    "net_benefit": "Vickers and Elkin 2006; thresholds are probabilities, so it presumes calibrated ones",
    "counts": "exact ones are in artifacts/voice/clinical/tables.json",
}


def levels_of_table(table: pd.DataFrame) -> dict[str, Level]:
    """Every method of the ensemble's predictions.csv, with thresholds as `fusion.fuse` chooses them.

    Args:
        table: `KEYS`, and a column of probabilities of class 1 a method.
    """
    rows = table[KEYS].assign(item_id=table["group"], is_original=True)
    methods = [str(name) for name in table if name not in KEYS]
    levels = {name: level_of(Predictions(rows, two_columns(table[name].to_numpy(np.float64)))) for name in methods}
    for name in {MAJORITY} & set(levels):
        levels[name] = levels[name]._replace(thresholds=dict.fromkeys(levels[name].thresholds, HALF))
    return levels


def clinical_tree(levels: Mapping[str, Level], confidence: float, *, exact: bool = False) -> dict[str, Any]:
    """The tables by method.

    Args:
        levels: patient predictions by method or sub-database; the same patients in all.
        confidence: of the intervals.
        exact: for a cached file: with every count.
    """
    n, n_positive = counts_of(next(iter(levels.values())).test)
    told = (n, n_positive) if exact else told_split(n, n_positive)
    is_told = exact or not untold_scores(n, n_positive)
    return {
        "rules": RULES,
        "n": told[0],
        "n_positive": told[1],
        "prevalence": rounded(n_positive / n) if is_told and n else None,
        "methods": {name: _method(name, one, confidence, exact=exact) for name, one in levels.items()},
    }


def _method(name: str, level: Level, confidence: float, *, exact: bool) -> dict[str, Any]:
    if not exact and untold_scores(*counts_of(level.test)):
        return {"reason": _FEW}
    positive, probabilities = _truth(level)
    counts = count_decisions(positive, decide(level.test, level.thresholds) == 1)
    tree: dict[str, Any] = {"counts": counts._asdict() if exact else _told_counts(counts._asdict())}
    tree |= trees(_with_repeats(level, decision_scores(counts, confidence)))
    line = calibration_line(positive, probabilities, confidence)
    if name == MAJORITY:
        line = dict.fromkeys(line, Estimate(None, None, None, _NO_PROBABILITY))
    tree |= trees(_with_repeats(level, line))
    return tree | {"at_specificity": {f"{one:g}": _fixed(level, one, confidence) for one in SPECIFICITIES}}


def _told_counts(counts: Mapping[str, int]) -> dict[str, int | str]:
    """Each class's two cells add up to a number that is told."""
    hit, missed, false, rejected = counts
    return told_parts({hit: counts[hit], missed: counts[missed]}) | told_parts(
        {false: counts[false], rejected: counts[rejected]}
    )


def _fixed(level: Level, specificity: float, confidence: float) -> dict[str, Any]:
    """Sensitivity and specificity on test patients, at thresholds that reach a specificity on validation patients."""
    chosen, sizes = _fixed_thresholds(level, specificity)
    if None in chosen.values():
        reason = "a fold has no negative validation patient"
        return {"sensitivity": Estimate(None, None, None, reason).tree(), "reason": reason}
    cuts = {fold: Threshold(float(cut), None) for fold, cut in chosen.items() if cut is not None}
    positive, _ = _truth(level)
    found = decision_scores(count_decisions(positive, decide(level.test, cuts) == 1), confidence)
    wanted = {name: found[name] for name in ("sensitivity", "specificity")}
    n_small = sum(size * (1 - specificity) < 1 - 1e-9 for size in sizes)
    return trees(_with_repeats(level, wanted)) | {"n_folds_too_small": n_small, "n_folds": len(sizes)}


def _fixed_thresholds(level: Level, specificity: float) -> tuple[dict[int, float | None], list[int]]:
    chosen, sizes = {}, []
    for fold in level.thresholds:
        val = level.val.where(level.val.table["fold"] == fold)
        chosen[fold] = specificity_threshold(val.labels == 1, val.probabilities[:, 1], specificity)
        sizes.append(int((val.labels == 0).sum()))
    return chosen, sizes


def _with_repeats(level: Level, found: dict[str, Estimate]) -> dict[str, Estimate]:
    """Without intervals where a patient is tested in several folds, as given splits may have it."""
    if not level.test.table["group"].duplicated().any():
        return found
    return {name: Estimate(one.value, None, None, one.reason or _REPEATED) for name, one in found.items()}


def _truth(level: Level) -> tuple[Bools, Floats]:
    return level.test.labels == 1, level.test.probabilities[:, 1]


def patient_table(levels: Mapping[str, Level]) -> pd.DataFrame:
    """One row a method, fold and patient, for a statistics program: a cached output, never for git."""
    return pd.concat([_rows(name, level) for name, level in levels.items()], ignore_index=True)


def _rows(name: str, level: Level) -> pd.DataFrame:
    folds = level.test.table["fold"]
    table = pd.DataFrame({"method": name, "healthCode": level.test.table["group"], "fold": folds})
    table["score"] = level.test.probabilities[:, 1]
    from_validation = {fold: cut.reason is None for fold, cut in level.thresholds.items()}
    table["threshold"] = folds.map({fold: cut.value for fold, cut in level.thresholds.items()})
    table["threshold_is_from_validation"] = folds.map(from_validation)
    table["decision"] = decide(level.test, level.thresholds)
    table["label"] = level.test.labels
    return table.astype({"threshold_is_from_validation": int})


def curve_tables(levels: Mapping[str, Level]) -> dict[str, pd.DataFrame]:
    """Net benefit, and rates by threshold, of all that are probabilities; empty where a class has few patients."""
    shown = {name: one for name, one in levels.items() if name != MAJORITY and not untold_scores(*counts_of(one.test))}
    truths = {name: _truth(level) for name, level in shown.items()}
    benefits = [_curve(name, {"net_benefit": net_benefit(*truth, GRID)}) for name, truth in truths.items()]
    if truths:
        positive, _ = next(iter(truths.values()))
        everyone = net_benefit(positive, np.ones(len(positive)), GRID)
        benefits += [_reference("treat all", everyone), _reference("treat none", np.zeros(len(GRID)))]
    columns = ["curve", "label", "colour", "threshold"]
    empty = pd.DataFrame(columns=[*columns, "net_benefit"]), pd.DataFrame(columns=[*columns, "fpr", "tpr"])
    rates = [_curve(name, _rates(*truth)) for name, truth in truths.items()]
    return {
        "decision": pd.concat(benefits, ignore_index=True) if benefits else empty[0],
        "thresholds": pd.concat(rates, ignore_index=True) if rates else empty[1],
    }


def _curve(name: str, values: Mapping[str, Floats]) -> pd.DataFrame:
    start = {"curve": name, "label": name_of(name), "colour": palette.method(name), "threshold": GRID}
    return pd.DataFrame(start | {key: value.round(_DIGITS) + 0.0 for key, value in values.items()})


def _reference(name: str, benefit: Floats) -> pd.DataFrame:
    """What deciding without a model is worth; drawn as chance is."""
    return _curve(name, {"net_benefit": benefit}).assign(curve="chance", label=name, colour=palette.GREY)


def _rates(positive: Bools, probabilities: Floats) -> dict[str, Floats]:
    """ROC with its thresholds, and the predictive values."""
    chosen = probabilities[None, :] >= GRID[:, None]
    hits, false = (chosen & positive).sum(axis=1), (chosen & ~positive).sum(axis=1)
    missed, rejected = positive.sum() - hits, (~positive).sum() - false
    return {
        "fpr": ratio(false, false + rejected),
        "tpr": ratio(hits, hits + missed),
        "ppv": ratio(hits, hits + false),
        "npv": ratio(rejected, rejected + missed),
    }
