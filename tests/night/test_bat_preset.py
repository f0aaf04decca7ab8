"""The bat preset on generated 384 kHz clips: scan, pool and mels hear the calls where they are."""

import shutil
from pathlib import Path

import numpy as np

import night_augment
import night_cut
import night_mels
import night_scan
from evensong.audio.wav import write_wav
from evensong.intake.tables import read_clips, read_pool
from evensong.preset import apply_preset

ROOT = Path(__file__).parents[2]
RATE_HZ = 384_000
CALLS_KHZ = {"noctula": (24, 20), "pipistrellus": (80, 46)}  # sweeps of 5 ms, from and to


def calls(name: str, seed: int) -> np.ndarray:
    """(76800,) float32, 0.2 s: two downward sweeps in noise."""
    rng = np.random.default_rng(seed)
    wave = 0.003 * rng.standard_normal(RATE_HZ // 5)
    time_s = np.arange(RATE_HZ // 200) / RATE_HZ
    first, last = (1_000 * khz for khz in CALLS_KHZ[name])
    sweep = np.sin(2 * np.pi * (first * time_s + (last - first) * time_s**2 / 0.01)) * np.hanning(time_s.size)
    for at in (0.03 + 0.01 * rng.random(), 0.13):
        wave[round(at * RATE_HZ) :][: sweep.size] += 0.3 * sweep
    return wave.astype(np.float32)


def test_calls_are_heard_where_they_are(tmp_path: Path, monkeypatch, params) -> None:
    monkeypatch.chdir(tmp_path)
    for name in CALLS_KHZ:
        Path(f"data/night/{name}").mkdir(parents=True)
        for n in range(3):
            write_wav(Path(f"data/night/{name}/{name}{n}_take1.wav"), calls(name, n), RATE_HZ)
    shutil.copytree(ROOT / "presets", "presets")
    own = {"transforms": ["time_stretch", "noise", "volume", "combined"], "target_samples": 6}
    params(**{f"night__augment__{key}": value for key, value in own.items()}, night__mels__fmax_hz=4_000)
    apply_preset(Path(), "bat")
    for stage in (night_cut, night_scan, night_augment, night_mels):
        stage.main()
    assert set(read_clips(night_scan.SCAN / "clips.csv")["sample_rate_hz"]) == {RATE_HZ}
    pool = read_pool(night_augment.TABLE)
    assert set(pool["sample_rate_hz"]) == {256_000}
    assert pool["is_augmented"].sum() == 6
    for name, (high, low) in CALLS_KHZ.items():
        mels = np.load(night_mels.MELS / f"{name}.npy")
        assert mels.shape == (6, 64, 501)
        loudest = band_khz(mels.max(axis=2).argmax(axis=1))
        assert ((0.75 * low < loudest) & (loudest < 1.25 * high)).all()  # a stretch leaves the pitch


def band_khz(band: np.ndarray) -> np.ndarray:
    """Centre of a mel band of the preset: evenly spaced in the logarithm above 1 kHz."""
    return 10 * (120 / 10) ** ((band + 1) / 65)
