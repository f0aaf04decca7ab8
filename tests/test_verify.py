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
    answers = {"cache": str(tmp_path / ".dvc/cache") + "\n", "check-ignore": "", "stage": "train\n"}
    monkeypatch.setattr(verify_module, "_dvc", lambda _root, command, *_, given="": answers[command])
    return tmp_path


def faults(root: Path) -> str:
    with pytest.raises(IntegrityError) as caught:
        verify(root)
    return str(caught.value)


def test_an_intact_repository_is_said_to_be(repository: Path) -> None:
    lines = verify(repository).splitlines()
    assert lines[0] == "3 outputs, 6 cached objects and 0 runs of the run cache are what they were recorded as"
    assert lines[1].startswith("not covered: what git tracks")
    assert len(lines) == 2


def record(root: Path, **stages: str) -> None:
    """Add stages of one output each to dvc.lock: a path whose object is not in the cache."""
    yaml = YAML()
    lock = yaml.load((root / "dvc.lock").read_text(encoding="utf-8"))
    for name, path in stages.items():
        lock["stages"][name] = {"cmd": "x", "outs": [{"path": path, "md5": "0" * 32, "hash": "md5"}]}
    with (root / "dvc.lock").open("w", encoding="utf-8") as handle:
        yaml.dump(lock, handle)


@pytest.mark.fault("V01")
def test_stages_that_dvc_yaml_no_longer_has_are_passed_over(repository: Path) -> None:
    record(repository, voice_train_7="artifacts/voice/train/subdb7")
    assert "never run" not in verify(repository)


@pytest.mark.fault("V01")
def test_a_track_that_was_never_run_here_is_named_and_no_fault(repository: Path, monkeypatch) -> None:
    record(repository, voice_scan="artifacts/voice/scan", voice_mels="artifacts/voice/mels", night_mels="artifacts/n")
    record(repository, night_scan="artifacts/model.json")
    (repository / "artifacts/model.json").write_bytes(b"{}")
    dvc = verify_module._dvc
    names = "train night_scan night_mels voice_scan voice_mels"
    monkeypatch.setattr(verify_module, "_dvc", lambda *a, **k: names if a[1] == "stage" else dvc(*a, **k))
    # night_scan left a file, which is another than recorded
    lines = faults(repository).splitlines()
    assert lines[:2] == ["1 fault", "  artifacts/model.json: differs"]
    assert lines[3:5] == ["never run here: night_mels", "never run here: the voice track, 2 stages"]


@pytest.mark.fault("V02")
def test_a_changed_record_of_the_run_cache_is_named(repository: Path) -> None:
    record = {"cmd": "x", "deps": [{"path": "a", "md5": "0" * 32, "size": 3}], "outs": [{"path": "b", "md5": "1" * 32}]}
    bare = {"cmd": "x", "deps": [{"path": "a", "md5": "0" * 32}], "outs": [{"path": "b", "md5": "1" * 32}]}
    key, value = (
        hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()
        for tree in ({**bare, "outs": ["b"]}, bare)
    )
    path = repository / ".dvc/cache/runs" / key[:2] / key / value
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    assert "and 1 run of" in verify(repository)
    for damaged in (path.read_text().replace("1" * 32, "2" * 32), path.read_text().replace("0" * 32, "2" * 32)):
        path.write_text(damaged)
        assert f"{path}: is not what its name says" in faults(repository)
    path.write_text("[]")
    assert f"{path}: is not a record of a run" in faults(repository)


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
    (tmp_path / "params.yaml").write_text("rate: 1e-3\nshare: 0.30000000000000004\nname: é\nnone: null\n")
    keys = ["rate", "share", "name", "none"]
    stage = {"cmd": "mkdir out && cp data/b/2.wav out/x", "deps": ["data"], "params": keys, "outs": ["out"]}
    with (tmp_path / "dvc.yaml").open("w", encoding="utf-8") as handle:
        YAML().dump({"stages": {"copy": stage}}, handle)
    dvc("init", "--no-scm", "--quiet")
    (tmp_path / ".dvcignore").write_text(".DS_Store\n")
    dvc("add", "--quiet", "data")
    dvc("repro", "--quiet")
    assert verify(tmp_path).startswith("2 outputs, 5 cached objects and 1 run of the run cache are")
    tampered = store(tmp_path, b"data/b/2.wav")  # as it is: DVC does not read a read-only object
    path = tmp_path / ".dvc/cache/files/md5" / tampered[:2] / tampered[2:]
    path.chmod(0o644)
    path.write_bytes(b"data/b/x.wav")
    path.chmod(0o444)
    shutil.rmtree(tmp_path / "out")
    dvc("checkout", "--quiet")
    assert (tmp_path / "out/x").read_bytes() == b"data/b/x.wav"
    found = faults(tmp_path)
    assert f"{path}: is not what its name says" in found
    assert "out: 1 differing: x" in found
    path.chmod(0o644)
    path.write_bytes(b"data/b/2.wav")
    path.chmod(0o444)
    (tmp_path / "data/b/2.wav").write_text("other")
    (tmp_path / "data/.DS_Store").write_text("other")
    assert "data: 1 differing: b/2.wav\n" in faults(tmp_path)
