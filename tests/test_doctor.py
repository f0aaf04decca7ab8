import sys
from pathlib import Path

import pytest

from evensong import doctor as doctor_module
from evensong.doctor import diagnose, doctor, locked_versions
from evensong.errors import ResourceError

ROOT = Path(__file__).parents[1]


def lines_of(check, root: Path) -> list[tuple[str, str]]:
    return [tuple(finding) for finding in check(root)]


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / "data/night" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "data/night" / name).write_bytes(b"")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The project's own params.yaml: a source is what stands before _takeN."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def test_lock_is_read_with_its_markers() -> None:
    lock = (
        "av==19.0.2 ; python_full_version >= '3' \\\n    --hash=sha256:01\n"
        "av==18.1.0 ; python_full_version < '3' \\\n    --hash=sha256:00\n"
        "torch==2.15.0 \\\n    --hash=sha256:02 \\\n    --hash=sha256:03\n"
    )
    assert locked_versions(lock) == {"av": "19.0.2", "torch": "2.15.0"}


def test_the_projects_own_lock_is_read_whole() -> None:
    versions = locked_versions((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    assert {"numpy", "torch", "timm", "dvc"} <= versions.keys()


def test_packages_that_miss_or_differ_are_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("numpy==0.0.1\nno-such-package-of-ours==1.0\n")
    found = lines_of(doctor_module._packages, tmp_path)
    assert [level for level, _ in found] == ["bad", "note"]
    assert "no-such-package-of-ours; run make env" in found[0][1]
    assert "numpy" in found[1][1]
    assert "(locked 0.0.1)" in found[1][1]


def test_sources_are_counted(root: Path) -> None:
    put(root, *(f"{name}/rec{n}_take{take}.wav" for name in ("asio", "rain") for n in "abc" for take in (1, 2)))
    assert lines_of(doctor_module._night, root) == [("ok", "data/night: 12 clips of 3 sources in 2 classes")]


def test_a_pattern_that_captures_too_much_is_noted(root: Path) -> None:
    put(root, *(f"{name}/{name}{n}_take1.wav" for name in ("asio", "rain") for n in range(3)))
    ((level, what),) = lines_of(doctor_module._night, root)
    assert level == "note"
    assert "every clip is a source of its own" in what


def test_a_class_of_too_few_sources_is_noted(root: Path) -> None:
    put(root, *(f"asio/{n}_take{take}.wav" for n in "abc" for take in (1, 2)))
    put(root, *(f"rain/{n}_take{take}.wav" for n in "de" for take in (1, 2)))
    assert lines_of(doctor_module._night, root) == [
        ("ok", "data/night: 10 clips of 5 sources in 2 classes"),
        ("note", "fewer than three sources, so not one for each split: rain"),
    ]


def test_of_a_project_of_field_recordings_no_class_folder_is_asked(root: Path) -> None:
    (root / "data/night").mkdir(parents=True)
    settings = root / "params.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("sources: clips ", "sources: field "))
    ((level, what),) = lines_of(doctor_module._night, root)
    assert (level, "data/field" in what) == ("ok", True)


@pytest.mark.slow
def test_a_pattern_that_finds_no_source_is_bad_and_the_other_checks_go_on(root: Path) -> None:
    put(root, "asio/owl.wav", "rain/rain.wav")
    findings = diagnose(root)
    assert any(level == "bad" and "group_pattern" in what for level, what in findings)
    assert ("ok", "params.yaml fits its schemas") in [tuple(finding) for finding in findings]


def test_doctor_prints_every_line_and_fails_where_one_is_bad(tmp_path: Path, capsys) -> None:
    with pytest.raises(ResourceError, match=r"\d checks failed"):
        doctor(tmp_path)  # no params.yaml, no repository
    shown = capsys.readouterr().out.splitlines()
    assert {line[:4] for line in shown} == {"ok  ", "note", "bad "}
    assert any(f"Python {sys.version_info.major}.{sys.version_info.minor}" in line for line in shown)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("remote.mine.url=/x\nremote.mine.verify=true\n", ("ok", "remote mine is verified when pulled")),
        ("remote.mine.url=/x\n", ("note", "remote mine: what it sends is taken unread")),
        ("remote.mine.url=/x\nremote.mine.verify=false\n", ("note", "dvc remote modify mine verify true")),
        ("core.analytics=true\n", ("note", "DVC reports its use")),
        ("core.analytics=false\n", ("note", "DVC's site cache is in a folder all users may write to")),
    ],
)
def test_dvc_settings(tmp_path: Path, monkeypatch, settings: str, expected: tuple[str, str]) -> None:
    monkeypatch.setattr(doctor_module, "_output", lambda command, _: settings if "dvc" in command else "abc")
    assert any(level == expected[0] and expected[1] in what for level, what in lines_of(doctor_module._dvc, tmp_path))


def test_a_folder_without_a_commit_is_bad(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(doctor_module, "_output", lambda command, _: "" if "dvc" in command else None)
    assert lines_of(doctor_module._dvc, tmp_path)[0][0] == "bad"
