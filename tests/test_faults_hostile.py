"""Input made to harm: nothing in the code would run it, and what is opened is what the folder holds."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from evensong.audio.mel_images import read_image
from evensong.errors import InputFault, IntegrityError
from evensong.learn.store import ArrayStore

ROOT = Path(__file__).parents[1]
RUNS_DATA = re.compile(
    r"^\s*(import|from) (pickle|cloudpickle|dill|joblib|marshal|shelve|yaml)\b"
    r"|torch\.(load|save)\(|allow_pickle=True|typ=.unsafe|weights_only=False|os\.system|shell=True"
    r"|(?<![\w.])(eval|exec)\("
)


@pytest.mark.fault("H01", "H02")
def test_no_code_reads_or_writes_a_format_that_can_run_code():
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("src", "tools", "bench")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if RUNS_DATA.search(re.sub(r"\w+\.eval\(\)", "", line))  # a torch module's eval() sets its mode
    ]
    assert found == []


@pytest.mark.fault("H02")
def test_array_of_pickled_objects_is_an_integrity_error(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.array([[[{"a": 1}]]], dtype=object), allow_pickle=True)
    with pytest.raises(IntegrityError, match=r"a\.npy: not a readable \.npy array"):
        ArrayStore([tmp_path / "a.npy"])


@pytest.mark.fault("H08")
def test_image_bomb_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.new("1", (12_000, 12_000)).save(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size < 50_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("the pixels were decoded"))
    with pytest.raises(InputFault) as caught:
        read_image(tmp_path / "x.png")
    assert caught.value.reason == "Q_TOO_LARGE"
