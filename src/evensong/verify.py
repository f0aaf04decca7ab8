"""evensong verify: every output of the pipeline, every cached object and the run cache, hashed anew.

DVC takes an object that is read-only for an intact one and does not read it again; this does.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from evensong.errors import IntegrityError
from evensong.intake.names import counted

_NOT_COVERED = (
    "not covered: what git tracks (git status), remotes (set verify = true), models that others published, .state, and "
    "whether an output follows from its inputs (dvc status)"
)
_ADVICE = (
    "an output comes back with dvc checkout --force; delete a damaged object or run of the cache before, and get it "
    "again with dvc pull or dvc repro"
)
_SHOWN = 20  # names an output
_PATIENTS = "voice"  # names below a folder of this name hold patients' ids
_FOLDER = ".dir"


@dataclass(frozen=True)
class Output:
    """One output as dvc.lock or a .dvc file records it; the digest of a folder ends in ``.dir``."""

    stage: str
    path: str
    md5: str


@dataclass(frozen=True)
class Examined:
    """How much was hashed, what differs or is missing (patients' files by their number only), and notes."""

    outputs: int
    cached_objects: int
    runs: int
    faults: list[str]
    notes: list[str]

    def refuse(self) -> None:
        """Stop at a fault.

        Raises:
            IntegrityError: lists them.
        """
        if self.faults:
            listed = "\n  ".join([counted(len(self.faults), "fault"), *self.faults])
            raise IntegrityError("\n".join([listed, _ADVICE, *self.notes]))


def verify(root: Path) -> str:
    """What `examine` found in order, what was never made here, and what is not covered.

    Raises:
        IntegrityError: something differs or is missing.
    """
    found = examine(root)
    found.refuse()
    objects, runs = counted(found.cached_objects, "cached object"), counted(found.runs, "run")
    counts = f"{counted(found.outputs, 'output')}, {objects} and {runs}"
    return "\n".join([f"{counts} of the run cache are what they were recorded as", *found.notes])


def examine(root: Path) -> Examined:
    """Hash the workspace's outputs and all of the cache, and compare them with what is recorded.

    Outputs of stages that dvc.yaml no longer has are passed over. A stage of whose outputs nothing was ever in this
    cache, and what is missing of it, was not run here: it is named, and is no fault.

    Args:
        root: folder of the repository.

    Raises:
        IntegrityError: no dvc.lock, or a file that is not DVC's.
    """
    outputs = recorded_outputs(root)
    cache = root / _dvc(root, "cache", "dir").strip()  # by DVC's own word: a configuration may have moved it
    absent = _never_made(root, outputs, cache)
    made = [output for output in outputs if output not in absent]
    faults = [fault for output in made for fault in _output_faults(root, output, cache)]
    objects = sorted(path for path in (cache / "files" / "md5").glob("??/*") if path.is_file())
    faults += [f"{path}: {fault}" for path in objects if (fault := _object_fault(path))]
    runs = sorted(path for path in (cache / "runs").glob("??/*/*") if path.is_file())
    faults += [f"{path}: {fault}" for path in runs if (fault := _run_fault(path))]
    notes = [*_named_stages(absent, outputs), _NOT_COVERED]
    return Examined(len(made), len(objects), len(runs), faults, notes)


def recorded_outputs(root: Path) -> list[Output]:
    """Outputs of dvc.yaml's stages as dvc.lock has them, and of every .dvc file beside it, by path.

    Raises:
        IntegrityError: no dvc.lock, or a file that is not DVC's.
    """
    lock = _read_yaml(root / "dvc.lock")
    stages = set(_dvc(root, "stage", "list", "--name-only").split())
    try:
        outs = [
            (name, out) for name, stage in lock["stages"].items() for out in stage.get("outs", []) if name in stages
        ]
        for path in sorted(root.glob("*.dvc")):
            if path.is_file():
                outs += [(path.name, out) for out in _read_yaml(path)["outs"]]
        return sorted((Output(name, out["path"], out["md5"]) for name, out in outs), key=lambda output: output.path)
    except (AttributeError, KeyError, TypeError) as error:
        raise IntegrityError(f"{root / 'dvc.lock'}: not as DVC 3 writes it (no {error})") from error


def _never_made(root: Path, outputs: list[Output], cache: Path) -> set[Output]:
    """Missing outputs of the stages that have no object in the cache: metrics in git are there all the same."""
    cached = {output.stage for output in outputs if _object_of(output, cache).is_file()}
    return {output for output in outputs if output.stage not in cached and not (root / output.path).exists()}


def _named_stages(absent: set[Output], outputs: list[Output]) -> Iterator[str]:
    """One line on the stages that were never run here; a track none of whose stages was, by its name."""
    missing = {output.stage for output in absent}
    tracks: dict[str, set[str]] = {}
    for stage in sorted({output.stage for output in outputs}):
        tracks.setdefault(stage.partition("_")[0], set()).add(stage)
    for track, stages in tracks.items():
        if stages <= missing and len(stages) > 1:
            yield f"never run here: the {track} track, {len(stages)} stages"
        elif stages & missing:
            yield f"never run here: {', '.join(sorted(stages & missing))}"


def _read_yaml(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError) as error:
        raise IntegrityError(f"{path}: cannot be read ({type(error).__name__}); run this in the repository") from error


def _output_faults(root: Path, output: Output, cache: Path) -> Iterator[str]:
    path = root / output.path
    if not path.exists():
        yield f"{output.path}: missing"
    elif not output.md5.endswith(_FOLDER):
        if path.is_dir() or file_md5(path) != output.md5:
            yield f"{output.path}: differs"
    elif not path.is_dir():
        yield f"{output.path}: a file where a folder is recorded"
    else:
        found = {file.relative_to(path).as_posix(): file_md5(file) for file in path.rglob("*") if file.is_file()}
        if _folder_md5(found) != output.md5:
            # Asking DVC takes a second, so only now.
            ignored = _ignored(root, output.path, sorted(found))
            found = {name: md5 for name, md5 in found.items() if name not in ignored}
        if _folder_md5(found) != output.md5:
            yield f"{output.path}: {_difference(output, found, cache)}"


def _ignored(root: Path, folder: str, names: list[str]) -> set[str]:
    """Files of a folder that .dvcignore excludes."""
    if not names:
        return set()
    done = _dvc(root, "check-ignore", "--stdin", given="".join(f"{folder}/{name}\n" for name in names))
    return {line.removeprefix(f"{folder}/") for line in done.splitlines()}


def _dvc(root: Path, *arguments: str, given: str = "") -> str:
    """What a dvc command prints."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, input=given, capture_output=True, text=True)
    if done.returncode not in (0, 1) or done.stderr.strip():  # check-ignore: 1 where nothing is ignored
        raise IntegrityError(f"{root}: dvc {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _folder_md5(digests: dict[str, str]) -> str:
    """The digest DVC gives a folder: of the JSON of its files, sorted by path."""
    listing = [{"md5": digests[name], "relpath": name} for name in sorted(digests)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + _FOLDER


def _difference(output: Output, found: dict[str, str], cache: Path) -> str:
    """Which files of a folder differ, where its listing is at hand and intact."""
    listing = _object_of(output, cache)
    if not listing.is_file() or _object_fault(listing):
        return "differs; the list of its files is not in the cache"
    wanted = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text(encoding="utf-8"))}
    kinds = {
        "missing": sorted(wanted.keys() - found.keys()),
        "added": sorted(found.keys() - wanted.keys()),
        "differing": sorted(name for name in wanted.keys() & found.keys() if wanted[name] != found[name]),
    }
    return "; ".join(f"{len(names)} {kind}{_named(output.path, names)}" for kind, names in kinds.items() if names)


def _named(output: str, names: list[str]) -> str:
    shown = [name for name in names if _PATIENTS not in f"{output}/{name}".split("/")]
    hidden = " (names withheld, they hold patients' ids)" if len(shown) < len(names) else ""
    more = ", ..." if len(shown) > _SHOWN else ""
    return f": {', '.join(shown[:_SHOWN])}{more}{hidden}" if shown else hidden


def _object_of(output: Output, cache: Path) -> Path:
    return cache / "files" / "md5" / output.md5[:2] / output.md5[2:]


def _object_fault(path: Path) -> str:
    """What is wrong with an object of the cache, whose name is its content's digest."""
    wanted = (path.parent.name + path.name).removesuffix(_FOLDER)
    if len(wanted) != 32:
        return "left over from an interrupted dvc command; delete it"
    return "" if file_md5(path) == wanted else "is not what its name says"


def _run_fault(path: Path) -> str:
    """What is wrong with a record of the run cache: runs/{key[:2]}/{key}/{digest of the record}.

    The key is the digest of the same record without its outputs' digests, so neither an output nor an input of a run
    can be exchanged.
    """
    if len(path.name) != 64:
        return "left over from an interrupted dvc command; delete it"
    try:
        record = _without_sizes(_read_yaml(path))
        key = {**record, "outs": [out["path"] for out in record["outs"]]}
    except (IntegrityError, AttributeError, KeyError, TypeError):
        return "is not a record of a run"
    return "" if (_sha256(key), _sha256(record)) == (path.parent.name, path.name) else "is not what its name says"


def _without_sizes(tree: Any) -> Any:
    """A record as DVC hashes it."""
    if isinstance(tree, list):
        return [_without_sizes(value) for value in tree]
    if isinstance(tree, dict):
        return {key: _without_sizes(value) for key, value in tree.items() if key not in ("size", "nfiles")}
    return tree


def _sha256(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def file_md5(path: Path) -> str:
    """MD5 of a file's bytes, as DVC 3 takes it."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
