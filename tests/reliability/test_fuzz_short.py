"""A few seconds of the long runs' program, and that it sees what it looks for."""

import os
import time
from pathlib import Path

import pytest
from tests.reliability import fuzz_audio, fuzz_tables, subjects
from tests.reliability.fuzz import Batch, Tally, fuzz, run

from evensong.errors import InputFault


def one_round(tmp_path: Path, name: str, stop: int = 3) -> Tally:
    tally = Tally()
    run([Batch(name, 1, 0, 0, stop, tmp_path)], tally, 1)
    return tally


@pytest.mark.slow
def test_no_damaged_file_ends_hangs_or_divides_a_reader() -> None:
    tally = fuzz(seed=3, minutes=0, n_audio=900, workers=2)
    assert not tally.faults
    assert tally.line() == "1200 files (900 audio): 0 deaths, 0 hangs, 0 unaccounted, 0 disagreements"
    assert {name for name, verdict in tally.verdicts if verdict == "used"} == set(subjects.SUBJECTS)


def test_the_same_seed_draws_the_same_files(tmp_path: Path) -> None:
    assert one_round(tmp_path, "wav", 20).verdicts == one_round(tmp_path, "wav", 20).verdicts


def with_check(monkeypatch: pytest.MonkeyPatch, check: object) -> None:
    whole = subjects.SUBJECTS["wav"]
    monkeypatch.setitem(subjects.SUBJECTS, "wav", subjects.Subject(whole.damaged, check, whole.batch))  # type: ignore[arg-type]


@pytest.mark.slow
def test_deaths_and_hangs_are_found_in_their_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def third_dies(folder: Path, raw: bytes) -> str:
        if sum(raw) % 3 == 0:
            os._exit(1)
        if sum(raw) % 3 == 1:
            time.sleep(60)
        raise IndexError("of ours")

    with_check(monkeypatch, third_dies)
    monkeypatch.setattr("tests.reliability.fuzz._HUNG_AFTER_S", 0.2)
    tally = one_round(tmp_path, "wav", 6)
    assert tally.verdicts.total() == 6
    assert tally.wrong["deaths"] + tally.wrong["hangs"] == 6
    assert min(tally.wrong.values()) > 0


def test_a_lost_file_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.reliability.fuzz.read_batch", lambda batch: [("used", "")])
    tally = one_round(tmp_path, "wav")
    assert tally.line() == "1 files (1 audio): 0 deaths, 0 hangs, 2 unaccounted, 0 disagreements"
    assert tally.faults


def test_two_verdicts_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: bool) -> None:
        raise InputFault("Q_CORRUPT", "as a second decoder would say")

    monkeypatch.setattr(fuzz_audio, "hear_mono", refuse)
    assert one_round(tmp_path, "wav", 20).wrong["disagreements"] > 5


def test_other_samples_of_a_recording_read_as_far_as_it_goes_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = fuzz_audio.hear_mono
    monkeypatch.setattr(fuzz_audio, "hear_mono", lambda *_, as_far_as_it_goes: really(*_)[int(as_far_as_it_goes) :])
    assert one_round(tmp_path, "wav", 20).wrong["disagreements"] > 5


def test_a_leak_that_is_used_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one_round(tmp_path, "splits", 20).verdicts["splits", "refused"] > 5
    monkeypatch.setattr(f"{fuzz_tables.read_given_splits.__module__}._check_disjoint", lambda *_lists: None)
    assert one_round(tmp_path, "splits", 20).wrong["disagreements"] > 2
