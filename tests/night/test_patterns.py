"""A pattern that would take years ends with its parameter's name, and so does one that cannot be compiled."""

import signal

import pytest

from evensong.errors import ParamsError
from evensong.night import patterns
from evensong.night.folds import preset_values
from evensong.night.sources import assign_sources
from evensong.schemas import NightScan

ENDLESS = r"^((?:a+)+)$"
NAMES = ["owl/aaa.wav", f"owl/{'a' * 38}!.wav"]


@pytest.mark.fault("H15")
@pytest.mark.parametrize(
    ("parameter", "find"),
    [
        ("night.scan.group_pattern", lambda: assign_sources(dict.fromkeys(NAMES, ""), pattern=ENDLESS, groups=None)),
        ("night.index.fold_pattern", lambda: preset_values(NAMES, ENDLESS)),
    ],
)
def test_a_pattern_that_takes_years_is_stopped(monkeypatch, parameter, find):
    monkeypatch.setattr(patterns, "_SECONDS_A_NAME", 0.2)
    with pytest.raises(ParamsError) as caught:
        find()
    assert f"{parameter} {ENDLESS!r} is not done with file name 2 (39 characters) after 0.2 s" in str(caught.value)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.fault("H15")
@pytest.mark.parametrize("pattern", ["(a{99999999999999999999})", "(" * 5000 + ")" * 5000])
def test_a_pattern_that_cannot_be_compiled_is_refused(pattern):
    with pytest.raises(ValueError, match="not a regular expression"):
        NightScan.model_validate({"group_pattern": pattern})
