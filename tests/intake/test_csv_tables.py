import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evensong.errors import DataError
from evensong.intake.csv_tables import read_table

COLUMNS = ("healthCode", "x")
CANARY = "00000000-0000-4000-8000-00000000cafe"
CELLS = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=12)


def write(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.fault("E02", "E07", "E08")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS).filter(lambda row: "".join(row).strip()), min_size=1, max_size=8),
    st.permutations([*COLUMNS, "other"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_read_table_returns_every_cell_as_written(tmp_path, rows, header, has_mark, line_end):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    for health_code, x, other in rows:
        cells = {"healthCode": health_code, "x": x, "other": other}
        writer.writerow([cells[name] for name in header])
    table = read_table(write(tmp_path, b"\xef\xbb\xbf" * has_mark + text.getvalue().encode()), COLUMNS)
    assert list(zip(table.values["healthCode"], table.values["x"], strict=True)) == [row[:2] for row in rows]
    assert table.n_other_columns == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.binary(max_size=80) | st.text('healthCode,x\n"\r;', max_size=60).map(str.encode))
def test_read_table_reads_rows_of_equal_length_or_refuses(tmp_path, raw):
    path = write(tmp_path, b"healthCode,x\n" + raw)
    try:
        table = read_table(path, COLUMNS)
    except DataError:
        return
    assert len(table.lines) == len(table.values["healthCode"]) == len(table.values["x"]) > 0
    assert sorted(table.lines) == table.lines


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_read_table_counts_lines_over_quoted_line_breaks_and_empty_lines(tmp_path, line_end):
    text = line_end.join(["healthCode,x", 'a,"1', '2"', "", "b,3", ""])
    assert read_table(write(tmp_path, text), COLUMNS).lines == [2, 5]


def test_read_table_takes_header_cells_left_blank_as_spreadsheets_do(tmp_path):
    table = read_table(write(tmp_path, "healthCode,x,,\na,1,,\nb,2,,\n"), COLUMNS)
    assert (table.values["x"], table.n_other_columns) == (["1", "2"], 2)


def test_read_table_skips_rows_of_blank_cells_like_empty_lines(tmp_path):
    table = read_table(write(tmp_path, "healthCode,x\na,1\n,\n , \nb,2\n,,,\n"), COLUMNS)
    assert (table.lines, table.values["healthCode"]) == ([2, 5], ["a", "b"])


@pytest.mark.fault("E01", "E03", "E04", "E05", "E06", "E09", "E10", "E11")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("healthCode,y\n{id},1\n", r"missing column\(s\) x; found healthCode, y"),  # E01
        ("healthcode,y\n{id},1\n", r"\) healthCode, x; found healthcode, y; rename column 1 to healthCode$"),  # E01
        ("healthCode,dx,{id}\n{id},1,\n", r"missing column\(s\) x; found healthCode, dx, \(column 3\)$"),  # E01
        ("z,health_code\n1,{id}\n", r"found z, health_code; rename column 2 to healthCode$"),  # E01
        ("{id},1\n{id},2\n", "the first line holds 2 field.* is the header missing"),  # E01, no header at all
        ("healthCode,x,x\n{id},1,2\n", r"repeated in the header: x"),  # E03
        ("healthCode,x,a,a\n{id},1,2,3\n", r"repeated in the header: a$"),  # E03
        ("healthCode,x,{id},{id}\n{id},1,2,3\n", r"repeated in the header: \(column 3\)$"),  # E03
        ("healthCode,x\n{id},1,9\n{id},2,9\n", r"2 problem.*\n.*line 2: 3 field.*\n.*line 3: 3 field"),  # E04
        ("healthCode,x\n{id},1\n{id}\n", r"line 3: 1 field\(s\), the header has 2"),  # E05
        ('healthCode,x\n{id},1\n"{id},2\n', r"line 3: .*quotes"),  # E05
        ("healthCode;x\n{id};1\n", "separated by a semicolon"),  # E06
        ('"healthCode";"x"\n"{id}";"1"\n', "separated by a semicolon"),  # E06, as R writes it
        ('"healthCode"\t"x"\n"{id}"\t"1"\n', "separated by a tab"),  # E06
        ("sep=,\nhealthCode,x\n{id},1\n", "remove the first line, sep="),
        ("healthCode\tx\n{id}\t1\n", "separated by a tab"),  # E06
        (b"healthCode,x\n" + CANARY.encode() + b",\xe9\n", "not UTF-8 at byte 50"),  # E09: 13 + 36 + 1
        (b"\xef\xbb\xbfhealthCode,x\n\xe9,1\n", "not UTF-8 at byte 16"),  # E09
        ("healthCode,x\n{id},1\n{id}\x00,2\n", "NUL byte on line 3"),  # E10
        ("", "the file is empty"),  # E11
        ("\ufeff\n\n", "the file is empty"),  # E11
        ("healthCode,x\n", "a header and no row"),  # E11
    ],
)
def test_read_table_refuses_a_fault_with_its_place_and_no_cell(tmp_path, content, message):
    raw = content if isinstance(content, bytes) else content.replace("{id}", CANARY)
    with pytest.raises(DataError, match=f"(?s){message}") as caught:
        read_table(write(tmp_path, raw), COLUMNS)
    assert "cafe" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.uuids(version=4), st.uuids(version=4))
def test_read_table_shows_no_first_line_that_may_be_a_patient_s(tmp_path, first, second):
    with pytest.raises(DataError, match="is the header missing") as caught:
        read_table(write(tmp_path, f"{first},{second}\n{second},{first}\n"), COLUMNS)
    assert not {str(first), str(second)} & set(str(caught.value).replace(",", " ").split())


def test_read_table_says_when_the_file_is_missing(tmp_path):
    with pytest.raises(DataError, match="the file is missing"):
        read_table(tmp_path / "table.csv", COLUMNS)


def test_read_table_shows_twenty_problems_and_counts_the_rest(tmp_path):
    with pytest.raises(DataError, match=r"30 problem(.|\n)*and 10 more"):
        read_table(write(tmp_path, "healthCode,x\n" + "a\n" * 30), COLUMNS)
