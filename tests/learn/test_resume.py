"""Killed at any moment, the next run ends with the bytes of an uninterrupted one."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.learn.synthetic import files_in, track_settings, train_settings, training
from tools.sync_deps import import_closure

from evensong.errors import BusyError, ResourceError
from evensong.learn import cv, resume
from evensong.learn.fit import Trainer
from evensong.learn.resume import FoldState, JobState
from evensong.run import publish

RUN = Path("artifacts/run")
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _outside_any_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVENSONG_STATE_DIR", raising=False)
    monkeypatch.setattr(resume, "SAVE_EVERY_S", 0.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of an uninterrupted run."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path_factory.mktemp("whole"))
        monkeypatch.setattr(resume, "SAVE_EVERY_S", 0.0)
        stage()
        return files_in(RUN)


def stage(workers: int = 1) -> None:
    """A training stage: two folds, three epochs, each of them saved."""
    job = training(Path(), track=track_settings(folds=[0, 1]), train=train_settings(epochs=3))
    with publish.publishing("train", [RUN]) as staged:
        progress = cv.run_folds(job, staged[RUN], workers)
    progress.prune()


def kill_at_call(owner: Any, name: str, count: int, *, done: bool) -> None:
    """Make the count-th call of a function the last thing this process does: before it, or when it is done."""
    called, original = 0, getattr(owner, name)

    def deadly(*args: Any, **options: Any) -> Any:
        nonlocal called
        called += 1
        if called == count and not done:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **options)
        if called == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)


def killed_stage(owner: Any, name: str, count: int, done: bool) -> None:
    kill_at_call(owner, name, count, done=done)
    stage()


# A fold saves two epochs, then its result: three writes. `_digest` is taken between a state's tensors and its end.
MOMENTS = {
    "first step": (Trainer, "_train_batch", 1, False),
    "first epoch, not saved": (resume.os, "replace", 1, False),
    "second epoch, half written": (resume, "_digest", 2, False),
    "second epoch, saved": (resume.os, "replace", 2, True),
    "last epoch, trained": (Trainer, "train_epoch", 3, True),
    "first fold, result half written": (resume, "_digest", 3, False),
    "first fold, result saved": (resume.os, "replace", 3, True),
    "first fold, written": (cv, "write_model", 1, True),
    "second fold, in its second epoch": (Trainer, "_validate", 5, False),
    "all folds, one run": (cv, "write_run", 1, True),
    "all folds, no table": (cv, "write_csv", 1, False),
    "all folds, not published": (publish, "_move_into_place", 1, False),
    "published, state not pruned": (publish, "_move_into_place", 1, True),
}


@pytest.mark.slow
@pytest.mark.fault("D11", "G06")
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_the_next_run_ends_with_the_same_bytes(moment: str, whole: dict[str, bytes]) -> None:
    killed = FORK.Process(target=killed_stage, args=MOMENTS[moment])
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert files_in(RUN) in ({}, whole)
    stage()
    assert files_in(RUN) == whole
    assert not list(Path(".state").iterdir())
    assert {path.name for path in publish.STAGING_ROOT.iterdir()} == {"train.lock"}


def run_in_own_group() -> None:
    os.setsid()
    stage(workers=2)


def wait_for_the_lock() -> None:
    """Killed workers hold the stage's lock until the system has taken them down."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with publish.publishing("train", []):
                return
        except BusyError:
            time.sleep(0.01)


@pytest.mark.slow
def test_killed_with_its_workers_at_some_moment_it_continues(whole: dict[str, bytes]) -> None:
    killed = FORK.Process(target=run_in_own_group)
    killed.start()
    deadline = time.monotonic() + 60
    while not list(Path(".state").glob("*/fold_*/*.state")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(killed.pid or 0, signal.SIGKILL)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert not RUN.exists()
    wait_for_the_lock()
    stage(workers=2)
    assert files_in(RUN) == whole


def die_in_second_fold(fold: Any, *rest: Any) -> Any:
    if fold.number == 1:
        while not list(Path(".state").glob("*/fold_00/result.state")):
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGKILL)
    return fit_fold(fold, *rest)


fit_fold = cv.fit_fold


@pytest.mark.slow
@pytest.mark.fault("G04", "G05")
def test_killed_worker_stops_the_stage_and_its_fold_alone_is_trained_again(
    monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes]
) -> None:
    monkeypatch.setattr(cv, "fit_fold", die_in_second_fold)
    with pytest.raises(ResourceError, match="worker process died"):
        stage(workers=2)
    assert not RUN.exists()
    trained: list[int] = []

    def note(fold: Any, *rest: Any) -> Any:
        trained.append(fold.number)
        return fit_fold(fold, *rest)

    monkeypatch.setattr(cv, "fit_fold", note)
    stage()
    assert trained == [1]
    assert files_in(RUN) == whole


def test_finished_folds_are_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cv.run_folds(training(tmp_path), tmp_path / "first", 1)
    monkeypatch.setattr(cv, "fit_fold", lambda *_: pytest.fail("trained again"))
    cv.run_folds(training(tmp_path), tmp_path / "second", 1)
    assert files_in(tmp_path / "first") == files_in(tmp_path / "second")


@pytest.mark.fault("G07")
def test_state_of_other_settings_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENSONG_STATE_DIR", str(tmp_path / "elsewhere"))
    one = cv.run_folds(training(tmp_path, train=train_settings(epochs=1)), tmp_path / "one", 1)
    other = cv.run_folds(training(tmp_path, train=train_settings(epochs=1, seed=43)), tmp_path / "other", 1)
    assert sorted((tmp_path / "elsewhere").iterdir()) == sorted([one.folder, other.folder])
    assert (tmp_path / "one/predictions.csv").read_bytes() != (tmp_path / "other/predictions.csv").read_bytes()


def saved_state(key: str = "job", fold: int = 0) -> FoldState:
    state = JobState(key).fold(fold)
    state.save_result({"weights/a": torch.arange(6.0).reshape(2, 3)}, {"history": [0.1, None]})
    return state


def test_state_comes_back_to_the_bit() -> None:
    tensors, facts = saved_state().load_result() or ({}, {})
    assert torch.equal(tensors["weights/a"], torch.arange(6.0).reshape(2, 3))
    assert facts == {"history": [0.1, None]}


@pytest.mark.fault("G07")
@pytest.mark.parametrize(("key", "fold"), [("other", 0), ("job", 1)])
def test_state_that_was_copied_from_another_training_is_not_used(
    key: str, fold: int, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_state()
    target = Path(f".state/{key}/fold_{fold:02d}")
    target.mkdir(parents=True)
    (target / "result.state").write_bytes(Path(".state/job/fold_00/result.state").read_bytes())
    assert JobState(key).fold(fold).load_result() is None
    assert "belongs to another training" in capsys.readouterr().err


def damages(raw: bytes) -> Iterator[bytes]:
    for position in range(0, len(raw), 7):
        yield raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        yield raw[:position]


@pytest.mark.fault("D25")
def test_state_with_any_flipped_bit_or_cut_anywhere_is_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    state, path = saved_state(), Path(".state/job/fold_00/result.state")
    raw = path.read_bytes()
    for damaged in damages(raw):
        path.write_bytes(damaged)
        assert state.load_result() is None
        assert "damaged" in capsys.readouterr().err
    path.write_bytes(raw)
    assert state.load_result() is not None


@pytest.mark.fault("D02")
def test_full_disk_leaves_the_last_saved_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    state = JobState("job").fold(0)
    state.save_epoch({"a": torch.zeros(3)}, {"epoch": 1})

    def refuse(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resume.os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        state.save_epoch({"a": torch.ones(3)}, {"epoch": 2})
    assert [path.name for path in Path(".state/job/fold_00").iterdir()] == ["epoch.state"]
    assert (state.load_epoch() or ({}, {}))[1] == {"epoch": 1}


def key_of(**changes: Any) -> str:
    parts = {"arrays": "a", "settings": {"epochs": 3}, **changes}
    return resume.job_key(training(Path()).table, parts["arrays"], parts["settings"])


def test_key_covers_all_code_that_decides_the_weights() -> None:
    root = Path(resume.__file__).parents[3]
    assert {root / path for path in import_closure(Path(cv.__file__))} <= set(resume._CODE)


def test_key_changes_with_everything_that_decides_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [key_of(), key_of(arrays="b"), key_of(settings={"epochs": 4})]
    changed = training(Path()).table.assign(label=lambda table: 1 - table["label"])
    keys.append(resume.job_key(changed, "a", {"epochs": 3}))
    for owner, name, value in ((torch, "__version__", "0"), (resume.np, "__version__", "0")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            keys.append(key_of())
    for path in resume._CODE:
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes() + b"#")
        with monkeypatch.context() as patch:
            patch.setattr(resume, "_CODE", [copy if path == other else other for other in resume._CODE])
            keys.append(key_of())
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "ANOTHER")
        keys.append(key_of())
    assert len(set(keys)) == len(keys)
    assert key_of() == keys[0]


def age(folder: Path, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(folder, (then, then))


def test_pruning_forgets_the_job_and_what_nobody_continued_for_a_month() -> None:
    for key in ("done", "recent", "forgotten", "long"):
        saved_state(key)
    for key, days in (("recent", 29), ("forgotten", 31), ("long", 31)):
        age(Path(".state") / key, days)
    saved_state("long", fold=0)  # goes on: its folder is no older than its last save
    JobState("done").prune()
    assert sorted(path.name for path in Path(".state").iterdir()) == ["long", "recent"]
