"""A small folder of synthetic clips, and a working folder with params.yaml, as a user would have them."""

import copy
import json
import wave
from pathlib import Path

import numpy as np
import pytest

from evensong.params import read_params
from evensong.score import shortcuts

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")


def write_clip(path, seed, *, seconds=0.5, rate_hz=8000, channels=1, level=0.3, full_scale=0.99):
    """A 16-bit wav of a noisy tone that the seed alone decides."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    tone = np.sin(2 * np.pi * (300 + 100 * (seed % 20)) * time_s)
    samples = level * (tone[:, None] + 0.2 * rng.standard_normal((time_s.size, channels)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.clip(samples, -full_scale, full_scale) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """The audit of shortcuts takes longer than the stages that write it; its own tests have all trees."""
    monkeypatch.setattr(shortcuts, "_TREES", 3)


@pytest.fixture
def clip():
    return write_clip


@pytest.fixture
def night(tmp_path, monkeypatch):
    """The working folder: data/night with two classes of six and nine clips, each source with up to two takes."""
    monkeypatch.chdir(tmp_path)
    for n in range(6):
        write_clip(Path(f"data/night/asio flammeus/call{n // 2}_take{n % 2}.wav"), n)
    for n in range(9):
        write_clip(Path(f"data/night/Flugzeug é/fly{n}_take0.wav"), 100 + n, seconds=0.6, rate_hz=11025)
    write_params()
    return tmp_path / "data/night"


def write_params(**changes):
    """Write params.yaml: the project's own with small values, and dotted changes such as ``night__index__n_folds``."""
    tree = copy.deepcopy(PARAMS)
    small = {
        "night__augment__target_samples": 12,
        "night__augment__sample_rate_hz": 8000,
        "night__augment__transforms": ["noise", "volume"],
        "night__mels__fmax_hz": 4000,
        "night__mels__clip_seconds": 0.5,
        "night__mels__n_mels": 16,
        "runtime__workers": 1,
    }
    for dotted, value in (small | changes).items():
        *parents, last = dotted.split("__")
        section = tree
        for parent in parents:
            section = section[parent]
        section[last] = value
    Path("params.yaml").write_text(json.dumps(tree), encoding="utf-8")  # which is YAML, too


@pytest.fixture
def params():
    return write_params
