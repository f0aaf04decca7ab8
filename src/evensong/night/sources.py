"""Which clips share a source: a groups table, a pattern on the file name, or each clip alone."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from evensong.errors import DataError
from evensong.intake.names import name_fault, nfc

_SHOWN = 3


def assign_sources(
    pcm_digests: Mapping[str, str], *, pattern: str | None, groups: Mapping[str, str] | None
) -> dict[str, str]:
    """Give every clip the id of the source it was cut from.

    Args:
        pcm_digests: digest of the samples (64 hex) by clip path, relative to the input folder.
        pattern: regular expression with one group, searched in the file name without its extension.
        groups: source id by path, from `read_groups`; when present it decides alone.

    Returns:
        Source id by path; without a pattern or table, the first 16 digits of the clip's own digest.

    Raises:
        DataError: a clip is in no row of the table, or the pattern does not find a source in its name.
    """
    if groups is not None:
        found = {path: groups.get(nfc(path)) for path in pcm_digests}
        advice = "not in groups.csv; add a row 'path,source_id' for each, the path relative to data/night"
    elif pattern is not None:
        found = {path: _matched(pattern, path) for path in pcm_digests}
        advice = (
            f"night.scan.group_pattern {pattern!r} does not find a source in the file name; correct the pattern, "
            "rename the files, list every clip in data/night/groups.csv, or set group_pattern: null where every "
            "clip is a source of its own"
        )
    else:
        return {path: digest[:16] for path, digest in pcm_digests.items()}
    missing = [path for path, source_id in found.items() if source_id is None]
    if missing:
        names = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise DataError(f"{len(missing)} of {len(found)} clips without a source ({names}): {advice}")
    return {path: source_id for path, source_id in found.items() if source_id is not None}


def _matched(pattern: str, path: str) -> str | None:
    match = re.search(pattern, nfc(PurePosixPath(path).stem))
    return (match.group(1) or None) if match else None


def read_groups(path: Path) -> dict[str, str]:
    """Read a groups table: columns ``path`` and ``source_id``, one row a clip.

    Returns:
        Source id by path (composed Unicode form, slashes).

    Raises:
        DataError: not UTF-8 CSV, a column is missing, a cell is blank, or a path has two sources.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            columns = {name.strip(): name for name in reader.fieldnames or []}
            missing = [name for name in ("path", "source_id") if name not in columns]
            if missing:
                advice = "the first line must name them"
                if any(mark in name for name in columns for mark in ";\t"):
                    advice += ", and the separator must be a comma"
                raise DataError(f"{path}: no column {' and no column '.join(missing)}; {advice}")
            rows = [(reader.line_num, row[columns["path"]], row[columns["source_id"]]) for row in reader]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save the table as UTF-8 CSV") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV table ({error})") from error
    groups: dict[str, str] = {}
    for line, clip, source in rows:
        clip_path, source_id = _checked_row(path, line, clip, source)
        if groups.setdefault(clip_path, source_id) != source_id:
            raise DataError(f"{path} line {line}: a second source for {clip_path}")
    return groups


def _checked_row(path: Path, line: int, clip: str | None, source: str | None) -> tuple[str, str]:
    clip_path = nfc((clip or "").strip()).replace("\\", "/").removeprefix("./")
    source_id = nfc((source or "").strip())
    if not clip_path or not source_id:
        raise DataError(f"{path} line {line}: path and source_id must both be filled in")
    fault = name_fault(source_id)
    if fault is not None:
        raise DataError(f"{path} line {line}: the source_id cannot be used ({fault})")
    return clip_path, source_id
