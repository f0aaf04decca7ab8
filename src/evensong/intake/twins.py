"""Usable recordings with their fingerprints -> pairs of different owners that hold nearly the same sound.

The index proposes pairs, the waveforms decide, and every copy is linked to one recording, so that no chain of vague
resemblance joins many.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from evensong.audio.decode import deadline_s, decode, downmix, inspect, pcm_digest, resample
from evensong.audio.fingerprint import HOP, RATE_HZ, fingerprint, propose
from evensong.audio.likeness import Likeness, likeness
from evensong.errors import DataError, InputFault, IntegrityError
from evensong.intake.opening import Facts
from evensong.intake.problems import FileProblem, Tell
from evensong.run.parallel import map_isolated
from evensong.schemas import NightScan, VoiceScan

LEAST_CORRELATION = 0.9
LEAST_SHARE = 0.5  # of the shorter recording that lies on the other
MOST_JOINED = 3  # sources; more are a mistake of these limits, or one that a pattern on names should tell
TWIN_COLUMNS = ["path", "copy_of", "owner", "owner_of_copy_of", "correlation", "share", "lag_s"]


class Recording(NamedTuple):
    """One usable recording.

    Attributes:
        name: as tables have it.
        owner: what is never parted anyway: a source, a patient. Pairs within one are not looked for.
        landmarks: from `look_at_sound`.
    """

    path: Path
    name: str
    owner: str
    landmarks: bytes
    seconds: float


class _Pair(NamedTuple):
    first: Path
    second: Path
    lag: int
    max_seconds: float


def look_at_sound(path: Path, limits: NightScan | VoiceScan) -> tuple[str, Facts]:
    """Digest of the samples, statistics of the recording, and its landmarks unless near duplicates are ignored.

    Raises:
        InputFault: as `audio.decode.inspect`.
    """
    decoded, wave, stats = inspect(path, limits)
    heard = limits.near_duplicates != "ignore"
    landmarks = fingerprint(wave, decoded.sample_rate_hz) if heard else b""
    return pcm_digest(decoded), {**asdict(stats), "landmarks": landmarks}


def find_twins(
    recordings: Sequence[Recording], limits: NightScan | VoiceScan, *, workers: int, tell: Tell
) -> pd.DataFrame:
    """Near-equal recordings of different owners.

    Args:
        recordings: in the order of their names.
        workers: processes; the result does not depend on it.

    Returns:
        TWIN_COLUMNS, sorted: each copy with the recording that it is one of, and a row for any other equal pair of
        different copies. The one with most copies stands for them, then the longest, then the first.

    Raises:
        IntegrityError: a file could be read before and cannot now.
    """
    proposals = propose([one.landmarks for one in recordings], [one.owner for one in recordings])
    tasks = [
        _Pair(recordings[one.first].path, recordings[one.second].path, one.lag * HOP, limits.max_seconds)
        for one in proposals
    ]
    found = list(map_isolated(_compare, tasks, workers=workers, seconds=2 * deadline_s(limits), label="compare"))
    lost = [
        FileProblem(recordings[number].name, outcome.reason)
        for one, outcome in zip(proposals, found, strict=True)
        if isinstance(outcome, InputFault)
        for number in (one.first, one.second)
    ]
    if lost:
        raise IntegrityError(tell("recordings changed while the scan ran; run it again", lost))
    alike = {
        (one.first, one.second): outcome
        for one, outcome in zip(proposals, found, strict=True)
        if isinstance(outcome, Likeness) and is_same_sound(outcome)
    }
    rows = [_row(recordings, alike, *link) for link in _links(alike, recordings)]
    return pd.DataFrame(rows, columns=TWIN_COLUMNS).sort_values(["path", "copy_of"], ignore_index=True)


def is_same_sound(found: Likeness) -> bool:
    """Alike over most of the shorter one, and twice as near at least as a repetitive sound is to itself."""
    is_nearer = 1 - found.correlation <= (1 - found.repetition) / 2
    return found.correlation >= LEAST_CORRELATION and found.share >= LEAST_SHARE and is_nearer


def _compare(pair: _Pair) -> Likeness | InputFault:
    """Decode two recordings once more and compare them; runs in a worker."""
    try:
        first, second = (_wave(path, pair.max_seconds) for path in (pair.first, pair.second))
    except InputFault as fault:
        return fault
    except OSError:
        return InputFault("Q_UNREADABLE", "cannot be read")
    return likeness(first, second, pair.lag)


def _wave(path: Path, max_seconds: float) -> np.ndarray:
    decoded = decode(path, max_seconds=max_seconds)
    return resample(downmix(decoded.waves)[0], decoded.sample_rate_hz, RATE_HZ)


def _links(alike: Iterable[tuple[int, int]], recordings: Sequence[Recording]) -> list[tuple[int, int]]:
    """(copy, original) of every star, then the pairs of copies of different originals."""
    partners: dict[int, set[int]] = defaultdict(set)
    for first, second in alike:
        partners[first].add(second)
        partners[second].add(first)
    original: dict[int, int] = {}
    while free := {number: others - set(original) for number, others in partners.items() if number not in original}:
        centre = max(free, key=lambda number: (len(free[number]), recordings[number].seconds, -number))
        original |= dict.fromkeys(free[centre] | {centre}, centre)
    stars = [(copy, centre) for copy, centre in original.items() if copy != centre]
    return stars + [(max(pair), min(pair)) for pair in alike if original[pair[0]] != original[pair[1]]]


def _row(
    recordings: Sequence[Recording], alike: Mapping[tuple[int, int], Likeness], copy: int, original: int
) -> list[object]:
    found = alike[min(copy, original), max(copy, original)]
    lag_s = found.lag_s if original < copy else -found.lag_s
    one, other = recordings[copy], recordings[original]
    names = [one.name, other.name, one.owner, other.owner]
    return [*names, *(round(value, 3) for value in (found.correlation, found.share, lag_s))]


def joined(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Owners that pairs join, directly or through others: sorted groups of two or more, sorted."""
    group_of: dict[str, set[str]] = {}
    for pair in pairs:
        merged = set(pair).union(*(group_of.get(owner, set()) for owner in pair))
        group_of |= dict.fromkeys(merged, merged)
    return sorted(sorted(group) for group in {min(group): group for group in group_of.values()}.values())


def refuse_wide(twins: pd.DataFrame, what: str, section: str, tell: Tell) -> list[list[str]]:
    """Owners that must not part.

    Args:
        twins: from `find_twins`.
        what: an owner, in the singular.

    Raises:
        DataError: more than three are joined.
    """
    groups = joined(zip(twins["owner"], twins["owner_of_copy_of"], strict=True))
    wide = {owner for group in groups if len(group) > MOST_JOINED for owner in group}
    if wide:
        message = (
            f"near-equal recordings join {max(map(len, groups))} {what}s, more than {MOST_JOINED}: listen to them, "
            f"remove the copies, or set {section}.near_duplicates: note"
        )
        raise DataError(tell(message, problems_of(twins[twins["owner"].isin(wide)], "joined")))
    return groups


def problems_of(twins: pd.DataFrame, reason: str) -> list[FileProblem]:
    """Each pair as a problem of its copy."""
    rows = zip(twins["path"], twins["copy_of"], twins["correlation"], strict=True)
    return [FileProblem(path, reason, f"as {other} (correlation {value})") for path, other, value in rows]
