import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from dvc_render.vega_templates import TEMPLATES
from ruamel.yaml import YAML

from evensong.score import palette

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / ".dvc/plots").glob("*.json"))
PLOTS = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["plots"]
DRAWN = [(name, plot) for entry in PLOTS if isinstance(entry, dict) for name, plot in entry.items()]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_template_is_json_that_takes_the_data_and_keeps_revisions_apart(path):
    text = path.read_text(encoding="utf-8")
    assert json.loads(text)["data"]["values"] == "<DVC_METRIC_DATA>"
    assert '"field": "rev"' in text or "datum.rev" in text
    assert "http" not in text.replace("https://vega.github.io/schema/vega-lite/v5.json", "")


@pytest.mark.parametrize(("name", "plot"), DRAWN, ids=[name for name, _ in DRAWN])
def test_plot_names_a_template_that_exists(name, plot):
    builtin = {template.DEFAULT_NAME for template in TEMPLATES}
    assert plot["template"] in builtin | {path.stem for path in PATHS}


def test_templates_and_palette_agree_on_the_grey_of_chance():
    greys = {grey for path in PATHS for grey in re.findall(r"#8[0-9a-f]{5}\b", path.read_text(encoding="utf-8"))}
    assert greys == {palette.GREY}


def test_every_template_is_used():
    assert {path.stem for path in PATHS} <= {plot["template"] for _, plot in DRAWN}


def test_rendering_tool_says_what_it_needs(monkeypatch, capsys, tmp_path):
    spec = importlib.util.spec_from_file_location("render_plots", ROOT / "tools/render_plots.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert tool.main([str(tmp_path / "out")]) == 2
    assert "pip install vl-convert-python" in capsys.readouterr().err
