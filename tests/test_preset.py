"""Presets change the values they name and nothing else of params.yaml, or do not touch it at all."""

import difflib
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from evensong import cli
from evensong.errors import ParamsError
from evensong.params import load_section, read_params
from evensong.preset import apply_preset, describe_presets
from evensong.schemas import Params

ROOT = Path(__file__).parents[1]
NAMES = ["amphibian", "bat", "insect", "large_set", "owl", "small_set"]
ANIMALS = ["amphibian", "bat", "insect", "owl"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def leaves(tree: dict, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in tree.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def test_all_presets_are_there_and_say_what_they_are_for(root: Path) -> None:
    assert [line.split()[0] for line in describe_presets(root)] == NAMES
    assert all(len(line) > 30 for line in describe_presets(root))


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_changes_its_values_alone_and_keeps_comments_and_order(root: Path, name: str) -> None:
    before_text, before = (root / "params.yaml").read_text(encoding="utf-8"), leaves(read_params(root / "params.yaml"))
    preset = leaves(read_params(root / f"presets/{name}.yaml"))
    changes = apply_preset(root, name)
    after_text, after = (root / "params.yaml").read_text(encoding="utf-8"), leaves(read_params(root / "params.yaml"))
    assert after == before | preset
    changed = {key for key in after if after[key] != before[key]}
    assert [line.split(":")[0] for line in changes] == [key for key in before if key in changed]
    lines = [
        line for line in difflib.ndiff(before_text.splitlines(), after_text.splitlines()) if line[:2] in ("- ", "+ ")
    ]
    assert len(lines) == 2 * len(changed)
    for old, new in zip((one for one in lines if one[0] == "-"), (one for one in lines if one[0] == "+"), strict=True):
        assert old[2:].split(":")[0] == new[2:].split(":")[0]
        assert old.partition("#")[2] == new.partition("#")[2]
    assert apply_preset(root, name) == []
    assert (root / "params.yaml").read_text(encoding="utf-8") == after_text
    assert list(root.glob(".params*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("animal", ANIMALS)
@pytest.mark.parametrize("size", ["small_set", "large_set"])
def test_an_animal_and_a_size_go_together_in_any_order(root: Path, animal: str, size: str) -> None:
    apply_preset(root, animal)
    apply_preset(root, size)
    both = (root / "params.yaml").read_bytes()
    shutil.copy(ROOT / "params.yaml", root)
    apply_preset(root, size)
    apply_preset(root, animal)
    assert (root / "params.yaml").read_bytes() == both
    load_section("", Params, root / "params.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_says_where_its_values_are_from(name: str) -> None:
    text = (ROOT / f"presets/{name}.yaml").read_text(encoding="utf-8")
    comments = " ".join(line[2:] for line in text.splitlines() if line.startswith("# "))
    assert "source documents" in comments
    assert YAML(typ="safe").load(text).keys() <= {"night", "train"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("night:\n  mels:\n    fmax_hz: 20000\n", "fmax_hz 20000.* is above half"),
        ("night:\n  mels:\n    n_mells: 8\n", "n_mells: unknown key; did you mean 'n_mels'"),
        ("night:\n  mels:\n    n_fft: 64\n", "night.mels: "),
        ("voice:\n  mels:\n    n_mels: 512\n", "voice.mels: .* mel bands hold no weight"),
        ("night: 3\n", "night: "),
        ("night: [\n", "mine.yaml"),
    ],
)
def test_what_would_not_fit_leaves_the_file_as_it_was(root: Path, text: str, message: str) -> None:
    (root / "presets/mine.yaml").write_text(text, encoding="utf-8")
    before = (root / "params.yaml").read_bytes()
    with pytest.raises(ParamsError, match=message):
        apply_preset(root, "mine")
    assert (root / "params.yaml").read_bytes() == before
    assert sorted(path.name for path in root.iterdir()) == ["params.yaml", "presets"]


def test_a_preset_that_is_not_there_is_named_and_code_2(root: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit) as left:
        cli.main(["preset", "../params"])
    assert left.value.code == 2
    assert "no preset '../params' in presets; there are amphibian, bat" in capsys.readouterr().err


def test_the_command_tells_what_it_changed(root: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(cli, "run_stage", lambda command: command())
    cli.main(["preset", "owl"])
    cli.main(["preset", "owl"])
    cli.main(["preset"])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "night.augment.sample_rate_hz: 22050 -> 16000"
    assert told[5:7] == ["nothing to change", "amphibian   Frogs and toads: trains of pulses."]
