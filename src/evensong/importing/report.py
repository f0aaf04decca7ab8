"""What an import does, for people (at most 80 columns) and for programs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evensong.importing.copying import Fate
from evensong.importing.patterns import Candidate
from evensong.importing.plan import Plan
from evensong.intake.names import counted, printable

_SHOWN = 12  # classes or labels
_NAMED = 3  # files of one reason


def as_tree(
    plan: Plan, into: Path, fate: Fate, found: Sequence[Candidate], folds: str | None, chosen: dict[str, Any]
) -> dict[str, Any]:
    """The report as JSON takes it; of a cohort counts alone."""
    reasons = Counter(reason for _, reason in plan.left)
    return {
        "layout": plan.layout,
        "source": str(plan.source),
        "into": str(into),
        "recordings": len(plan.recordings),
        "tables": len(plan.files) - len(plan.recordings),
        "new": len(fate.new),
        "already_there": len(fate.same),
        "collisions": len(fate.other) if plan.is_private else fate.other,
        "classes": dict(sorted(Counter(name for name in plan.recordings.values() if name).items())),
        "labels": dict(sorted(plan.labels.items())),
        "not_taken": dict(sorted(reasons.items()))
        if plan.is_private
        else [{"path": printable(path), "reason": reason} for path, reason in plan.left],
        "notes": plan.notes,
        "group_patterns": [one._asdict() | {"fits": one.fits} for one in found],
        "fold_pattern": folds,
        "parameters": chosen,
    }


def lines_of(plan: Plan, into: Path, fate: Fate) -> list[str]:
    """What is taken, and what is not with the reasons."""
    n_tables = len(plan.files) - len(plan.recordings)
    lines = [f"{plan.source}, as {plan.layout} -> {into}"]
    lines += [f"{counted(len(plan.recordings), 'recording')}, {counted(n_tables, 'table')}"]
    lines += _counts("class", Counter(name for name in plan.recordings.values() if name))
    lines += _counts("label", plan.labels)
    by_reason: dict[str, list[str]] = {}
    for path, reason in plan.left:
        by_reason.setdefault(reason, []).append(path)
    lines += [_not_taken(reason, paths, plan.is_private) for reason, paths in sorted(by_reason.items())]
    if fate.same:
        lines += [f"{len(fate.same)} of them are there already, the same to the byte"]
    if fate.other:
        shown = "" if plan.is_private else f": {_some(fate.other)}"
        lines += [f"COLLISION: at {len(fate.other)} targets stands something else{shown}"]
    return [*lines, *(f"NOTE: {note}" for note in plan.notes)]


def pattern_lines(found: Sequence[Candidate], folds: str | None, of_table: int, taken: str | None) -> list[str]:
    """The candidates as a table, and the fold pattern where a table's folds are in the names."""
    lines = ["night.scan.group_pattern, what in a name says 'same source':"]
    for number, one in enumerate(found, start=1):
        where = "" if one.fits else f" in {one.n_found} of {one.n_clips} names only"
        mark = "   <- of --set-params" if one.pattern == taken else ""
        lines.append(f"  {number}  {one.pattern or 'null'}{mark}")
        lines.append(f"     {one.meaning}: {counted(one.n_sources, 'source')}{where}, {_worth(one)}")
    if folds:
        lines.append(f"night.index.fold_pattern {folds} finds the table's folds in all names")
    elif of_table:
        lines.append("NOTE: the table's folds do not stand in the names, so no fold_pattern can find them")
    return lines


def _worth(one: Candidate) -> str:
    parts = [f"at most {counted(one.n_largest, 'clip')} in one"]
    parts += [f"{one.shared} in several classes"] if one.shared else []
    parts += [f"under three in {_some(one.few)}"] if one.few else []
    return ", ".join(parts)


def _counts(what: str, counts: Counter[str]) -> Iterable[str]:
    names = sorted(counts)
    for name in names[:_SHOWN]:
        yield f"  {what} {name or '(blank)'}: {counts[name]}"
    if len(names) > _SHOWN:
        yield f"  and {len(names) - _SHOWN} more, {sum(counts[name] for name in names[_SHOWN:])} in all"


def _not_taken(reason: str, paths: list[str], is_private: bool) -> str:
    named = "" if is_private else f" ({_some(paths)})"
    return f"not taken: {len(paths)} x {reason}{named}"


def _some(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _NAMED else ""
    return ", ".join(printable(name) for name in names[:_NAMED]) + more
