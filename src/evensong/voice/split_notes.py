"""Splits + labels -> what a reader of the results should know about them, a line each."""

from collections.abc import Mapping

from evensong.voice.disclosure import told
from evensong.voice.split_files import TRAIN_NAME
from evensong.voice.splits import Splits

_LARGEST_GAP = 0.02  # between the share of positives in a list's name and the one in the list


def describe(splits: Splits, labels: Mapping[str, int | None], *, is_given: bool) -> list[str]:
    """What was made or given, and everything in it that is allowed and yet unexpected.

    Args:
        labels: every surveyed patient's label; None where the diagnosis is blank.
    """
    n_folds = splits.common["fold_iteration"].nunique()
    line = (
        f"{'given' if is_given else 'made'}: {n_folds} folds of {told(len(_patients(splits)))} patients for "
        f"{len(splits.train)} sub-databases"
    )
    uneven = uneven_tests(splits)
    notes = [*([uneven] if uneven else []), *uneven_shares(splits, labels)]
    return [line, *(f"NOTE: {note}" for note in notes)]


def uneven_tests(splits: Splits) -> str:
    """How many patients are tested in several folds or in none; empty where each is tested once."""
    tested = splits.common.loc[splits.common["subset"] == "test", "healthCode"].value_counts()
    n_several = int((tested > 1).sum())
    n_never = len(_patients(splits)) - len(tested)
    if not n_several and not n_never:
        return ""
    return f"{told(n_several)} patients are tested in several folds, {told(n_never)} in none"


def uneven_shares(splits: Splits, labels: Mapping[str, int | None]) -> list[str]:
    """A line for each training list whose share of positives is more than two points off the one in its name.

    The share is the mean over folds, of the patients with a diagnosis.
    """
    lines = []
    for k, table in sorted(splits.train.items()):
        known = table["healthCode"].map(labels).groupby(table["fold_iteration"]).mean()
        negative, positive = (int(part) for part in TRAIN_NAME.sub(r"\2 \3", splits.file_names[k]).split())
        named = positive / max(negative + positive, 1)
        if abs(known.mean() - named) > _LARGEST_GAP:
            lines.append(
                f"sub-database {k} trains on {known.mean():.1%} positives, {splits.file_names[k]} says {named:.0%}"
            )
    return lines


def _patients(splits: Splits) -> set[str]:
    return set(splits.control["healthCode"]) | set(splits.common["healthCode"])
