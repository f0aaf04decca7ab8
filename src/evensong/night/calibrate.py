"""Windows of exhaustive validation recordings -> a one-against-rest calibration a class."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from evensong.night.detect import FieldTruth, recordings_of
from evensong.schemas import NightDetect
from evensong.score.calibration import fit
from evensong.score.detection import Scores, window_truth


def calibrations(
    truth: FieldTruth,
    folds: pd.DataFrame,
    heard: Mapping[tuple[int, str], Scores | None],
    settings: NightDetect,
) -> dict[str, dict[str, Any]]:
    """By class: slope and intercept with the windows that they rest on, or the reason why there are none.

    Windows come from recordings alone, never from clips: how often a class sounds is part of what a calibrated score
    says, and clips do not tell it. Each recording is heard by the fold that validates with it, as for thresholds.

    Args:
        folds: fold, source_id, subset.
        heard: scores by fold and path; None where a recording is too short.
    """
    validated = [
        (path, scores)
        for fold in sorted({fold for fold, _ in heard})
        for path in recordings_of(truth, folds, fold, "val")
        if path in truth.exhaustive and (scores := heard[fold, path]) is not None
    ]
    return {name: _one(truth, place, validated, settings) for place, name in enumerate(truth.classes)}


def _one(truth: FieldTruth, place: int, validated: list[tuple[str, Scores]], settings: NightDetect) -> dict[str, Any]:
    n_events = sum(len(truth.events[path][place]) for path, _ in validated)
    if n_events < settings.min_events:
        few = f"{n_events} events in exhaustive validation recordings"
        return {"reason": f"{few}, fewer than night.detect.min_events ({settings.min_events})"}
    holds = np.concatenate(
        [window_truth(one, truth.events[path][place], settings.min_overlap) for path, one in validated]
    )
    probs = np.concatenate([one.probs[:, truth.labels[place]] for _, one in validated])
    is_known = holds >= 0
    found = fit(probs[is_known], holds[is_known] == 1)
    if found is None:
        return {"reason": "likelier validation windows do not hold it more often"}
    facts = {"n_windows": int(is_known.sum()), "n_positive": int((holds == 1).sum())}
    return {"slope": found.slope, "intercept": found.intercept, **facts}
