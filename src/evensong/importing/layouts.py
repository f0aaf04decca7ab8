"""A folder of recordings -> which of four layouts it has, and what an import of it would do. Nothing is written."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from evensong.errors import DataError, InputFault, ParamsError
from evensong.importing.plan import Layout, Plan
from evensong.intake.annotations import TABLE_SUFFIXES, AnnotationTable, read_annotations
from evensong.intake.csv_tables import read_table
from evensong.intake.listing import AUDIO, Entry, list_files
from evensong.intake.names import counted, name_fault, nfc, printable, some_of
from evensong.night.field import RECORDINGS_FILE
from evensong.night.sources import GROUPS_FILE
from evensong.voice.cohort import HEALTH_CODE
from evensong.voice.scan import RECORDINGS
from evensong.voice.splits import COMMON_NAME, TRAIN_NAME

SURVEY = "cohort/Demographics_Survey.csv"
_FILE, _CLASS, _FOLD = "filename", "category", "fold"
_NEEDS = {
    "classes": "two folders or more, each with the recordings of one class in it",
    "esc": f"a CSV with the columns {_FILE} and {_CLASS} (and {_FOLD}), and the recordings anywhere beside it",
    "field": "recordings with Raven selection tables, Audacity labels or a CSV of file, start, end or duration, label",
    "cohort": f"recordings {{healthCode}}_{{record_id}}_{{column_id}}.ext, and a CSV with a column {HEALTH_CODE}",
}


def look(source: Path, layout: Layout | None = None, label_column: str | None = None) -> Plan:
    """List a folder and plan its import.

    Args:
        source: the folder.
        layout: which of the four; None finds it out, where there is no doubt.
        label_column: of annotation tables, as night.cut.label_column.

    Raises:
        DataError: no such folder, none of the layouts, or nothing to take.
        ParamsError: several layouts fit.
    """
    if not source.is_dir():
        raise DataError(f"{source}: no such folder")
    try:
        entries = list_files(source, AUDIO)
        found = {layout} if layout else {name for name, fits in _FITS.items() if fits(source, entries, label_column)}
        if not found:
            raise DataError(_fits_none(source, entries, label_column))
        if len(found) > 1:
            names = sorted(found)
            raise ParamsError(f"{source}: could be {' or '.join(names)}; say which, as --as {names[0]}")
        plan = _PLANS[next(iter(found))](source, entries, label_column)
    except OSError as error:
        raise DataError(f"{source}: a folder or table cannot be read ({error.strerror})") from error
    if not plan.recordings:
        raise DataError(f"{source}: no recording to take as {plan.layout}: {_NEEDS[plan.layout]}")
    return plan


def _fits_none(source: Path, entries: list[Entry], column: str | None) -> str:
    """What the layouts need, why tables are no annotations, and the folders right below that have a layout."""
    below: dict[str, list[Entry]] = {}
    for entry in entries:
        folder, _, path = entry.path.partition("/")
        below.setdefault(folder, []).extend([replace(entry, path=path)] if path else [])
    fits = [
        f"{source / folder} is {name}"
        for folder, own in below.items()
        for name, is_it in _FITS.items()
        if own and is_it(source / folder, own, column)
    ]
    needs = [f"{name}: {what}" for name, what in _NEEDS.items()]
    refused = Counter(why for _, why in _annotations(source, entries, column)[1])
    needs += [f"of the tables there, {n}: {why}" for why, n in sorted(refused.items())]
    return "\n  ".join([f"{source}: none of the layouts that can be imported{'; ' + fits[0] if fits else ''}:", *needs])


# ---- which layout ----


def _is_classes(_source: Path, entries: list[Entry], _column: str | None) -> bool:
    folders = {PurePosixPath(entry.path).parts[0] for entry in _taken(entries) if entry.path.count("/") == 1}
    return len(folders) > 1


def _is_esc(source: Path, entries: list[Entry], _column: str | None) -> bool:
    return bool(_tables_with(source, entries, (_FILE, _CLASS)))


def _is_field(source: Path, entries: list[Entry], column: str | None) -> bool:
    return bool(_taken(entries)) and any(table.rows for table in _annotations(source, entries, column)[0].values())


def _is_cohort(source: Path, entries: list[Entry], _column: str | None) -> bool:
    return bool(_tables_with(source, entries, (HEALTH_CODE,)))


_FITS: dict[Layout, Callable[[Path, list[Entry], str | None], bool]] = {
    "classes": _is_classes,
    "esc": _is_esc,
    "field": _is_field,
    "cohort": _is_cohort,
}


def _taken(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.outcome == "candidate"]


def _tables(entries: list[Entry]) -> list[str]:
    """Paths of what may be a table by its name."""
    return [
        entry.path
        for entry in entries
        if entry.reason == "not audio" and Path(entry.path).suffix.lower() in TABLE_SUFFIXES
    ]


def _tables_with(source: Path, entries: list[Entry], columns: tuple[str, ...]) -> list[str]:
    """CSV files whose header has these columns; split lists of a cohort are none."""
    return [
        path
        for path in _tables(entries)
        if path.lower().endswith(".csv") and not _is_split_list(path) and _has(source / path, columns)
    ]


def _has(path: Path, columns: tuple[str, ...]) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        header = [
            cell.strip().strip('"') for cell in re.split("[,;\t]", lines.readline(65_536))
        ]  # the reader says which
    return set(columns) <= set(header)


def _is_split_list(path: str) -> bool:
    name = PurePosixPath(path).name
    return name == COMMON_NAME or TRAIN_NAME.fullmatch(name) is not None


def _annotations(
    source: Path, entries: list[Entry], column: str | None
) -> tuple[dict[str, AnnotationTable], list[tuple[str, str]]]:
    """Annotation tables by path, and why the others are none."""
    tables, refused = {}, []
    for path in _tables(entries):
        if PurePosixPath(path).name == RECORDINGS_FILE:
            continue
        try:
            tables[path] = read_annotations(source / path, column)
        except InputFault as fault:
            refused.append((path, fault.detail))
    return tables, refused


# ---- what an import would do ----


def _plan_classes(source: Path, entries: list[Entry], _column: str | None) -> Plan:
    taken = [entry.path for entry in _taken(entries) if "/" in entry.path]
    beside = [(entry.path, "beside the class folders") for entry in _taken(entries) if "/" not in entry.path]
    has_groups = (source / GROUPS_FILE).is_file()
    tables = {GROUPS_FILE: GROUPS_FILE} if has_groups else {}
    is_nested = any(path.count("/") > 1 for path in taken)
    return Plan(
        "classes",
        source,
        files=tables | {path: path for path in taken},
        recordings={path: nfc(path.split("/")[0]) for path in taken},
        left=sorted(_left_of([one for one in entries if one.path not in tables]) + beside),
        notes=[f"{GROUPS_FILE} says which clips share a source; no pattern is needed"] if has_groups else [],
        settings={"night.scan.recursive": True} if is_nested else {},
    )


def _plan_esc(source: Path, entries: list[Entry], _column: str | None) -> Plan:
    path = _the_table(source, entries, (_FILE, _CLASS))
    has_folds = _has(source / path, (_FOLD,))
    table = read_table(source / path, (_FILE, _CLASS, _FOLD) if has_folds else (_FILE, _CLASS))
    by_name: dict[str, list[str]] = {}
    for entry in _taken(entries):
        by_name.setdefault(PurePosixPath(entry.path).name, []).append(entry.path)
    plan = Plan("esc", source, {}, {}, left=_left_of([one for one in entries if one.path != path]))
    folds = table.values[_FOLD] if has_folds else [""] * len(table.lines)
    for line, called, category, fold in zip(table.lines, table.values[_FILE], table.values[_CLASS], folds, strict=True):
        name = PurePosixPath(called.strip().replace("\\", "/")).name
        fault = _row_fault(by_name.get(name, []), nfc(category.strip()))
        target = f"{nfc(category.strip())}/{name}"
        if fault or target in plan.files:
            plan.left.append((f"{path} line {line}", fault or f"{name} a second time"))
            continue
        plan.files[target], plan.recordings[target] = by_name[name][0], nfc(category.strip())
        plan.folds.update({target: fold.strip()} if fold.strip() else {})
    named = set(plan.files.values())
    plan.left.extend((one.path, f"not in {path}") for one in _taken(entries) if one.path not in named)
    return plan


def _row_fault(paths: list[str], category: str) -> str:
    if not category or "/" in category or category.startswith(".") or name_fault(category):
        return f"{_CLASS} {category!r} cannot be the name of a folder"
    if not paths:
        return "file missing"
    return f"{len(paths)} files of that name, such as {paths[0]} and {paths[1]}" if len(paths) > 1 else ""


def _plan_field(source: Path, entries: list[Entry], column: str | None) -> Plan:
    tables, refused = _annotations(source, entries, column)
    taken = [entry.path for entry in _taken(entries)]
    kept = [*tables, *([RECORDINGS_FILE] if (source / RECORDINGS_FILE).is_file() else [])]
    labels = Counter(row.label for table in tables.values() for row in table.rows if not row.status)
    bad = Counter(path for path, table in tables.items() for row in table.rows if row.status)
    notes = [
        f"{printable(path)}: {counted(n, 'row')} cannot be read; `evensong scan field` says why"
        for path, n in bad.items()
    ]
    if RECORDINGS_FILE not in kept:
        notes.append(
            f"no {RECORDINGS_FILE} (recording,exhaustive): without a recording in which everything is annotated there "
            "are no background clips and no precision"
        )
    skipped = {*kept, *(path for path, _ in refused)}
    return Plan(
        "field",
        source,
        files={path: path for path in [*taken, *kept]},
        recordings=dict.fromkeys(taken, ""),
        labels=labels,
        left=sorted([*_left_of([one for one in entries if one.path not in skipped]), *refused]),
        notes=notes,
        settings={"night.sources": "field"},
    )


def _plan_cohort(source: Path, _entries: list[Entry], _column: str | None) -> Plan:
    entries = list_files(source, RECORDINGS)
    tables = [one for one in list_files(source, AUDIO) if one.reason == "not audio"]
    survey = _the_table(source, tables, (HEALTH_CODE,))
    lists = {f"cohort/splits/{PurePosixPath(path).name}": path for path in _tables(tables) if _is_split_list(path)}
    files = {SURVEY: survey, **lists}
    left = _left_of([one for one in entries if one.path not in files.values()])
    recordings: dict[str, str] = {}
    for entry in _taken(entries):
        target = f"recordings/{PurePosixPath(entry.path).name}"
        if target in files:
            left.append((entry.path, "a second file of that name"))
        else:
            files[target], recordings[target] = entry.path, ""
    notes = [f"{len(lists)} lists of given splits"] if lists else []
    return Plan("cohort", source, files, recordings, left=left, notes=notes)


def _left_of(entries: list[Entry]) -> list[tuple[str, str]]:
    """Entries that a listing sets aside, each with its reason."""
    return [
        (entry.path, f"{entry.reason}: {entry.detail}" if entry.detail else entry.reason)
        for entry in entries
        if entry.outcome != "candidate"
    ]


def _the_table(source: Path, entries: list[Entry], columns: tuple[str, ...]) -> str:
    paths = _tables_with(source, entries, columns)
    if len(paths) != 1:
        found = f"{len(paths)} tables with these columns ({some_of(paths)}); keep one" if paths else "no such table"
        raise DataError(f"{source}: a CSV with the columns {', '.join(columns)} is needed: {found}")
    return paths[0]


_PLANS: dict[Layout, Callable[[Path, list[Entry], str | None], Plan]] = {
    "classes": _plan_classes,
    "esc": _plan_esc,
    "field": _plan_field,
    "cohort": _plan_cohort,
}
