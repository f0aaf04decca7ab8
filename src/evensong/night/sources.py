"""Which clips share a source: a groups table, a pattern on the file name, or each clip alone."""

from collections.abc import Mapping
from pathlib import Path

from evensong.errors import DataError
from evensong.intake.csv_tables import Problems, read_table
from evensong.intake.names import name_fault, nfc, some_of
from evensong.intake.tables import read_own_table
from evensong.night.patterns import find_in_names

GROUPS_FILE = "groups.csv"


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
        ParamsError: the pattern takes too long.
    """
    if groups is not None:
        found = {path: groups.get(nfc(path)) for path in pcm_digests}
        advice = "not in groups.csv; add a row 'path,source_id' for each, the path relative to data/night"
    elif pattern is not None:
        found = find_in_names("night.scan.group_pattern", pattern, pcm_digests)
        advice = (
            f"night.scan.group_pattern {pattern!r} does not find a source in the file name; correct the pattern, "
            "rename the files, list every clip in data/night/groups.csv, or set group_pattern: null where every "
            "clip is a source of its own"
        )
    else:
        return {path: digest[:16] for path, digest in pcm_digests.items()}
    missing = [path for path, source_id in found.items() if source_id is None]
    if missing:
        raise DataError(f"{len(missing)} of {len(found)} clips without a source ({some_of(missing)}): {advice}")
    return {path: source_id for path, source_id in found.items() if source_id is not None}


def read_cut_sources(folder: Path) -> dict[str, str]:
    """Source id of every clip that `night_cut` has written, by path.

    Raises:
        IntegrityError: its table is missing.
    """
    table = read_own_table(folder / "cut.csv", texts=("path", "source_id"))
    return {str(path): str(source_id) for path, source_id in zip(table["path"], table["source_id"], strict=True)}


def read_groups(path: Path) -> dict[str, str]:
    """Read a groups table: columns ``path`` and ``source_id``, one row a clip.

    Returns:
        Source id by path (composed Unicode form, slashes).

    Raises:
        DataError: anything `read_table` refuses, a blank cell, a source_id that cannot be used, or two for one path.
    """
    table = read_table(path, ("path", "source_id"))
    problems = Problems(path)
    groups: dict[str, str] = {}
    for line, *cells in zip(table.lines, table.values["path"], table.values["source_id"], strict=True):
        clip, source_id = (nfc(cell.strip()) for cell in cells)
        clip = clip.replace("\\", "/").removeprefix("./")
        fault = name_fault(source_id)
        if not clip or not source_id:
            problems.add(line, "path and source_id must both be filled in")
        elif fault is not None:
            problems.add(line, f"the source_id cannot be used ({fault})")
        elif groups.setdefault(clip, source_id) != source_id:
            problems.add(line, f"a second source for {clip}")
    problems.refuse()
    return groups
