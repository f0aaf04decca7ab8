"""Field recordings of known sound, cut by their tables: every row with its outcome, every clip with its label alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tests.pipeline.real import REAL

import night_augment
import night_cut
import night_index
import night_scan
from evensong.audio.wav import read_wav
from evensong.errors import DataError
from evensong.night.cut import MERGED, OUTSIDE, OVERLAPPING, TOO_SHORT, USED, Sound, free_windows, plan_recording
from evensong.night.index import read_source_folds
from evensong.schemas import NightCut

pytestmark = pytest.mark.slow

SETTINGS = NightCut(
    padding_s=0.1,
    min_overlap_s=0.05,
    label_column=None,
    label_map={},
    labels=[],
    background_clips=5,
    seed=1,
    max_quarantined=0.5,
)
CUT = Path("artifacts/night/cut")
FIELD = Path("artifacts/night/field")
PARAMS = {
    "night__sources": "both",
    "night__cut__padding_s": 0.1,
    "night__cut__background_clips": 4,
    "night__cut__max_quarantined": 0.5,
    "night__cut__label_map": {"OWL": "owl"},
    "night__cut__labels": ["owl", "frog"],
}


def plan(*sounds, duration_s=20.0, clip_s=1.0):
    numbered = [Sound(row, *sound) for row, sound in enumerate(sounds)]
    planned = plan_recording(numbered, numbered, duration_s, clip_s, SETTINGS)
    outcomes = [planned.outcomes[row][0] for row in range(len(sounds))]
    return [(round(one.begin_s, 6), one.class_name, one.row) for one in planned.windows], outcomes


def test_a_window_lies_around_its_annotation_and_inside_the_recording():
    assert plan((5.0, 5.4, "owl")) == ([(4.7, "owl", 0)], [USED])
    assert plan((0.0, 0.2, "owl")) == ([(0.0, "owl", 0)], [USED])
    assert plan((19.9, 20.5, "owl")) == ([(19.0, "owl", 0)], [USED])
    assert plan((0.1, 0.3, "owl"), duration_s=0.6) == ([(0.0, "owl", 0)], [USED])


def test_a_long_annotation_is_covered_from_its_beginning_to_its_end():
    assert plan((5.0, 7.5, "owl")) == ([(5.0, "owl", 0), (5.75, "owl", 0), (6.5, "owl", 0)], [USED])
    assert plan((5.0, 7.0, "owl")) == ([(5.0, "owl", 0), (6.0, "owl", 0)], [USED])


def test_an_annotation_in_the_window_of_another_of_its_label_is_merged():
    assert plan((5.0, 5.2, "owl"), (5.3, 5.5, "owl"), (6.0, 6.2, "owl")) == (
        [(4.6, "owl", 0), (5.6, "owl", 2)],
        [USED, MERGED, USED],
    )


def test_a_window_moves_out_of_the_way_of_another_label():
    # middle would be 4.7 to 5.7; 0.1 s of padding lets it begin at 4.9 at the latest, so 4.5 leaves the fox out
    assert plan((5.0, 5.4, "owl"), (5.5, 6.5, "fox"))[0][1] == (4.5, "owl", 0)


def test_rows_that_cannot_be_a_clip_say_why():
    windows, outcomes = plan(
        (5.0, 5.4, "owl"), (5.2, 5.6, "fox"), (25.0, 26.0, "owl"), (3.0, 3.01, "owl"), (-2.0, -1.0, "owl")
    )
    assert (windows, outcomes) == ([], [OVERLAPPING, OVERLAPPING, OUTSIDE, TOO_SHORT, OUTSIDE])


TIMES = st.integers(0, 300).map(lambda n: n / 10)
SOUNDS = st.lists(st.tuples(TIMES, st.integers(1, 40).map(lambda n: n / 10), st.sampled_from("abc")), max_size=12)


@given(drawn=SOUNDS, duration_s=st.integers(2, 300).map(lambda n: n / 10), clip_s=st.sampled_from([0.5, 1.0, 2.5]))
def test_every_row_has_an_outcome_and_no_clip_another_label(drawn, duration_s, clip_s):
    sounds = [Sound(row, begin, begin + length, name) for row, (begin, length, name) in enumerate(drawn)]
    planned = plan_recording(sounds, sounds, duration_s, clip_s, SETTINGS)
    assert sorted(planned.outcomes) == list(range(len(sounds)))
    assert {one.row for one in planned.windows} == {row for row, what in planned.outcomes.items() if what[0] == USED}
    for window in planned.windows:
        end_s = window.begin_s + min(clip_s, duration_s)
        assert window.begin_s >= -1e-9
        assert end_s <= duration_s + 1e-9
        shared = {one.row: min(end_s, one.end_s) - max(window.begin_s, one.begin_s) for one in sounds}
        assert shared[window.row] >= SETTINGS.min_overlap_s - 1e-6
        others = [shared[one.row] for one in sounds if one.class_name != window.class_name]
        assert max(others, default=0) < SETTINGS.min_overlap_s + 1e-9
    free = free_windows(sounds, duration_s, clip_s, 0.1, 0.5)
    assert all(begin + clip_s <= duration_s + 1e-9 for begin in free)
    for begin in free:
        assert all(begin + clip_s <= one.begin_s or one.end_s <= begin for one in sounds)


# ---- the stage, on files


def write_recording(path, seconds, *tones, rate_hz=8000, subtype="PCM_16"):
    """Faint noise, and tones of (begin_s, end_s, frequency) in it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = 0.01 * np.random.default_rng(len(path.name)).standard_normal(time_s.size)
    for begin_s, end_s, hz in tones:
        wave += np.where((time_s >= begin_s) & (time_s < end_s), 0.5 * np.sin(2 * np.pi * hz * time_s), 0)
    soundfile.write(path, wave, rate_hz, subtype=subtype)
    return path


@pytest.fixture
def field(night, params):
    """data/field of two sites: one table over the first's two recordings, a Raven table beside the second's one."""
    params(**PARAMS)
    root = Path("data/field")
    write_recording(root / "north/n1_20240501.wav", 10, (2, 2.3, 500), (6, 6.2, 1500))
    write_recording(root / "north/n1_20240502.WAV", 10, (4, 5.5, 500), rate_hz=11_025)
    write_recording(root / "south/s1.flac", 8, (1, 1.3, 1500), (1.2, 1.4, 500))
    (root / "north/calls.csv").write_text(
        "file,start,end,label,annotator,exhaustive\n"
        "n1_20240501.wav,2,2.3,owl,Ann,true\n"
        "n1_20240501.wav,6,6.2,frog,Ann,true\n"
        "D:\\card\\n1_20240502.wav,4,5.5,OWL,Ben,\n"
        "n1_20240502.WAV,12,13,owl,Ben,\n"
        "n9.wav,1,2,owl,Ben,\n"
        "n1_20240502.WAV,x,2,owl,Ben,\n"
        "n1_20240502.WAV,8,8.2,car,Ben,\n",
        encoding="utf-8",
    )
    (root / "south/s1.Table.1.selections.txt").write_text(
        "Selection\tView\tBegin Time (s)\tEnd Time (s)\tSpecies\n"
        "1\tWaveform 1\t1,0\t1,3\tfrog\n1\tSpectrogram 1\t1,0\t1,3\tfrog\n2\tSpectrogram 1\t1,2\t1,4\towl\n",
        encoding="utf-16",
    )
    (root / "north/CONFIG.TXT").write_text("Device ID: 24\n")
    (root / ".keep").touch()
    return root


def rows_of():
    rows = pd.read_csv(FIELD / "annotations.csv", keep_default_na=False)
    return list(zip(rows["recording"], rows["label"], rows["outcome"], rows["clips"], strict=True))


def test_the_stage_accounts_for_every_row(field, capsys):
    night_cut.main()
    assert rows_of() == [
        ("north/n1_20240501.wav", "owl", "used", 1),
        ("north/n1_20240501.wav", "frog", "used", 1),
        ("north/n1_20240502.WAV", "OWL", "used", 3),
        ("north/n1_20240502.WAV", "owl", "outside the file", 0),
        ("", "owl", "file missing", 0),
        ("north/n1_20240502.WAV", "owl", "bad row", 0),
        ("north/n1_20240502.WAV", "car", "label not wanted", 0),
        ("south/s1.flac", "frog", "overlapping another label", 0),
        ("south/s1.flac", "frog", "repeated view", 0),
        ("south/s1.flac", "owl", "overlapping another label", 0),
    ]
    said = capsys.readouterr().out
    assert "north/CONFIG.TXT: not read: no table of annotations" in said
    assert "3 recordings, 1 of them exhaustive" in said
    counts = json.loads(Path("metrics/night/cut.json").read_text())["cut"]
    assert counts["rows"] == 10 == sum(counts["rows_by_outcome"].values())
    assert counts["clips_by_class"] == {"background": 4, "frog": 1, "owl": 4}


def test_clips_hold_the_samples_of_their_recording_at_its_own_rate(field):
    night_cut.main()
    table = pd.read_csv(CUT / "cut.csv", keep_default_na=False)
    assert sorted(table["path"]) == sorted(path.relative_to(CUT).as_posix() for path in CUT.rglob("*.wav"))
    for row in table.itertuples():
        whole, rate_hz = soundfile.read(Path("data/field", row.recording), dtype="float32")
        wave, cut_rate_hz = read_wav(CUT / row.path)
        first = round(row.begin_s * rate_hz)
        assert (cut_rate_hz, wave.size) == (rate_hz, rate_hz // 2)
        assert np.abs(wave - whole[first : first + wave.size]).max() < 1e-4
    owl = table[table["recording"] == "north/n1_20240501.wav"].set_index("class_name").loc["owl"]
    assert (owl["begin_s"], owl["end_s"], owl["annotator"]) == (1.9, 2.4, "Ann")
    quiet = table[table["class_name"] == "background"]
    assert set(quiet["recording"]) == {"north/n1_20240501.wav"}
    for begin, end in zip(quiet["begin_s"], quiet["end_s"], strict=True):
        assert end <= 1.9 or begin >= 2.4 or end <= 5.9 or begin >= 6.3


def test_without_use_for_them_no_clips_are_written(field, params, capsys):
    params(**PARAMS | {"night__sources": "clips"})
    night_cut.main()
    assert [path.name for path in CUT.rglob("*")] == ["cut.csv"]
    assert rows_of()[0] == ("north/n1_20240501.wav", "owl", "used", 1)
    assert "no clips are written: night.sources is clips" in capsys.readouterr().out


def test_the_same_bytes_again_and_for_any_number_of_workers(field, params):
    def outputs():
        return {path: path.read_bytes() for path in sorted(CUT.rglob("*")) if path.is_file()}

    night_cut.main()
    first = outputs()
    params(**PARAMS, runtime__workers=2)
    night_cut.main()
    assert outputs() == first


def test_a_source_is_the_recording_or_what_the_pattern_finds_in_its_name(field, params):
    night_cut.main()
    assert set(pd.read_csv(CUT / "cut.csv")["source_id"]) == {"north/n1_20240501.wav", "north/n1_20240502.WAV"}
    params(**PARAMS, night__scan__group_pattern=r"^(n\d)_")
    night_cut.main()
    recordings = pd.read_csv(FIELD / "recordings.csv")
    assert recordings["source_id"].tolist() == ["n1", "n1", "south/s1.flac"]


@pytest.mark.parametrize("table", ["Selection\tBegin Time (s)\tEnd Time (s)\n1\t1\t2\n", "\0\0no table"])
def test_a_recording_whose_own_table_cannot_be_read_is_not_exhaustive(field, table, capsys):
    (field / "recordings.csv").write_text("recording,exhaustive\ns1.flac,true\nn1_20240501.wav,true\n")
    (field / "south/s1.Table.1.selections.txt").write_text(table)
    night_cut.main()
    recordings = pd.read_csv(FIELD / "recordings.csv", index_col="path")
    assert recordings["exhaustive"].to_dict() == {
        "north/n1_20240501.wav": True, "north/n1_20240502.WAV": False, "south/s1.flac": False
    }  # fmt: skip
    assert "1 recording not taken as exhaustive: annotations cannot be read (south/s1.flac)" in capsys.readouterr().out


@pytest.mark.fault("B02")
def test_a_recording_with_a_decomposed_name_is_cut_and_found_by_the_composed_one(field):
    (field / "north/n1_20240501.wav").rename(field / "north/Ho\u0308he.wav")
    table = field / "north/calls.csv"
    table.write_text(table.read_text().replace("n1_20240501.wav", "H\u00f6he.wav"), encoding="utf-8")
    (field / "recordings.csv").write_text("recording,exhaustive\nH\u00f6he.wav,true\n", encoding="utf-8")
    night_cut.main()
    assert [(row[1], row[2]) for row in rows_of()[:2]] == [("owl", "used"), ("frog", "used")]
    sources = pd.read_csv(CUT / "cut.csv").set_index("class_name")["source_id"]
    assert sources["frog"] == "north/H\u00f6he.wav"


def test_a_label_that_no_folder_can_be_called_after_is_an_outcome(field, params):
    params(**PARAMS | {"night__cut__labels": []})
    label = "one long remark " * 20
    (field / "south/s1.Table.1.selections.txt").write_text(f"1\t1.3\t{label}\n")
    night_cut.main()
    assert ("south/s1.flac", label.strip(), "label cannot be a class", 0) in rows_of()


def test_recordings_csv_says_exhaustive_and_a_row_that_cannot_be_read_says_no(field):
    (field / "recordings.csv").write_text(
        "recording,exhaustive\ns1.flac,true\nnorth/n1_20240502.wav,true\nn1_20240501.wav,false\nlost.wav,true\n"
    )
    night_cut.main()
    recordings = pd.read_csv(FIELD / "recordings.csv")
    # n1_20240501: the list says no, its table yes; n1_20240502 has a row without a time
    assert recordings["exhaustive"].tolist() == [False, False, True]
    (field / "recordings.csv").write_text("recording,exhaustive\ns1.flac,perhaps\n")
    with pytest.raises(DataError, match=r"line 2: exhaustive is 'perhaps'; write true or false"):
        night_cut.main()


def test_a_recording_of_a_dying_recorder_counts_as_far_as_it_goes(field):
    path = field / "north/n1_20240501.wav"
    path.write_bytes(path.read_bytes()[: 44 + 2 * 8000 * 5])
    flac = field / "south/s1.flac"
    noisy = write_recording(flac, 60, (1, 1.3, 1500))
    noisy.write_bytes(noisy.read_bytes()[:300_000])
    night_cut.main()
    recordings = pd.read_csv(FIELD / "recordings.csv", index_col="path", keep_default_na=False)
    assert recordings.loc["north/n1_20240501.wav", "duration_s"] == 5.0
    assert 1 < recordings.loc["south/s1.flac", "duration_s"] < 60
    assert (recordings["warnings"] == "W_CUT_SHORT").tolist() == [True, False, True]
    assert rows_of()[:2] == [
        ("north/n1_20240501.wav", "owl", "used", 1),
        ("north/n1_20240501.wav", "frog", "outside the file", 0),
    ]


@pytest.mark.parametrize("rate_hz", [384_002, 500_000])
def test_high_and_odd_rates_are_cut(field, rate_hz):
    write_recording(field / "bat.wav", 1.0, (0.3, 0.4, 45_000), rate_hz=rate_hz)
    (field / "bat.txt").write_text("0.3\t0.4\tfrog\n")
    night_cut.main()
    table = pd.read_csv(CUT / "cut.csv").set_index("recording")
    wave, found = read_wav(CUT / table.loc["bat.wav", "path"])
    assert (found, wave.size) == (rate_hz, round(0.5 * rate_hz))


def test_formats_that_nothing_reads_are_named(field):
    for name in ("a.wac", "b.w4v", "c.mp4"):
        (field / name).write_bytes(b"x")
    night_cut.main()
    table = pd.read_csv(FIELD / "quarantine.csv").set_index("path")
    assert table.loc[["a.wac", "b.w4v", "c.mp4"], "reason"].tolist() == ["Q_FORMAT"] * 3


def test_two_recordings_of_one_name_are_told_apart_by_their_folders(field):
    for site in ("a", "b"):
        write_recording(field / site / "0300.wav", 3 + (site == "b"), (1, 1.3, 500))
    (field / "calls.csv").write_text(
        "file,start,end,label\nE:/x/b/0300.wav,1,1.3,owl\n0300.wav,1,1.3,owl\na/0300,1,1.3,frog\n"
    )
    night_cut.main()
    assert rows_of()[:3] == [
        ("b/0300.wav", "owl", "used", 1),
        ("", "owl", "file missing", 0),
        ("a/0300.wav", "frog", "used", 1),
    ]
    assert (
        "2 recordings '0300.wav', such as a/0300.wav and b/0300.wav; name the folder too"
        in (FIELD / "annotations.csv").read_text()
    )


def test_labels_that_differ_in_case_are_refused(field, params):
    params(night__cut__max_quarantined=0.5, night__sources="both")
    with pytest.raises(DataError, match=r"labels 'OWL' and 'owl' differ only in upper and lower case"):
        night_cut.main()


def test_without_field_recordings_the_stage_writes_empty_tables(night, capsys):
    Path("data/field").mkdir()
    Path("data/field/.keep").touch()
    night_cut.main()
    assert "no field recordings in data/field" in capsys.readouterr().out
    assert pd.read_csv(CUT / "cut.csv").columns[0] == "path"
    assert json.loads(Path("metrics/night/cut.json").read_text())["cut"]["clips"] == 0
    night_scan.main()


def test_scan_and_pool_take_clips_from_the_field_or_from_both(field, params, capsys):
    base = PARAMS | {"night__scan__min_seconds": 0.1}
    params(**base)
    night_cut.main()
    night_scan.main()
    assert "15 clips of 2 classes from data/night" in capsys.readouterr().out
    clips = pd.read_csv("artifacts/night/scan/clips.csv")
    assert clips.groupby("origin")["class_name"].nunique().to_dict() == {"clips": 2, "field": 3}
    assert set(clips.loc[clips["origin"] == "field", "source_id"]) <= {"north/n1_20240501.wav", "north/n1_20240502.WAV"}
    night_augment.main()
    pool = pd.read_csv("artifacts/night/pool.csv")
    assert set(pool["class_name"]) == {"asio flammeus", "Flugzeug é", "owl", "frog", "background"}
    params(**base | {"night__sources": "field"})
    night_scan.main()
    assert set(pd.read_csv("artifacts/night/scan/clips.csv")["origin"]) == {"field"}


def test_tables_among_the_clips_are_named_with_what_to_do(night, capsys):
    (night / "asio flammeus/calls.Table.1.selections.txt").write_text("0.5\t1\towl\n")
    (night / "asio flammeus/notes.txt").write_text("a clear night\n")
    night_scan.main()
    assert "1 annotation table among the clips, such as asio flammeus/calls.Table.1.selections.txt, not read" in (
        capsys.readouterr().out
    )
    table = pd.read_csv("artifacts/night/scan/quarantine.csv").set_index("path")
    assert table.loc["asio flammeus/notes.txt", "reason"] == "not audio"


@pytest.mark.real
@pytest.mark.skipif(not (REAL / "field").is_dir(), reason="no real recordings beside the checkout")
def test_the_real_annotated_recordings(night, params):
    shutil.copytree(REAL / "field" / "annotated", "data/field")
    params(night__sources="both", night__mels__clip_seconds=2.5)
    night_cut.main()
    counts = json.loads(Path("metrics/night/cut.json").read_text())["cut"]
    assert counts["rows_by_outcome"] == {"file missing": 13, "used": 24}
    assert counts["clips_by_class"] == {
        "Abbott's Babbler": 2,
        "Common Cuckoo": 12,
        "Eurasian Blackbird": 32,
        "Eurasian Wren": 2,
    }


def test_a_recording_without_clips_has_its_place_in_the_fold_table(field, params):
    params(**PARAMS | {"night__sources": "clips"})
    night_cut.main()
    for stage in (night_scan, night_augment, night_index):
        stage.main()
    folds = read_source_folds(night_index.INDEX).set_index("source_id")["subset"]
    recordings = pd.read_csv(FIELD / "recordings.csv").set_index("source_id")
    placed = folds[recordings.index]
    assert set(placed) == {"val", "test"}
    assert placed["north/n1_20240501.wav"] == "test"  # the exhaustive one is scored first
