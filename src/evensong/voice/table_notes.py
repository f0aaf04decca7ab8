"""Combined tables -> what is allowed in them and could still mislead, a line each; no count of people in any."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from evensong.voice.combine import IDS
from evensong.voice.dropped import used_rows

_LARGEST_GAP = 0.05  # between the shares of class 1 among training recordings and among training patients
_LARGEST_IMAGE_GAP = 0.2  # between the classes' shares of ready-made images


def notes(members: Mapping[str, pd.DataFrame], recordings: pd.DataFrame) -> list[str]:
    """Lines for the user.

    Args:
        members: combined table by member.
        recordings: the scan's recordings.csv.
    """
    lines = []
    uneven = [name for name in sorted(members) if _recordings_gap(members[name]) > _LARGEST_GAP]
    if uneven:
        lines.append(
            f"NOTE: in {', '.join(uneven)} the share of class 1 among the training recordings is over "
            f"{100 * _LARGEST_GAP:g} points off the one among the training patients, since people have unlike numbers "
            "of recordings; the network and the prior-corrected fusion go by recordings"
        )
    if _image_gap(used_rows(members), recordings) > _LARGEST_IMAGE_GAP:
        lines.append(
            f"NOTE: ready-made images are over {100 * _LARGEST_IMAGE_GAP:g} points more of one class's recordings than "
            "of the other's; a network can learn the tool that drew them in place of the voice"
        )
    return lines


def _recordings_gap(table: pd.DataFrame) -> float:
    """Mean over folds of the distance between both shares of class 1 in training."""
    train = table[table["subset"] == "train"]
    by_recording = train.groupby("fold")["label"].mean()
    by_patient = train.drop_duplicates(["fold", "healthCode"]).groupby("fold")["label"].mean()
    return float((by_recording - by_patient).abs().mean())


def _image_gap(used: pd.DataFrame, recordings: pd.DataFrame) -> float:
    """Distance between the two classes' shares of ready-made images; 0 where a class is missing."""
    kinds = used.merge(recordings[[*IDS, "kind"]], on=IDS, how="left")
    shares = (kinds["kind"] == "image").groupby(kinds["label"]).mean()
    return float(np.ptp(shares)) if len(shares) == 2 else 0.0
