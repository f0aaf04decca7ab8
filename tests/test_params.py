"""The strict loader: each mistake a user makes in params.yaml names its key."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from evensong.errors import ParamsError
from evensong.params import load_section, load_value, read_params
from evensong.schemas import SEEDS, SUBDBS, Night, NightAugment, Params, Runtime, Train, VoiceLabels

ROOT = Path(__file__).parents[1]
PARAMS = ROOT / "params.yaml"


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = PARAMS.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_defaults_follow_the_schemas() -> None:
    assert load_section("", Params, PARAMS).train.epochs >= 1


def test_lists_are_in_block_style() -> None:
    # `dvc exp run -S` rewrites flow lists, which would show as a change nobody made
    values = [line.split("#")[0].partition(": ")[2].strip() for line in PARAMS.read_text(encoding="utf-8").splitlines()]
    assert [value for value in values if value.startswith("[") and value != "[]"] == []


@pytest.mark.fault("C14")
def test_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    path = changed(tmp_path, "target_samples:", "targt_samples:")
    with pytest.raises(ParamsError, match=r"night\.augment\.targt_samples: unknown key; did you mean 'target_samples'"):
        load_section("night.augment", NightAugment, path)


@pytest.mark.fault("C14")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("runtime:", "run-time:", r"run-time: unknown key; did you mean 'runtime'"),
        ("runtime:", "\ufeffruntime:", r"'\\ufeffruntime': unknown key; did you mean 'runtime'"),
        ("target_samples:", "target-samples:", r"night\.augment\.target-samples: .*; did you mean 'target_samples'"),
    ],
)
def test_unknown_key_need_not_be_a_word(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_section("", Params, changed(tmp_path, old, new))


@pytest.mark.fault("C15")
def test_missing_key_is_named(tmp_path: Path) -> None:
    path = changed(tmp_path, "  cap_majority: true        # false", "  # false")
    with pytest.raises(ParamsError, match=r"night\.augment\.cap_majority: missing key"):
        load_section("night.augment", NightAugment, path)


@pytest.mark.fault("C15")
def test_missing_section_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="'agument' is not in night; did you mean 'augment'"):
        load_section("night.agument", NightAugment, PARAMS)


@pytest.mark.fault("C16", "C19")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 20", "epochs: '12'", r"train\.epochs: .*got '12'"),
        ("epochs: 20", "epochs: 20.5", r"train\.epochs"),
        ("epochs: 20", "epochs: true", r"train\.epochs"),
        ("epochs: 20", "epochs: 0", r"train\.epochs"),
        ("learning_rate: 0.003", "learning_rate: fast", r"train\.learning_rate: .*got 'fast'"),
        ("learning_rate: 0.003", "learning_rate: no", r"train\.learning_rate: .*got 'no'"),
        ("learning_rate: 0.003", "learning_rate: 12:30", r"train\.learning_rate: .*got '12:30'"),
        ("learning_rate: 0.003", "learning_rate: .nan", r"train\.learning_rate"),
        ("warmup_epochs: 1", "warmup_epochs: .inf", r"train\.warmup_epochs"),
        ("select: best", "select: bset", r"train\.select: .*'best' or 'last'"),
        ("seed: 42\n\nruntime", "seed: -1\n\nruntime", r"train\.seed"),
        ("seed: 42\n\nruntime", "seed: 4294967296\n\nruntime", r"train\.seed"),
        ("seed: 42\n\nruntime", "seed: 4.2\n\nruntime", r"train\.seed: .*got 4\.2"),
        ("seed: 42\n\nruntime", "seed: many\n\nruntime", r"train\.seed: .*got 'many'"),
    ],
)
def test_train_value_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_section("train", Train, changed(tmp_path, old, new))


@pytest.mark.fault("C25")
@pytest.mark.parametrize(
    "value",
    [
        *("1" * 5000, "0x" + "f" * 5000, "-0x" + "f" * 5000, "1970-13-45", "!!int x", "!!int ''", "!!bool x"),
        *("!!float x", "[" * 3000 + "]" * 3000),
    ],
    ids=lambda value: value[:12],
)
def test_value_that_cannot_be_read_or_shown_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml") as caught:
        load_section("train", Train, changed(tmp_path, "epochs: 20", f"epochs: {value}"))
    assert len(str(caught.value)) < 500


@pytest.mark.fault("C08", "C10", "C11", "C21")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("listener: train", "listener: network", r"night\.detect\.listener: .*got 'network'"),
        ("listener: train", "listener: arms/perch", r"night: detect\.listener: arms/perch is neither train nor arms/"),
        ("train: 0.8", "train: 0.9", r"night\.index: train \+ val \+ test must be 1, is 1\.1"),
        ("train: 0.8", "train: 0.7", r"night\.index: train \+ val \+ test must be 1, is 0\.9"),
        ("train: 0.8", "train: 0.80000001", r"must be 1"),
        ("train: 0.8\n    val: 0.1\n    test: 0.1", "train: 0.8\n    val: 0.2\n    test: 0", "must each be above 0"),
        (
            "train: 0.8\n    val: 0.1\n    test: 0.1",
            "train: 0.9\n    val: 0.2\n    test: -0.1",
            r"index\.test: .*got -0\.1",
        ),
        ("target_samples: 60", "target_samples: 0", r"target_samples: .*greater than or equal to 1, got 0"),
        ("target_samples: 60", "target_samples: -5", r"target_samples: .*greater than or equal to 1, got -5"),
        ("target_samples: 60", "target_samples: 1000000000", r"target_samples: .*less than or equal to 1000000"),
        ("fmax_hz: 11000", "fmax_hz: 12000", "above half of"),
        ("hop_length: 512", "hop_length: 2048", "hop_length 2048 is above n_fft 1024"),
        ("group_pattern: ^(.+?)_take\\d+$", "group_pattern: ^.+$", "exactly one capture group"),
        ("group_pattern: ^(.+?)_take\\d+$", "group_pattern: '^(.+'", "not a regular expression"),
        ("min: 0.85", "min: 0.3", r"stretch_rate|0\.8"),
        ("min: 8\n", "min: 30\n", "min 30.0 is above max 24.0"),
        ("- noise\n    - volume\n", "- volume\n    - volume\n", "transforms are repeated"),
        ("folds: all", "folds:\n    - 1", "names fold 1; folds are 0 to 0"),
    ],
)
def test_night_value_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_section("night", Night, changed(tmp_path, old, new))


@pytest.mark.fault("C20")
@pytest.mark.parametrize("workers", ["0", "-1", "1025", "10000", "many", "2.0"])
def test_workers_out_of_range(tmp_path: Path, workers: str) -> None:
    with pytest.raises(ParamsError, match=r"(?s)runtime\.workers: ((?!constrained).)*$"):
        load_section("runtime", Runtime, changed(tmp_path, "workers: auto", f"workers: {workers}"))


@pytest.mark.fault("C17", "C18")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {a: 1}\ntrain: {a: 2}\n", "train"),
        ("a: &x 1\nb: *x\n", "aliases"),
        ("a: !!python/object:os.system {}\n", "constructor"),
        ("a: !!python/object/apply:os.system ['exit 1']\n", "constructor"),
        ("- a\n", "expected sections"),
        ("a: [1\n", "params.yaml"),
        ("", "expected sections"),
    ],
)
def test_hostile_or_broken_yaml(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=message):
        read_params(path)


@pytest.mark.parametrize("value", ["[" * 5_000 + "]" * 5_000, "[" * 100_000, "{a: " * 5_000 + "}" * 5_000])
def test_deep_nests_are_refused_at_once(tmp_path: Path, value: str) -> None:
    with pytest.raises(ParamsError, match="over 20 levels deep"):
        read_params(changed(tmp_path, "seed: 42", f"seed: {value}"))


@pytest.mark.fault("H09")
def test_alias_bomb_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ParamsError, match="aliases"):
        read_params(path)


def test_missing_file_and_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="cannot be read"):
        read_params(tmp_path / "absent.yaml")
    (tmp_path / "params.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ParamsError, match="not UTF-8 at byte 3"):
        read_params(tmp_path / "params.yaml")


@pytest.mark.fault("C16")
def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    # YAML 1.2, unlike PyYAML: an exponent without a dot is a number, `no` a string, a leading zero decimal
    path = tmp_path / "params.yaml"
    path.write_text("a: 1e-3\nb: no\nc: 012\nd: 12:30\n", encoding="utf-8")
    assert read_params(path) == {"a": 0.001, "b": "no", "c": 12, "d": "12:30"}


@pytest.mark.fault("C14")
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20))
def test_any_unknown_key_is_named(key: str) -> None:
    train: dict[str, Any] = dict(YAML(typ="safe", pure=True).load(PARAMS.read_text(encoding="utf-8"))["train"])
    if key in train:
        return
    with pytest.raises(ValueError, match=key):
        Train.model_validate({**train, key: 1})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  - 9\n", "  - 9\n  - 9\n", r"voice\.subdbs: values are repeated"),
        ("  - 9\n", "  - 10\n", r"voice\.subdbs\.8: .*got 10"),
        ("  - 9\n", "  - '9'\n", r"voice\.subdbs\.8: .*got '9'"),
    ],
)
def test_subdbs_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_value("voice.subdbs", SUBDBS, changed(tmp_path, old, new))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{PD: 1}", "at least one value for 0 and one for 1"),
        ("{PD: 1, HC: 2}", r"voice\.labels\.values\.HC: .*got 2"),
        ("{PD: 1, HC: true}", r"voice\.labels\.values\.HC: .*got True"),
        ("{PD: 1, pd: 0}", "in upper or lower case, are repeated"),
    ],
)
def test_labels_refused(tmp_path: Path, values: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_section("voice.labels", VoiceLabels, changed(tmp_path, "values: null", f"values: {values}"))


def test_labels_of_any_plain_kind_are_loaded(tmp_path: Path) -> None:
    path = changed(tmp_path, "values: null", "values: {1: 1, 2: 0, Parkinson's disease: 1, false: 0, unsure: null}")
    assert load_section("voice.labels", VoiceLabels, path).values == {
        1: 1,
        2: 0,
        "Parkinson's disease": 1,
        False: 0,
        "unsure": None,
    }


def test_lone_values_are_loaded() -> None:
    assert load_value("voice.subdbs", SUBDBS, PARAMS) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert load_value("voice.control_seeds", SEEDS, PARAMS) == []
