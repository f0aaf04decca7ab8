"""Damaged tables of people: surveys, split lists and groups, beside a reader of our own; a leak is always refused."""

import csv
import functools
import io
import json
import random
from pathlib import Path

from tests.reliability.mutations import Disagreement, mutated_text

from evensong.errors import DataError
from evensong.intake.csv_tables import BLANKS
from evensong.night.sources import read_groups
from evensong.schemas import VoiceLabels
from evensong.voice.cohort import HEALTH_CODE, read_demographics, read_given_splits

_PATIENTS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(24)]
_LABELS = VoiceLabels(column="professional-diagnosis", values=None)
_COMMON, _TRAIN, _N_FOLDS = "common_val_test_all_subdbs.csv", "subdb3_train_30_70.csv", 3


@functools.cache
def survey() -> bytes:
    rows = [f"{n},{one},{('true', 'False', '', 'yes', '0')[n % 5]},{n + 40}" for n, one in enumerate(_PATIENTS)]
    return "\n".join([f"row,{HEALTH_CODE},{_LABELS.column},age", *rows, rows[3], ""]).encode()


def check_survey(folder: Path, raw: bytes) -> str:
    """A table is refused, or every row of it counts, and every patient has a diagnosis that stands there."""
    path = folder / "Demographics_Survey.csv"
    path.write_bytes(raw)
    try:
        found = read_demographics(path, _LABELS)
    except DataError:
        return "refused"
    rows = _rows(raw)
    if found.accounts["rows"] != len(rows) or found.accounts["repeated_rows"] != len(rows) - len(found.labels):
        raise Disagreement(f"{len(rows)} rows, {len(found.labels)} patients: {found.accounts}")
    said: dict[str, set[int | None]] = {}
    for row in rows:
        cell = row[_LABELS.column].strip().casefold()
        label = None if cell in BLANKS else int(cell in ("true", "1", "1.0", "yes", "t", "y"))
        said.setdefault(row[HEALTH_CODE], set()).add(label)
    wanted = {one: max((label for label in labels if label is not None), default=None) for one, labels in said.items()}
    if found.labels != wanted:
        raise Disagreement("other labels than the table's")
    return "used"


@functools.cache
def split_lists() -> dict[str, bytes]:
    """A common list and one training list that cannot leak: patients rotate through the folds."""
    common, train = [], []
    for fold in range(_N_FOLDS):
        for n, one in enumerate(_PATIENTS):
            subset = ("val", "test", "train", "train")[(n + fold) % 4]
            (train if subset == "train" else common).append(f"{fold},{one},{subset}")
    head = "fold_iteration,healthCode,subset"
    return {name: "\n".join([head, *rows, ""]).encode() for name, rows in ((_COMMON, common), (_TRAIN, train))}


def damaged_lists(chance: random.Random) -> bytes:
    """Both lists as JSON; in every third a patient that is tested is trained on too, somewhere among the rows."""
    lists = dict(split_lists())
    if chance.random() < 1 / 3:
        tested = chance.choice(lists[_COMMON].splitlines()[1:]).decode().rsplit(",", 1)[0]
        rows = lists[_TRAIN].splitlines(keepends=True)
        rows.insert(chance.randrange(1, len(rows) + 1), f"{tested},train\n".encode())
        chance.shuffle(rest := rows[1:])
        return _as_json({**lists, _TRAIN: rows[0] + b"".join(rest)}, leaks=True)
    name = chance.choice(list(lists))
    return _as_json({**lists, name: mutated_text(lists[name], chance)}, leaks=False)


def _as_json(lists: dict[str, bytes], *, leaks: bool) -> bytes:
    return json.dumps({"leaks": leaks, **{name: raw.hex() for name, raw in lists.items()}}).encode()


def check_lists(folder: Path, raw: bytes) -> str:
    """Lists are refused, or nobody stands in two subsets of a fold; a planted leak is always refused."""
    case = json.loads(raw)
    lists = {name: bytes.fromhex(case[name]) for name in (_COMMON, _TRAIN)}
    for name, content in lists.items():
        (folder / name).write_bytes(content)
    try:
        given = read_given_splits(folder, [3], n_folds=_N_FOLDS)
    except DataError:
        return "refused"
    rows = [
        (float(row["fold_iteration"]), row[HEALTH_CODE], row["subset"].strip())
        for name in lists
        for row in _rows(lists[name])
    ]
    if case["leaks"] or len({row[:2] for row in rows}) < len(set(rows)):
        raise Disagreement("lists that leak are used")
    if given is None or given.accounts["repeated_rows"] != len(rows) - len(set(rows)):
        raise Disagreement(f"{len(rows)} rows, {len(set(rows))} of them different: {given and given.accounts}")
    tables = [given.splits.common, given.splits.train[3]]
    if {tuple(row) for table in tables for row in table.to_numpy().tolist()} != set(rows):
        raise Disagreement("other rows than the lists'")
    return "used"


@functools.cache
def groups() -> bytes:
    rows = [f"asio_otus/{n:02d} é.wav,night {n // 3}" for n in range(20)]
    return "\n".join(["path,source_id", *rows, ""]).encode()


def check_groups(folder: Path, raw: bytes) -> str:
    """A table is refused, or gives each of its paths one source."""
    path = folder / "groups.csv"
    path.write_bytes(raw)
    try:
        found = read_groups(path)
    except DataError:
        return "refused"
    if len({row["path"].strip().removeprefix("./") for row in _rows(raw)}) < len(found) or not all(found.values()):
        raise Disagreement("paths that the table does not have, or without a source")
    return "used"


def _rows(raw: bytes) -> list[dict[str, str]]:
    """The rows that are not blank, read by Python's own reader."""
    reader = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
    head, *rows = [row for row in reader if any(cell.strip() for cell in row)]
    return [dict(zip((cell.strip() for cell in head), row, strict=True)) for row in rows]
