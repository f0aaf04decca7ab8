"""MPEG-4 boxes written by hand, and put into a file that an encoder has made."""

import struct


def box(name: bytes, *content: bytes, declared: int | None = None) -> bytes:
    joined = b"".join(content)
    return (8 + len(joined) if declared is None else declared).to_bytes(4, "big") + name + joined


def elst(*edits: tuple[int, int]) -> bytes:
    """The content of an edit list: length on the film's clock, and start on the track's."""
    return struct.pack(">II", 0, len(edits)) + b"".join(struct.pack(">Iii", *edit, 1 << 16) for edit in edits)


def with_content(raw: bytes, content: bytes, name: bytes, *below: bytes) -> bytes:
    """A file whose boxes at a path have another content; its index must lie behind its samples, which stay in place."""
    start, parts = 0, []
    while start < len(raw):
        end = start + int.from_bytes(raw[start : start + 4], "big")
        whole = raw[start:end]
        if whole[4:8] == name:
            whole = box(name, with_content(whole[8:], content, *below) if below else content)
        parts.append(whole)
        start = end
    return b"".join(parts)


def with_edits(raw: bytes, *edits: tuple[int, int]) -> bytes:
    return with_content(raw, elst(*edits), b"moov", b"trak", b"edts", b"elst")
