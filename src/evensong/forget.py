"""evensong forget: a patient who withdraws leaves no trace here: recordings, survey rows, all that came of them.

The id is never printed. Everything under artifacts/voice goes as a whole: scores, splits and weights all rest on the
patient's voice, and so do their copies in DVC's cache at every revision that git knows.
"""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from evensong.errors import BusyError, DataError, IntegrityError, ParamsError

RECORDINGS = Path("data/voice/recordings")
COHORT = Path("data/voice/cohort")
ARTIFACTS = Path("artifacts/voice")
SECOND = Path("artifacts/cohort")  # where evensong predict leaves scores of people whom no model was trained on
_RERUN = "dvc repro voice_report"
_NOT_OURS = {".git", ".venv", "__pycache__"}  # git's objects are compressed, and are asked through git
_BLOCK = 1 << 22
_OVERLAP = 1 << 10  # of two blocks, longer than any id

_HEALTH_CODE = "healthCode"
_FEW_DIGITS = 5  # such a number stands everywhere, as an age, a count or a part of a sound


@dataclass(frozen=True)
class Needle:
    """An id as a whole word: p01 is not found in p012, nor 1001 in 0.1001.

    Attributes:
        word: the id in any bytes; None for a number of few digits, which is looked for where a name begins alone.
        name: the id in a file's name or path.
    """

    word: re.Pattern[bytes] | None
    name: re.Pattern[bytes]


@dataclass
class Forgotten:
    """What was removed, by kind, and what is left to do by hand; nothing in it names the patient."""

    removed: Counter[str] = field(default_factory=Counter)
    advice: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report."""
        counts = [f"removed: {n} {kind}" for kind, n in sorted(self.removed.items())]
        return [*(counts or ["nothing here held this id"]), *self.advice]


def forget(root: Path, identifier: str) -> Forgotten:
    """Remove every local trace of a patient, and prove that none is left.

    Args:
        root: folder of the repository.
        identifier: the healthCode, as written in file names and in the survey.

    Raises:
        ParamsError: not an id.
        DataError: a cohort table cannot be read as CSV, so its rows cannot be told apart.
        BusyError: a stage or a DVC command is at work in this folder.
        IntegrityError: something here still holds the id; counts and places, never the id.
    """
    needle = _needle(identifier)
    _refuse_busy(root)
    found, cache = Forgotten(), _cache_folder(root)
    tables = {table: _without(table, identifier) for table in sorted((root / COHORT).rglob("*.csv"))}
    in_second = _has_rows(root / SECOND, identifier) or _holds(root / SECOND, needle)
    in_tables = any(n for _, n in tables.values()) or _has_rows(root / ARTIFACTS, identifier)
    if not (in_second or in_tables or _is_held(root, cache, needle)):
        return found
    if in_second:
        _remove_all(found, "folders of a second cohort's scores", [root / SECOND])
        if not in_tables and not _is_held(root, cache, needle):
            found.advice = ["no model was trained on this voice; the recordings lie where the second cohort does"]
            _prove(root, cache, needle, found)
            return found
    _remove_all(found, "recordings or images", _named(root / RECORDINGS, identifier))
    for table, (text, n) in tables.items():
        found.removed["rows of the cohort's tables"] += n
        if n:
            half = table.with_name(f".{table.name}.half")
            half.write_bytes(text)
            os.replace(half, table)
    _remove_all(found, "cached objects", _objects_of(root, cache, needle, identifier))
    _remove_all(found, "folders of results", [root / ARTIFACTS, root / ".state"])
    _remove_all(found, "files of DVC's own notes", _notes_of_dvc(root))
    found.removed += Counter()  # without the kinds of which nothing was found
    found.advice = [
        "the data changed: dvc add data, git commit data.dvc",
        f"to be made anew: {_RERUN}",
        *_elsewhere(root),
    ]
    if needle.word is None:
        found.advice.append(
            f"so short a number cannot be told from others: names of files and columns {_HEALTH_CODE} were looked at, "
            "other texts and git's history were not"
        )
    _prove(root, cache, needle, found)
    return found


def _needle(identifier: str) -> Needle:
    if not identifier.strip() or not identifier.isprintable() or set("_/\\") & set(identifier):
        raise ParamsError("this is no healthCode: it has no underscore, slash, backslash or control character")
    escaped = re.escape(identifier.encode())
    if identifier.isdecimal() and len(identifier) <= _FEW_DIGITS:
        return Needle(None, re.compile(rb"(?:^|/)" + escaped + rb"(?:_|/|$)"))
    word = re.compile(rb"(?<![0-9A-Za-z.])" + escaped + rb"(?![0-9A-Za-z.])")
    return Needle(word, word)


def _refuse_busy(root: Path) -> None:
    """DVC's lock file names the process that holds it."""
    lock = root / ".dvc/tmp/lock"
    holder = re.search(r"\d+", lock.read_text(errors="replace")) if lock.is_file() else None
    if holder and Path(f"/proc/{holder[0]}").is_dir() and int(holder[0]) != os.getpid():
        raise BusyError("a dvc command is at work in this folder; wait for it, or end it")


def _is_held(root: Path, cache: Path, needle: Needle) -> bool:
    places = [root, *([] if cache.is_relative_to(root) else [cache])]
    return any(next(_traces(place, needle), None) is not None for place in places)


def _named(folder: Path, identifier: str) -> list[Path]:
    """Files whose name says whose they are, and folders that are named by the id."""
    owned = [path for path in folder.rglob("*") if path.name == identifier or path.name.startswith(f"{identifier}_")]
    return [path for path in owned if not any(parent in owned for parent in path.parents)]


def _without(table: Path, identifier: str) -> tuple[bytes, int]:
    """A table without the rows whose healthCode is the id, all other bytes as they are, and how many these are."""
    text = table.read_bytes().decode("utf-8", "surrogateescape")
    if identifier not in text:
        return b"", 0
    lines = list(io.StringIO(text, newline=""))  # as the reader counts them; str.splitlines ends more of them
    kept, start, n_dropped = [], 0, 0
    reader = csv.reader(lines)
    at: list[int] | None = None  # other columns hold ages, folds and dates, which may look like an id
    try:
        for row in reader:
            if at is None:
                at = [n for n, cell in enumerate(row) if cell.strip("\ufeff ") == _HEALTH_CODE]
            is_theirs = any(row[n].strip() == identifier for n in at if n < len(row))
            n_dropped += is_theirs
            kept += [] if is_theirs else lines[start : reader.line_num]
            start = reader.line_num
    except csv.Error as error:
        raise DataError(f"{table}: not a CSV table ({error}); mend it, or take the rows out by hand") from None
    return "".join(kept).encode("utf-8", "surrogateescape"), n_dropped


def _has_rows(folder: Path, identifier: str) -> bool:
    return any(_without(table, identifier)[1] for table in folder.rglob("*.csv"))


def _cache_folder(root: Path) -> Path:
    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise IntegrityError("dvc does not say where its cache is; run this in the repository")
    return root / done.stdout.strip()


def _objects_of(root: Path, cache: Path, needle: Needle, identifier: str) -> list[Path]:
    """Cached objects that hold the id, that a folder's list files under it, or that are outputs of the voice track.

    A number of few digits is held by tables with a row of it.
    """
    lists = {path: _listing(path) for path in cache.glob("files/md5/??/*.dir")}
    recorded = _voice_outputs(root)
    theirs: set[str] = set()
    for path, entries in lists.items():
        is_voice = path.parent.name + path.name in recorded
        theirs |= {entry["md5"] for entry in entries if is_voice or needle.name.search(entry["relpath"].encode())}
        if needle.word is None:
            tables = {entry["md5"] for entry in entries if entry["relpath"].endswith(".csv")}
            theirs |= {md5 for md5 in tables if _row_is_cached(cache, md5, identifier)}
    theirs |= recorded
    objects = [path for path in cache.glob("files/md5/??/*") if path.is_file()]
    return [path for path in objects if path.parent.name + path.name in theirs or _holds(path, needle)]


def _row_is_cached(cache: Path, md5: str, identifier: str) -> bool:
    path = cache / "files/md5" / md5[:2] / md5[2:]
    return path.is_file() and _without(path, identifier)[1] > 0


def _listing(path: Path) -> list[dict[str, str]]:
    try:
        entries: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
        return [entry for entry in entries if {"md5", "relpath"} <= entry.keys()]
    except (OSError, ValueError, AttributeError):
        return []


def _voice_outputs(root: Path) -> set[str]:
    """Digests of the voice track's outputs in dvc.lock, now and at every revision that git knows."""
    texts = [(root / "dvc.lock").read_text(encoding="utf-8")] if (root / "dvc.lock").is_file() else []
    revisions = _git(root, "rev-list", "--all", "--", "dvc.lock").split()
    texts += [_git(root, "show", f"{revision}:dvc.lock") for revision in revisions]
    return {md5 for text in set(texts) for md5 in _digests(text)}


def _digests(lock: str) -> Iterator[str]:
    try:
        stages: Any = YAML(typ="safe", pure=True).load(lock)["stages"]
        for stage in stages.values():
            for out in stage.get("outs", []):
                if str(out["path"]).startswith(f"{ARTIFACTS}/"):
                    yield str(out["md5"])
    except (YAMLError, TypeError, KeyError, AttributeError):
        return


def _notes_of_dvc(root: Path) -> list[Path]:
    """What DVC keeps beside its cache: it makes all of it anew, and its databases hold file names."""
    folder = root / ".dvc/tmp"
    return [path for path in folder.iterdir() if path.name not in ("lock", "rwlock.lock")] if folder.is_dir() else []


def _remove_all(found: Forgotten, kind: str, paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        else:
            continue
        found.removed[kind] += 1


def _elsewhere(root: Path) -> list[str]:
    """Commands for what lies in other places."""
    listed = subprocess.run([sys.executable, "-m", "dvc", "remote", "list"], cwd=root, capture_output=True, text=True)
    remotes = [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]
    lines = [f"remote {name}: after dvc add data, dvc gc --workspace --cloud --remote {name}" for name in remotes]
    experiments = _git(root, "for-each-ref", "refs/exps", "--format=x").split()
    if experiments:
        lines.append(f"{len(experiments)} saved experiments cannot be restored any more: dvc exp remove --all-commits")
    if _git(root, "tag", "--list").strip():
        lines.append("models published under a tag were trained on this voice: withdraw them where they lie")
    return [*lines, "clones of this repository and its backups: run this command in each"]


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, errors="replace")
    return done.stdout if done.returncode == 0 else ""


def _prove(root: Path, cache: Path, needle: Needle, found: Forgotten) -> None:
    """Look at every file's name and bytes, and into git.

    Raises:
        IntegrityError: counts what still holds the id, by its top folder.
    """
    places = [root, *([] if cache.is_relative_to(root) else [cache])]
    left = Counter(_place(root, path) for place in places for path in _traces(place, needle))
    left += Counter({"git's history": _n_git_objects(root, needle)})
    if left:
        named = ", ".join(f"{n} in {place}" for place, n in sorted(left.items()))
        done = "; ".join(f"removed: {n} {kind}" for kind, n in sorted(found.removed.items())) or "nothing was removed"
        raise IntegrityError(
            f"{done}. The id is still held: {named}. Look at each: what tells of the patient is no part of the "
            "pipeline and goes by hand (git's history: git filter-repo), what has its characters by chance stays"
        )


def _place(root: Path, path: Path) -> str:
    return path.relative_to(root).parts[0] if path.is_relative_to(root) else "the cache"


def _traces(folder: Path, needle: Needle) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        for name in [*folders, *names]:
            if needle.name.search(os.fsencode(name)) or (name in names and _holds(Path(where, name), needle)):
                yield Path(where, name)


def _holds(path: Path, needle: Needle) -> bool:
    """Whether a file's bytes, or those of any file in a folder, hold the id; links are not followed."""
    if path.is_symlink():
        return needle.name.search(os.fsencode(os.readlink(path))) is not None
    if path.is_dir():
        return next(_traces(path, needle), None) is not None
    if not path.is_file() or needle.word is None:
        return False
    tail = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            if needle.word.search(tail + block):
                return True
            tail = block[-_OVERLAP:]
    return False


def _n_git_objects(root: Path, needle: Needle) -> int:
    """Objects of git, of any revision or of none, that hold the id."""
    if needle.word is None:
        return 0
    command = ["git", "cat-file", "--batch-all-objects", "--batch", "--buffer", "--unordered"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        n_found, stream = 0, process.stdout
        while stream and (head := stream.readline().split()):
            body = stream.read(int(head[2]) + 1)
            n_found += needle.word.search(body) is not None
    return n_found
