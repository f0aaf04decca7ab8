"""Many recordings heard by the models of single folds: what detection is scored on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evensong.errors import InputFault, IntegrityError
from evensong.listen.listeners import fold_paths, read_listener
from evensong.listen.scorer import Hearing
from evensong.listen.windows import listening_of, score_recording
from evensong.run.parallel import map_tasks
from evensong.score.detection import Scores


@dataclass(frozen=True)
class Ears:
    """What the folds of a training, or of an embedding's arm, have in common.

    Attributes:
        folds: their numbers, and where each lies.
        classes: names in label order.
        background: those of them that are no detection.
        window_s: length of a window.
        card_sha256s: digests of the folds' cards, which hold their weights' digests; sorted.
    """

    folds: dict[int, Path]
    classes: list[str]
    background: list[str]
    window_s: float
    card_sha256s: list[str]


@dataclass(frozen=True)
class _Task:
    path: Path
    model: Path
    listening: Hearing


def read_ears(model: Path) -> Ears:
    """Read the folder of a training or an arm.

    Raises:
        IntegrityError: no model there, or a damaged one.
    """
    found = read_listener(model)
    digests = sorted(card["card_sha256"] for card in found.cards)
    return Ears(fold_paths(model), found.classes, found.background, found.hearing().clip_seconds, digests)


def hear(
    root: Path, ears: Ears, wanted: Mapping[int, Sequence[str]], hop_seconds: float | None, *, workers: int
) -> dict[tuple[int, str], Scores]:
    """Score recordings, each by the fold that asks for it.

    Args:
        root: what the recordings' paths are relative to.
        wanted: recordings by fold.
        hop_seconds: distance of two windows; None for half a window.
        workers: processes; no result depends on it.

    Raises:
        IntegrityError: a recording that night_cut has read is refused now.
        ParamsError: a hop that would leave gaps.
    """
    pairs = [(fold, path) for fold in sorted(wanted) for path in wanted[fold]]
    if not pairs:
        return {}
    listening = listening_of(read_listener(ears.folds[pairs[0][0]]), hop_seconds)
    tasks = [_Task(root / path, ears.folds[fold], listening) for fold, path in pairs]
    scored: Any = map_tasks(_score, tasks, workers=workers, label="night_detect", unit="recording")
    return dict(zip(pairs, scored, strict=True))


def _score(task: _Task) -> Scores | None:
    """The scores, or None for a recording that is too short for one frame; runs in a worker."""
    try:
        scorer = read_listener(task.model).scorer()
        return score_recording(task.path, scorer, task.listening)
    except InputFault as fault:
        if fault.reason == "Q_TOO_SHORT":
            return None
        raise IntegrityError(f"{task.path}: accepted by night_cut and now refused ({fault})") from fault
