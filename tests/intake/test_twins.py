import numpy as np
import pandas as pd
import pytest
from tests.audio.sounds import birds
from tests.night.scans import LIMITS

from evensong.audio.fingerprint import fingerprint
from evensong.audio.likeness import Likeness
from evensong.audio.wav import write_wav
from evensong.errors import DataError, IntegrityError
from evensong.intake.problems import tell_names
from evensong.intake.twins import Recording, find_twins, is_same_sound, joined, refuse_wide
from evensong.schemas import NightScan

RATE = 16_000
SETTINGS = NightScan.model_validate(LIMITS)


def recording(folder, name, wave, owner=None):
    path = folder / f"{name}.wav"
    write_wav(path, wave.astype(np.float32), RATE)
    return Recording(path, name, owner or name, fingerprint(wave, RATE), wave.size / RATE)


def twins(*recordings, workers=1):
    return find_twins(recordings, SETTINGS, workers=workers, tell=tell_names)


def links(table):
    return list(zip(table["path"], table["copy_of"], strict=True))


def test_each_copy_is_linked_to_the_longest(tmp_path):
    wave = birds(1)
    made = [
        recording(tmp_path, "a", wave[: 3 * RATE]),
        recording(tmp_path, "b", wave),
        recording(tmp_path, "c", 0.3 * wave[RATE // 2 :]),
        recording(tmp_path, "d", birds(2)),
    ]
    found = twins(*made)
    assert links(found) == [("a", "b"), ("c", "b")]
    assert found["lag_s"].tolist() == [0.0, 0.5]
    assert found["correlation"].min() > 0.99
    pd.testing.assert_frame_equal(found, twins(*made, workers=2))


def test_a_chain_is_not_one_group(tmp_path):
    """Windows of one long recording: each lies on the next by more than half, and on no other."""
    wave = birds(1, seconds=8)
    made = [recording(tmp_path, name, wave[n * 19_200 :][: 3 * RATE]) for n, name in enumerate("abcd")]
    found = twins(*made)
    assert ("d", "a") not in links(found)
    assert links(found) == [("a", "b"), ("c", "b"), ("d", "c")]
    assert joined(zip(found["owner"], found["owner_of_copy_of"], strict=True)) == [["a", "b", "c", "d"]]


def test_owners_are_joined_across_pairs():
    assert joined([("b", "a"), ("d", "c"), ("c", "e"), ("x", "x")]) == [["a", "b"], ["c", "d", "e"], ["x"]]
    assert joined([]) == []


@pytest.mark.slow
def test_more_than_three_owners_are_refused(tmp_path):
    made = [recording(tmp_path, name, birds(1) * gain) for name, gain in zip("abcd", (1, 0.9, 0.8, 0.7), strict=True)]
    assert refuse_wide(twins(*made[:3]), "source", "night.scan", tell_names) == [["a", "b", "c"]]
    with pytest.raises(DataError, match=r"join 4 sources, more than 3(.|\n)*near_duplicates(.|\n)*b: joined"):
        refuse_wide(twins(*made), "source", "night.scan", tell_names)


def test_a_file_that_is_gone_is_an_error(tmp_path):
    made = [recording(tmp_path, name, birds(1)) for name in "ab"]
    made[0].path.unlink()
    with pytest.raises(IntegrityError, match="changed while the scan ran"):
        twins(*made)


@pytest.mark.parametrize(
    ("found", "is_same"),
    [
        (Likeness(0.90, 0.5, 0.5, 0), True),
        (Likeness(0.89, 0.5, 0.5, 0), False),
        (Likeness(0.95, 0.5, 0.49, 0), False),
        (Likeness(0.95, 0.91, 1, 0), False),
        (Likeness(0.96, 0.91, 1, 0), True),
    ],
)
def test_what_is_the_same_sound(found, is_same):
    assert is_same_sound(found) == is_same
