"""Near-equal clips in a scan: listed, joined, or refused."""

import re

import pandas as pd
import pytest
from tests.audio.sounds import birds
from tests.night.scans import LIMITS, scan

from evensong.audio.wav import write_wav
from evensong.errors import DataError
from evensong.intake.problems import problem_file, tell_names
from evensong.night.scan import scan_folder
from evensong.night.twins import describe_twins, join_sources
from evensong.schemas import NightScan


@pytest.fixture
def copied(tmp_path):
    """Two classes of three clips, one of which is another one's quieter, later copy."""
    for n, name in enumerate(("owl/a", "owl/b", "toad/d", "toad/e", "toad/f")):
        add(tmp_path, name, birds(n))
    add(tmp_path, "owl/c", 0.5 * birds(0)[3000:])
    return tmp_path


def add(root, name, wave):
    path = root / f"{name}.wav"
    path.parent.mkdir(exist_ok=True)
    write_wav(path, wave, 16_000)


@pytest.mark.slow
def test_a_copy_is_noted_and_changes_nothing_else(copied):
    found, other = scan(copied), scan(copied, near_duplicates="ignore")
    assert found.twins[["path", "copy_of"]].to_numpy().tolist() == [["owl/c.wav", "owl/a.wav"]]
    assert found.counts["near_duplicates"] == 1
    assert other.twins.empty
    pd.testing.assert_frame_equal(found.clips, other.clips)
    (note,) = describe_twins(found.twins, NightScan.model_construct(near_duplicates="note"), "list.csv")
    assert note.startswith("NOTE: 1 pair of nearly equal clips from 2 sources, listed in list.csv")
    assert describe_twins(other.twins, NightScan.model_construct(near_duplicates="note"), "list.csv") == []


def test_sources_of_a_copy_are_joined(copied):
    found = scan(copied, near_duplicates="group")
    sources = found.clips.set_index("path")["source_id"]
    assert sources["owl/a.wav"] == sources["owl/c.wav"]
    assert sources.nunique() == 5
    assert found.twins["owner"].item() != found.twins["owner_of_copy_of"].item()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["note", "group"])
def test_a_copy_in_another_class_stops_the_scan(copied, tmp_path, mode):
    add(copied, "toad/g", 0.5 * birds(1)[3000:])
    settings = NightScan.model_validate(LIMITS | {"near_duplicates": mode})
    path = tmp_path.parent / "problems.csv"
    with pytest.raises(DataError, match=f"1 pair of nearly equal clips in two classes.*{re.escape(str(path))}"):
        scan_folder(copied, settings, workers=1, tell=problem_file(path))
    assert pd.read_csv(path)["path"].tolist() == ["toad/g.wav"]


@pytest.mark.slow
def test_a_copy_within_a_source_is_not_looked_for(copied):
    assert scan(copied, group_pattern=r"^([a-z])$").counts["near_duplicates"] == 1
    (copied / "owl/c.wav").rename(copied / "owl/a2.wav")
    assert scan(copied, group_pattern=r"^([a-z])\d?$").counts["near_duplicates"] == 0


@pytest.mark.slow
def test_more_than_three_sources_are_not_joined(copied):
    for n in range(2):
        add(copied, f"owl/more{n}", (0.4 - 0.1 * n) * birds(0))
    assert scan(copied).counts["near_duplicates"] == 3
    with pytest.raises(DataError, match=r"join 4 sources, more than 3(.|\n)*owl/c.wav: joined"):
        scan(copied, near_duplicates="group")


def test_a_field_recording_keeps_its_name_and_two_are_not_joined():
    twins = pd.DataFrame({"path": ["x"], "copy_of": ["y"], "owner": ["a"], "owner_of_copy_of": ["moor"]})
    sources = {"x": "a", "y": "moor", "z": "b"}
    assert join_sources(sources, twins, {"moor"}, tell_names) == {"x": "moor", "y": "moor", "z": "b"}
    with pytest.raises(DataError, match="field recordings a and moor hold the same sound"):
        join_sources(sources, twins, {"a", "moor"}, tell_names)
