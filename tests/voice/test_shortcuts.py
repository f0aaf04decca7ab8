"""A cohort whose classes were recorded unlike is told apart by traits; patients count once, few are not told."""

import numpy as np
import pandas as pd
import pytest
from tests.voice.cohorts import patients

from evensong.score.shortcuts import describe_shortcuts, notable_traits
from evensong.voice.shortcuts import audit_patients


@pytest.fixture(autouse=True)
def few_trees():
    """All of them, here."""


def recorded(labels, n_each, **by_label):
    """Recordings of one kind, and traits that differ by label as (negative, positive)."""
    rng = np.random.default_rng(0)
    rows = []
    for patient, label in labels.items():
        for place in range(n_each(label)):
            traits = {"container": "m4a", "codec": "aac", "sample_rate_hz": "44100", "n_channels": "1"}
            traits |= {"bandwidth_hz": "8000", "peak_dbfs": "-3", "clipped_share": "0", "silence_share": "0"}
            traits |= {"rms_dbfs": f"{rng.normal(-20, 3):.6g}", "duration_s": f"{rng.normal(5, 1):.6g}"}
            traits |= {name: values[label] for name, values in by_label.items()}
            names = {
                "healthCode": patient,
                "record_id": f"r{place}",
                "column_id": "audio",
                "path": f"{patient}/{place}",
            }
            rows.append({**names, "content_sha256": f"{patient}{place}", **traits})
    recordings = pd.DataFrame(rows)
    used = recordings[["healthCode", "record_id", "column_id"]].assign(label=recordings["healthCode"].map(labels))
    return used, recordings


@pytest.mark.slow
def test_classes_of_other_devices_are_notable():
    # the case: every positive 44.1 kHz AAC, every negative 8 kHz WAV
    traits = {"container": ("wav", "m4a"), "codec": ("pcm", "aac"), "sample_rate_hz": ("8000", "44100")}
    scores = audit_patients(*recorded(patients(10, 30), lambda _: 3, **traits))
    assert scores["container"] == scores["format"] == 1.0
    assert {"container", "format", "all_traits"} <= set(notable_traits(scores))
    assert "container 1.00" in describe_shortcuts(scores)[0]


@pytest.mark.slow
def test_number_of_recordings_is_a_trait_and_equal_ones_are_none():
    labels = patients(10, 30)
    unlike, alike = (audit_patients(*recorded(labels, count)) for count in (lambda label: 2 + 3 * label, lambda _: 3))
    assert "recordings" in notable_traits(unlike)
    assert notable_traits(alike) == []


@pytest.mark.slow
def test_a_patient_counts_once_and_order_does_not_matter():
    used, recordings = recorded(patients(6, 12), lambda label: 1 + label)
    shuffled = recordings.sample(frac=1, random_state=2, ignore_index=True)
    assert audit_patients(used, recordings) == audit_patients(used.iloc[::-1].reset_index(drop=True), shuffled)


@pytest.mark.slow
def test_few_patients_of_a_class_are_not_told():
    scores = audit_patients(*recorded(patients(4, 30), lambda _: 2, container=("wav", "m4a")))
    assert scores.pop("chance") == 0.5
    assert set(scores.values()) == {None}
    assert describe_shortcuts({"chance": 0.5, **scores}) == []
