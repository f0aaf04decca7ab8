"""evensong verify: every tracked output and every cached object, hashed anew.

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

_SHOWN = 20  # names an output
_PATIENTS = "voice"  # names below a folder of this name hold patients' ids
_FOLDER = ".dir"


@dataclass(frozen=True)
class Output:
    """One output as dvc.lock or a .dvc file records it; the digest of a folder ends in ``.dir``."""

    path: str
    md5: str


def verify(root: Path) -> str:
    """Hash the workspace's outputs and all of the cache, and compare them with what is recorded.

    Args:
        root: folder of the repository.

    Returns:
        One line on what was found in order.

    Raises:
        IntegrityError: something differs or is missing; lists it, patients' files by their number only.
    """
    outputs, cache = recorded_outputs(root), _cache_folder(root)
    faults = [fault for output in outputs for fault in _output_faults(root, output, cache)]
    objects = sorted(path for path in (cache / "files" / "md5").glob("??/*") if path.is_file())
    faults += [f"{path}: {fault}" for path in objects if (fault := _object_fault(path))]
    if faults:
        raise IntegrityError(
            "\n  ".join([f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'}", *faults])
            + "\nan output comes back with dvc checkout --force; delete a damaged object of the cache before, and get "
            "it again with dvc pull or dvc repro"
        )
    return f"{len(outputs)} outputs and {len(objects)} cached objects are what they were recorded as"


def recorded_outputs(root: Path) -> list[Output]:
    """Outputs of dvc.lock and of every .dvc file beside it, by path.

    Raises:
        IntegrityError: no dvc.lock, or a file that is not DVC's.
    """
    lock = _read_yaml(root / "dvc.lock")
    try:
        outs = [out for stage in lock["stages"].values() for out in stage.get("outs", [])]
        for path in sorted(root.glob("*.dvc")):
            if path.is_file():
                outs += _read_yaml(path)["outs"]
        return sorted((Output(out["path"], out["md5"]) for out in outs), key=lambda output: output.path)
    except (AttributeError, KeyError, TypeError) as error:
        raise IntegrityError(f"{root / 'dvc.lock'}: not as DVC 3 writes it (no {error})") from error


def _read_yaml(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError) as error:
        raise IntegrityError(f"{path}: cannot be read ({type(error).__name__}); run this in the repository") from error


def _cache_folder(root: Path) -> Path:
    """Where DVC keeps its objects, by its own word: a configuration may have moved it."""
    return root / _dvc(root, "cache", "dir").strip()


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
    listing = cache / "files" / "md5" / output.md5[:2] / output.md5[2:]
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


def _object_fault(path: Path) -> str:
    """What is wrong with an object of the cache, whose name is its content's digest."""
    wanted = (path.parent.name + path.name).removesuffix(_FOLDER)
    if len(wanted) != 32:
        return "left over from an interrupted dvc command; delete it"
    return "" if file_md5(path) == wanted else "is not what its name says"


def file_md5(path: Path) -> str:
    """MD5 of a file's bytes, as DVC 3 takes it."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
