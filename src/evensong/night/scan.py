"""data/night -> a table of usable clips and a list of everything else, each entry with one reason."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from evensong.audio.quality import ClipStats
from evensong.errors import DataError, InputFault, IntegrityError
from evensong.intake.annotations import TABLE_SUFFIXES, read_annotations
from evensong.intake.listing import Entry, sort_key
from evensong.intake.names import counted, some_of
from evensong.intake.opening import Opened, equal_contents, open_all
from evensong.intake.problems import FileProblem, Gathered, Tell, tell_counts, tell_names
from evensong.intake.quarantine import check_budget, count_reasons, quarantine_table
from evensong.intake.twins import look_at_sound
from evensong.night.classes import class_of, list_clips
from evensong.night.sources import GROUPS_FILE, assign_sources, read_cut_sources, read_groups
from evensong.night.twins import join_sources, near_equal_clips
from evensong.schemas import NightScan, Sources

TABLE_HERE = "annotation table"
STATS_FORMAT = "%.6g"
_STATS_COLUMNS = list(ClipStats.__dataclass_fields__)
CLIP_COLUMNS = [
    "path",
    "class_name",
    "source_id",
    "origin",
    "status",
    "duplicate_of",
    "sha256",
    "pcm_sha256",
    *_STATS_COLUMNS,
]


@dataclass(frozen=True)
class Scan:
    """What was found.

    Attributes:
        clips: one row a usable clip or duplicate, columns CLIP_COLUMNS, sorted by path.
        quarantine: one row an entry that is not used, columns QUARANTINE_COLUMNS, sorted by path.
        counts: the accounting, listed = used + duplicates + quarantined + ignored, and what the clips add up to.
        twins: near-equal clips of different sources, columns TWIN_COLUMNS; sources as they are before any are joined.
    """

    clips: pd.DataFrame
    quarantine: pd.DataFrame
    counts: dict[str, Any]
    twins: pd.DataFrame


@dataclass(frozen=True)
class _Opened:
    """One folder of class folders, listed and opened."""

    root: Path
    class_names: list[str]
    entries: list[Entry]
    opened: list[Opened]


def scan_folder(
    root: Path,
    settings: NightScan,
    *,
    workers: int,
    cut: Path | None = None,
    sources: Sources = "clips",
    tell: Tell = tell_names,
) -> Scan:
    """List, open and check every file under the input folders; each is decoded once.

    Args:
        root: folder that holds one folder of recordings a class, and maybe groups.csv.
        settings: limits of a usable clip and how sources are found.
        workers: processes; the result does not depend on it.
        cut: folder of `night_cut`; needed where sources is not ``clips``.
        sources: ``clips`` reads root, ``field`` reads cut, ``both`` reads both.
        tell: what becomes of the pairs of near-equal clips that stop the scan.

    Raises:
        DataError: the folder's layout, a class without a usable clip, one sound in two classes, a clip without a
            source, or more refused files than the budget allows; all that is found, in one message. Else nearly one
            sound in two classes, or in more than three sources that are to be joined.
        IntegrityError: a file changed while it was read.
    """
    folders = _open_folders(root, cut, settings, workers, sources)
    class_names = sorted({name for one in folders.values() for name in one.class_names})
    entries = [entry for one in folders.values() for entry in one.entries]
    origins = {opened.path: origin for origin, one in folders.items() for opened in one.opened}
    usable = [opened for one in folders.values() for opened in one.opened if not opened.reason]
    usable.sort(key=lambda one: sort_key(one.path))
    quarantine = pd.concat(
        [quarantine_table(one.root, one.entries, one.opened) for one in folders.values()], ignore_index=True
    )
    for row in quarantine[quarantine["outcome"] == "quarantined"].itertuples():
        print(f"quarantined: {row.path}: {row.reason}: {row.detail}")
    repeated, conflicts = equal_contents((one.path, class_of(one.path), one.content_sha256) for one in usable)
    gathered = Gathered()
    with gathered:
        check_budget(quarantine, entries, settings, "audio files", "night.scan", _told_above)
    with gathered:
        _refuse_empty_classes(root, class_names, usable, entries)
    with gathered:
        if conflicts:
            message = f"{counted(len(conflicts), 'sound')} in two classes, so one of the labels is wrong; remove one"
            raise DataError(tell_names(message, [FileProblem(" and ".join(pair)) for pair in conflicts]))
    with gathered:
        own = [one for one in usable if origins[one.path] == "clips" and one.path not in repeated]
        groups = read_groups(root / GROUPS_FILE) if (root / GROUPS_FILE).is_file() else None
        contents = {one.path: one.content_sha256 for one in own}
        source_ids = assign_sources(contents, pattern=settings.group_pattern, groups=groups)
    gathered.refuse()
    if cut is not None and "field" in folders:
        source_ids |= read_cut_sources(cut)
    unlike = [(folders[origins[one.path]].root, one) for one in usable if one.path not in repeated]
    twins = near_equal_clips(unlike, source_ids, settings, workers=workers, tell=tell)
    if settings.near_duplicates == "group":
        field = {source for path, source in source_ids.items() if origins.get(path) == "field"}
        source_ids = join_sources(source_ids, twins, field, tell)
    clips = _clip_table(usable, repeated, source_ids, origins)
    counts = _count(len(entries), len(class_names), clips, quarantine)
    return Scan(clips, quarantine, counts | {"near_duplicates": len(twins)}, twins)


def _open_folders(
    root: Path, cut: Path | None, settings: NightScan, workers: int, sources: Sources
) -> dict[str, _Opened]:
    """By the origin of their clips, the folders that clips are taken from."""
    roots = {"clips": root} if sources != "field" else {}
    if cut is not None and sources != "clips":
        roots["field"] = cut
    folders: dict[str, _Opened] = {}
    for origin, folder in roots.items():
        class_names, entries = list_clips(folder, recursive=settings.recursive, least=0 if origin == "field" else 2)
        entries = [_told_of_tables(folder, entry) for entry in entries]
        if origin == "field":  # beside the class folders lie the stage's own tables
            entries = [entry for entry in entries if "/" in entry.path]
        opened = open_all(folder, entries, look_at_sound, settings, workers=workers, tell=tell_names)
        folders[origin] = _Opened(folder, class_names, entries, opened)
    _refuse_clashes(folders)
    return folders


def _told_of_tables(root: Path, entry: Entry) -> Entry:
    """A table of annotations is named as one: among clips nobody reads it."""
    if entry.outcome != "ignored" or Path(entry.path).suffix.lower() not in TABLE_SUFFIXES:
        return entry
    try:
        is_table = bool(read_annotations(root / entry.path).rows)
    except InputFault:
        return entry
    detail = "to cut clips by it, put it and its recordings into data/field"
    return replace(entry, reason=TABLE_HERE, detail=detail) if is_table else entry


def _refuse_clashes(folders: Mapping[str, _Opened]) -> None:
    """Classes of both folders that differ only in case, one clip's name in both, and fewer than two classes."""
    names = {name for one in folders.values() for name in one.class_names}
    spellings = Counter(name.casefold() for name in names)
    twins = sorted(name for name in names if spellings[name.casefold()] > 1)
    if twins:
        raise DataError(
            f"classes {' and '.join(twins)} of data/night and data/field differ only in upper and lower case; make "
            "them one in night.cut.label_map"
        )
    if len(names) < 2:
        raise DataError(
            f"{len(names)} classes; a classifier needs two at least: annotate more in data/field, or set night.sources"
        )
    paths = Counter(entry.path for one in folders.values() for entry in one.entries)
    twice = sorted(path for path, n in paths.items() if n > 1)
    if twice:
        raise DataError(f"{twice[0]} is both in data/night and cut from data/field; rename the one in data/night")


def _told_above(message: str, problems: Sequence[FileProblem]) -> str:
    return f"{tell_counts(message, problems)}; each one is named above"


def _refuse_empty_classes(
    root: Path, class_names: Sequence[str], usable: Iterable[Opened], entries: Iterable[Entry]
) -> None:
    n_usable = Counter(class_of(one.path) for one in usable)
    n_listed = Counter(class_of(entry.path) for entry in entries if entry.is_input)
    empty = [name for name in class_names if not n_usable[name]]
    if empty:
        named = "; ".join(f"class {name}: 0 usable of {n_listed[name]} listed" for name in empty)
        raise DataError(f"{named}; add recordings to {root} or remove the folder")


def _clip_table(
    usable: Sequence[Opened], repeated: Mapping[str, str], sources: Mapping[str, str], origins: Mapping[str, str]
) -> pd.DataFrame:
    """Usable files, of equal sounds in a class the first by path used; a duplicate is of the source that it repeats."""
    rows = [
        {
            **one.facts,
            "path": one.path,
            "class_name": class_of(one.path),
            "source_id": sources[repeated.get(one.path, one.path)],
            "origin": origins[one.path],
            "status": "duplicate" if one.path in repeated else "used",
            "duplicate_of": repeated.get(one.path, ""),
            "sha256": one.sha256,
            "pcm_sha256": one.content_sha256,
            "warnings": ";".join(sorted(set(one.facts["warnings"]))),
        }
        for one in usable
    ]
    return pd.DataFrame(rows)[CLIP_COLUMNS]


def _count(n_listed: int, n_classes: int, clips: pd.DataFrame, quarantine: pd.DataFrame) -> dict[str, Any]:
    used = clips[clips["status"] == "used"]
    refused = count_reasons(quarantine, "quarantined")
    warnings = Counter(code for codes in used["warnings"] for code in codes.split(";") if code)
    counts: dict[str, Any] = {
        "listed": n_listed,
        "used": len(used),
        "duplicates": len(clips) - len(used),
        "quarantined": sum(refused.values()),
        "ignored": sum(count_reasons(quarantine, "ignored").values()),
        "classes": n_classes,
        "sources": int(used["source_id"].nunique()),
        "sources_in_several_classes": int((used.groupby("source_id")["class_name"].nunique() > 1).sum()),
        "seconds_used": round(float(used["duration_s"].sum()), 3),
        "quarantined_by_reason": refused,
        "warnings": {code: warnings[code] for code in sorted(warnings)},
    }
    if n_listed != counts["used"] + counts["duplicates"] + counts["quarantined"] + counts["ignored"]:
        raise IntegrityError(f"{n_listed} entries were listed, but the reasons add up to another number: {counts}")
    return counts


def tables_beside(quarantine: pd.DataFrame) -> str | None:
    """One line on tables that lie among the clips, where nothing reads them; None where there are none."""
    paths = quarantine.loc[quarantine["reason"] == TABLE_HERE, "path"].tolist()
    if not paths:
        return None
    return (
        f"{counted(len(paths), 'annotation table')} among the clips, such as {paths[0]}, not read: annotations and "
        "their recordings belong into data/field (docs/night.md, Field recordings)"
    )


def background_note(clips: pd.DataFrame, background: Sequence[str]) -> str | None:
    """A NOTE on classes that equal a name of night.scan.background but for its case; None where there are none.

    Args:
        clips: columns CLIP_COLUMNS.
        background: the names of the parameter.
    """
    spelled = {name.casefold(): name for name in background}
    near = [name for name in sorted({*clips["class_name"]} - {*background}) if name.casefold() in spelled]
    if not near:
        return None
    meant = some_of([spelled[name.casefold()] for name in near])
    named = f"class {near[0]} is" if len(near) == 1 else f"classes {some_of(near)} are"
    return (
        f"NOTE: {named} reported as any animal: night.scan.background has {meant}, and names are exact; make the "
        "spelling one"
    )
