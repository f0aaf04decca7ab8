"""All outputs or none, one writer at a time."""

import errno
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from evensong.errors import BusyError, DataError, IntegrityError, ResourceError
from evensong.run.publish import STAGING_ROOT, finish_interrupted, has_published, publishing
from evensong.run.text import write_json


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_outputs_appear_together_at_the_end() -> None:
    with publishing("stage", ["artifacts/a", "metrics/b.json"]) as staged:
        staged["artifacts/a"].mkdir()
        (staged["artifacts/a"] / "x.txt").write_text("x")
        staged["metrics/b.json"].write_text("{}")
        assert not Path("artifacts/a").exists()
    assert Path("artifacts/a/x.txt").read_text() == "x"
    assert Path("metrics/b.json").read_text() == "{}"
    assert not (STAGING_ROOT / "stage").exists()


@pytest.mark.fault("D17")
def test_failure_publishes_nothing_and_keeps_what_was_there() -> None:
    Path("artifacts/a").mkdir(parents=True)
    Path("artifacts/a/old.txt").write_text("old")

    def write_half() -> None:
        with publishing("stage", ["artifacts/a", "metrics/b.json"]) as staged:
            staged["artifacts/a"].mkdir()
            raise DataError("refused")

    with pytest.raises(DataError, match="refused"):
        write_half()
    assert [path.name for path in Path("artifacts/a").iterdir()] == ["old.txt"]
    assert not Path("metrics/b.json").exists()
    assert not (STAGING_ROOT / "stage").exists()


def test_old_folder_is_replaced_whole() -> None:
    Path("artifacts/a").mkdir(parents=True)
    Path("artifacts/a/stale.txt").write_text("old")
    with publishing("stage", ["artifacts/a"]) as staged:
        staged["artifacts/a"].mkdir()
        (staged["artifacts/a"] / "new.txt").write_text("new")
    assert [path.name for path in Path("artifacts/a").iterdir()] == ["new.txt"]


@pytest.mark.fault("D11")
def test_leftovers_of_a_killed_run_are_not_published() -> None:
    leftover = STAGING_ROOT / "stage" / "artifacts" / "a"
    leftover.mkdir(parents=True)
    (leftover / "half.txt").write_text("half")
    with publishing("stage", ["artifacts/a"]) as staged:
        staged["artifacts/a"].mkdir()
    assert list(Path("artifacts/a").iterdir()) == []


@pytest.mark.fault("D18")
def test_output_that_was_not_written_is_an_error() -> None:
    with pytest.raises(IntegrityError, match=r"did not write metrics/b\.json"), publishing("stage", ["metrics/b.json"]):
        pass


def test_undeclared_output_is_an_error() -> None:
    with pytest.raises(IntegrityError, match="not declared"), publishing("stage", ["metrics/b.json"]) as staged:
        staged["metrics/c.json"].write_text("{}")


@pytest.mark.fault("D12", "D14", "D15")
def test_second_writer_is_told_so() -> None:
    with publishing("stage", ["a.txt"]) as staged:
        staged["a.txt"].write_text("a")
        with pytest.raises(BusyError, match="already running"), publishing("stage", ["a.txt"]):
            pass
    assert Path("a.txt").read_text() == "a"


def test_json_is_sorted_and_refuses_nan() -> None:
    write_json(Path("a.json"), {"b": 1, "a": "é"})
    assert Path("a.json").read_bytes() == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    with pytest.raises(ValueError, match="nan"):
        write_json(Path("a.json"), {"a": float("nan")})


def test_artifacts_on_another_disk_are_published_too(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == Path().stat().st_dev:
        pytest.skip("there is no second disk here")
    with tempfile.TemporaryDirectory(dir=other) as mounted:
        monkeypatch.setattr("evensong.run.publish.STAGING_ROOT", Path(mounted))
        Path("artifacts/.a.staged").mkdir(parents=True)  # of a run killed while it copied
        Path("artifacts/.a.staged/half.txt").write_text("half")
        with publishing("stage", ["artifacts/a", "metrics/b.json"]) as staged:
            staged["artifacts/a"].mkdir()
            (staged["artifacts/a"] / "x.txt").write_text("x")
            staged["metrics/b.json"].write_text("{}")
    assert [path.name for path in Path("artifacts/a").iterdir()] == ["x.txt"]
    assert [path.name for path in Path("artifacts").iterdir()] == ["a"]
    assert [path.name for path in Path("metrics").iterdir()] == ["b.json"]


OUTPUTS = ["artifacts/a", "artifacts/b.csv", "metrics/c.json"]
STEPS = ("rename", "replace", "unlink", "rmdir", "fsync")


def publish(text: str) -> None:
    """A stage of a folder and two files, all of which say the same."""
    with publishing("stage", OUTPUTS) as staged:
        staged[OUTPUTS[0]].mkdir()
        for path in (staged[OUTPUTS[0]] / "x.txt", staged[OUTPUTS[1]], staged[OUTPUTS[2]]):
            path.write_text(text)


def texts() -> list[str]:
    return [Path(name).read_text() if Path(name).exists() else "absent" for name in ("artifacts/a/x.txt", *OUTPUTS[1:])]


def killed_at(step: int, kill: Callable[[], None]) -> int:
    """Publish in a process that calls `kill` before its n-th change of the file system; its exit code."""

    left = step

    def counting(original: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                kill()
            return original(*args, **options)

        return counted

    def run() -> None:
        for name in STEPS:
            setattr(os, name, counting(getattr(os, name)))
        publish("new")

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    return process.exitcode or 0


@pytest.mark.slow
@pytest.mark.fault("D10", "D11")
def test_a_kill_at_any_step_leaves_the_old_outputs_or_the_new_ones() -> None:
    seen = set()
    for step in range(1, 100):
        publish("old")
        code = killed_at(step, lambda: os.kill(os.getpid(), signal.SIGKILL))
        was_published = list(STAGING_ROOT.glob("*.journal"))
        finish_interrupted()
        assert texts() in (["old"] * 3, ["new"] * 3), step
        assert not was_published or [path.name for path in STAGING_ROOT.iterdir()] == ["stage.lock"]
        seen.add((code, texts()[0]))
        if code == 0:
            break
    assert seen == {(-signal.SIGKILL, "old"), (-signal.SIGKILL, "new"), (0, "new")}
    assert sorted(path.name for path in Path("artifacts").iterdir()) == [".staging", "a", "b.csv"]


def test_the_stage_itself_starts_anew_after_a_kill() -> None:
    publish("old")
    killed_at(4, lambda: os.kill(os.getpid(), signal.SIGKILL))
    publish("newest")
    finish_interrupted()
    assert texts() == ["newest"] * 3


@pytest.mark.slow
@pytest.mark.fault("D13")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_among_the_renames_waits_for_the_last(number: signal.Signals) -> None:
    for step in range(1, 100):
        publish("old")
        code = killed_at(step, lambda: os.kill(os.getpid(), number))
        assert texts() in (["old"] * 3, ["new"] * 3), step
        assert not list(STAGING_ROOT.glob("*.journal"))
        if code == 0:
            break
    assert step > 5


def test_what_a_running_stage_has_published_is_left_to_it() -> None:
    with publishing("stage", ["a.txt"]) as staged:
        staged["a.txt"].write_text("a")
        journal = STAGING_ROOT / "stage.journal"
        journal.write_text("[]")
        finish_interrupted()
        assert journal.exists()


def test_all_bytes_are_on_the_disk_before_the_journal_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    publish("old")
    found = []
    monkeypatch.setattr(sys, "platform", "another")  # no syncfs
    monkeypatch.setattr(os, "sync", lambda: found.append((list(STAGING_ROOT.glob("*.journal")), texts())))
    publish("new")
    assert found == [([], ["old"] * 3)]
    assert texts() == ["new"] * 3


def test_an_output_that_cannot_be_replaced_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(old: Path, _new: Path) -> None:
        raise OSError(errno.EBUSY, "busy", str(old / "a name inside"))

    publish("old")
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", refuse)
        with pytest.raises(ResourceError, match=r"^artifacts/a: cannot be replaced \(busy\)$"):
            publish("new")
    finish_interrupted()
    assert texts() == ["new"] * 3  # nothing of it was lost


def test_a_run_that_fails_after_a_killed_one_publishes_nothing_later() -> None:
    publish("old")
    (STAGING_ROOT / "stage.journal").write_text('[["artifacts/b.csv", "artifacts/.staging/stage/artifacts/b.csv"]]')

    def write_half() -> None:
        with publishing("stage", OUTPUTS) as staged:
            staged["artifacts/b.csv"].write_text("half")
            raise DataError("refused")

    with pytest.raises(DataError, match="refused"):
        write_half()
    finish_interrupted()
    assert texts() == ["old"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="syncfs is Linux's")
def test_publishing_waits_for_its_own_disk_alone_and_keeps_no_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    fsync = os.fsync
    monkeypatch.setattr(os, "sync", lambda: pytest.fail("waited for every disk"))
    monkeypatch.setattr(
        os, "fsync", lambda handle: written.append(os.readlink(f"/proc/self/fd/{handle}")) or fsync(handle)
    )
    n_handles = len(os.listdir("/proc/self/fd"))
    publish("new")
    assert len(os.listdir("/proc/self/fd")) == n_handles
    assert [Path(name).name for name in written] == ["stage.half"]


def test_a_link_in_an_output_s_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere"
    kept.mkdir()
    (kept / "x.txt").write_text("kept")
    Path("artifacts").mkdir()
    Path("artifacts/a").symlink_to(kept)
    publish("new")
    assert (kept / "x.txt").read_text() == "kept"
    assert not Path("artifacts/a").is_symlink()
    assert texts() == ["new"] * 3


def test_an_interrupt_after_publishing_is_known_to_come_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evensong.run.publish._published", [])
    assert not has_published()
    publish("new")
    assert has_published()
