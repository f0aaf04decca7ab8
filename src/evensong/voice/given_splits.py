"""Split CSVs that come with the cohort -> the same splits, checked; or nothing where none are given."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evensong.errors import DataError
from evensong.intake.csv_tables import Problems, read_table
from evensong.voice.disclosure import positions
from evensong.voice.names import Located, id_problem
from evensong.voice.split_files import COMMON_NAME, TRAIN_NAME
from evensong.voice.splits import COLUMNS, Splits, as_table

_NUMBER = re.compile(r"(0|[1-9]\d{0,5})(\.0+)?")  # 3.0 is how a table with a gap writes 3


@dataclass(frozen=True)
class GivenSplits:
    """Checked splits, and where each healthCode stands in each file."""

    splits: Splits
    located: list[Located]
    n_collapsed: int


def accounts_of(given: GivenSplits | None) -> dict[str, int]:
    """Split CSVs that came with the cohort, and their rows that only repeat another."""
    return {
        "files": len(given.located) if given else 0,
        "repeated_rows": given.n_collapsed if given else 0,
    }


@dataclass(frozen=True)
class _Membership:
    """One file: (fold, healthCode) to its subset and the line that says so first."""

    path: Path
    subset_of: dict[tuple[int, str], str]
    line_of: dict[tuple[int, str], int]
    n_collapsed: int

    def rows(self) -> list[tuple[int, str, str]]:
        return [(fold, patient, subset) for (fold, patient), subset in self.subset_of.items()]

    def located(self) -> Located:
        first: dict[str, int] = {}
        for (_, patient), line in self.line_of.items():
            first[patient] = min(line, first.get(patient, line))
        return Located(self.path.name, "line", first)


def read_given_splits(folder: Path, subdbs: Sequence[int], *, n_folds: int) -> GivenSplits | None:
    """Read and check the cohort's own split CSVs, in `folder` or in folders under it.

    The control arm trains on every listed patient whom the fold neither validates nor tests: a training list drawn to
    a share of its own does not hold the natural one.

    Args:
        folder: holds ``subdb{k}_train_XX_YY.csv`` and ``common_val_test_all_subdbs.csv``; may be absent.
        subdbs: sub-databases that must be there; others may be, and are checked too.

    Returns:
        None when the folder holds no CSV file.

    Raises:
        DataError: the folder is a file; files are missing, repeated or have other names; a fold is missing or
            numbered otherwise; a subset is misspelled; a patient stands in two subsets of a fold. Names lines, never
            ids.
    """
    found = _find(folder)
    if not found:
        return None
    common_path, train_paths = _sort_out(folder, found, subdbs)
    common = _read(common_path, ("val", "test"))
    train = {k: _read(path, ("train",)) for k, path in train_paths.items()}
    _check_folds([common, *train.values()], n_folds)
    for member in train.values():
        _check_disjoint(member, common)
    splits = Splits(
        common=as_table(common.rows()),
        train={k: as_table(train[k].rows()) for k in subdbs},
        control=as_table(_control_rows(common, [common, *train.values()])),
        file_names={k: train_paths[k].name for k in subdbs},
    )
    members = [common, *train.values()]
    return GivenSplits(splits, [each.located() for each in members], sum(each.n_collapsed for each in members))


def _control_rows(common: "_Membership", members: Sequence["_Membership"]) -> list[tuple[int, str, str]]:
    listed = {patient for member in members for _, patient in member.subset_of}
    folds = {fold for fold, _ in common.subset_of}
    return [(fold, one, "train") for fold in folds for one in listed if (fold, one) not in common.subset_of]


def refuse_stray_lists(cohort: Path, folder: Path) -> None:
    """Refuse split CSVs that lie in the cohort beside their folder, where nobody would read them.

    Raises:
        DataError: says how many there are.
    """
    beside = [path for path in _find(cohort) if folder not in path.parents]
    n_stray = sum(path.name == COMMON_NAME or TRAIN_NAME.fullmatch(path.name) is not None for path in beside)
    if n_stray:
        raise DataError(
            f"{cohort}: {n_stray} split CSV(s) lie outside {folder}; move them into it to have them used, or out of "
            f"{cohort} to have the splits made"
        )


def _find(folder: Path) -> list[Path]:
    """CSV files under the folder that are not hidden, sorted."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise DataError(f"{folder}: not a folder; put the split CSVs into a folder of that name, or remove the file")
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in files if name.lower().endswith(".csv") and not name.startswith(".")]
    return sorted(found)


def _sort_out(folder: Path, found: Sequence[Path], subdbs: Sequence[int]) -> tuple[Path, dict[int, Path]]:
    common = [path for path in found if path.name == COMMON_NAME]
    train: dict[int, list[Path]] = defaultdict(list)
    strangers = 0
    for path in found:
        match = TRAIN_NAME.fullmatch(path.name)
        if match:
            train[int(match[1])].append(path)
        elif path.name != COMMON_NAME:
            strangers += 1
    missing = ([] if common else [COMMON_NAME]) + [f"subdb{k}_train_XX_YY.csv" for k in subdbs if k not in train]
    repeated = ([COMMON_NAME] if len(common) > 1 else []) + [
        f"subdb{k}_train_XX_YY.csv" for k, paths in sorted(train.items()) if len(paths) > 1
    ]
    wrong = [
        (strangers, f"{strangers} CSV file(s) have other names than {COMMON_NAME} and subdb<k>_train_<XX>_<YY>.csv"),
        (len(missing), f"missing: {', '.join(missing)}"),
        (len(repeated), f"more than one: {', '.join(repeated)}"),
    ]
    messages = [text for count, text in wrong if count]
    if messages:
        known = ", ".join(str(k) for k in subdbs if len(train[k]) == 1)
        fewer = f", or set voice.subdbs to those that are there ({known})" if known and missing else ""
        raise DataError(
            f"{folder}: {'; '.join(messages)}. Give the lists of every sub-database in voice.subdbs{fewer}, or remove "
            "them all and the splits are made"
        )
    return common[0], {k: paths[0] for k, paths in sorted(train.items())}


def _read(path: Path, subsets: tuple[str, ...]) -> _Membership:
    table = read_table(path, COLUMNS)
    problems = Problems(path)
    subset_of: dict[tuple[int, str], str] = {}
    line_of: dict[tuple[int, str], int] = {}
    n_collapsed = 0
    cells = zip(table.lines, *(table.values[name] for name in COLUMNS), strict=True)
    for line, fold_text, patient, subset_text in cells:
        fold, subset = fold_text.strip(), subset_text.strip()
        problem = _row_problem(fold, patient, subset, subsets)
        if problem:
            problems.add(line, problem)
            continue
        key = (int(float(fold)), patient)
        if key not in subset_of:
            subset_of[key], line_of[key] = subset, line
        elif subset_of[key] == subset:
            n_collapsed += 1
        else:
            problems.add(line, f"the patient of line {line_of[key]} again, in another subset of the same fold")
    problems.refuse()
    return _Membership(path, subset_of, line_of, n_collapsed)


def _row_problem(fold: str, patient: str, subset: str, subsets: tuple[str, ...]) -> str | None:
    if not _NUMBER.fullmatch(fold):
        return "fold_iteration is not a whole number from 0"
    if subset not in subsets:
        return f"subset is not {' or '.join(subsets)}"
    return id_problem(patient)


def _check_folds(members: Sequence[_Membership], n_folds: int) -> None:
    """Every file and subset must hold exactly the folds 0 to n_folds - 1."""
    folds = {
        f"{member.path.name} ({subset})": {fold for (fold, _), own in member.subset_of.items() if own == subset}
        for member in members
        for subset in (("val", "test") if member.path.name == COMMON_NAME else ("train",))
    }
    largest = max(max(found, default=0) for found in folds.values())
    if largest + 1 != n_folds and all(found == set(range(largest + 1)) for found in folds.values()):
        advice = f"set voice.splits.n_folds to {largest + 1}" if largest >= 2 else "three is the least that can be used"
        raise DataError(f"the given splits have {largest + 1} folds and voice.splits.n_folds is {n_folds}; {advice}")
    wrong = [f"{where}: {text}" for where, found in folds.items() for text in _fold_problems(found, n_folds)]
    if all(found == set(range(1, n_folds + 1)) for found in folds.values()):
        wrong.append(f"they are numbered from 1 to {n_folds}: subtract 1 from every fold_iteration")
    if wrong:
        raise DataError(
            "\n  ".join([f"the given splits must hold the folds 0 to {n_folds - 1}, all in every file", *wrong])
        )


def _fold_problems(found: set[int], n_folds: int) -> Iterator[str]:
    missing, unknown = set(range(n_folds)) - found, found - set(range(n_folds))
    if missing:
        yield f"no rows of fold {positions(missing)}"
    if unknown:
        yield f"rows of fold {positions(unknown)}"


def _check_disjoint(member: _Membership, common: _Membership) -> None:
    """No patient may be trained on in a fold that validates or tests on them."""
    problems = Problems(member.path)
    for key in sorted(set(member.subset_of) & set(common.subset_of), key=lambda key: member.line_of[key]):
        subset, line = common.subset_of[key], common.line_of[key]
        problems.add(
            member.line_of[key], f"the patient is in {subset} of fold {key[0]} too ({COMMON_NAME} line {line})"
        )
    problems.refuse()
