import pandas as pd
import pytest

from evensong.night.band import lost_energy

HALF_HZ = [1_000.0, 5_000.0, 5_000.5, 9_000.0]
POOL = pd.DataFrame(
    {
        "original_file": [f"bat/{n}.wav" for n in (3, 2, 1, 0) for _ in range(2)],
        "is_augmented": [0, 1] * 4,
        "half_energy_hz": [hz for hz in HALF_HZ for _ in range(2)],
    }
)


@pytest.mark.parametrize(
    ("above_hz", "up_to_hz", "names"),
    [
        (4_999.0, 1e9, "bat/0.wav, bat/1.wav, bat/2.wav"),
        (5_000.0, 1e9, "bat/0.wav, bat/1.wav"),
        (5_000.0, 9_000.0, "bat/0.wav, bat/1.wav"),
        (5_000.0, 8_999.0, "bat/1.wav"),
    ],
)
def test_lost_energy_counts_and_names_the_originals_between_the_limits(above_hz, up_to_hz, names):
    count = names.count("wav")
    assert lost_energy(POOL, "the rate", above_hz, up_to_hz) == (
        f"NOTE: {count} of 4 clips have over half of their energy above {above_hz:g} Hz, where nothing of it is left "
        f"({names}; half_energy_hz in artifacts/night/pool.csv); raise the rate"
    )


def test_lost_energy_under_the_limit_is_none():
    assert lost_energy(POOL, "the rate", 9_000.0) is None
