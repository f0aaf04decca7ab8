"""Many recordings heard by the models of single folds: what detection is scored on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evensong.errors import InputFault, IntegrityError
from evensong.listen.folds import read_folds, read_to_listen
from evensong.listen.windows import Listening, listening_of, score_recording, scorer_of
from evensong.run.parallel import map_tasks
from evensong.score.detection import Scores


@dataclass(frozen=True)
class Ears:
    """What the folds of a training have in common.

    Attributes:
        folds: their numbers, and the folder of each.
        classes: names in label order.
        background: those of them that are no detection.
        window_s: length of a window.
        card_sha256s: digest of each fold's card, which holds its weights' digest; sorted.
    """

    folds: dict[int, Path]
    classes: list[str]
    background: list[str]
    window_s: float
    card_sha256s: list[str]


@dataclass(frozen=True)
class _Task:
    path: Path
    folder: Path
    listening: Listening


def read_ears(model: Path) -> Ears:
    """Read a training folder.

    Raises:
        IntegrityError: no model there, or a damaged one.
    """
    trained = read_folds(model)
    folders = {int(card["fold"]): model / f"fold_{card['fold']:02d}" for card in trained.cards}
    digests = sorted(card["card_sha256"] for card in trained.cards)
    window_s = float(trained.mels["clip_seconds"])
    return Ears(folders, trained.classes, trained.background, window_s, digests)


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
    listening = listening_of(read_to_listen(ears.folds[pairs[0][0]]), hop_seconds)
    tasks = [_Task(root / path, ears.folds[fold], listening) for fold, path in pairs]
    scored: Any = map_tasks(_score, tasks, workers=workers, label="night_detect", unit="recording")
    return dict(zip(pairs, scored, strict=True))


def _score(task: _Task) -> Scores | None:
    """The scores, or None for a recording that is too short for one frame; runs in a worker."""
    try:
        scorer = scorer_of(read_to_listen(task.folder), task.listening)
        return score_recording(task.path, scorer, task.listening, as_far_as_it_goes=True)
    except InputFault as fault:
        if fault.reason == "Q_TOO_SHORT":
            return None
        raise IntegrityError(f"{task.path}: accepted by night_cut and now refused ({fault})") from fault
