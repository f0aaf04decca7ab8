"""Made-up recordings that are rich enough to be told apart."""

import numpy as np


def birds(seed: int, seconds: float = 4.0, rate_hz: int = 16_000) -> np.ndarray:
    """Short glides at moments that the seed decides, over a soft noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = 0.01 * rng.standard_normal(time_s.size)
    for start_s in rng.uniform(0, seconds - 0.2, round(8 * seconds)):
        low_hz, slope, span = rng.uniform(400, 3000), rng.uniform(-1500, 1500), rng.uniform(0.05, 0.2)
        own = time_s - start_s
        envelope = np.exp(-np.square((own - span) / (span / 2)))
        wave += 0.2 * envelope * np.sin(2 * np.pi * (low_hz + slope * own) * own)
    return wave.astype(np.float32)


def vowel(seed: int, pitch_hz: float = 120.0, seconds: float = 4.0, rate_hz: int = 16_000) -> np.ndarray:
    """A sustained voice: harmonics of a pitch that wavers as the seed says, and breath."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate_hz)
    knots = np.arange(0, n + 800, 800)
    waver = np.interp(np.arange(n), knots, pitch_hz * (1 + 0.01 * rng.standard_normal(knots.size)))
    phase = 2 * np.pi * np.cumsum(waver) / rate_hz
    wave = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 20))
    return (0.1 * wave + 0.005 * rng.standard_normal(n)).astype(np.float32)
