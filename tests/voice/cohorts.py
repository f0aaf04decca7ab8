"""Made-up cohorts after the scan: patients with labels, their recordings and images as tables."""

import pandas as pd

from evensong.voice.account import dropped_rows
from evensong.voice.tables import Cohort, draw_trainable, join_lists, member_tables

NO_QUARANTINE = pd.DataFrame({"path": [], "outcome": [], "reason": []}, dtype=str)


def patients(n_positive, n_negative):
    """Labels of so many patients, the positive ones first; ids of the reserved form."""
    ids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(n_positive + n_negative)]
    return {patient: int(number < n_positive) for number, patient in enumerate(ids)}


def make_cohort(n_recordings, labels, *, duplicates=(), quarantine=NO_QUARANTINE, max_recordings=None):
    """A scanned cohort in which each patient has so many recordings, one image each."""
    rows = [
        (
            f"{patient}/{place}.m4a",
            patient,
            f"r{place}",
            "audio_m4a",
            "duplicate" if (patient, place) in duplicates else "used",
        )
        for patient, count in sorted(n_recordings.items())
        for place in range(count)
    ]
    recordings = pd.DataFrame(rows, columns=["path", "healthCode", "record_id", "column_id", "status"])
    used = recordings[recordings["status"] == "used"].reset_index(drop=True)
    images = used[["healthCode", "record_id", "column_id"]].copy()
    images["image_rel_path"] = "artifacts/voice/melSpec/" + used["healthCode"] + "_" + used["record_id"] + ".jpg"
    return Cohort(labels, recordings, quarantine, images, draw_trainable(images, max_recordings, seed=1))


def tabled(splits, cohort):
    """The combined table of each member, and what is in none."""
    joined = join_lists(splits, cohort)
    members = member_tables(joined)
    return members, dropped_rows(joined, members, cohort)
