"""Write docs/parameters.md: every parameter with its value in params.yaml, its range, its unit and what it is.

    python tools/list_parameters.py

Ranges come from the schemas, meanings from the comments beside their fields.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from evensong import schemas  # noqa: E402

OUT = ROOT / "docs/parameters.md"
TABLE = "| parameter | value | range | unit | what it is |\n|---|---|---|---|---|\n"
BAR = "\\|"
UNITS = {
    "hz": "Hz",
    "seconds": "s",
    "s": "s",
    "db": "dB",
    "dbfs": "dBFS",
    "px": "pixels",
    "semitones": "semitones",
    "share": "share",
    "epochs": "epochs",
}
HEAD = """# Parameters

Every value of `params.yaml`, as it is committed. `dvc exp run -S night.mels.n_mels=128` changes one for a single run,
an editor for good; [recipes](recipes.md#which-change-reruns-what) has what reruns. A value outside its range and a name
that is unknown are refused with exit code 2, before any output is touched. `make docs` writes this page from the
schemas.
"""


class Row(NamedTuple):
    """One parameter; texts as they are told, without markup."""

    path: str
    value: str
    range: str
    unit: str
    meaning: str


def main() -> None:
    """Write the page."""
    OUT.write_text(page(), encoding="utf-8", newline="\n")


def page() -> str:
    """The whole of docs/parameters.md: a table a section, in the order of params.yaml."""
    tables: dict[str, list[str]] = {}
    for row in parameters():
        names = row.path.split(".")
        section = ".".join(names[: min(2 if names[0] in ("night", "voice") else 1, len(names) - 1)])
        name = row.path.removeprefix(f"{section}.")
        cells = [f"`{name}`", f"`{row.value}`" if row.value else "", row.range, row.unit, row.meaning]
        tables.setdefault(section, []).append(f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |\n")
    return HEAD + "".join(f"\n## {section}\n\n{TABLE}{''.join(rows)}" for section, rows in tables.items())


def parameters() -> Iterator[Row]:
    """Every parameter in the order of params.yaml, and what a map or a null value may hold."""
    tree = YAML().load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    yield from _rows("Params", "", tree)


def _rows(model: str, path: str, values: CommentedMap | None) -> Iterator[Row]:
    fields = getattr(schemas, model).model_json_schema()["properties"]
    for name in fields if values is None else values:
        here = f"{path}.{name}".lstrip(".")
        value = None if values is None else values[name]
        inner, is_map = _model_in(fields[name]), "additionalProperties" in fields[name]
        is_section = isinstance(value, CommentedMap) and inner not in (None, "Range") and not is_map
        if not is_section:
            shown = "" if values is None else told_value(value)
            yield Row(here, shown, told_range(fields[name]), unit(name), meaning(model, name))
        if inner not in (None, "Range"):
            yield from _rows(inner, f"{here}.<name>" if is_map else here, value if is_section else None)


def told_value(value: Any) -> str:
    """A value as one would write it after `-S`, or in params.yaml."""
    if isinstance(value, CommentedMap):
        return "{" + ", ".join(f"{key}: {told_value(one)}" for key, one in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _model_in(schema: dict[str, Any]) -> str | None:
    """The model that a field holds, by name or in a map."""
    held = [schema, schema.get("additionalProperties", {}), *schema.get("anyOf", [])]
    return next((str(one["$ref"]).rsplit("/", 1)[-1] for one in held if isinstance(one, dict) and "$ref" in one), None)


def told_range(schema: dict[str, Any]) -> str:
    """What a field takes, in words."""
    if "anyOf" in schema:
        return " or ".join(told_range(one) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "map")
    if kind == "array":
        return f"list of {told_range(schema['items'])}"
    if kind == "object" or "$ref" in schema:
        return "from `min` to `max`" if str(schema.get("$ref")).endswith("/Range") else "map"
    if kind in ("number", "integer"):
        return _told_bounds(schema) + (", whole" if kind == "integer" else "")
    return {"boolean": "`true`, `false`", "null": "`null`", "string": "text"}.get(kind, kind)


def _told_bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    parts = [f"{low:,} or more" if low is not None else "", f"{high:,} or less" if high is not None else ""]
    if "exclusiveMinimum" in schema:
        parts.insert(0, f"above {schema['exclusiveMinimum']:,}")
    if "exclusiveMaximum" in schema:
        parts.append(f"below {schema['exclusiveMaximum']:,}")
    return ", ".join(part for part in parts if part) or "number"


def unit(name: str) -> str:
    """The unit that a name ends in."""
    return UNITS.get(name.rsplit("_", 1)[-1], "")


def meaning(model: str, name: str) -> str:
    """The comment beside a field of a schema, or of the schema that it inherits from."""
    found = (COMMENTS.get((base.__name__, name)) for base in getattr(schemas, model).__mro__)
    return next((text for text in found if text), "")


def _comments() -> dict[tuple[str, str], str]:
    """Comments beside fields by class and name."""
    text = Path(str(schemas.__file__)).read_text(encoding="utf-8")
    lines, found = text.splitlines(), {}
    for one in ast.parse(text).body:
        for field in one.body if isinstance(one, ast.ClassDef) else []:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                comment = lines[(field.end_lineno or 1) - 1][field.end_col_offset or 0 :].strip("# ")
                found[one.name, field.target.id] = comment
    return found


COMMENTS = _comments()

if __name__ == "__main__":
    main()
