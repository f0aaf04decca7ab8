import pytest

from evensong.errors import ResourceError
from evensong.voice.disclosure import positions, told, told_split, unnamed_os_errors


def test_told_hides_one_to_four_patients():
    assert [told(count) for count in (0, 1, 4, 5, 100)] == [0, "<5", "<5", 5, 100]


@pytest.mark.parametrize(
    ("patients", "positives", "shown"),
    [
        (20, 10, (20, 10)),
        (20, 3, (20, "<5")),
        (20, 18, (20, "<5")),  # 2 others would follow from 20 - 18
        (20, 0, (20, 0)),
        (3, 0, ("<5", "<5")),
        (0, 0, (0, 0)),
    ],
)
def test_told_split_hides_positives_from_which_few_patients_follow(patients, positives, shown):
    assert told_split(patients, positives) == shown


def test_positions_joins_runs_and_cuts_long_lists():
    assert positions([9, 3, 5, 6, 7, 3]) == "3, 5-7, 9"
    assert positions(range(0, 20, 2), most=3) == "0, 2, 4 and 7 more"


def test_unnamed_os_errors_keeps_the_reason_and_drops_the_name(tmp_path):
    with pytest.raises(ResourceError, match="No such file") as caught, unnamed_os_errors("reading"):
        (tmp_path / "secret-id").read_bytes()
    assert "secret-id" not in str(caught.value)
    assert caught.value.__suppress_context__
