"""Pool files measured against pool.csv: a copy has the duration, signal-to-noise ratio and gain drawn for it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import night_augment
import night_scan
from evensong.audio.augment import MAX_PEAK, apply, limit_peak
from evensong.audio.decode import decode, downmix, resample
from evensong.audio.wav import read_wav
from evensong.intake.tables import read_pool

POOL = Path("artifacts/night/pool")
N_EACH = 10


def decibels(ratio: float) -> float:
    return 20 * float(np.log10(ratio))


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.square(wave, dtype=np.float64).mean()))


def measure(pool: pd.DataFrame, n_each: int = N_EACH) -> pd.DataFrame:
    """Drawn and measured values of the first copies of each transform.

    A stretched clip is compared with the stretched original as it was before its samples were rounded to 16 bits: the
    stretch answers the rounding with other joins.

    Returns:
        One row a copy: file_path, augmentation_type, peak (of full scale), and where the transform has it drawn and
        measured duration_ratio (of the original), snr_db and level_db (over the original or the stretched one).
    """
    rows = []
    for transform, copies in pool[pool["copy"] > 0].groupby("augmentation_type"):
        for row in copies.head(n_each).itertuples():
            drawn = json.loads(row.parameters)
            decoded = decode(Path("data/night", row.original_file), max_seconds=600)
            base = resample(downmix(decoded.waves)[0], decoded.sample_rate_hz, row.sample_rate_hz)
            base, n_original = limit_peak(base)[0], base.size
            copy, _ = read_wav(POOL / row.file_path)
            found = {"file_path": row.file_path, "augmentation_type": transform, "peak": float(np.abs(copy).max())}
            if "rate" in drawn:
                found |= {"duration_ratio_drawn": 1 / drawn["rate"], "duration_ratio": copy.size / n_original}
                base = apply(base, row.sample_rate_hz, "time_stretch", {"rate": drawn["rate"]})[0]
            if transform == "volume":
                level_db = drawn["gain_db"] + decibels(row.peak_scale)
                found |= {"level_db_drawn": level_db, "level_db": decibels(rms(copy) / rms(base))}
            if "snr_db" in drawn:
                factor = 10 ** (drawn.get("gain_db", 0) / 20) * row.peak_scale
                noise = copy / factor - base
                found |= {"snr_db_drawn": drawn["snr_db"], "snr_db": decibels(rms(base) / rms(noise))}
            rows.append(found)
    return pd.DataFrame(rows)


@pytest.fixture
def pool(night, params):
    """A pool of quiet and of full-scale clips, all four transforms, at the rate of the clips."""
    for name in ("asio flammeus", "Flugzeug é"):
        for path in sorted((night / name).iterdir())[:3]:
            wave, rate_hz = soundfile.read(path)
            soundfile.write(path, wave * 0.97 / np.abs(wave).max(), rate_hz, subtype="PCM_16")
    params(
        night__augment__target_samples=60,
        night__augment__transforms=["time_stretch", "noise", "volume", "combined"],
    )
    night_scan.main()
    night_augment.main()
    return read_pool(Path("artifacts/night/pool.csv"))


@pytest.mark.fault("A28")
def test_ten_files_of_each_transform_are_what_was_drawn(pool):
    table = measure(pool)
    assert table["augmentation_type"].value_counts().to_dict() == dict.fromkeys(
        ("time_stretch", "noise", "volume", "combined"), N_EACH
    )
    np.testing.assert_allclose(*both(table, "duration_ratio"), rtol=0.003)
    np.testing.assert_allclose(*both(table, "snr_db"), atol=0.3)  # ten deviations of half a second's noise power
    np.testing.assert_allclose(*both(table, "level_db"), atol=0.02)
    assert table["peak"].max() <= MAX_PEAK


@pytest.mark.fault("A28")
def test_gain_beyond_full_scale_is_scaled_and_the_factor_recorded(pool):
    scaled = pool[(pool["copy"] > 0) & (pool["peak_scale"] < 1)]
    assert len(scaled) > 5
    table = measure(scaled, n_each=99)
    np.testing.assert_allclose(*both(table, "level_db"), atol=0.02)
    np.testing.assert_allclose(*both(table, "snr_db"), atol=0.3)
    assert table["peak"].max() <= MAX_PEAK


def both(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Measured and drawn values of the rows that have them."""
    rows = table[[name, f"{name}_drawn"]].dropna()
    assert len(rows)
    return rows[name].to_numpy(), rows[f"{name}_drawn"].to_numpy()
