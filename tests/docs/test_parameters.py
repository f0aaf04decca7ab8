"""docs/parameters.md: it is current, whole, and what it says of ranges is what the schemas take."""

import json

import pytest
from ruamel.yaml import YAML
from tests.docs.commands import ROOT
from tools import list_parameters

from evensong.errors import ParamsError
from evensong.params import load_section
from evensong.report.page import settings_rows
from evensong.schemas import Params

ROWS = {row.path: row for row in list_parameters.parameters()}
ENDS = {"stretch_rate": (0.8, 2), "noise_snr_db": (-20, 40), "gain_db": (-60, 24), "pitch_semitones": (-12, 12)}


def test_the_page_is_current():
    assert list_parameters.OUT.read_text(encoding="utf-8") == list_parameters.page(), "run: make docs"


def test_every_parameter_is_there_with_its_value_and_a_meaning():
    params = load_section("", Params, ROOT / "params.yaml")
    sections = {"night": params.night, "voice": params.voice, "train": params.train, "runtime": params.runtime}
    for path, value in settings_rows(sections):
        if path.endswith((".min", ".max")):
            path, _, end = path.rpartition(".")
            assert f"{end}: {float(value):g}" in ROWS[path].value
        else:
            told = json.loads(ROWS[path].value)
            assert told == (value if isinstance(told, str) else json.loads(value)), path
    assert [path for path, row in ROWS.items() if not row.meaning] == []


def test_ranges_units_and_maps_by_hand():
    assert ROWS["night.cut.padding_s"][2:4] == ("0 to 60", "s")
    assert ROWS["train.label_smoothing"].range == "0 or more, below 1"
    assert ROWS["night.augment.background_target"].range == "1 to 1,000,000, whole or `null`"
    assert ROWS["voice.embed.models.<name>.pooling"].range == "`mean`, `max`, `both`"
    assert ROWS["night.augment.gain_db"][1:4] == ("{min: -12, max: 6}", "from `min` to `max`", "dB")


@pytest.mark.parametrize("name", ENDS)
def test_the_ends_that_a_meaning_tells_are_those_that_are_refused(name, tmp_path):
    low, high = ENDS[name]
    assert f"within {low} to {high}" in ROWS[f"night.augment.{name}"].meaning
    tree = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for ends, is_taken in (((low, high), True), ((low - 0.01, high), False), ((low, high + 0.01), False)):
        tree["night"]["augment"][name] = dict(zip(("min", "max"), ends, strict=True))
        YAML().dump(tree, tmp_path / "params.yaml")
        if is_taken:
            load_section("", Params, tmp_path / "params.yaml")
        else:
            with pytest.raises(ParamsError, match="must lie within"):
                load_section("", Params, tmp_path / "params.yaml")
