"""A scored fusion in; a table and sentences out: did class-share diversity help, or only ensembling?"""

from evensong.intake.names import counted
from evensong.score.predictions import BASELINE, in_part
from evensong.voice.disclosure import WITHHELD, told_split
from evensong.voice.ensemble import (
    BEST,
    CONTROL,
    CONTROL_BEST,
    Fusion,
    compared,
    comparisons,
    name_of,
    pooled_gap,
    unequal_arms,
    verdict,
)
from evensong.voice.fusion import METHODS
from evensong.voice.patients import WITHIN, counts_of, not_the_cohort

QUESTION = "Did class-share diversity help, or only ensembling?"
NO_CONTROL = (
    "There is no control arm, so the two cannot be told apart: list as many seeds in voice.control_seeds as there are "
    "sub-databases."
)
_READING = (
    "Best is the highest AUROC over the validation patients. The baseline is logistic regression on statistics of the "
    "mel images, at the natural class shares. The control arm is the soft mean of members that were all trained at "
    "these shares and differ by their seed only. The soft mean answers; the other fusions are secondary."
)
_VERDICTS = {
    "higher": "shown to be higher",
    "lower": "shown to be lower",
    "not distinguishable": "not distinguishable from zero",
    "undefined": "undefined",
}


def caption(fusion: Fusion) -> str:
    """How many patients and members the numbers rest on."""
    n, n_positive = told_split(*counts_of(fusion.levels["soft_mean"].test))
    control = f", control arm of {len(fusion.control.names)}" if fusion.control else ""
    return (
        f"{in_part(f'{n} patients', fusion.members.part)}, {n_positive} of them class 1, "
        f"{compared(fusion)['n_pairs']} pairs; "
        f"{counted(len(fusion.members.names), 'sub-database')}{control}; "
        f"{100 * fusion.confidence:g} % intervals"
    )


def answer_text(fusion: Fusion) -> str:
    """Markdown for git: the table, what it answers, and a warning where the arms are not of one size."""
    warning = unequal_arms(fusion)
    parts = [
        f"# {QUESTION}",
        f"AUROC by patient within the test folds: {WITHIN}. {caption(fusion)}; differences are paired. {_READING}",
        _table(fusion),
        "\n".join(f"- {sentence}" for sentence in _sentences(fusion)),
        "\n".join(f"- NOTE: {note}." for note in notes(fusion)),
        f"**Warning**: {warning}." if warning else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(fusion: Fusion) -> str:
    differences = comparisons(fusion)
    references = fusion.all_references
    header = ["", "AUROC", "pooled", *(f"minus {name_of(reference)}" for reference in references)]
    rows = [header, ["---"] * len(header)]
    for method in [*METHODS, *references]:
        cells = [fusion.scored[method].estimate(name).text() for name in ("auroc", "auroc_pooled")]
        for reference in references:
            found = differences.get((method, reference, "auroc"))
            cells.append(found.text("+") if found else "")
        rows.append([name_of(method), *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _sentences(fusion: Fusion) -> list[str]:
    """The primary comparisons, by soft mean."""
    differences = comparisons(fusion)
    asked = [
        ("Networks at all, fused sub-databases minus the baseline", "soft_mean", BASELINE),
        ("Both together, fused sub-databases minus the best of them", "soft_mean", BEST),
    ]
    if fusion.control:
        asked += [
            ("Ensembling alone, control arm minus the best of its members", CONTROL, CONTROL_BEST),
            ("Class-share diversity, fused sub-databases minus control arm", "soft_mean", CONTROL),
        ]
    found = [(what, differences[method, reference, "auroc"]) for what, method, reference in asked]
    sentences = [f"{what}: {one.text('+')}, {_VERDICTS[verdict(one)]}." for what, one in found]
    return sentences if fusion.control else [*sentences, NO_CONTROL]


def notes(fusion: Fusion) -> list[str]:
    """What a reader of the headline should know, a line each."""
    gap, counts = pooled_gap(fusion), compared(fusion)
    lines = [not_the_cohort(fusion.members.part)] if fusion.members.part else []
    if verdict(gap) in ("higher", "lower"):
        lines.append(
            f"pooled over the folds AUROC is {verdict(gap)} than within them, by {gap.text('+')}: the folds' "
            "scores are not on one scale; believe the one within folds"
        )
    n_compared = counts["n_folds_of_both_classes"]
    if n_compared not in (WITHHELD, counts["n_folds"]):
        lines.append(
            f"{counts['n_folds'] - n_compared} of {counts['n_folds']} folds test one class only and compare nothing; "
            "fewer folds (voice.splits.n_folds) would use every patient"
        )
    return lines
