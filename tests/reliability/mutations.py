"""What happens to files: every change is drawn from a `random.Random`, so a seed gives the same file again."""

import random
import zlib
from collections.abc import Callable

_LENGTHS = (1, 2, 4, 17, 100, 1_000)
_HEADER_BYTES = 200
_NUMBERS = (0, 1, 2, 7, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_TAILS = (
    b"TAG" + b"a night in May".ljust(125),
    bytes(1),
    bytes(777),
    b"LIST\x04\x00\x00\x00INFO",
    b"APETAGEX" + bytes(24),
)
_ID3V2 = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_CELLS = (
    "",
    " ",
    "0",
    "-1",
    "1e999",
    "nan",
    '"',
    '""',
    ",",
    "=1+1",
    "\ufeff",
    "\u202e",
    "\x00",
    "x" * 5_000,
    "é",
    "e\u0301",
)

Mutation = Callable[[bytes, random.Random], bytes]


class Disagreement(AssertionError):
    """A file got two verdicts, or one that an oracle contradicts."""


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Change bytes one to three times."""
    for _ in range(chance.choice([1, 1, 2, 3])):
        raw = chance.choice(_OF_BYTES)(raw, chance)
    return raw


def mutated_text(raw: bytes, chance: random.Random) -> bytes:
    """Change lines and cells, and at times bytes."""
    for _ in range(chance.choice([1, 1, 2, 3])):
        raw = chance.choice([*_OF_LINES, *_OF_LINES, chance.choice(_OF_BYTES)])(raw, chance)
    return raw


def with_page_checksums(raw: bytes) -> bytes:
    """An OGG whose pages have the checksums of their content again, so that damage gets as far as the codec."""
    start, pages = 0, bytearray(raw)
    while raw[start : start + 4] == b"OggS" and len(raw) > start + 27:
        n_segments = raw[start + 26]
        end = start + 27 + n_segments + sum(raw[start + 27 : start + 27 + n_segments])
        page = raw[start : start + 22] + bytes(4) + raw[start + 26 : end]
        crc = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
        if end <= len(raw):
            pages[start + 22 : start + 26] = crc.to_bytes(4, "big").translate(_MIRRORED)
        start = end
    return bytes(pages)


def _span(raw: bytes, chance: random.Random) -> tuple[int, int]:
    """A stretch of the file; as often in its header as anywhere."""
    start = chance.randrange(max(1, min(len(raw), chance.choice([_HEADER_BYTES, len(raw)]))))
    return start, start + chance.choice(_LENGTHS)


def _flip(raw: bytes, chance: random.Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(chance.choice([1, 1, 8]) if raw else 0):
        changed[_span(raw, chance)[0]] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut_off(raw: bytes, chance: random.Random) -> bytes:
    return raw[: _span(raw, chance)[0]]


def _zero(raw: bytes, chance: random.Random) -> bytes:
    start, end = _span(raw, chance)
    return raw[:start] + bytes(len(raw[start:end])) + raw[end:]


def _splice(raw: bytes, chance: random.Random) -> bytes:
    (start, end), other = _span(raw, chance), _span(raw, chance)[0]
    return raw[:start] + raw[other : other + end - start] + raw[end:]


def _double(raw: bytes, chance: random.Random) -> bytes:
    start, end = _span(raw, chance)
    return raw[:end] + raw[start:end] + raw[end:]


def _delete(raw: bytes, chance: random.Random) -> bytes:
    start, end = _span(raw, chance)
    return raw[:start] + raw[end:]


def _put_in(raw: bytes, chance: random.Random) -> bytes:
    start, end = _span(raw, chance)
    return raw[:start] + chance.randbytes(end - start) + raw[start:]


def _number(raw: bytes, chance: random.Random) -> bytes:
    """Set a field of the header to a number that breaks programs."""
    start, n_bytes = chance.randrange(max(1, min(len(raw), _HEADER_BYTES))), chance.choice([1, 2, 4])
    number = chance.choice(_NUMBERS) & ((1 << 8 * n_bytes) - 1)
    return raw[:start] + number.to_bytes(n_bytes, chance.choice(["little", "big"])) + raw[start + n_bytes :]


def _tail(raw: bytes, chance: random.Random) -> bytes:
    return raw + chance.choice([*_TAILS, chance.randbytes(chance.choice(_LENGTHS))])


def _head(raw: bytes, _chance: random.Random) -> bytes:
    return _ID3V2 + raw


_OF_BYTES: tuple[Mutation, ...] = (
    *(_flip, _cut_off, _zero, _splice, _double, _delete, _put_in, _number, _tail, _head),
)


def _line(raw: bytes, chance: random.Random) -> tuple[list[bytes], int]:
    lines = raw.splitlines(keepends=True) or [b"\n"]
    return lines, chance.randrange(len(lines))


def _repeat_line(raw: bytes, chance: random.Random) -> bytes:
    lines, n = _line(raw, chance)
    lines.insert(chance.randrange(len(lines) + 1), lines[n])
    return b"".join(lines)


def _drop_line(raw: bytes, chance: random.Random) -> bytes:
    lines, n = _line(raw, chance)
    return b"".join(lines[:n] + lines[n + 1 :])


def _change_cell(raw: bytes, chance: random.Random) -> bytes:
    lines, n = _line(raw, chance)
    cells = lines[n].split(b",")
    cells[chance.randrange(len(cells))] = chance.choice([chance.choice(_CELLS).encode(), chance.choice(cells)])
    lines[n] = b",".join(cells)
    return b"".join(lines)


def _other_ends(raw: bytes, chance: random.Random) -> bytes:
    return raw.replace(b"\n", chance.choice([b"\r\n", b"\r", b"\n\n", b"\x85"]))


def _in_other_code(raw: bytes, chance: random.Random) -> bytes:
    return raw.decode("utf-8", "replace").encode(chance.choice(["utf-16", "utf-8-sig", "cp1252"]), "replace")


def _with_semicolons(raw: bytes, chance: random.Random) -> bytes:
    return raw.replace(b",", chance.choice([b";", b"\t", b", "]))


_OF_LINES: tuple[Mutation, ...] = (
    *(_repeat_line, _drop_line, _change_cell, _change_cell, _other_ends, _in_other_code, _with_semicolons),
)
