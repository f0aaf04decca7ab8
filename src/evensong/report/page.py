"""Templates and what both tracks' pages share: one offline HTML file, and cards in Markdown with front matter."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from ruamel.yaml import YAML

from evensong.errors import IntegrityError
from evensong.intake.tables import read_own_table
from evensong.params import Section
from evensong.report import svg

# As CITATION.cff has it, which a test compares.
CITATION = {
    "authors": "The evensong authors",
    "title": "evensong: imbalanced audio into classifiers whose numbers can be believed",
    "license": "Apache-2.0",
}
_SPACE = re.compile(r"\s+")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def write_page(path: Path, template: str, facts: Mapping[str, Any]) -> None:
    """Render a page: every text is escaped, and the policy in its head allows no network and no script but its own."""
    pages = _environment(autoescape=True)
    script = _source(pages, "page.js")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = {"style": Markup(_source(pages, "page.css")), "script": Markup(script), "script_sha256": allowed}
    _write(path, pages.get_template(template).render(**facts, **own, citation=CITATION))


def write_card(path: Path, template: str, front: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Render a card: its front matter as YAML, and Markdown in which a name is never markup."""
    cards = _environment(autoescape=False, finalize=lambda value: plain(value) if isinstance(value, str) else value)
    text = cards.get_template(template).render(**facts, citation=CITATION)
    _write(path, f"---\n{_yaml(front)}---\n\n{text}")


def plain(text: str) -> str:
    """A text that Markdown and the HTML in it show as it stands, in one line."""
    return text if isinstance(text, Markup) else _SPECIAL.sub(r"\\\1", _SPACE.sub(" ", text)).replace("&", "&amp;")


def read_text(path: Path) -> str:
    """A text output.

    Raises:
        IntegrityError: it is not there, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path}: cannot be read ({type(error).__name__}); run dvc repro") from error


def read_tree(path: Path) -> dict[str, Any]:
    """A metrics file.

    Raises:
        IntegrityError: it is not there, or holds no mapping.
    """
    try:
        tree = json.loads(read_text(path))
    except ValueError as error:
        raise IntegrityError(f"{path}: is not JSON; run dvc repro") from error
    if not isinstance(tree, dict):
        raise IntegrityError(f"{path}: no mapping of names to scores; run dvc repro")
    return tree


def settings_rows(sections: Mapping[str, Section]) -> list[tuple[str, str]]:
    """Dotted key and value of every parameter, as params.yaml has them."""
    return [row for name, section in sections.items() for row in _flat(name, section.model_dump(mode="json"))]


def rows_of(table: pd.DataFrame, *, signed: bool = False) -> list[svg.Row]:
    """Rows of a table of scores as points with intervals."""
    numbers = table[["value", "low", "high"]].astype(object).where(table[["value", "low", "high"]].notna(), None)
    columns = zip(table["of"], table["colour"], numbers.to_numpy().tolist(), strict=True)
    return [
        svg.Row(str(name), value, low, high, str(colour), signed=signed) for name, colour, (value, low, high) in columns
    ]


def row_of(label: str, tree: Mapping[str, Any], colour: str, *, signed: bool = False) -> svg.Row:
    """One score of a metrics file as a point with its interval."""
    return svg.Row(label, tree.get("value"), tree.get("low"), tree.get("high"), colour, signed=signed)


def reach_of(rows: Sequence[svg.Row]) -> tuple[float, float]:
    """Ends of an axis around zero that holds all rows' intervals, the same on both sides."""
    ends = [abs(end) for row in rows for end in (row.value, row.low, row.high) if end is not None]
    widest = max(ends, default=0.1) or 0.1
    return -widest, widest


def verdict(tree: Mapping[str, Any]) -> str:
    """What an interval of a difference says in words."""
    if tree.get("low") is None or tree.get("high") is None:
        return "no interval"
    return "above zero" if tree["low"] > 0 else "below zero" if tree["high"] < 0 else "not distinguishable from zero"


def percent(share: float) -> str:
    """A share as people read it, never broken before its sign."""
    return f"{round(100 * share, 1):g}\N{NO-BREAK SPACE}%"


def breaks(name: str) -> Markup:
    """A long name, escaped, that may be broken where its underscores are."""
    return escape(name).replace("_", Markup("_<wbr>"))


def shortcut_figure(scores: Mapping[str, Any], colour: str) -> Markup | None:
    """Balanced accuracy by technical trait, with chance and what is notable; None where nothing was scored."""
    bounds = {"chance": "chance", "notable_above": "notable above"}
    rows = [
        svg.Row(trait.replace("_", " "), score, colour=colour, digits=2)
        for trait, score in scores.items()
        if trait not in bounds and score is not None
    ]
    marks = [(scores[key], name) for key, name in bounds.items() if scores.get(key) is not None]
    return svg.intervals(rows, "Balanced accuracy from one technical trait alone", marks=marks) if rows else None


def curves_of(path: Path, x: str, y: str, *, dots: bool = False) -> list[svg.Curve]:
    """The curves of a plot table, in its order; the one called chance is dashed."""
    table = read_own_table(path, numbers=(x, y), texts=("curve", "label", "colour"))
    return [
        svg.Curve(
            str(label), list(zip(one[x], one[y], strict=True)), str(one["colour"].iloc[0]), dots, curve == "chance"
        )
        for (curve, label), one in table.groupby(["curve", "label"], sort=False)
    ]


def size_category(n: int) -> str:
    """The range of sizes that data hubs sort by."""
    bounds = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((name for most, name in bounds.items() if n < most), "n>1M")


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [row for key, inner in value.items() for row in _flat(f"{name}.{key}", inner)]
    return [(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]


def _environment(**options: Any) -> Environment:
    made = Environment(
        loader=PackageLoader("evensong.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    made.filters |= {"number": svg.number, "span": svg.span, "verdict": verdict, "breaks": breaks, "percent": percent}
    return made


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _yaml(front: Mapping[str, Any]) -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    stream = io.StringIO()
    yaml.dump(dict(front), stream)
    return stream.getvalue()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
