"""Damage that DVC itself does not see, in the workspace and in the cache."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from evensong import verify as verify_module
from evensong.errors import IntegrityError
from evensong.verify import verify

PATIENT = "00000000-0000-4000-8000-000000000001"


def md5(raw: bytes) -> str:
    return hashlib.md5(raw, usedforsecurity=False).hexdigest()


def store(root: Path, raw: bytes, suffix: str = "") -> str:
    """Put an object into the cache as DVC does, read-only; its digest."""
    digest = md5(raw) + suffix
    path = root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    path.chmod(0o444)
    return digest


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One file out and one folder out, a patients' folder among them, recorded and cached by hand."""
    files = {"artifacts/model.json": b"{}", "artifacts/mels/a.npy": b"aaa", "artifacts/mels/b.npy": b"bbb"}
    files[f"artifacts/voice/{PATIENT}_r_c.jpg"] = b"ccc"
    outs = [{"path": "artifacts/model.json", "md5": store(tmp_path, b"{}"), "hash": "md5"}]
    for name, raw in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    for folder in ("artifacts/mels", "artifacts/voice"):
        listing = [
            {"md5": store(tmp_path, path.read_bytes()), "relpath": path.name}
            for path in sorted((tmp_path / folder).iterdir())
        ]
        outs.append({"path": folder, "md5": store(tmp_path, json.dumps(listing).encode(), ".dir"), "hash": "md5"})
    with (tmp_path / "dvc.lock").open("w", encoding="utf-8") as handle:
        YAML().dump({"schema": "2.0", "stages": {"train": {"cmd": "x", "outs": outs}}}, handle)
    (tmp_path / ".gitignore").write_text("not a .dvc file")
    answers = {"cache": str(tmp_path / ".dvc/cache") + "\n", "check-ignore": ""}
    monkeypatch.setattr(verify_module, "_dvc", lambda _root, command, *_, given="": answers[command])
    return tmp_path


def faults(root: Path) -> str:
    with pytest.raises(IntegrityError) as caught:
        verify(root)
    return str(caught.value)


def test_an_intact_repository_is_said_to_be(repository: Path) -> None:
    assert verify(repository) == "3 outputs and 6 cached objects are what they were recorded as"


def test_every_kind_of_damage_to_outputs_is_named(repository: Path) -> None:
    (repository / "artifacts/model.json").write_bytes(b"{]")
    (repository / "artifacts/mels/a.npy").write_bytes(b"aab")
    (repository / "artifacts/mels/b.npy").unlink()
    (repository / "artifacts/mels/new.npy").write_bytes(b"")
    lines = faults(repository).splitlines()
    assert lines[0] == "2 faults"
    assert lines[1] == "  artifacts/mels: 1 missing: b.npy; 1 added: new.npy; 1 differing: a.npy"
    assert lines[2] == "  artifacts/model.json: differs"


@pytest.mark.parametrize("path", ["artifacts/model.json", "artifacts/mels"])
def test_a_missing_output_is_named(repository: Path, path: str) -> None:
    target = repository / path
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    assert f"{path}: missing" in faults(repository)


def test_a_folder_in_a_files_place_is_a_fault(repository: Path) -> None:
    (repository / "artifacts/model.json").unlink()
    (repository / "artifacts/model.json").mkdir()
    assert "artifacts/model.json: differs" in faults(repository)


def test_patients_files_are_counted_and_never_named(repository: Path) -> None:
    (repository / f"artifacts/voice/{PATIENT}_r_c.jpg").write_bytes(b"other")
    text = faults(repository)
    assert "artifacts/voice: 1 differing (names withheld" in text
    assert PATIENT not in text


def test_a_read_only_object_of_the_cache_is_read_all_the_same(repository: Path) -> None:
    path = repository / ".dvc/cache/files/md5" / md5(b"aaa")[:2] / md5(b"aaa")[2:]
    path.chmod(0o644)
    path.write_bytes(b"aab")
    path.chmod(0o444)
    assert f"{path}: is not what its name says" in faults(repository)


def test_droppings_of_an_interrupted_command_are_named(repository: Path) -> None:
    (repository / ".dvc/cache/files/md5/aa").mkdir(exist_ok=True)
    (repository / ".dvc/cache/files/md5/aa/x3f.tmp").write_bytes(b"")
    assert "left over from an interrupted dvc command" in faults(repository)


def test_a_repository_without_a_lock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"dvc\.lock: cannot be read"):
        verify(tmp_path)


@pytest.mark.slow
def test_dvc_itself_writes_what_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names in any script, an ignored file, a folder in a folder: the digest of a folder is DVC's own."""

    def dvc(*arguments: str) -> None:
        environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(tmp_path / "site"), "DVC_NO_ANALYTICS": "1"}
        command = [sys.executable, "-m", "dvc", *arguments]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)

    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    for name in ("data/Waldohreule é/1.wav", "data/b/2.wav", "data/a b.wav", "data/.DS_Store"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".dvcignore").write_text(".DS_Store\n")
    stage = {"cmd": "mkdir out && cp data/b/2.wav out/x", "deps": ["data"], "outs": ["out"]}
    with (tmp_path / "dvc.yaml").open("w", encoding="utf-8") as handle:
        YAML().dump({"stages": {"copy": stage}}, handle)
    dvc("init", "--no-scm", "--quiet")
    (tmp_path / ".dvcignore").write_text(".DS_Store\n")
    dvc("add", "--quiet", "data")
    dvc("repro", "--quiet")
    assert verify(tmp_path).startswith("2 outputs and 5 cached objects")
    (tmp_path / "data/b/2.wav").write_text("other")
    (tmp_path / "data/.DS_Store").write_text("other")
    assert "data: 1 differing: b/2.wav\n" in faults(tmp_path)
