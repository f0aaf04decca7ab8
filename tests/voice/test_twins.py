"""Near-equal recordings of two patients: counted, kept together, or refused; no message holds an id."""

import pandas as pd
import pytest
from tests.audio.sounds import birds

from evensong.audio.wav import write_wav
from evensong.errors import DataError
from evensong.intake.problems import problem_file
from evensong.voice.scan import scan_recordings
from evensong.voice.splits import make_splits
from evensong.voice.twins import leaders_of, parted, read_twins, refuse_opposite, twin_notes

ID = "00000000-0000-4000"


@pytest.fixture
def copied(folder):
    """Three patients, the third with a quieter, later copy of the first one's recording, and their own twice."""
    for patient in (1, 2):
        write_wav(folder.path(patient, patient), birds(patient), 16_000)
    write_wav(folder.path(3, 3), 0.5 * birds(1)[3000:], 16_000)
    write_wav(folder.path(2, 4), 0.5 * birds(2)[3000:], 16_000)
    return folder


def test_a_copy_under_another_patient_is_noted_by_count(copied, scan_settings, tmp_path):
    found = scan_recordings(copied.root, scan_settings, workers=1)
    pair = (copied.patient_id(1), copied.patient_id(3))
    assert found.counts["near_duplicate_patients"] == "<5"
    assert found.twins["owner"].tolist() == [pair[1]]
    (note,) = twin_notes(found.twins, scan_settings)
    assert note.startswith("NOTE: <5 patients have a recording nearly equal")
    assert ID not in note + str(found.counts)
    found.twins.to_csv(tmp_path / "near_duplicates.csv", index=False)
    assert read_twins(tmp_path) == [pair]
    ignored = scan_recordings(copied.root, scan_settings.model_copy(update={"near_duplicates": "ignore"}), workers=1)
    pd.testing.assert_frame_equal(ignored.recordings, found.recordings)
    assert (ignored.counts["near_duplicate_patients"], twin_notes(ignored.twins, scan_settings)) == (0, [])


@pytest.mark.slow
def test_more_than_three_patients_are_not_joined(copied, scan_settings, tmp_path):
    for patient in (5, 6):
        write_wav(copied.path(patient, patient), birds(1) * 0.1 * patient, 16_000)
    settings = scan_settings.model_copy(update={"near_duplicates": "group"})
    path = tmp_path / "problems.csv"
    with pytest.raises(DataError, match=f"join 4 patients, more than 3.*by name in {path}") as caught:
        scan_recordings(copied.root, settings, workers=1, tell=problem_file(path))
    assert ID not in str(caught.value)
    assert len(pd.read_csv(path)) == 3


def test_opposite_labels_stop_and_no_id_is_told(tmp_path):
    pairs = [(f"{ID}-1", f"{ID}-2"), (f"{ID}-2", f"{ID}-3")]
    refuse_opposite(pairs, {f"{ID}-1": 1, f"{ID}-3": 0}, tmp_path)  # nobody knows of the second one
    with pytest.raises(DataError, match=f"<5 patients of opposite labels.*{tmp_path}/near_dup") as caught:
        refuse_opposite(pairs, {f"{ID}-1": 1, f"{ID}-2": 0}, tmp_path)
    assert ID not in str(caught.value)


def test_patients_of_a_group_share_their_folds():
    labels = {f"p{n:02}": int(n < 12) for n in range(40)}
    pairs = [("p01", "p05"), ("p05", "p09"), ("p20", "p31"), ("p40", "p41"), ("p02", "p50")]
    leaders = leaders_of(pairs, labels)
    assert leaders == {"p05": "p01", "p09": "p01", "p31": "p20"}
    splits = make_splits(labels, [5], n_folds=4, seed=1, leaders=leaders)
    assert parted(pairs, splits.common, splits.control) == []
    assert splits.patients == set(labels)
    alone = make_splits(labels, [5], n_folds=4, seed=1)
    (note,) = parted(pairs, alone.common, alone.control)
    assert note.startswith("NOTE: ")
    assert "p0" not in note
    assert make_splits(labels, [5], n_folds=4, seed=1, leaders={}).common.equals(alone.common)
