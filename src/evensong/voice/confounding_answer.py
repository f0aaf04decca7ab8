"""An audit of confounders in; what it says in sentences out."""

from collections.abc import Mapping, Sequence
from typing import Any

from evensong.score.estimates import Estimate
from evensong.voice.confounding import ALL

NO_COLUMNS = "No confounders are named (voice.confounders): what else could tell the classes apart was not looked at."


def sentences(found: Mapping[str, Any], unread: Sequence[str]) -> list[str]:
    """The answer: what each confounder tells alone, what the voice tells where it is alike, and what the voice adds.

    Args:
        found: of `confounding.audit`.
        unread: columns that are there and could not be read.
    """
    left_out = [f"Not looked at: {', '.join(unread)}, which could not be read; mend the survey."] if unread else []
    if not found["alone"]:
        return left_out or [NO_COLUMNS]
    lines = [_alone(name, one, found) for name, one in found["alone"].items()]
    return [*left_out, *lines, _added(found["added"])]


def notes(found: Mapping[str, Any]) -> list[str]:
    """A line where a confounder alone tells the classes apart by more than chance."""
    told = [
        f"{_name(name)} {one.value:.2f}"
        for name, one in found["alone"].items()
        if one.low is not None and one.low > 0.5
    ]
    if not told:
        return []
    return [
        f"confounders alone tell the classes apart: AUROC {', '.join(told)}, the voice {found['voice'].text()}; read "
        "metrics/voice/confounders.json before you believe the voice"
    ]


def _name(name: str) -> str:
    return "all confounders together" if name == ALL else name


def _alone(name: str, one: Estimate, found: Mapping[str, Any]) -> str:
    start = f"{_name(name)[0].upper()}{_name(name)[1:]} alone: AUROC {one.text()}."
    within, over = found["matched"][name], found["matched_over_folds"][name]
    alike = "all of them" if name == ALL else name
    if within["n_pairs"] is not None:
        return f"{start} {_matched(within, alike, 'one fold', found['voice'])}"
    if over["n_pairs"] is not None:
        where = "all folds (one fold holds too few; scores standardised by fold),"
        return f"{start} {_matched(over, alike, where, found['voice_over_folds'])}"
    return f"{start} Pairs matched on {alike}: {within['voice'].reason}."


def _matched(one: Mapping[str, Any], alike: str, where: str, before: Estimate) -> str:
    left = f"; {alike} itself reaches {one['itself'].text()} there" if "itself" in one else ""
    return (
        f"Over pairs of {where} the voice reaches {before.text()}; among the {one['n_pairs']} matched on {alike}, "
        f"it reaches {one['voice'].text()}{left}."
    )


def _added(found: Mapping[str, Estimate]) -> str:
    difference = found["difference"]
    if difference.value is None:
        return f"What the voice adds to the confounders is undefined: {difference.reason}."
    verdict = "not distinguishable from zero"
    if difference.low is not None and difference.high is not None:
        verdict = "above zero" if difference.low > 0 else "below zero" if difference.high < 0 else verdict
    return (
        f"With the voice beside the confounders AUROC is {found['with'].text()}, without it {found['without'].text()}: "
        f"{difference.text('+')}, paired, {verdict}."
    )
