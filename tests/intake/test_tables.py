import pandas as pd
import pytest

from evensong.errors import IntegrityError
from evensong.intake.tables import read_own_table, used_rows

TEXT = "name,n,status\nNA,1,used\n007,2.5,duplicate\n"


def test_read_own_table_keeps_text_as_it_is_and_reads_numbers(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(TEXT)
    table = read_own_table(path, numbers=["n"], texts=["name"])
    assert table["name"].tolist() == ["NA", "007"]
    assert table["n"].tolist() == [1.0, 2.5]
    pd.testing.assert_frame_equal(used_rows(table), table.iloc[:1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file; run the stage that writes it"),
        ("name,status\n", "no column n; rerun"),
        ("name,n\nsecret,secret\n", "not the table this stage reads"),
        ("", "not the table this stage reads"),
        ('name,n\n"a,1\n', "not the table this stage reads"),
    ],
)
def test_read_own_table_refuses_what_is_none_and_repeats_no_cell(tmp_path, text, message):
    path = tmp_path / "x.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(IntegrityError, match=message) as caught:
        read_own_table(path, numbers=["n"])
    assert "secret" not in str(caught.value)
