"""Every output is read back: by csv, json, pyarrow where it is, and our own reader of annotation tables."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evensong.errors import ParamsError, ResourceError
from evensong.intake.annotations import read_annotations
from evensong.intake.names import name_fault, nfc
from evensong.listen import outputs
from evensong.listen.found import Event, Found
from evensong.run.text import plain_cell

# What class folders may be called: anything but control characters and line breaks.
names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
millionths = st.integers(0, 10**12).map(lambda n: n / 10**6)
shares = st.integers(0, 10**6).map(lambda n: n / 10**6)
events = st.lists(st.builds(Event, millionths, millionths, names, shares, st.integers(1, 10**6)))
on_disk = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
COLUMNS = {"file": str, "begin_s": float, "windows": int}


def found(listed: list[Event], path: str = "card/night.wav", seconds: float = 60.0) -> Found:
    return Found(Path(path), Path(Path(path).name), seconds, 48_000, (), 1, 0, None, listed)


OWL, RAIN = Event(0, 4.5, "Asio otus", 0.7, 2), Event(3, 6, "rain", 0.9, 1)


def test_selection_table_worked_by_hand(tmp_path: Path) -> None:
    outputs.write_raven(tmp_path / "t.txt", found([OWL, RAIN]), (50, 11_025))
    assert (tmp_path / "t.txt").read_text(encoding="utf-8") == (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
        "Begin File\tAnnotation\tConfidence\tWindows\n"
        "1\tSpectrogram 1\t1\t0.000000\t4.500000\t50\t11025\tnight.wav\tAsio otus\t0.700000\t2\n"
        "2\tSpectrogram 1\t1\t3.000000\t6.000000\t50\t11025\tnight.wav\train\t0.900000\t1\n"
    )


@on_disk
@given(listed=events, recording=names.filter(lambda name: "/" not in name and name not in (".", "..")))
def test_a_selection_table_is_read_as_it_was_written(listed: list[Event], recording: str, tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    outputs.write_raven(path, found(listed, recording), (50, 11_025))
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert {row["Begin File"] for row in rows} <= {recording}
    times = [(float(row["Begin Time (s)"]), float(row["End Time (s)"])) for row in rows]
    kinds = [(row["Annotation"], float(row["Confidence"]), int(row["Windows"])) for row in rows]
    assert [Event(*time, *kind) for time, kind in zip(times, kinds, strict=True)] == listed


def test_one_table_of_many_recordings_runs_on(tmp_path: Path) -> None:
    path = tmp_path / "all.txt"
    outputs.write_raven_of_many(path, [found([OWL], "a/1.wav"), found([], "a/2.wav"), found([RAIN], "b/1.wav")], (0, 9))
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert [(row["Selection"], row["Begin Time (s)"], row["File Offset (s)"]) for row in rows] == [
        ("1", "0.000000", "0.000000"),
        ("2", "123.000000", "3.000000"),
    ]
    read = read_annotations(path).rows
    assert [(row.recording, row.begin_s, row.end_s, row.label, row.status) for row in read] == [
        ("a/1.wav", 0, 4.5, "Asio otus", ""),
        ("b/1.wav", 3, 6, "rain", ""),
    ]


@on_disk
@given(
    listed=st.lists(st.tuples(millionths, millionths, names.filter(lambda name: nfc(name) == name.strip())), min_size=1)
)
def test_audacity_labels_are_read_as_they_were_written(listed, tmp_path: Path) -> None:
    track = [Event(min(pair), max(pair), name, 0.5, 1) for *pair, name in listed if name_fault(name) is None]
    outputs.write_audacity(tmp_path / "l.txt", found(track))
    rows = read_annotations(tmp_path / "l.txt").rows if track else []
    read = [(round(row.begin_s, 6), round(row.end_s, 6), row.label) for row in rows]
    assert read == [(one.begin_s, one.end_s, one.class_name) for one in track]


def test_birdnets_columns(tmp_path: Path) -> None:
    outputs.write_birdnet(tmp_path / "b.csv", [found([OWL, RAIN])])
    assert (tmp_path / "b.csv").read_text(encoding="utf-8") == (
        "Start (s),End (s),Scientific name,Common name,Confidence,File\n"
        "0,4.5,Asio otus,Asio otus,0.7,card/night.wav\n"
        "3,6,rain,rain,0.9,card/night.wav\n"
    )


@on_disk
@given(rows=st.lists(st.tuples(st.none() | names, st.none() | millionths, st.none() | st.integers(0, 9))))
def test_tables_are_read_as_they_were_written(rows: list, tmp_path: Path) -> None:
    outputs.write_table(tmp_path / "t.jsonl", COLUMNS, iter(rows))
    lines = (tmp_path / "t.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert [tuple(json.loads(line).values()) for line in lines] == rows
    outputs.write_table(tmp_path / "t.csv", COLUMNS, iter(rows))
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as handle:
        header, *read = csv.reader(handle)
    assert header == list(COLUMNS)
    shown = [["" if cell is None else str(plain_cell(cell)) for cell in row] for row in rows]
    assert [[text, *map(str, numbers)] for text, *numbers in read] == shown


def test_parquet_is_read_as_it_was_written(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [["a.wav", 0.5, 1], [None, None, None]]
    outputs.write_table(tmp_path / "t.parquet", COLUMNS, iter(rows))
    table = parquet.read_table(tmp_path / "t.parquet")
    assert [str(kind) for kind in table.schema.types] == ["string", "double", "int64"]
    assert [list(row.values()) for row in table.to_pylist()] == rows
    outputs.write_table(tmp_path / "empty.parquet", COLUMNS, iter([]))
    assert parquet.read_table(tmp_path / "empty.parquet").column_names == list(COLUMNS)


def test_parquet_without_its_package_is_known_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ResourceError, match="pip install pyarrow"):
        outputs.check_table(tmp_path / "t.parquet", "--out")
    outputs.check_table(tmp_path / "t.csv", "--out")


@pytest.mark.fault("H10")
def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    outputs.write_table(tmp_path / "t.csv", {"file": str, "class": str}, [["@x.wav", "=1+1"]])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "file,class\n'@x.wav,'=1+1\n"


def test_a_file_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    outputs.write_table(path, {"old": str}, [])

    def interrupted():
        yield ["half of the new"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outputs.write_table(path, {"new": str}, interrupted())
    assert [(left.name, left.read_text()) for left in tmp_path.iterdir()] == [("x.csv", "old\n")]


def test_a_folder_for_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="a folder; name a file in it"):
        outputs.check_table(tmp_path, "--out")


@pytest.mark.parametrize("name", ["night.wav", "z.xlsx", "scores", ".csv"])
def test_a_name_that_no_writer_knows_is_refused(name: str) -> None:
    with pytest.raises(ParamsError, match=r"--out .*: the name must end in \.csv, \.jsonl or \.parquet"):
        outputs.check_table(Path(name), "--out")


def test_one_place_for_two_outputs_is_refused(tmp_path: Path) -> None:
    outputs.check_apart([("--out", tmp_path / "a.csv"), ("--out", tmp_path / "a.work"), ("--raven", tmp_path / "a")])
    (tmp_path / "link").symlink_to(tmp_path)
    for twin in (tmp_path / "a.csv", tmp_path / "A.CSV", tmp_path / "link" / "x" / ".." / "a.csv"):
        with pytest.raises(ParamsError, match="that is a place of --out; name another"):
            outputs.check_apart([("--out", tmp_path / "a.csv"), ("--birdnet", twin)])
