"""Fused, single and control predictions in; scores, paired differences and the answer about diversity out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evensong.score import palette
from evensong.score.estimates import Estimate, Scored, binary_scores, make_bootstrap, points_of, rounded, score, trees
from evensong.score.intervals import DIFFERENCE, INTERVAL
from evensong.score.predictions import BASELINE, FUSED, Predictions, check_same_rows, fused_arms, in_part
from evensong.schemas import Evaluate
from evensong.score.within_folds import auroc_within
from evensong.voice.disclosure import WITHHELD, told, told_split, untold_scores
from evensong.voice.fusion import METHODS, Members, best_member, fuse, member_weights, natural_share, validation_aurocs
from evensong.voice.patients import AUROC_RULES, CHANCE, TOLD, Level, counts_of, curve_tables, level_of, units_of

BEST = "best_single"
CONTROL = "control"
CONTROL_BEST = "control_best_single"
NAMES = {
    "soft_mean": "soft mean",
    "majority": "majority",
    "prior_corrected": "prior-corrected",
    "validation_weighted": "validation-weighted",
    BEST: "best sub-database",
    BASELINE: "baseline",
    CONTROL: "control arm",
    CONTROL_BEST: "best control member",
}
RULES = {
    "patient": "mean probability over the patient's recordings; scores pool the test patients of all folds",
    **AUROC_RULES,
    "interval": f"{INTERVAL}; groups are patients; the draws are the same for every method",
    "difference": DIFFERENCE,
    "primary": "the soft mean; with four fusions and three references, one of the others can differ by chance",
    "soft_mean": "mean probability over the members",
    "majority": "share of members that vote for class 1 at their own thresholds; class 1 from one half on",
    "prior_corrected": (
        "soft mean after moving each member's log-odds from its share of class 1 among training recordings to the "
        "natural one, among the validation patients of all folds, each counted once"
    ),
    "validation_weighted": "weights in proportion to validation AUROC above 0.5",
    "best_single": (
        "the member with the highest AUROC over the validation patients of all folds; with made splits every tested "
        "patient is a validation patient of another fold, which favours the single member"
    ),
    "baseline": (
        "logistic regression on each band's mean, deviation and quantiles over time, and on those of its change from "
        "frame to frame, trained on every training patient at the natural class shares; no network"
    ),
    "control": (
        "soft mean of members that were all trained on every training patient, at the natural class shares, and differ "
        "by their seed only; a fusion that is not above it has gained by ensembling, not by class-share diversity"
    ),
    "control_best_single": "the best member of the control arm, chosen as best_single is",
    "weight": "rests on the AUROC over the validation patients of all folds, less those tested in the fold",
    "threshold": "chosen for each fold on its own validation patients (Youden), else 0.5; majority: one half",
}


def name_of(method: str) -> str:
    """A method's name for people; an embedding goes by its name in params.yaml."""
    return NAMES.get(method, method.replace(FUSED, " and soft mean"))


@dataclass(frozen=True)
class Fusion:
    """Every method's patient predictions and scores, all scored with the same draws.

    Attributes:
        members: the sub-databases.
        control: the control arm, or None.
        levels: patient predictions by method, 'best_single', arm and, with a control arm, 'control' and
            'control_best_single'.
        scored: their scores.
        member_aurocs: test AUROC of each member alone, the control arm's members included.
        confidence: of the intervals, such as 0.95.
    """

    members: Members
    control: Members | None
    levels: dict[str, Level]
    scored: dict[str, Scored]
    member_aurocs: dict[str, float | None]
    confidence: float

    @property
    def arms(self) -> list[str]:
        """The baseline and the embeddings, these also averaged with the soft mean."""
        return [name for name in self.levels if name not in (*METHODS, BEST, CONTROL, CONTROL_BEST)]

    @property
    def references(self) -> list[str]:
        """What the fused methods are compared with."""
        return [BEST, *self.arms, CONTROL] if self.control else [BEST, *self.arms]

    @property
    def all_references(self) -> list[str]:
        """The references, and what the control arm is compared with."""
        return [*self.references, CONTROL_BEST] if self.control else self.references


def evaluate_fusion(
    members: Members, control: Members | None, arms: Mapping[str, Predictions], settings: Evaluate
) -> Fusion:
    """Fuse the members (and the control arm's) and score everything on the same draws of patients.

    Args:
        arms: predictions by image of what is no member, `BASELINE` among them; with the rows of the members.

    Raises:
        DataError: the control arm predicted other rows than the members.
    """
    together = members.images[0].replaced(np.mean([one.probabilities for one in members.images], axis=0))
    every = dict(arms) | fused_arms(together, arms)
    levels = fuse(members) | {name: level_of(arm.by_group()) for name, arm in every.items()}
    if control is not None:
        check_same_rows("the sub-databases", members.images[0], "the control arm", control.images[0])
        fused = fuse(control)
        levels |= {CONTROL: fused["soft_mean"], CONTROL_BEST: fused[BEST]}
    units = {name: units_of(level.test, level.thresholds) for name, level in levels.items()}
    bootstrap = make_bootstrap(units["soft_mean"], settings, "voice")
    scored = {name: score(one, binary_scores, bootstrap) for name, one in units.items()}
    aurocs = _member_aurocs(members) | (_member_aurocs(control) if control else {})
    return Fusion(members, control, levels, scored, aurocs, settings.confidence)


def comparisons(fusion: Fusion) -> dict[tuple[str, str, str], Estimate]:
    """Paired differences by (method, reference, score)."""
    pairs = [(method, reference) for reference in fusion.references for method in METHODS]
    pairs += [(CONTROL, BEST), (CONTROL, CONTROL_BEST)] if fusion.control else []
    return {
        (method, reference, name): fusion.scored[method].minus(fusion.scored[reference], name)
        for method, reference in pairs
        for name in fusion.scored[method].points
    }


def pooled_gap(fusion: Fusion) -> Estimate:
    """The soft mean's pooled AUROC minus the one within folds, paired: what the folds' unlike scales do to it."""
    return fusion.scored["soft_mean"].between("auroc_pooled", "auroc")


def compared(fusion: Fusion) -> dict[str, Any]:
    """Pairs that the headline compares, and folds that hold both classes; withheld where they would count a few."""
    test = fusion.levels["soft_mean"].test
    within = auroc_within(test.labels == 1, test.probabilities[:, 1], test.table["fold"].to_numpy(np.int64))
    is_told = not untold_scores(*counts_of(test))
    return {
        "n_pairs": within.n_pairs if is_told else WITHHELD,
        "n_folds": len(test.folds),
        "n_folds_of_both_classes": within.n_folds if is_told else WITHHELD,
    }


def unequal_arms(fusion: Fusion) -> str | None:
    """What is wrong with a control arm of another size than the sub-databases'; None where nothing is."""
    if fusion.control is None or len(fusion.control.names) == len(fusion.members.names):
        return None
    return (
        f"the control arm has {len(fusion.control.names)} members and there are {len(fusion.members.names)} "
        "sub-databases: the larger arm gains by its size alone; list as many seeds in voice.control_seeds as there are "
        "numbers in voice.subdbs"
    )


def verdict(difference: Estimate) -> str:
    """What an interval of a difference allows to say."""
    if difference.low is None or difference.high is None:
        return "undefined"
    if difference.low > 0:
        return "higher"
    return "lower" if difference.high < 0 else "not distinguishable"


def headline_tree(fusion: Fusion) -> dict[str, Any]:
    """What metrics/voice/test.json holds: AUROC by patient of the soft mean, the best member and the baseline."""
    n, _ = counts_of(fusion.levels["soft_mean"].test)
    auroc, best, baseline = (
        fusion.scored[method].estimate("auroc").numbers() for method in ("soft_mean", BEST, BASELINE)
    )
    return {
        "voice_auroc": auroc["value"],
        "voice_auroc_low": auroc["low"],
        "voice_auroc_high": auroc["high"],
        "voice_n": in_part(told(n), fusion.members.part),
        "voice_best_auroc": best["value"],
        "voice_gain": comparisons(fusion)["soft_mean", BEST, "auroc"].numbers()["value"],
        "voice_baseline_auroc": baseline["value"],
    }


def details_tree(fusion: Fusion) -> dict[str, Any]:
    """What metrics/voice/details.json holds."""
    n, n_positive = told_split(*counts_of(fusion.levels["soft_mean"].test))
    tree: dict[str, Any] = {
        "n": n,
        "n_positive": n_positive,
        "folds": fusion.members.part or "all",
        "n_members": len(fusion.members.names),
        "n_control_members": len(fusion.control.names) if fusion.control else 0,
        "pooled_minus_within": pooled_gap(fusion).tree(),
        **compared(fusion),
    }
    for method, scored in fusion.scored.items():
        place = tree if method in NAMES else tree.setdefault("arms", {})
        place[method] = {name: scored.estimate(name).tree() for name in TOLD}
    for (method, reference, name), difference in comparisons(fusion).items():
        if name in TOLD:
            tree.setdefault(f"minus_{reference}", {}).setdefault(method, {})[name] = difference.tree()
    return tree


def summary_tree(fusion: Fusion) -> dict[str, Any]:
    """Everything about the fusion, for artifacts/voice/ensemble/summary.json."""
    n, n_positive = counts_of(fusion.levels["soft_mean"].test)
    tree: dict[str, Any] = {
        "rules": RULES,
        "n": n,
        "n_positive": n_positive,
        "folds": fusion.members.part or "all",
        "natural_share": rounded(natural_share(fusion.members)),
        "members": _members_tree(fusion),
        "control_members": fusion.control.names if fusion.control else [],
        "warning": unequal_arms(fusion),
        "scores": {method: trees(scored.estimates()) for method, scored in fusion.scored.items()},
        "differences": [],
    }
    for (method, reference, name), difference in comparisons(fusion).items():
        row = {"method": method, "reference": reference, "score": name, "verdict": verdict(difference)}
        tree["differences"].append(row | difference.tree())
    return tree


def predictions_table(fusion: Fusion) -> pd.DataFrame:
    """Fused probability of class 1 of every patient: a cached output, never for git."""
    tables, columns = [], {}
    for method, level in fusion.levels.items():
        tables = [part.table[["fold", "subset", "group", "label"]] for part in (level.test, level.val)]
        columns[method] = np.concatenate([part.probabilities[:, 1] for part in (level.test, level.val)])
    table = pd.concat(tables, ignore_index=True).assign(**columns)
    return table.sort_values(["fold", "subset", "group"], ignore_index=True)


def plot_tables(fusion: Fusion) -> dict[str, pd.DataFrame]:
    """The plot tables of the fusion, by file name without its suffix."""
    curves = curve_tables(
        {
            _name(fusion, method): (level.test.labels, level.test.probabilities, palette.method(method))
            for method, level in fusion.levels.items()
        }
    )
    is_vote = curves["calibration"]["curve"] == _name(fusion, "majority")  # a share of votes is no probability
    return curves | {
        "calibration": curves["calibration"][~is_vote],
        "scores": pd.DataFrame(_score_rows(fusion)),
        "differences": pd.DataFrame(_difference_rows(fusion)),
    }


def _name(fusion: Fusion, method: str) -> str:
    """A method's name in a plot."""
    return str(in_part(name_of(method), fusion.members.part))


def _score_rows(fusion: Fusion) -> list[dict[str, Any]]:
    """Every method's scores with intervals, but those that would count a few patients."""
    hidden = untold_scores(*counts_of(fusion.levels["soft_mean"].test))
    rows = []
    for method, scored in fusion.scored.items():
        start = {"of": _name(fusion, method), "colour": palette.method(method), "method": method}
        rows += [
            start | {"score": name} | one.row() | {"chance": CHANCE.get(name)}
            for name, one in scored.estimates().items()
            if name not in hidden
        ]
    return rows


def _difference_rows(fusion: Fusion) -> list[dict[str, Any]]:
    rows = []
    for (method, reference, name), one in comparisons(fusion).items():
        start = {"of": f"{name_of(method)} minus {_name(fusion, reference)}", "colour": palette.method(method)}
        start |= {"method": method, "reference": reference, "score": name}
        rows.append(start | one.row() | {"chance": 0, "verdict": verdict(one)})
    return rows


def _member_aurocs(members: Members) -> dict[str, float | None]:
    """Test AUROC by patient of each member alone; None where undefined."""
    found = {}
    for name, member in zip(members.names, members.patients, strict=True):
        level = level_of(member)
        found[name] = points_of(units_of(level.test, level.thresholds), binary_scores)["auroc"]
    return found


def _members_tree(fusion: Fusion) -> dict[str, Any]:
    """Per member: training share, validation AUROC and weight in each fold, test AUROC."""
    members = fusion.members
    aurocs = validation_aurocs(members)
    weights = member_weights(aurocs)
    best = best_member(members)
    return {
        name: {
            "train_share_1": _by_fold(members, members.train_shares[position]),
            "validation_auroc": _by_fold(members, aurocs[position]),
            "weight": _by_fold(members, weights[position]),
            "is_best_single": position == best,
            "test_auroc": rounded(fusion.member_aurocs[name]),
        }
        for position, name in enumerate(members.names)
    }


def _by_fold(members: Members, values: Any) -> dict[str, float | None]:
    """Values by fold number; NaN becomes null."""
    return {
        f"fold_{fold:02d}": None if value != value else rounded(value)
        for fold, value in zip(members.folds, values, strict=True)
    }
