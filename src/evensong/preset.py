"""evensong preset: the values of presets/NAME.yaml into params.yaml, whose comments and order stay."""

import io
import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter

from evensong.audio.mel import check_bands
from evensong.errors import ParamsError
from evensong.params import load_section, read_params
from evensong.schemas import Params

FOLDER = Path("presets")
_WIDTH = 4_096  # no line of ours is ever broken


class _Representer(RoundTripRepresenter):
    """Writes null as a word: without one, ruamel leaves the value out."""


_Representer.add_representer(type(None), lambda one, _: one.represent_scalar("tag:yaml.org,2002:null", "null"))


def describe_presets(root: Path) -> list[str]:
    """Every preset with the first line of its file."""
    paths = sorted((root / FOLDER).glob("*.yaml"))
    return [f"{path.stem:<12}{path.read_text(encoding='utf-8').splitlines()[0].removeprefix('# ')}" for path in paths]


def apply_preset(root: Path, name: str) -> list[str]:
    """Merge a preset into params.yaml, as `dvc exp run -S` would one value at a time.

    Returns:
        What was changed, a line each.

    Raises:
        ParamsError: no such preset, or params.yaml would not fit the schemas any more; nothing is written then.
    """
    names = [line.split()[0] for line in describe_presets(root)]
    if name not in names:
        raise ParamsError(f"no preset {name!r} in {root / FOLDER}; there are {', '.join(names) or 'none'}")
    return set_values(root, read_params(root / FOLDER / f"{name}.yaml"), f"preset {name}")


def set_values(root: Path, values: Mapping[str, Any], why: str) -> list[str]:
    """Merge a nest of values into params.yaml; its comments and order stay.

    Args:
        why: what the values are of, for the message.

    Returns:
        What was changed, a line each.

    Raises:
        ParamsError: params.yaml would not fit the schemas any more; nothing is written then.
    """
    path = root / "params.yaml"
    read_params(path)
    yaml = YAML()
    yaml.preserve_quotes, yaml.width, yaml.Representer = True, _WIDTH, _Representer
    tree = yaml.load(path.read_text(encoding="utf-8"))
    changes = list(_merge(tree, values))
    text = io.StringIO()
    yaml.dump(tree, text)
    part = path.with_name(".params.yaml.part")
    try:
        part.write_text(text.getvalue(), encoding="utf-8", newline="\n")
        _check(part)
        os.replace(part, path)
    except ParamsError as error:
        raise ParamsError(f"{why}: {path} is left as it was; it would not be valid any more: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return changes


def _merge(tree: MutableMapping[str, Any], preset: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in preset.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            yield from _merge(tree[key], value, f"{prefix}{key}.")
        elif key not in tree or tree[key] != value:
            yield f"{prefix}{key}: {tree.get(key)} -> {value}"
            tree[key] = value


def _check(path: Path) -> None:
    """What check_params checks that values of a preset can break."""
    check_bands(load_section("", Params, path))
