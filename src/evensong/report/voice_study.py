"""Confounders, clinical tables and the flow of patients -> what the voice page says of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from evensong.report import svg
from evensong.report.page import curves_of, reach_of, row_of
from evensong.score import palette

_METHODS = {
    "soft_mean": "soft mean",
    "prior_corrected": "prior-corrected",
    "best_single": "best sub-database",
    "baseline": "baseline",
}
_SCORES = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
    "lr_positive": "likelihood ratio +",
    "lr_negative": "likelihood ratio −",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}
_COUNTS = {
    "true_positive": "true positives",
    "false_negative": "false negatives",
    "false_positive": "false positives",
    "true_negative": "true negatives",
}
_DECIDED = {  # under positive and negative, two a row
    "true_positive": "… called positive",
    "true_negative": "… called negative",
    "false_negative": "… called negative",
    "false_positive": "… called positive",
}
_SHOWN_BENEFIT = -0.05  # the axis ends there: below it everything is worse than treating nobody

Cells = list[tuple[str, str]]


def study_facts(
    tables: Mapping[str, Any], clinical: Mapping[str, Any], confounders: Mapping[str, Any], plots: Path
) -> dict[str, Any]:
    """Facts of the page's sections on confounders, decisions and the flow.

    Args:
        tables: metrics/voice/tables.json.
        clinical: metrics/voice/clinical.json.
        confounders: metrics/voice/confounders.json.
        plots: folder of the clinical curve tables.
    """
    methods = {name: clinical["methods"][name] for name in _METHODS if name in clinical["methods"]}
    return {
        "confounders": confounders,
        "table_one": _table_one(confounders["table_one"]),
        "confounder_figures": _confounder_figures(confounders),
        "strata": _strata_rows(confounders["strata"]),
        "clinical": clinical,
        "clinical_methods": [_METHODS[name] for name in methods],
        "clinical_rows": _clinical_rows(methods),
        "decision_figure": _decision_figure(plots / "decision.csv"),
        "flow_figure": _flow_figure(tables, clinical),
    }


def _table_one(columns: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Rows of name, negatives, positives and standardised mean difference."""
    rows = []
    for name, one in columns.items():
        smd = svg.number(one["smd"], 2) if one["smd"] is not None else "withheld"
        sides = [one["classes"]["false"], one["classes"]["true"]]
        if one["kind"] == "numbers":
            rows.append((f"{name}, mean (SD)", *(_mean(side) for side in sides), smd))
            rows += [(f"{name}, {key}", *(_plain(side[key]) for side in sides), "") for key in ("median", "n", "blank")]
        else:
            counts = [side["counts"] for side in sides]
            rows.append((name, "", "", smd))
            rows += [(f"{name}: {key}", *(str(side[key]) for side in counts), "") for key in counts[0]]
    return [(label, negative, positive, more) for label, negative, positive, more in rows]


def _mean(side: Mapping[str, Any]) -> str:
    return "withheld" if side["mean"] is None else f"{svg.number(side['mean'], 1)} ({svg.number(side['sd'], 1)})"


def _plain(value: Any) -> str:
    return "withheld" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)


def _confounder_figures(found: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """AUROC of the confounders alone beside the voice; of the voice among alike pairs; what the voice adds."""
    if not found["columns"]:
        return []
    voice = row_of("the voice, all pairs", found["voice"], palette.BLACK)
    alone = [row_of(_named(name), one, palette.GREY) for name, one in found["alone"].items()]
    chance = [(0.5, "chance")]
    figures = [("Confounders alone", svg.intervals([voice, *alone], "AUROC within folds", marks=chance))]
    for key, where in (("matched", "one fold"), ("matched_over_folds", "all folds, scores standardised")):
        rows = [
            row_of(f"matched on {_named(name)}, {one['n_pairs']} pairs", one["voice"], palette.BLACK)
            for name, one in found[key].items()
            if one["n_pairs"] is not None
        ]
        if rows:
            before = row_of("before matching", found["voice" + key.removeprefix("matched")], palette.BLACK)
            title = f"The voice among alike pairs of {where}"
            figures.append((title, svg.intervals([before, *rows], title, marks=chance)))
    gain = [row_of("difference, paired", found["added"]["difference"], palette.BLACK, signed=True)]
    title = "What the voice adds to the confounders"
    return [*figures, (title, svg.intervals(gain, title, reach_of(gain), [(0, "no difference")]))]


def _named(name: str) -> str:
    return "all together" if name == "all" else name


def _strata_rows(strata: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (f"{name}: {label}", _number(one["voice"], 3), str(one["n_pairs"] or "too few"))
        for name, found in strata.items()
        for label, one in found.items()
    ]


def _number(tree: Mapping[str, Any], digits: int) -> str:
    span = svg.span(tree["low"], tree["high"], digits)
    return svg.number(tree["value"], digits) + (f" ({span})" if span else "")


def _clinical_rows(methods: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Cells]]:
    """Rows of a count or score, with a number and an interval a method; none where a class has few patients."""
    shown = list(methods.values())
    if any("counts" not in one for one in shown):
        return []
    rows: list[tuple[str, Cells]] = [
        (label, [(str(one["counts"][key]), "") for one in shown]) for key, label in _COUNTS.items()
    ]
    rows += [(label, [_cell(one[key]) for one in shown]) for key, label in _SCORES.items()]
    for level in shown[0]["at_specificity"] if shown else ():
        for key, what in (("sensitivity", "sensitivity"), ("specificity", "specificity reached")):
            label = f"{what}, threshold for specificity {level}"
            rows.append((label, [_cell(one["at_specificity"][level].get(key, {})) for one in shown]))
    return rows


def _cell(tree: Mapping[str, Any]) -> tuple[str, str]:
    value, interval = tree.get("value"), svg.span(tree.get("low"), tree.get("high"), 2)
    return svg.number(value, 2), interval or tree.get("reason", "")


def _decision_figure(path: Path) -> Markup | None:
    curves = curves_of(path, "threshold", "net_benefit")
    highest = max((y for curve in curves for _, y in curve.points), default=0.0)
    if not curves:
        return None
    reach = (_SHOWN_BENEFIT, highest + 0.02)
    return svg.lines(curves, "Decision curve", ("threshold probability", "net benefit"), y_reach=reach)


def _flow_figure(tables: Mapping[str, Any], clinical: Mapping[str, Any]) -> Markup:
    """From the survey to decisions of the fused score, as STARD draws it."""
    patients = tables["patients"]
    left = {"unlabelled": "without a diagnosis", "no_image": "without a recording", "not_in_split": "in no split list"}
    tested, positive = clinical["n"], clinical["n_positive"]
    both = isinstance(tested, int) and isinstance(positive, int)
    counts = clinical["methods"].get("soft_mean", {}).get("counts", {})
    ends: list[tuple[str, int | str]] = [
        ("positive", positive),
        ("negative", tested - positive if both else "withheld"),
    ]
    ends += [(name, counts.get(key, "withheld")) for key, name in _DECIDED.items()]
    steps = [
        svg.Step("patients in the survey", patients["surveyed"], [(left[key], patients[key]) for key in left]),
        svg.Step("patients in the tables", patients["in_tables"]),
        svg.Step("patients tested", tested),
    ]
    return svg.flow(steps, ends, "Flow of patients")
