"""Made-up recordings in the four layouts that people keep them in."""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ID = "00000000-0000-4000-8000-0000000000{:02d}"


def write_wav(path: Path, seed: int = 0, seconds: float = 0.5) -> Path:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes((rng.uniform(-0.5, 0.5, int(8_000 * seconds)) * 32_767).astype("<i2").tobytes())
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Two classes of six clips, three sources each, and what is not audio."""
    for number, name in enumerate(("owl", "rain")):
        for clip in range(6):
            write_wav(tmp_path / f"mine/{name}/{name}_0{clip // 2}_take{clip % 2}.wav", 10 * number + clip)
    (tmp_path / "mine/owl/notes.txt").write_text("heard at dusk")
    (tmp_path / "mine/.DS_Store").write_text("")
    return tmp_path / "mine"


@pytest.fixture
def esc(tmp_path: Path) -> Path:
    """ESC's names: fold, recording, take, class; a row without its file, and a file without a row."""
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in (1, 2, 3):
        for number, name in ((0, "dog"), (10, "rain")):
            for take in "AB":
                called = f"{fold}-{fold}7{number}-{take}-{number}.wav"
                write_wav(tmp_path / "esc/audio" / called, 100 * fold + number + ord(take))
                rows.append(f"{called},{fold},{number},{name},True,{fold}7{number},{take}")
    write_wav(tmp_path / "esc/audio/stray.wav", 7)
    rows.append("1-999-A-0.wav,1,0,dog,True,999,A")
    (tmp_path / "esc/meta").mkdir()
    (tmp_path / "esc/meta/esc50.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "esc"


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """Two recordings with their Audacity labels."""
    for number, name in enumerate(("siteA_20240601_210000", "siteB_20240601_210000")):
        write_wav(tmp_path / f"field/{name}.wav", number, seconds=8)
        (tmp_path / f"field/{name}.txt").write_text("0.5\t1.0\towl\n6.0\t6.5\train\n")
    return tmp_path / "field"


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Eight patients with a recording each, one file of another name, and the survey."""
    rows = ["healthCode,professional-diagnosis"]
    for number in range(8):
        write_wav(tmp_path / f"cohort/wav/{ID.format(number)}_0_voice.wav", number)
        rows.append(f"{ID.format(number)},{number % 2 == 0}")
    write_wav(tmp_path / f"cohort/wav/{ID.format(99)}.wav", 99)
    (tmp_path / "cohort/survey.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "cohort"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml alone, as the working folder."""
    root = tmp_path / "project"
    root.mkdir()
    text = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
    (root / "params.yaml").write_text(text.replace("workers: auto", "workers: 1"), encoding="utf-8")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def wav() -> Callable[..., Path]:
    return write_wav
