"""Full disks, kills, refused folders and damaged files: nothing half-written is ever published or used."""

import hashlib
import json
import locale
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from tests.learn.cards import CARD
from tests.privileges import without_root

from evensong import verify as verify_module
from evensong.audio.wav import write_wav
from evensong.errors import IntegrityError, ResourceError
from evensong.learn.saved import read_model, write_model
from evensong.learn.store import ArrayStore
from evensong.night.index import build_index, index_tables, read_fold_table
from evensong.night.pool import check_space
from evensong.params import load_section
from evensong.run.publish import STAGING_ROOT, publishing
from evensong.run.stage import run_stage
from evensong.run.text import write_csv, write_json
from evensong.schemas import NightAugment
from evensong.voice.figures import two_panels

ROOT = Path(__file__).parents[2]
FORK = multiprocessing.get_context("fork")
OUTPUT = Path("artifacts/output")
OLD = {"artifacts/output": b"the output of an earlier run"}


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def published() -> None:
    OUTPUT.parent.mkdir()
    OUTPUT.write_bytes(OLD["artifacts/output"])


def files_in(folder: Path = Path()) -> dict[str, bytes]:
    """Every file but the locks, which are empty and stay."""
    return {
        path.as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def exit_code_of(main: Callable[[], None]) -> int:
    """Run a stage in a process of its own; negative: the signal that ended it."""
    process = FORK.Process(target=run_stage, args=(main,))
    process.start()
    process.join()
    return process.exitcode or 0


@contextmanager
def full_disk(n_bytes: int) -> Iterator[None]:
    """Let no file grow beyond n_bytes: the system refuses the write itself, as it does on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def small_index(n_sources: int = 30) -> dict[str, pd.DataFrame]:
    """Tables of an index of two classes, an original and a copy a source, one fold."""
    subsets = {f"s{n:03d}": ["train", "train", "val", "test"][n // 2 % 4] for n in range(n_sources)}
    rows = [
        {
            "file_path": f"c{n % 2}/s{n:03d}_{copy}.wav", "class_name": f"c{n % 2}", "is_augmented": copy,
            "original_file": f"c{n % 2}/s{n:03d}.wav", "augmentation_type": ["original", "noise"][copy],
            "source_id": f"s{n:03d}", "copy": copy, "mel_row": n // 2 * 2 + copy, "class_slug": f"c{n % 2}",
        }
        for n in range(n_sources)
        for copy in range(2)
    ]  # fmt: skip
    folds = pd.DataFrame({"fold": 0, "source_id": subsets.keys(), "subset": subsets.values()})
    return index_tables(pd.DataFrame(rows), folds, pd.Series(subsets), "0" * 64)


def write_weights(path: Path) -> None:
    write_model(path.parent, {"weight": torch.zeros(4096)}, {"classes": ["a", "b"]})
    (path.parent / "model.safetensors").rename(path)


def draw_figure(path: Path) -> None:
    with two_panels(path, "title") as (left, right):
        left.plot([0, 1], [1, 0])
        right.plot([0, 1], [0, 1])


WRITERS: dict[str, Callable[[Path], Any]] = {
    "wav": lambda path: write_wav(path, np.zeros(8192, np.float32), 8000),
    "json": lambda path: write_json(path, list(range(4096))),
    "csv": lambda path: write_csv(path, pd.DataFrame({"value": range(4096)})),
    "sqlite": lambda path: build_index(path, small_index()),
    "model": write_weights,
    "figure": draw_figure,
    "copy": lambda path: shutil.copyfile(__file__, path),
}


def write_on_a_full_disk(kind: str, n_bytes: int) -> Callable[[], None]:
    def main() -> None:
        with full_disk(n_bytes), publishing("stage", [OUTPUT]) as staged:
            WRITERS[kind](staged[OUTPUT])

    return main


@pytest.mark.slow
@pytest.mark.fault("D01", "D02", "D03", "D04", "D06")
@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.usefixtures("published")
def test_full_disk_ends_the_stage_and_leaves_what_was_published(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(write_on_a_full_disk(kind, 8192)) == 5
    assert capfd.readouterr().err.startswith("ERROR: ")
    assert files_in() == OLD
    assert exit_code_of(write_on_a_full_disk(kind, 1 << 30)) == 0  # the limit was what stopped it
    assert files_in() != OLD


@pytest.mark.fault("D05")
@pytest.mark.usefixtures("published")
def test_full_disk_is_noticed_for_the_smallest_file_too() -> None:
    def main() -> None:
        with full_disk(0), publishing("stage", [OUTPUT]) as staged:
            write_json(staged[OUTPUT], {})

    assert exit_code_of(main) == 5
    assert files_in() == OLD


@pytest.mark.fault("D08")
def test_disk_that_will_not_hold_the_pool_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = pd.DataFrame({"original_file": ["a.wav"] * 3, "is_augmented": [0, 1, 1]})
    clips = pd.DataFrame({"path": ["a.wav"], "duration_s": [1000.0]})
    settings = load_section("night.augment", NightAugment, ROOT / "params.yaml")
    settings = settings.model_copy(update={"sample_rate_hz": 10_000})
    slowest_s = 1000 + 2 * 1000 / settings.stretch_rate.min  # a copy may be stretched that far
    needed = int(slowest_s * 10_000 * 2) + 64 * 2**20  # 16 bits a sample, and room to spare
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=needed))
    check_space(plan, clips, folder=Path(), settings=settings)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=needed - 1))
    with pytest.raises(ResourceError, match=r"make room, or lower night\.augment\.target_samples"):
        check_space(plan, clips, folder=Path(), settings=settings)


@pytest.mark.fault("D16")
def test_readme_says_that_a_folder_is_for_one_machine_at_a_time() -> None:
    assert "one machine at a time" in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


@pytest.mark.fault("D09")
def test_folder_that_must_not_be_written_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        with without_root(), publishing("stage", [OUTPUT]) as staged:
            write_json(staged[OUTPUT], {})

    Path("artifacts").mkdir()
    for folder in (tmp_path, Path("artifacts")):
        folder.chmod(0o555)
    try:
        assert exit_code_of(main) == 5
    finally:
        for folder in (tmp_path, Path("artifacts")):
            folder.chmod(0o755)
    assert capfd.readouterr().err == "ERROR: Permission denied in artifacts\n"


def killed_half_way(number: int) -> Callable[[], None]:
    def main() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored
        with publishing("stage", [OUTPUT]) as staged, staged[OUTPUT].open("wb") as handle:
            handle.write(b"half of ")
            handle.flush()
            os.kill(os.getpid(), number)
            handle.write(b"the output")

    return main


@pytest.mark.fault("D10", "D11")
@pytest.mark.usefixtures("published")
def test_killed_while_writing_the_output_is_the_old_one_and_the_next_run_the_new_one() -> None:
    assert exit_code_of(killed_half_way(signal.SIGKILL)) == -signal.SIGKILL
    staged = (STAGING_ROOT / "stage" / OUTPUT).as_posix()
    assert files_in() == {**OLD, staged: b"half of "}
    assert exit_code_of(write_on_a_full_disk("json", 1 << 30)) == 0
    assert json.loads(OUTPUT.read_text(encoding="utf-8")) == list(range(4096))
    assert set(files_in()) == {"artifacts/output"}


@pytest.mark.fault("D13")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.usefixtures("published")
def test_stopped_by_a_user_or_the_system_it_tidies_up_and_publishes_nothing(number: int, code: int) -> None:
    assert exit_code_of(killed_half_way(number)) == code
    assert files_in() == OLD


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Outputs of three kinds, recorded in dvc.lock and cached read-only by hand, as DVC does it."""
    paths = {"index": Path("artifacts/index.db"), "array": Path("artifacts/mels.npy")}
    Path("artifacts").mkdir()
    build_index(paths["index"], small_index())
    np.save(paths["array"], np.random.default_rng(0).random((8, 4, 6), np.float32))
    paths["model"] = Path("artifacts/model/model.safetensors")
    paths["model"].parent.mkdir()
    write_model(paths["model"].parent, {"weight": torch.zeros(4096)}, CARD)
    outs = [{"path": str(paths[kind]), "md5": store(paths[kind].read_bytes())} for kind in ("index", "array")]
    listing = [
        {"md5": store(path.read_bytes()), "relpath": path.name} for path in sorted(paths["model"].parent.iterdir())
    ]
    outs.append({"path": "artifacts/model", "md5": store(json.dumps(listing).encode(), ".dir")})
    with Path("dvc.lock").open("w", encoding="utf-8") as handle:
        YAML().dump({"stages": {"stage": {"outs": outs}}}, handle)
    answers = {"cache": f"{tmp_path}/.dvc/cache\n", "check-ignore": "", "stage": "stage"}
    monkeypatch.setattr(verify_module, "_dvc", lambda _root, command, *_, given="": answers[command])
    verify_module.verify(Path())
    return paths


def store(raw: bytes, suffix: str = "") -> str:
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest() + suffix
    path = cached(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    path.chmod(0o444)
    return digest


def cached(digest: str) -> Path:
    return Path(".dvc/cache/files/md5") / digest[:2] / digest[2:]


def refused_by_verify() -> str:
    with pytest.raises(IntegrityError) as refusal:
        verify_module.verify(Path())
    assert refusal.value.exit_code == 4
    return str(refusal.value)


@pytest.mark.fault("D07")
@pytest.mark.usefixtures("recorded")
def test_leftover_of_an_interrupted_command_in_the_cache_is_named() -> None:
    leftover = cached("ab" + "c" * 30).with_name("x8Yb2.tmp")
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(b"half")
    assert f"{leftover}: left over from an interrupted dvc command" in refused_by_verify()


@pytest.mark.fault("D19", "D20")
@pytest.mark.parametrize("mode", [0o444, 0o644])
def test_changed_object_of_the_cache_is_named_whatever_its_mode(mode: int, recorded: dict[str, Path]) -> None:
    path = cached(hashlib.md5(recorded["array"].read_bytes(), usedforsecurity=False).hexdigest())
    path.chmod(0o644)
    path.write_bytes(flipped(path.read_bytes(), 200))
    path.chmod(mode)
    assert f"{path}: is not what its name says" in refused_by_verify()


@pytest.mark.fault("D19", "D20")
def test_every_remote_of_the_repository_checks_what_it_gives() -> None:
    config = (ROOT / ".dvc/config").read_text(encoding="utf-8")
    assert config.count("['remote ") == config.count("verify = true") == 1


def flipped(raw: bytes, position: int, bit: int = 1) -> bytes:
    return raw[:position] + bytes([raw[position] ^ bit]) + raw[position + 1 :]


@pytest.mark.fault("D21", "D22", "D24", "D25")
@pytest.mark.parametrize("kind", ["index", "array", "model"])
def test_any_flipped_bit_or_lost_end_of_an_output_is_found(kind: str, recorded: dict[str, Path]) -> None:
    path = recorded[kind]
    raw = path.read_bytes()
    damages = [flipped(raw, position) for position in np.linspace(0, len(raw) - 1, 40).astype(int)]
    for damaged in [*damages, raw[: len(raw) // 2], b""]:
        path.write_bytes(damaged)
        assert path.name in refused_by_verify()


def read_or_refuse(read: Callable[[], Any]) -> Any:
    """What is read, or None where it is refused as damaged; any other failure is a fault of ours."""
    try:
        return read()
    except IntegrityError:
        return None


def damages_of(raw: bytes) -> Iterator[bytes]:
    """A flipped bit here and there, a lost block anywhere, a lost end."""
    yield from (flipped(raw, position, 1 << position % 8) for position in range(0, len(raw), 167))
    yield from (raw[:start] + bytes(512) + raw[start + 512 :] for start in range(0, len(raw), 1536))
    yield from (raw[:end] for end in range(0, len(raw), 3000))


@pytest.mark.slow
@pytest.mark.fault("D21", "D22")
def test_damaged_index_is_refused_or_read_as_it_was(recorded: dict[str, Path]) -> None:
    path = recorded["index"]
    raw, (whole, classes) = path.read_bytes(), read_fold_table(path)
    n_refused = 0
    for damaged in damages_of(raw):
        path.write_bytes(damaged)
        try:
            found = read_fold_table(path)
        except IntegrityError:
            n_refused += 1
        else:
            assert found[0].equals(whole)
            assert found[1] == classes
    assert n_refused > 50


@pytest.mark.fault("D23")
def test_index_that_is_not_there_is_refused_and_not_made() -> None:
    with pytest.raises(IntegrityError, match="run dvc repro night_index"):
        read_fold_table(Path("absent.db"))
    sqlite3.connect("empty.db").close()
    Path("empty.db").touch()
    with pytest.raises(IntegrityError, match="schema version 0"):
        read_fold_table(Path("empty.db"))
    assert not Path("absent.db").exists()


@pytest.mark.fault("D24")
def test_array_that_was_cut_is_refused_or_its_header_is_wrong(recorded: dict[str, Path]) -> None:
    path = recorded["array"]
    raw = path.read_bytes()
    for damaged in (b"", raw[:50], raw[:-1], raw.replace(b"(8, 4, 6)", b"(9, 4, 6)"), raw.replace(b"<f4", b"<f8")):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match=r"run the mel stage again|expected float32"):
            ArrayStore([path])


@pytest.mark.fault("D25")
def test_weights_with_any_flipped_bit_are_not_loaded(recorded: dict[str, Path]) -> None:
    path = recorded["model"]
    raw = path.read_bytes()
    card = json.loads((path.parent / "model.json").read_text(encoding="utf-8"))
    assert card["weights_sha256"] == hashlib.sha256(raw).hexdigest()
    for position in np.linspace(0, len(raw) - 1, 50).astype(int):
        path.write_bytes(flipped(raw, position))
        with pytest.raises(IntegrityError, match="not the file its card was written for"):
            read_model(path.parent)


def written_bytes(folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    for kind, write in WRITERS.items():
        if kind != "copy":
            write(folder / kind)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.fault("D26")
def test_clock_time_zone_locale_and_umask_are_in_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = written_bytes(Path("plain"))
    now, before, spoken = time.time(), os.umask(0o077), locale.setlocale(locale.LC_ALL)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("LC_ALL", "C")
    time.tzset()
    try:
        locale.setlocale(locale.LC_ALL, "C")
        monkeypatch.setattr(time, "time", lambda: now - 1e8)
        assert written_bytes(Path("elsewhere")) == plain
    finally:
        os.umask(before)
        monkeypatch.delenv("TZ")
        time.tzset()
        locale.setlocale(locale.LC_ALL, spoken)
