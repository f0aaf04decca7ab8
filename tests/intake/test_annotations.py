import contextlib
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pipeline.real import REAL

from evensong.errors import InputFault
from evensong.intake.annotations import BAD_ROW, REPEATED, decode_text, read_annotations

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies\t"


def read(tmp_path: Path, text: str | bytes, label_column: str | None = None):
    path = tmp_path / "table.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_annotations(path, label_column)


def usable(table):
    return [(row.recording, row.begin_s, row.end_s, row.label) for row in table.rows if not row.status]


def test_a_raven_table_with_a_trailing_tab_ragged_rows_and_two_views(tmp_path):
    rows = [
        "1\tWaveform 1\t1\t1.5\t2.25\t100\t900\towl",
        "1\tSpectrogram 1\t1\t1.5\t2.25\t100\t900\towl",
        "2\tSpectrogram 1\t1\t3\t3.5\t100\t900\tfox\t\t",
        "3\tSpectrogram 1\t1\t5\t4\t100\t900\tfox",
        "4\tSpectrogram 1\t1\t5",
        "",
    ]
    table = read(tmp_path, "\r\n".join([RAVEN, *rows]))
    assert (table.kind, table.label_column) == ("raven", "Species")
    assert usable(table) == [("", 1.5, 2.25, "owl"), ("", 3.0, 3.5, "fox")]
    assert [(row.line, row.status) for row in table.rows] == [
        (2, ""),
        (3, REPEATED),
        (4, ""),
        (5, BAD_ROW),
        (6, BAD_ROW),
    ]
    assert [row.detail for row in table.rows[1:] if row.detail] == [
        "another view of line 2",
        "ends at 4, before it begins at 5",
        "'' is no number of seconds",
    ]


def test_one_raven_table_over_several_files_counts_from_the_file_offset(tmp_path):
    header = RAVEN + "Begin Path\tBegin File\tFile Offset (s)"
    rows = [
        "1\tS\t1\t1.5\t2\t1\t2\towl\tC:\\n\\a.wav\ta.wav\t1.5",
        "2\tS\t1\t61.0\t62.5\t1\t2\towl\tC:\\n\\b.wav\tb.wav\t1.0",
    ]
    table = read(tmp_path, "\n".join([header, *rows]))
    assert usable(table) == [("C:\\n\\a.wav", 1.5, 2.0, "owl"), ("C:\\n\\b.wav", 1.0, 2.5, "owl")]
    without = read(tmp_path, "\n".join(line.rsplit("\t", 1)[0] for line in [header, *rows]))
    assert [row.detail for row in without.rows] == [
        "one table over several files has to have Raven's column 'File Offset (s)'"
    ] * 2


def test_an_empty_table_and_one_with_its_header_alone_have_no_rows(tmp_path):
    assert read(tmp_path, "").rows == []
    assert read(tmp_path, RAVEN + "\n").rows == []


def test_audacity_labels_points_and_lines_of_frequencies(tmp_path):
    table = read(tmp_path, "0.5\t1.25\tasio otus\n\\\t100.0\t2000.0\n3\t3\tfox\n4\t5\n")
    assert table.kind == "audacity"
    assert usable(table) == [("", 0.5, 1.25, "asio otus"), ("", 3.0, 3.0, "fox")]
    assert [(row.line, row.detail) for row in table.rows if row.status] == [(4, "no label")]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "header",
    [
        ("audiofilename", "start", "end", "label:species", "label:call_type"),
        ("File", "Start (s)", "End (s)", "Common name", "Confidence"),
        ("filename", "onset", "offset", "event_label", "x"),
    ],
)
def test_tables_with_the_usual_headers(tmp_path, separator, header):
    table = read(tmp_path, f"{separator.join(header)}\n{separator.join(('a/b.wav', '0.5', '2', 'owl', 'B'))}\n")
    assert usable(table) == [("a/b.wav", 0.5, 2.0, "owl")]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,OUT FILE,AUTO ID,MANUAL ID", "/x,a,b.wav,0,0.5,1.5,,MYLU,owl"),
        ("filename,onset,duration,event_label", "b.wav,0.5,1.5,owl"),
        ("file,start,end,duration,label", "b.wav,0.5,2,9,owl"),
        ("file,onset,offset,duration,label", "b.wav,0.5,2,9,owl"),
    ],
)
def test_a_table_with_durations_in_place_of_ends(tmp_path, header, row):
    assert usable(read(tmp_path, f"{header}\n{row}\n")) == [("b.wav", 0.5, 2.0, "owl")]


def test_no_duration_is_below_zero(tmp_path):
    table = read(tmp_path, "start,duration,label\n1,-0.5,owl\n1,,owl\n2,0,owl\n")
    assert usable(table) == [("", 2.0, 2.0, "owl")]
    assert [row.detail for row in table.rows] == ["a duration of -0.5", "'' is no number of seconds", ""]


@pytest.mark.parametrize("header", ["offset,label", "file,duration,label", "start,label", "onset,offset_hz,label"])
def test_a_table_without_both_times_is_refused(tmp_path, header):
    with pytest.raises(InputFault, match="names no start and end"):
        read(tmp_path, f"{header}\n1,2,3\n")


def test_a_label_column_by_name(tmp_path):
    text = "file,start,end,species,call\na.wav,0,1,owl,hoot\n"
    assert usable(read(tmp_path, text, "Call"))[0][3] == "hoot"
    assert usable(read(tmp_path, text, "file"))[0][3] == "a.wav"
    with pytest.raises(InputFault, match=r"no column 'sex', which night.cut.label_column asks for"):
        read(tmp_path, text, "sex")
    with pytest.raises(InputFault, match=r"no column of labels among file, start, end, sp; name one in night.cut"):
        read(tmp_path, "file,start,end,sp\na.wav,0,1,owl\n")


def test_exhaustive_and_annotator_columns(tmp_path):
    text = "file,start,end,label,annotator,exhaustive\na,0,1,owl,Zoë,yes\na,0,1,owl,,\na,0,1,owl,,maybe\n"
    rows = read(tmp_path, text).rows
    assert [(row.annotator, row.exhaustive) for row in rows] == [("Zoë", True), ("", None), ("", None)]
    assert rows[2].detail == "exhaustive 'maybe'; write true or false"


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ("a\t0:01\t2\towl", "'0:01' is no number of seconds"),
        ("a\tnan\t2\towl", "'nan' is no number of seconds"),
        ("a\t1\t1,234.5\towl", "'1,234.5' is no number of seconds"),
        ("a\t1\t2\t", "no label"),
        ("a\t1\t2\towl\tmore", "5 cells, the header has 4"),
        ("a\t1\t2\tow\u200bl", "invisible character"),
    ],
)
def test_a_bad_row_keeps_its_reason(tmp_path, row, detail):
    table = read(tmp_path, f"file\tstart\tend\tlabel\n{row}\nb\t1\t2\towl\n")
    assert table.rows[0].status == BAD_ROW
    assert table.rows[0].detail.startswith(detail)
    assert usable(table) == [("b", 1.0, 2.0, "owl")]


def test_decimal_commas_are_read_and_refused_beside_decimal_points(tmp_path):
    assert usable(read(tmp_path, "0,5\t1,25\towl\n")) == [("", 0.5, 1.25, "owl")]
    assert usable(read(tmp_path, 'start,end,label\n"0,5",2,owl\n')) == [("", 0.5, 2.0, "owl")]
    assert usable(read(tmp_path, "start;end;label\n0,5;2;owl\n")) == [("", 0.5, 2.0, "owl")]
    mixed = read(tmp_path, "0,5\t1,25\towl\n2.5\t3\towl\n")
    assert usable(mixed) == [("", 2.5, 3.0, "owl")]
    assert mixed.rows[0].detail == "'0,5': a decimal comma in a table with decimal points"
    torn = read(tmp_path, "file,start,end,label\na.wav,0,5,1,25,owl\n")
    assert torn.rows[0].detail.startswith("6 cells, the header has 4; a decimal comma needs quotes")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings(tmp_path, encoding):
    assert usable(read(tmp_path, "0.5\t1\tchevêche d’Athéna\n".encode(encoding)))[0][3] == "chevêche d’Athéna"


def test_what_is_no_table_is_refused(tmp_path):
    for raw in (
        b"# notes of the night\n",
        b"a,b,c\n1,2,3\n",
        b"\x81\x8d\x90",
        b"start,end,label,label\n",
        b"0\t1\tx\x00",
    ):
        with pytest.raises(InputFault, match="Q_TABLE"):
            read(tmp_path, raw)
    with pytest.raises(InputFault, match=r"Q_TABLE: line 2: .*check the quotes"):
        read(tmp_path, 'start,end,label\n1,2,"owl\n')


TIMES = st.integers(0, 10**7).map(lambda n: n / 1000)
LABELS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@given(rows=st.lists(st.tuples(TIMES, TIMES, LABELS), min_size=1), has_commas=st.booleans(), is_raven=st.booleans())
def test_what_is_written_is_read_back(tmp_path_factory, rows, has_commas, is_raven):
    """Every row comes back, in order, whatever the label; those that end before they begin as bad rows."""
    path = tmp_path_factory.mktemp("tables") / "t.txt"
    header = "Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n" if is_raven else ""
    lines = [f"{begin:.3f}\t{end:.3f}\t{label}\n" for begin, end, label in rows]
    if has_commas:
        lines = [line.rpartition("\t")[0].replace(".", ",") + "\t" + line.rpartition("\t")[2] for line in lines]
    lines = [f"{n}\t{line}" if is_raven else line for n, line in enumerate(lines, 1)]
    path.write_text(header + "".join(lines), encoding="utf-8", newline="")
    read_back = read_annotations(path).rows
    assert [row.line for row in read_back] == [n + is_raven for n in range(1, len(rows) + 1)]
    for (begin, end, _), row in zip(rows, read_back, strict=True):
        assert (row.status == "") == (begin <= end)
        assert row.status or (row.begin_s, row.end_s) == pytest.approx((begin, end))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    path.write_bytes(raw)
    with contextlib.suppress(InputFault):
        assert all(row.status or math.isfinite(row.end_s - row.begin_s) for row in read_annotations(path).rows)


@given(st.text(max_size=30).filter(lambda text: "\0" not in text))
def test_utf8_text_is_decoded_as_it_is(text):
    assert decode_text(text.encode("utf-8-sig")) == text


@pytest.mark.real
@pytest.mark.skipif(not (REAL / "field").is_dir(), reason="no real recordings beside the checkout")
def test_the_real_tables():
    tables = {path.name: read_annotations(path) for path in (REAL / "field" / "raven").iterdir()}
    found = {name: (table.kind, table.label_column, len(usable(table))) for name, table in tables.items()}
    assert found == {
        "EmptyExample.Table.1.selections.txt": ("raven", "", 0),
        "MSD-0003_20180427_2minstart00.Table.1.selections.txt": ("raven", "Species", 9),  # and one row without a label
        "raven_with_Annotation_col.txt": ("raven", "Annotation", 1),
    }
    table = read_annotations(REAL / "field" / "annotated" / "annotations.csv")
    assert (table.label_column, len(usable(table)), len(table.rows)) == ("label:species", 37, 37)
