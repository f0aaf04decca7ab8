"""Rows of the scan -> aggregates that may stand in git, and what a user is told on the screen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evensong.voice.disclosure import told

_WARNINGS = {
    "W_CLIP": "more than 1 % of the samples at full scale",
    "W_COLOUR": "an image in colour is read by its brightness, which need not rise with the level",
    "W_EXT": "the content is of another format than the extension says, and was read as what it is",
    "W_HEADER": "the header's sizes are not those of the file",
    "W_PHASE": "the channels cancel each other; the first one was taken",
    "W_SIZE": "an image of another size than most: are its axes the same?",
}

Row = Mapping[str, Any]


def count_files(n_listed: int, rows: Sequence[Row], quarantine: Sequence[Row]) -> dict[str, Any]:
    """Count what became of every file.

    Args:
        n_listed: entries under the recordings folder.
        rows: used and duplicate recordings.
        quarantine: everything else.

    Returns:
        listed = used + duplicate + quarantined + ignored, and what the used ones are like.
    """
    used = [row for row in rows if row["status"] == "used"]
    by_outcome = {
        outcome: Counter(row["reason"] for row in quarantine if row["outcome"] == outcome)
        for outcome in ("quarantined", "ignored")
    }
    return {
        "listed": n_listed,
        "used": len(used),
        "used_audio": sum(row["kind"] == "audio" for row in used),
        "used_images": sum(row["kind"] == "image" for row in used),
        "duplicate": len(rows) - len(used),
        "quarantined": by_outcome["quarantined"].total(),
        "ignored": by_outcome["ignored"].total(),
        "patients": told(len({row["healthCode"] for row in used})),
        "audio_hours": round(sum(row.get("duration_s", 0.0) for row in used) / 3600, 4),
        "quarantined_by_reason": dict(by_outcome["quarantined"]),
        "ignored_by_rule": dict(by_outcome["ignored"]),
        "image_sizes": dict(image_sizes(rows)),
        "warnings": dict(Counter(code for row in used for code in row["warnings"])),
    }


def image_sizes(rows: Sequence[Row]) -> Counter[str]:
    """How many used images have each size."""
    return Counter(size_of(row) for row in rows if row["kind"] == "image" and row["status"] == "used")


def size_of(image: Row) -> str:
    """Height and width in pixels, such as ``64x128``."""
    return f"{image['height_px']}x{image['width_px']}"


def describe(counts: Mapping[str, Any]) -> list[str]:
    """The counts of `count_files` as lines to read."""
    lines = [
        f"{counts['used']} of {counts['listed']} files are used: {counts['used_audio']} recordings "
        f"({counts['audio_hours']:g} h) and {counts['used_images']} mel images of {counts['patients']} patients",
        f"{counts['duplicate']} duplicate, {_with_reasons(counts, 'quarantined', 'quarantined_by_reason')}, "
        + _with_reasons(counts, "ignored", "ignored_by_rule"),
    ]
    lines += [
        f"NOTE: {count} x {code}: {_WARNINGS.get(code, 'see recordings.csv')}"
        for code, count in sorted(counts["warnings"].items())
    ]
    return lines


def _with_reasons(counts: Mapping[str, Any], outcome: str, reasons: str) -> str:
    listed = ", ".join(f"{reason} {count}" for reason, count in sorted(counts[reasons].items()))
    return f"{counts[outcome]} {outcome}" + (f" ({listed})" if listed else "")
