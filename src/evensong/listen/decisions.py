"""Which classes are reported, and from which probability on: of the command line, of night_detect, or one half."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evensong.errors import IntegrityError, ParamsError
from evensong.intake.names import some_of
from evensong.listen.scorer import Listener
from evensong.listen.thresholds import Chosen, beside, read_thresholds
from evensong.score.calibration import Calibration

_DEFAULT = 0.5


@dataclass(frozen=True)
class Decision:
    """What is reported.

    Attributes:
        thresholds: lowest score by class; a class that is not among them is never reported.
        origin: where they come from, for the user.
        calibrations: by class, of the softmax to the scores that thresholds are of; the others' scores are softmax.
    """

    thresholds: dict[str, float]
    origin: str
    calibrations: Mapping[str, Calibration]


def decide(
    trained: Listener,
    model: Path,
    *,
    min_score: float | None,
    thresholds: Path | None,
    include: Sequence[str],
    exclude: Sequence[str],
) -> Decision:
    """Join the options with the thresholds of night_detect.

    Args:
        model: folder of the training, beside which night_detect leaves its thresholds.
        min_score: of every class, on the calibrated scale where the class has one; None takes the thresholds, or one
            half where there are none.
        thresholds: the file to take instead.
        include: the only classes to report; empty for all.
        exclude: classes not to report. Background classes never are.

    Raises:
        ParamsError: an option is out of its range, names no class of the model, or goes against another.
        IntegrityError: the thresholds are damaged, or of another model.
    """
    if min_score is not None and thresholds is not None:
        raise ParamsError("--min-score and --thresholds: one or the other")
    if min_score is not None and not 0 <= min_score <= 1:
        raise ParamsError(f"--min-score {min_score:g}: a probability lies between 0 and 1")
    reported = _reported(trained, include, exclude)
    path = thresholds or beside(model)
    chosen, why = _chosen(trained, path, must_fit=min_score is None, must_be=thresholds is not None)
    maps = {name: one for name, one in chosen.calibrations.items() if name in reported}
    calibrated = f", calibrated for {some_of(sorted(maps))}" if maps else why
    if min_score is None and chosen.thresholds:
        own = {name: chosen.thresholds[name] for name in reported if name in chosen.thresholds}
        own |= {name: float(maps[name](np.array(own[name]))) for name in maps}
        return Decision(own, f"the thresholds of {path}{calibrated}", maps)
    least = _DEFAULT if min_score is None else min_score
    origin = f"a score of {least:g} or more" + (", for want of thresholds" if min_score is None else calibrated)
    return Decision(dict.fromkeys(reported, least), origin, maps)


def _reported(trained: Listener, include: Sequence[str], exclude: Sequence[str]) -> list[str]:
    for name in (*include, *exclude):
        if name not in trained.classes:
            close = difflib.get_close_matches(name, trained.classes, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"its classes: {', '.join(trained.classes)}"
            raise ParamsError(f"{name!r} is no class of the model; {hint}")
    reported = [name for name in trained.classes if name not in {*trained.background, *exclude}]
    reported = [name for name in reported if name in include or not include]
    if not reported:
        raise ParamsError("--include and --exclude leave no class to report; background classes are none")
    return reported


def _chosen(trained: Listener, path: Path, *, must_fit: bool, must_be: bool) -> tuple[Chosen, str]:
    """What night_detect chose, or nothing and why: a file that --min-score makes do without may be another model's."""
    if not must_be and not path.is_file():
        return Chosen({}, {}), ""
    try:
        return read_thresholds(path, [card["card_sha256"] for card in trained.cards]), ""
    except IntegrityError:
        if must_fit:
            raise
        return Chosen({}, {}), f", not calibrated: {path} does not fit this model"
