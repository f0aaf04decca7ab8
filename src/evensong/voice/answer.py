"""A scored fusion in; one table and three sentences out: did class-share diversity help, or only ensembling?"""

from evensong.score.estimates import Estimate
from evensong.voice.comparison import BASELINE, CONTROL, CONTROL_BASELINE, Fusion, comparisons, unequal_arms, verdict
from evensong.voice.disclosure import told_split
from evensong.voice.fusion import METHODS
from evensong.voice.patients import counts_of

QUESTION = "Did class-share diversity help, or only ensembling?"
NO_CONTROL = (
    "There is no control arm, so the two cannot be told apart: list as many seeds in voice.control_seeds as there are "
    "sub-databases."
)
NAMES = {
    "soft_mean": "soft mean",
    "majority": "majority",
    "prior_corrected": "prior-corrected",
    "validation_weighted": "validation-weighted",
    BASELINE: "best sub-database",
    CONTROL: "control arm",
    CONTROL_BASELINE: "best control member",
}
_READING = (
    "Best is the highest AUROC over the validation patients. The control arm is the soft mean of members that were all "
    "trained at the natural class shares and differ by their seed only. The soft mean answers; the other fusions are "
    "secondary."
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
        f"{n} patients, {n_positive} of them class 1; {len(fusion.members.names)} sub-databases{control}; "
        f"{100 * fusion.confidence:g} % intervals"
    )


def answer_text(fusion: Fusion) -> str:
    """Markdown for git: the table, what it answers, and a warning where the arms are not of one size."""
    warning = unequal_arms(fusion)
    parts = [
        f"# {QUESTION}",
        f"AUROC by patient over the pooled test folds; {caption(fusion)}; differences are paired. {_READING}",
        _table(fusion),
        "\n".join(f"- {sentence}" for sentence in _sentences(fusion)),
        f"**Warning**: {warning}." if warning else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(fusion: Fusion) -> str:
    differences = comparisons(fusion)
    baselines = [*fusion.baselines, *([CONTROL_BASELINE] if fusion.control else [])]
    header = ["", "AUROC", *(f"minus {NAMES[baseline]}" for baseline in baselines)]
    rows = [header, ["---"] * len(header)]
    for method in [*METHODS, *baselines]:
        cells = [_text(fusion.scored[method].estimate("auroc"))]
        for baseline in baselines:
            found = differences.get((method, baseline, "auroc"))
            cells.append(_text(found, sign="+") if found else "")
        rows.append([NAMES[method], *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _sentences(fusion: Fusion) -> list[str]:
    """The primary comparisons, by soft mean."""
    differences = comparisons(fusion)
    asked = [("Both together, fused sub-databases minus the best of them", "soft_mean", BASELINE)]
    if fusion.control:
        asked += [
            ("Ensembling alone, control arm minus the best of its members", CONTROL, CONTROL_BASELINE),
            ("Class-share diversity, fused sub-databases minus control arm", "soft_mean", CONTROL),
        ]
    found = [(what, differences[method, baseline, "auroc"]) for what, method, baseline in asked]
    sentences = [f"{what}: {_text(one, sign='+')}, {_VERDICTS[verdict(one)]}." for what, one in found]
    return sentences if fusion.control else [*sentences, NO_CONTROL]


def _text(estimate: Estimate, sign: str = "") -> str:
    if estimate.value is None:
        return f"undefined ({estimate.reason})"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{sign}.3f} (no interval: {estimate.reason})"
    return f"{estimate.value:{sign}.3f} ({estimate.low:{sign}.3f} to {estimate.high:{sign}.3f})"
