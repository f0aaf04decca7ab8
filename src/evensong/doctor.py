"""evensong doctor: what this machine, this environment and this repository bring to a run."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement

from evensong.errors import EvensongError, ResourceError
from evensong.intake.names import counted
from evensong.night.classes import class_of, list_clips
from evensong.night.sources import GROUPS_FILE, assign_sources, read_groups
from evensong.params import load_section, load_value
from evensong.preflight import check_data
from evensong.run.machine import n_cores
from evensong.schemas import SOURCES, NightScan, Params

_LEAST_FREE_GB = 5


class Finding(NamedTuple):
    """One line of the report; ``bad`` stops a run, ``note`` is for the reader to judge."""

    level: Literal["ok", "note", "bad"]
    what: str


def diagnose(root: Path) -> list[Finding]:
    """Look at everything; a check that meets an error of ours reports it and the others go on.

    Args:
        root: folder of the repository.
    """
    checks: list[Callable[[Path], Iterator[Finding]]] = [
        _python,
        _packages,
        _machine,
        _torch,
        _params,
        _dvc,
        _data,
        _night,
    ]
    findings = []
    for check in checks:
        try:
            findings += list(check(root))
        except EvensongError as error:
            findings.append(Finding("bad", str(error)))
    return findings


def doctor(root: Path) -> None:
    """Print the report.

    Raises:
        ResourceError: something would stop a run.
    """
    findings = diagnose(root)
    for finding in findings:
        print(f"{finding.level:4}  {finding.what}")
    refuse(findings)


def refuse(findings: Sequence[Finding]) -> None:
    """Stop where something would stop a run.

    Raises:
        ResourceError: says how many checks failed.
    """
    n_bad = sum(finding.level == "bad" for finding in findings)
    if n_bad:
        raise ResourceError(f"{counted(n_bad, 'check')} failed")


def _python(_root: Path) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok" if sys.version_info >= (3, 11) else "bad", f"Python {version} (3.11 or newer is needed)")


def _packages(root: Path) -> Iterator[Finding]:
    lock = root / "requirements.lock"
    if not lock.is_file():
        yield Finding("note", "no requirements.lock here to compare the packages with")
        return
    wanted = locked_versions(lock.read_text(encoding="utf-8"))
    found = {name: _installed(name) for name in wanted}
    missing = sorted(name for name in wanted if found[name] is None)
    others = sorted(
        f"{name} {found[name]} (locked {wanted[name]})" for name in wanted if found[name] not in (None, wanted[name])
    )
    if missing:
        yield Finding(
            "bad", f"{counted(len(missing), 'package')} of the lock missing: {', '.join(missing)}; run make env"
        )
    if others:
        yield Finding("note", f"not the locked versions, so bytes may differ: {', '.join(others)}")
    if not missing and not others:
        yield Finding("ok", f"{counted(len(wanted), 'package')} as locked")


def locked_versions(lock: str) -> dict[str, str]:
    """Version by name of every requirement of a lock that this platform and Python need."""
    lines = (line.removesuffix("\\").strip() for line in lock.splitlines() if re.match(r"[A-Za-z0-9]", line))
    needed = (Requirement(line) for line in lines)
    return {
        requirement.name: next(iter(requirement.specifier)).version
        for requirement in needed
        if requirement.marker is None or requirement.marker.evaluate()
    }


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine(root: Path) -> Iterator[Finding]:
    yield Finding("ok", f"{counted(n_cores(), 'core')}, {_memory()} memory")
    free_gb = shutil.disk_usage(root).free / 1e9
    level: Literal["ok", "note"] = "ok" if free_gb >= _LEAST_FREE_GB else "note"
    yield Finding(level, f"{free_gb:.1f} GB free on this disk")


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB"
    except (AttributeError, OSError, ValueError):
        return "unknown"


def _torch(_root: Path) -> Iterator[Finding]:
    import torch  # slow to import

    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    speed = "with" if has_bf16 else "without"
    yield Finding("ok", f"torch {torch.__version__}, CPU {torch.backends.cpu.get_cpu_capability()} {speed} bfloat16")
    if torch.cuda.is_available():
        name, (_, total) = torch.cuda.get_device_name(), torch.cuda.mem_get_info()
        yield Finding("ok", f"GPU {name}, {total / 1e9:.0f} GB (train.device: cuda)")
    else:
        yield Finding("ok", "no GPU; train.device: cpu is the one that works")


def _params(root: Path) -> Iterator[Finding]:
    load_section("", Params, root / "params.yaml")
    yield Finding("ok", "params.yaml fits its schemas")


def _dvc(root: Path) -> Iterator[Finding]:
    if _output(["git", "rev-parse", "--verify", "HEAD"], root) is None:
        yield Finding("bad", "no git repository with a commit here; DVC and training need one: git init, git commit")
    settings = _output([sys.executable, "-m", "dvc", "config", "--list"], root)
    if settings is None:
        yield Finding("bad", "dvc does not run here; is this the repository's folder?")
        return
    values = dict(line.split("=", 1) for line in settings.splitlines() if "=" in line)
    for remote in sorted(key.split(".")[1] for key in values if re.fullmatch(r"remote\..+\.url", key)):
        if values.get(f"remote.{remote}.verify", "").lower() == "true":
            yield Finding("ok", f"remote {remote} is verified when pulled")
        else:
            advice = f"dvc remote modify {remote} verify true"
            yield Finding("note", f"remote {remote}: what it sends is taken unread; {advice}")
    if "core.site_cache_dir" not in values:
        yield Finding("note", "DVC's site cache is in a folder all users may write to; run make env")
    if values.get("core.analytics", "true").lower() != "false":
        yield Finding("note", "DVC reports its use; dvc config core.analytics false")


def _output(command: list[str], folder: Path) -> str | None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def _data(root: Path) -> Iterator[Finding]:
    yield Finding("ok", check_data(root))


def _night(root: Path) -> Iterator[Finding]:
    folder = root / "data/night"
    if not folder.is_dir():
        yield Finding("note", "no data/night here")
        return
    if load_value("night.sources", SOURCES, root / "params.yaml") == "field":
        yield Finding("ok", "clips are cut from data/field (night.sources: field); evensong scan says what is in it")
        return
    settings = load_section("night.scan", NightScan, root / "params.yaml")
    class_names, entries = list_clips(folder, recursive=settings.recursive)
    clips = {entry.path: class_of(entry.path) for entry in entries if entry.outcome == "candidate"}
    table = folder / GROUPS_FILE
    if settings.group_pattern is None and not table.is_file():
        yield Finding("note", f"{len(clips)} clips; night.scan.group_pattern: null makes each a source of its own")
        return
    groups = read_groups(table) if table.is_file() else None
    sources = assign_sources(dict.fromkeys(clips, ""), pattern=settings.group_pattern, groups=groups)
    yield from _grouping(class_names, clips, sources)


def _grouping(class_names: list[str], clips: dict[str, str], sources: dict[str, str]) -> Iterator[Finding]:
    """Whether the sources look like sources: not every clip its own, not a class in one or two."""
    n_sources = len(set(sources.values()))
    found = f"data/night: {len(clips)} clips of {counted(n_sources, 'source')} in {len(class_names)} classes"
    if n_sources == len(clips):
        yield Finding("note", f"{found}: every clip is a source of its own; does the pattern capture too much?")
    else:
        yield Finding("ok", found)
    in_class = Counter(class_name for class_name, _ in {(name, sources[path]) for path, name in clips.items()})
    few = [name for name in class_names if in_class[name] < 3]
    if few:
        yield Finding("note", f"fewer than three sources, so not one for each split: {', '.join(few)}")
