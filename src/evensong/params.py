"""Strict loader: one section of params.yaml against one schema. It knows no section itself."""

import difflib
import functools
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.parser import Parser

from evensong.errors import ParamsError

PARAMS_PATH = Path("params.yaml")
_MAX_DEPTH = 20
_MAX_BYTES = 1 << 20
_MOST_BITS = 1024  # of an integer that is shown


class Section(BaseModel):
    """Base of every parameter schema: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


S = TypeVar("S", bound=Section)
T = TypeVar("T")


def read_params(path: Path = PARAMS_PATH) -> dict[str, Any]:
    """Read a params file as DVC reads it (YAML 1.2: ``1e-3`` is a number, ``no`` is a string).

    Returns:
        The tree, which is not to be changed: the next to ask for the same bytes is given the same one.

    Raises:
        ParamsError: missing, over 1 MiB, not YAML, not a mapping, a repeated key, an alias, or too deep a nest.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read ({error.strerror})") from error
    if len(raw) > _MAX_BYTES:
        raise ParamsError(f"{path}: {len(raw)} bytes, more than any parameter file needs")
    return _tree_of(raw, path)


@functools.lru_cache(maxsize=4)  # a stage asks for five sections of one file
def _tree_of(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        yaml = YAML(typ="safe", pure=True)
        yaml.Parser = _PlainParser
        tree = yaml.load(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: not UTF-8 at byte {error.start}") from error
    except YAMLError as error:
        raise ParamsError(f"{path}: {' '.join(str(error).split())}") from error
    except (ValueError, LookupError) as error:  # a number of too many digits, a day that no month has, !!int x
        raise ParamsError(f"{path}: a value that cannot be read ({error})") from error
    if not isinstance(tree, dict):
        raise ParamsError(f"{path}: expected sections such as 'night:' and 'train:', found {type(tree).__name__}")
    return tree


class _PlainParser(Parser):
    """Refuses what takes ever longer to load, at the event that shows it."""

    _depth = 0

    def get_event(self) -> Any:
        event = super().get_event()
        self._depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if isinstance(event, AliasEvent):
            raise YAMLError("aliases (*name) are not allowed; write the value out")
        if self._depth > _MAX_DEPTH:
            raise YAMLError(f"brackets or indents over {_MAX_DEPTH} levels deep")
        return event


def load_section(name: str, schema: type[S], path: Path = PARAMS_PATH) -> S:
    """Load one dotted section, such as ``night.augment``, and check it against its schema.

    Args:
        name: dotted path of the section; empty for the whole file.
        schema: the section's type.

    Raises:
        ParamsError: the section or a key is missing, unknown or mistyped; names the key and the nearest valid one.
    """
    try:
        return schema.model_validate(_value_at(name, path))
    except ValidationError as error:
        lines = [_explain(name, schema, detail) for detail in error.errors()]
        raise ParamsError(f"{path}:\n  " + "\n  ".join(lines)) from error


def load_value(name: str, kind: TypeAdapter[T], path: Path = PARAMS_PATH) -> T:
    """Load one dotted key that stands outside the stages' sections, such as ``voice.subdbs``.

    Raises:
        ParamsError: the key is missing, or its value is not of that kind.
    """
    try:
        return kind.validate_python(_value_at(name, path), strict=True)
    except ValidationError as error:
        lines = [_explain(name, None, detail) for detail in error.errors()]
        raise ParamsError(f"{path}:\n  " + "\n  ".join(lines)) from error


def _value_at(name: str, path: Path) -> Any:
    tree: Any = read_params(path)
    for depth, part in enumerate(filter(None, name.split("."))):
        if not isinstance(tree, dict) or part not in tree:
            parent = ".".join(name.split(".")[:depth]) or str(path)
            near = _nearest(part, [str(key) for key in tree] if isinstance(tree, dict) else [])
            raise ParamsError(f"{path}: '{name}' is missing ('{part}' is not in {parent}{near})")
        tree = tree[part]
    return tree


def _is_word(part: str) -> bool:
    return part.replace("_", "").isalnum()


def _explain(section: str, schema: type[BaseModel] | None, detail: ErrorDetails) -> str:
    """One line for one problem: the dotted key, what is wrong, the nearest valid key."""
    # pydantic also names the branches of a union, as in literal['auto']: those are no keys
    is_unknown = detail["type"] == "extra_forbidden"
    loc = [str(part) for part in detail["loc"]]
    loc = [part for part in loc[:-1] if _is_word(part)] + [part for part in loc[-1:] if is_unknown or _is_word(part)]
    key = ".".join([*filter(None, [section]), *(part if part.isprintable() else repr(part) for part in loc)])
    key = key or "(top level)"
    if is_unknown:
        return f"{key}: unknown key{_nearest(loc[-1], _keys_at(schema, loc[:-1]))}"
    if detail["type"] == "missing":
        return f"{key}: missing key"
    message = detail["msg"].removeprefix("Value error, ")
    if isinstance(detail["input"], dict | list):
        return f"{key}: {message}"
    return f"{key}: {message}, got {_shown(detail['input'])}"


def _shown(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:  # Python does not write it out in decimal digits
        return f"an integer of {value.bit_length()} bits"
    return repr(value)


def _keys_at(schema: type[BaseModel] | None, loc: list[str]) -> list[str]:
    for part in loc:
        field = schema.model_fields.get(part) if schema else None
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        schema = annotation
    return list(schema.model_fields) if schema else []


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known keys: {', '.join(known)}" if known else ""
