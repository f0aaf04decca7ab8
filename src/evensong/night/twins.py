"""Near-equal clips of different sources: listed, refused across two classes, and their sources joined if so wanted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from evensong.errors import DataError
from evensong.intake.names import counted
from evensong.intake.opening import Opened
from evensong.intake.problems import Tell
from evensong.intake.twins import Recording, find_twins, problems_of, refuse_wide
from evensong.night.classes import class_of
from evensong.schemas import NightScan


def near_equal_clips(
    clips: Sequence[tuple[Path, Opened]],
    source_ids: Mapping[str, str],
    settings: NightScan,
    *,
    workers: int,
    tell: Tell,
) -> pd.DataFrame:
    """Pairs of clips from different sources that hold nearly the same sound, as `find_twins` has them.

    Args:
        clips: each with the folder that its path is relative to, in order, without those that are equal to the bit.

    Raises:
        DataError: a pair lies in two classes.
        IntegrityError: a file cannot be read any more.
    """
    recordings = [
        Recording(root / one.path, one.path, source_ids[one.path], one.facts["landmarks"], one.facts["duration_s"])
        for root, one in clips
    ]
    twins = find_twins(recordings, settings, workers=workers, tell=tell)
    opposed = twins[twins["path"].map(class_of) != twins["copy_of"].map(class_of)]
    if len(opposed):
        message = (
            f"{counted(len(opposed), 'pair')} of nearly equal clips in two classes, so one of the labels is wrong; "
            "listen and remove one, or set night.scan.near_duplicates: ignore where both labels are right"
        )
        raise DataError(tell(message, problems_of(opposed, "two classes")))
    return twins


def join_sources(
    source_ids: Mapping[str, str], twins: pd.DataFrame, recordings: set[str], tell: Tell
) -> dict[str, str]:
    """Source id by path, with one id for sources that near-equal clips join.

    Args:
        recordings: sources that are field recordings; their names stay, since the recordings have them too.

    Raises:
        DataError: more than three sources are joined, or two field recordings.
    """
    leader: dict[str, str] = {}
    for group in refuse_wide(twins, "source", "night.scan", tell):
        ordered = sorted(group, key=lambda source: (source not in recordings, source))
        if len(recordings & set(group)) > 1:
            raise DataError(
                f"field recordings {ordered[0]} and {ordered[1]} hold the same sound; remove one, or give both one "
                "source by night.scan.group_pattern"
            )
        leader |= dict.fromkeys(group, ordered[0])
    return {path: leader.get(source, source) for path, source in source_ids.items()}


def describe_twins(twins: pd.DataFrame, settings: NightScan, table: Path) -> list[str]:
    """A NOTE where there are near-equal clips."""
    if twins.empty:
        return []
    n = len({*twins["owner"], *twins["owner_of_copy_of"]})
    what = (
        "those that a pair joins go to one split"
        if settings.near_duplicates == "group"
        else "night.scan.near_duplicates: group keeps them in one split"
    )
    pairs = f"{counted(len(twins), 'pair')} of nearly equal clips from {counted(n, 'source')}"
    return [f"NOTE: {pairs}, listed in {table}: {what}"]
