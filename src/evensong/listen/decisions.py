"""Which classes are reported, and from which probability on: of the command line, of night_detect, or one half."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evensong.errors import ParamsError
from evensong.listen.scorer import Listener
from evensong.listen.thresholds import beside, read_thresholds

_DEFAULT = 0.5


@dataclass(frozen=True)
class Decision:
    """What is reported.

    Attributes:
        thresholds: lowest probability by class; a class that is not among them is never reported.
        origin: where they come from, for the user.
    """

    thresholds: dict[str, float]
    origin: str


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
        min_score: of every class; None takes the thresholds, or one half where there are none.
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
    for name in (*include, *exclude):
        if name not in trained.classes:
            close = difflib.get_close_matches(name, trained.classes, n=1, cutoff=0)
            raise ParamsError(f"{name!r} is no class of the model; did you mean {close[0]!r}?")
    reported = [name for name in trained.classes if name not in {*trained.background, *exclude}]
    reported = [name for name in reported if name in include or not include]
    if not reported:
        raise ParamsError("--include and --exclude leave no class to report; background classes are none")
    path = thresholds or beside(model)
    if min_score is None and (thresholds is not None or path.is_file()):
        chosen = read_thresholds(path, [card["card_sha256"] for card in trained.cards])
        if chosen:
            return Decision({name: chosen[name] for name in reported if name in chosen}, f"the thresholds of {path}")
    least = _DEFAULT if min_score is None else min_score
    origin = f"a score of {least:g} or more" + (", for want of thresholds" if min_score is None else "")
    return Decision(dict.fromkeys(reported, least), origin)
