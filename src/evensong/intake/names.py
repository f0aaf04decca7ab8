"""Names people type -> safe path parts; names themselves stay in every table."""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

_MAX_SLUG = 80
_SHOWN = 3
_UNSAFE = re.compile(r"[^0-9A-Za-z._-]+")
_DEVICE_NAMES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
)
# Control characters, line and paragraph separators, and what cannot be seen: with a zero-width space or a change of
# direction in one of them, two names look the same.
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})
_JOINED = re.compile(r"(?<=[\u0590-\u1fff\u2100-\U0010ffff])[\u200c\u200d]")  # as Persian, Hindi and emoji need them


def nfc(name: str) -> str:
    """A name in its composed Unicode form, the form names are compared and sorted in."""
    return unicodedata.normalize("NFC", name)


def name_fault(name: str) -> str | None:
    """Why a file or folder name cannot be used, or None when it can.

    Args:
        name: one path part as the operating system gives it.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the name is not UTF-8 (bytes {os.fsencode(name[error.start : error.end]).hex()})"
    for character in _unseen(name):
        kind = "control" if unicodedata.category(character) == "Cc" else "invisible"
        return f"{kind} character U+{ord(character):04X} in the name"
    return None


def counted(n: int, noun: str) -> str:
    """A number and its noun, such as '1 source' and '2 sources'."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def tally(counts: Mapping[str, int]) -> str:
    """Counts by name as text, such as 'Q_CORRUPT 1, Q_TOO_SHORT 164', sorted by name."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def some_of(names: Sequence[str]) -> str:
    """The first three names, with dots where there are more."""
    return ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])


def printable(name: str) -> str:
    """A name that fits on one line of a report: unseen characters and undecodable bytes as escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    for character in _unseen(text):
        text = text.replace(character, character.encode("unicode_escape").decode("ascii"))
    return text


def _unseen(name: str) -> list[str]:
    return [character for character in _JOINED.sub("", name) if unicodedata.category(character) in _UNSEEN]


def slug(name: str) -> str:
    """An ASCII path part, at most 80 characters: accents dropped, other scripts in Punycode, the rest as ``_``."""
    decomposed = unicodedata.normalize("NFKD", name)
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    if any(ord(character) > 127 and character.isalnum() for character in bare):
        # Punycode keeps two names apart where dropping their letters would make them one.
        bare = "xn--" + nfc(name).encode("punycode").decode("ascii")
    part = _UNSAFE.sub("_", bare)[:_MAX_SLUG].strip("._") or "x"
    return f"{part}_" if part.split(".")[0].lower() in _DEVICE_NAMES else part


def unique_slugs(names: Mapping[str, str]) -> dict[str, str]:
    """Slugs that differ even where case is ignored.

    Args:
        names: the name to make a slug of, by a key that is itself a hex digest or is hashed when it is not.

    Returns:
        The slug by key. Names whose slugs would collide all get the start of their key's digest, others none, so
        the result does not depend on the order of the names.
    """
    slugs = {key: slug(name) for key, name in names.items()}
    for n_hex in (8, 16, 64):
        seen = Counter(part.casefold() for part in slugs.values())
        clashing = [key for key, part in slugs.items() if seen[part.casefold()] > 1]
        for key in clashing:
            slugs[key] = f"{slug(names[key])}_{_hex(key)[:n_hex]}"
    return slugs


def _hex(key: str) -> str:
    return key if re.fullmatch("[0-9a-f]{64}", key) else hashlib.sha256(key.encode("utf-8")).hexdigest()
