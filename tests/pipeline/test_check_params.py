"""The first stage refuses what would otherwise fail after older outputs are gone."""

from pathlib import Path

import pytest

import check_params
from evensong.errors import ParamsError

ROOT = Path(__file__).parents[2]
MODEL = "model: test_efficientnet"


@pytest.mark.fault("C21")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (MODEL, "model: efficientnet-b1", "no model 'efficientnet-b1'; did you mean efficientnet_b1"),
        (
            "pretrained: null",
            f"pretrained:\n      file: absent.safetensors\n      sha256: {'a' * 64}",
            "there is no absent",
        ),
        ("device: cpu", "device: cuda", r"train\.device: cuda, but"),
        ("epochs: 20", "epochs: many", r"train\.epochs"),
        (
            "n_mels: 64",
            "n_mels: 400",
            r"night\.mels: \d+ of 400 mel bands hold no weight: .* set n_mels to \d+ or raise n_fft",
        ),
        (
            "n_mels: 64\n    fmin_hz: 50\n    fmax_hz: 8000",
            "n_mels: 400\n    fmin_hz: 50\n    fmax_hz: 8000",
            r"voice\.mels: ",
        ),
    ],
)
def test_bad_value_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert old in text
    Path("params.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ParamsError, match=message):
        check_params.main()
    assert not check_params.OUTPUT.exists()


def test_good_values_give_the_constant_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    check_params.main()
    assert check_params.OUTPUT.read_text(encoding="utf-8") == "params.yaml follows the schemas\n"
