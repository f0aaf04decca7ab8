"""data/voice/cohort -> one label a patient, and the split lists where they are given; checked, used as they are."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evensong.errors import DataError
from evensong.intake.csv_tables import BLANKS, Problems, answer_of, read_table
from evensong.schemas import VoiceLabels
from evensong.voice.disclosure import SMALLEST_COUNT, positions, told, told_split
from evensong.voice.names import Located, id_problem
from evensong.voice.splits import COLUMNS, COMMON_NAME, TRAIN_NAME, Splits, as_table

HEALTH_CODE = "healthCode"
NO_LISTS = {"files": 0, "repeated_rows": 0}

_LABELS = {
    **dict.fromkeys(("false", "0", "0.0", "no", "f", "n"), 0),
    **dict.fromkeys(("true", "1", "1.0", "yes", "t", "y"), 1),
}
_KNOWN = "true/false, yes/no, t/f, y/n and 1/0"
_MOST_SHOWN = 40  # characters of an answer
_NUMBER = re.compile(r"(0|[1-9]\d{0,5})(\.0+)?")  # 3.0 is how a table with a gap writes 3


@dataclass(frozen=True)
class Demographics:
    """Every patient of the survey.

    Args:
        labels: healthCode to 0, 1, or None where every row's diagnosis is blank.
        located: where each healthCode stands first.
        accounts: rows of the file, those that only repeat a patient, and columns that were not read.
        words: answers that were read as none, such as ``na``, to the number of patients.
    """

    labels: dict[str, int | None]
    located: Located
    accounts: dict[str, int]
    words: dict[str, int]

    @property
    def labelled(self) -> dict[str, int]:
        """Only the patients with a diagnosis."""
        return {patient: label for patient, label in self.labels.items() if label is not None}

    def describe(self) -> str:
        """One line about the survey; no number of patients under five."""
        n_labelled = len(self.labelled)
        _, n_positive = told_split(n_labelled, sum(self.labelled.values()))
        words = ", ".join(f"'{word}' of {told(count)}" for word, count in sorted(self.words.items()))
        return (
            f"survey: {told(len(self.labels))} patients, {told(n_labelled)} with a diagnosis, {n_positive} positive; "
            f"rows that repeat a patient: {self.accounts['repeated_rows']}; "
            f"columns that are not read: {self.accounts['other_columns']}"
            + (f"; read as no diagnosis: {words}" if words else "")
        )


def read_demographics(path: Path, settings: VoiceLabels) -> Demographics:
    """Read and check the survey; ids stay as written, an answer may be spelled in upper or lower case.

    A repeated patient counts once; a blank beside a diagnosis gives way to it. A word for no answer, such as NA, is
    blank unless ``settings.values`` says otherwise.

    Raises:
        DataError: anything `csv_tables.read_table` refuses, an unusable healthCode, an unknown answer, or one
            patient with both diagnoses. Names lines, never ids, and only answers that many patients gave.
    """
    columns, cure = (HEALTH_CODE, settings.column), "voice.labels.column names the column of the diagnosis"
    table = read_table(path, columns, cure=cure)
    problems = Problems(path)
    meanings = {answer_of(str(value)): label for value, label in (settings.values or _LABELS).items()}
    lines_by_label: dict[str, dict[int | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    unknown: dict[str, list[tuple[int, str]]] = defaultdict(list)
    words: dict[str, set[str]] = defaultdict(set)
    for line, patient, text in zip(table.lines, *(table.values[name] for name in columns), strict=True):
        answer = answer_of(text)
        if problem := id_problem(patient):
            problems.add(line, problem)
        elif answer in meanings:
            lines_by_label[patient][meanings[answer]].append(line)
        elif answer in BLANKS:
            lines_by_label[patient][None].append(line)
            words[answer].add(patient)
        else:
            unknown[answer].append((line, patient))
    if unknown:
        problems.found.insert(0, _unknown(settings, unknown))
    labels = {patient: _one_label(found, problems) for patient, found in lines_by_label.items()}
    problems.refuse()
    first = {patient: min(map(min, found.values())) for patient, found in lines_by_label.items()}
    n_rows = len(table.lines)
    accounts = {"rows": n_rows, "repeated_rows": n_rows - len(labels), "other_columns": table.n_other_columns}
    n_words = {word: len(patients) for word, patients in words.items() if word}
    return Demographics(labels, Located(str(path), first), accounts, n_words)


def _unknown(settings: VoiceLabels, unknown: Mapping[str, Sequence[tuple[int, str]]]) -> str:
    """What to do about answers that mean nothing here; those of a few patients could name them, and are not shown."""
    held = {answer: len({patient for _, patient in found}) for answer, found in unknown.items()}
    shown = ", ".join(repr(answer[:_MOST_SHOWN]) for answer, n in sorted(held.items()) if n >= SMALLEST_COUNT)
    known = _KNOWN if settings.values is None else ", ".join(map(str, settings.values))
    lines = positions(line for found in unknown.values() for line, _ in found)
    return (
        f"line {lines}: {settings.column} is none of {known}: {len(unknown)} distinct value(s)"
        f"{f', among them {shown}' if shown else ''}; say in voice.labels.values what they mean, as "
        "{PD: 1, HC: 0}, or leave the cell blank where there is no diagnosis"
    )


def _one_label(found: dict[int | None, list[int]], problems: Problems) -> int | None:
    """The patient's only diagnosis; a problem on the first of its lines when there are two."""
    labels = sorted(label for label in found if label is not None)
    if len(labels) > 1:
        lines = sorted(found[0] + found[1])
        problems.add(lines[0], f"the patient of lines {positions(lines)} has both diagnoses; keep the right one")
    return labels[0] if labels else None


@dataclass(frozen=True)
class GivenSplits:
    """Checked splits.

    Args:
        located: where each healthCode stands first in each file.
        accounts: files, and their rows that only repeat another.
    """

    splits: Splits
    located: list[Located]
    accounts: dict[str, int]


@dataclass(frozen=True)
class _SplitList:
    """One file: (fold, healthCode) to the subset, and to the line that says so first.

    Args:
        subsets: those that the file is about.
        n_repeated: rows that say nothing new.
    """

    path: Path
    subsets: tuple[str, ...]
    subset_of: dict[tuple[int, str], str]
    line_of: dict[tuple[int, str], int]
    n_repeated: int

    @property
    def rows(self) -> list[tuple[int, str, str]]:
        return [(*key, subset) for key, subset in self.subset_of.items()]

    @property
    def located(self) -> Located:
        first: dict[str, int] = {}
        for (_, patient), line in self.line_of.items():
            first[patient] = min(line, first.get(patient, line))
        return Located(self.path.name, first)


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
    found = _csv_files(folder)
    if not found:
        return None
    common_path, train_paths = _sort_out(folder, found, subdbs)
    common = _read_list(common_path, ("val", "test"))
    train = {k: _read_list(path, ("train",)) for k, path in train_paths.items()}
    lists = [common, *train.values()]
    _check_folds(lists, n_folds)
    for one in train.values():
        _check_disjoint(one, common)
    listed = {patient for one in lists for _, patient in one.subset_of}
    control = [(fold, one, "train") for fold in range(n_folds) for one in listed if (fold, one) not in common.subset_of]
    splits = Splits(
        common=as_table(common.rows),
        train={k: as_table(train[k].rows) for k in subdbs},
        control=as_table(control),
        file_names={k: train_paths[k].name for k in subdbs},
    )
    accounts = {"files": len(lists), "repeated_rows": sum(one.n_repeated for one in lists)}
    return GivenSplits(splits, [one.located for one in lists], accounts)


def refuse_stray_lists(cohort: Path, folder: Path) -> None:
    """Refuse split CSVs that lie in the cohort beside their folder, where nobody would read them.

    Raises:
        DataError: says how many there are.
    """
    beside = [path for path in _csv_files(cohort) if folder not in path.parents]
    n_stray = sum(path.name == COMMON_NAME or TRAIN_NAME.fullmatch(path.name) is not None for path in beside)
    if n_stray:
        raise DataError(
            f"{cohort}: {n_stray} split CSV(s) lie outside {folder}; move them into it to have them used, or out of "
            f"{cohort} to have the splits made"
        )


def _csv_files(folder: Path) -> list[Path]:
    """CSV files under the folder that are not hidden, sorted."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise DataError(f"{folder}: not a folder; put the split CSVs into a folder of that name, or remove the file")
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if name.lower().endswith(".csv") and not name.startswith(".")]
    return sorted(found)


def _sort_out(folder: Path, found: Iterable[Path], subdbs: Sequence[int]) -> tuple[Path, dict[int, Path]]:
    """The common list and each sub-database's; refuses a folder where one is missing, repeated or misnamed."""
    paths: dict[int | str, list[Path]] = {}
    for path in found:
        match = TRAIN_NAME.fullmatch(path.name)
        paths.setdefault(int(match[1]) if match else path.name, []).append(path)
    known: list[int | str] = [COMMON_NAME, *range(1, 10)]
    wanted: list[int | str] = [COMMON_NAME, *subdbs]
    n_strangers = sum(len(own) for key, own in paths.items() if key not in known)
    missing = [_list_name(key) for key in wanted if key not in paths]
    repeated = [_list_name(key) for key in known if len(paths.get(key, ())) > 1]
    strangers = f"{n_strangers} CSV file(s) have other names than {COMMON_NAME} and subdb<k>_train_<XX>_<YY>.csv"
    messages = [strangers] if n_strangers else []
    messages += [f"missing: {', '.join(missing)}"] if missing else []
    messages += [f"more than one: {', '.join(repeated)}"] if repeated else []
    if messages:
        there = ", ".join(str(k) for k in subdbs if len(paths.get(k, ())) == 1)
        fewer = f", or set voice.subdbs to those that are there ({there})" if there and missing else ""
        raise DataError(
            f"{folder}: {'; '.join(messages)}. Give the lists of every sub-database in voice.subdbs{fewer}, or remove "
            "them all and the splits are made"
        )
    return paths[COMMON_NAME][0], {k: paths[k][0] for k in range(1, 10) if k in paths}


def _list_name(key: int | str) -> str:
    return f"subdb{key}_train_XX_YY.csv" if isinstance(key, int) else key


def _read_list(path: Path, subsets: tuple[str, ...]) -> _SplitList:
    table = read_table(path, COLUMNS)
    problems = Problems(path)
    subset_of: dict[tuple[int, str], str] = {}
    line_of: dict[tuple[int, str], int] = {}
    cells = zip(table.lines, *(table.values[name] for name in COLUMNS), strict=True)
    for line, fold_text, patient, subset_text in cells:
        fold, subset = fold_text.strip(), subset_text.strip()
        problem = _row_problem(fold, patient, subset, subsets)
        if problem:
            problems.add(line, problem)
            continue
        key = (int(float(fold)), patient)
        if subset_of.setdefault(key, subset) != subset:
            problems.add(line, f"the patient of line {line_of[key]} again, in another subset of the same fold")
        line_of.setdefault(key, line)
    problems.refuse()
    return _SplitList(path, subsets, subset_of, line_of, len(table.lines) - len(subset_of))


def _row_problem(fold: str, patient: str, subset: str, subsets: tuple[str, ...]) -> str | None:
    if not _NUMBER.fullmatch(fold):
        return "fold_iteration is not a whole number from 0"
    if subset not in subsets:
        return f"subset is not {' or '.join(subsets)}"
    return id_problem(patient)


def _check_folds(lists: Sequence[_SplitList], n_folds: int) -> None:
    """Every file and subset must hold exactly the folds 0 to n_folds - 1."""
    folds = {
        f"{one.path.name} ({subset})": {fold for (fold, _), own in one.subset_of.items() if own == subset}
        for one in lists
        for subset in one.subsets
    }
    n_found = max(max(found, default=0) for found in folds.values()) + 1
    if n_found != n_folds and all(found == set(range(n_found)) for found in folds.values()):
        advice = f"set voice.splits.n_folds to {n_found}" if n_found >= 3 else "three is the least that can be used"
        raise DataError(f"the given splits have {n_found} folds and voice.splits.n_folds is {n_folds}; {advice}")
    wanted = set(range(n_folds))
    wrong = [
        f"{where}: {text} of fold {positions(numbers)}"
        for where, found in folds.items()
        for text, numbers in (("no rows", wanted - found), ("rows", found - wanted))
        if numbers
    ]
    if all(found == set(range(1, n_folds + 1)) for found in folds.values()):
        wrong.append(f"they are numbered from 1 to {n_folds}: subtract 1 from every fold_iteration")
    if wrong:
        raise DataError(
            "\n  ".join([f"the given splits must hold the folds 0 to {n_folds - 1}, all in every file", *wrong])
        )


def _check_disjoint(training: _SplitList, common: _SplitList) -> None:
    """No patient may be trained on in a fold that validates or tests on them."""
    problems = Problems(training.path)
    for key, line in sorted(training.line_of.items(), key=lambda item: item[1]):
        if key in common.subset_of:
            subset, other = common.subset_of[key], common.line_of[key]
            problems.add(line, f"the patient is in {subset} of fold {key[0]} too ({COMMON_NAME} line {other})")
    problems.refuse()
