import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evensong.errors import DataError
from evensong.listen.events import Event
from evensong.listen.raven import read_selections, table_name, write_selections

# What class folders may be called: anything but control characters and line breaks.
names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
millionths = st.integers(0, 10**12).map(lambda n: n / 10**6)
shares = st.integers(0, 10**6).map(lambda n: n / 10**6)
events = st.lists(st.builds(Event, millionths, millionths, names, shares, st.integers(1, 10**6)))


def written(listed: list[Event], recording: str = "night.wav") -> str:
    handle = io.StringIO(newline="")
    write_selections(handle, listed, recording=recording, band_hz=(50, 11_025))
    return handle.getvalue()


def test_table_worked_by_hand() -> None:
    text = written([Event(0, 4.5, "Asio otus", 0.7, 2), Event(3, 6, "rain", 0.9, 1)])
    assert text == (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
        "Begin File\tAnnotation\tConfidence\tWindows\n"
        "1\tSpectrogram 1\t1\t0.000000\t4.500000\t50\t11025\tnight.wav\tAsio otus\t0.700000\t2\n"
        "2\tSpectrogram 1\t1\t3.000000\t6.000000\t50\t11025\tnight.wav\train\t0.900000\t1\n"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(listed=events, recording=names)
def test_what_is_written_is_read(listed: list[Event], recording: str, tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text(written(listed, recording), encoding="utf-8", newline="")
    assert read_selections(path) == listed


def test_waveform_rows_that_raven_adds_are_no_second_events(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    header, row = written([Event(0, 1, "asio", 0.5, 1)]).splitlines()
    path.write_text("\n".join([header, row, row.replace("Spectrogram 1", "Waveform 1")]), encoding="utf-8")
    assert len(read_selections(path)) == 1


@pytest.mark.parametrize(
    ("old", "new"), [("Annotation", "Species"), ("0.500000\t1", "high\t1"), ("Spectrogram 1\t", "")]
)
def test_another_table_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "table.txt"
    path.write_text(written([Event(0, 1, "asio", 0.5, 1)]).replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=r"table\.txt: not a selection table"):
        read_selections(path)


def test_table_name_is_that_of_raven() -> None:
    assert table_name(Path("site 1/20240501_220000.WAV")) == "20240501_220000.Table.1.selections.txt"
