"""Names of timm's networks, told from its source: to load timm takes three seconds, and most names are right."""

import importlib.util
import re
from pathlib import Path


def is_registered(name: str) -> bool:
    """Whether timm surely builds a network of this name, a plain one, without a tag of weights.

    False says nothing: `evensong.learn.models.check_model_name` knows the others, and what is wrong with them.
    """
    found = importlib.util.find_spec("timm")
    if found is None or not found.submodule_search_locations or not name.isidentifier():
        return False
    registered = re.compile(rf"^@register_model\ndef {name}\(", flags=re.MULTILINE)
    files = sorted(Path(found.submodule_search_locations[0], "models").glob("*.py"))
    return any(registered.search(file.read_text(encoding="utf-8")) for file in files)
