"""Augmentations, drawn from a key first and applied later: the same copy, whoever makes it and when."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from evensong.audio.stretch import stretch
from evensong.keys import derive_seed, keyed_hash
from evensong.schemas import NEUTRAL, NightAugment

MAX_PEAK = 0.999

_INTERVALS = {"rate": "stretch_rate", "gain_db": "gain_db", "semitones": "pitch_semitones"}  # by drawn value

Parameters = Mapping[str, float | int | str]


def draw(key: str, transform: str, settings: NightAugment) -> dict[str, float | int | str]:
    """Draw the values of one augmented copy; the key alone decides.

    Args:
        key: names the copy, such as seed, samples' digest and copy number.
        transform: one of the settings' transforms.

    Returns:
        JSON-able values for `apply`.
    """
    names = {
        "time_stretch": ("rate",),
        "noise": ("snr_db", "noise_seed"),
        "volume": ("gain_db",),
        "combined": ("rate", "snr_db", "noise_seed", "gain_db"),
        "pitch_shift": ("semitones",),
    }[transform]
    drawn: dict[str, float | int | str] = {}
    for name in names:
        bits = keyed_hash(key, transform, name)
        if name == "noise_seed":
            drawn[name] = bits >> 32
        elif name == "snr_db":
            drawn[name] = _uniform(bits, [(settings.noise_snr_db.min, settings.noise_snr_db.max)])
        else:
            drawn[name] = _uniform(bits, settings.audible(_INTERVALS[name]))
    return drawn


def _uniform(bits: int, parts: list[tuple[float, float]]) -> float:
    """Map 64 bits to the joined parts; six decimals, so that a table shows exactly what was used."""
    position = bits / 2**64 * sum(high - low for low, high in parts)
    for low, high in parts:
        if position <= high - low:
            return round(low + position, 6)
        position -= high - low
    return parts[-1][1]


def apply(wave: np.ndarray, sample_rate_hz: int, transform: str, parameters: Parameters) -> tuple[np.ndarray, float]:
    """Make one augmented copy; a pure function of its arguments.

    Args:
        wave: (n_samples,) float32, full scale +/-1, not silent.
        transform: its name.
        parameters: what `draw` returned.

    Returns:
        The copy, float32 with a peak of at most MAX_PEAK and, stretched, of another length; and the factor at most 1
        that it was scaled by to keep that peak.

    Raises:
        TypeError: wave is not float32; integers would be taken for enormous floats.
    """
    if wave.dtype != np.float32:
        raise TypeError(f"augmentation takes float32 at full scale +/-1, got {wave.dtype}")
    copy = wave
    for step in _STEPS[transform]:
        copy = step(copy, sample_rate_hz, parameters)
    scale = _peak_scale(copy)
    if transform == "volume":
        scale = _audible_scale(scale, float(parameters["gain_db"]))
    return (copy * np.float32(scale) if scale < 1 else copy), scale


def limit_peak(wave: np.ndarray) -> tuple[np.ndarray, float]:
    """Scale a wave down to MAX_PEAK where it is above.

    Args:
        wave: (n_samples,) float32.

    Returns:
        The wave, and the factor at most 1 that it was scaled by.
    """
    scale = _peak_scale(wave)
    return (wave * np.float32(scale) if scale < 1 else wave), scale


def _peak_scale(wave: np.ndarray) -> float:
    peak = float(np.abs(wave).max()) if wave.size else 0.0
    return float(np.float32(0.9999 * MAX_PEAK / peak)) if peak > MAX_PEAK else 1.0


def _audible_scale(scale: float, gain_db: float) -> float:
    """A clip already at full scale cannot become louder: it becomes quieter by as much instead of staying as it is."""
    centre, half = NEUTRAL["gain_db"]
    if gain_db > centre and gain_db + 20 * np.log10(scale) < centre + half:
        return float(np.float32(10 ** (-2 * gain_db / 20)))
    return scale


def _stretch(wave: np.ndarray, sample_rate_hz: int, parameters: Parameters) -> np.ndarray:
    return stretch(wave, sample_rate_hz=sample_rate_hz, rate=float(parameters["rate"]))


def _add_noise(wave: np.ndarray, _sample_rate_hz: int, parameters: Parameters) -> np.ndarray:
    """White noise at a signal-to-noise ratio; float32 draws from a stored seed."""
    rms = np.sqrt(np.square(wave, dtype=np.float64).mean())
    noise = np.random.default_rng(int(parameters["noise_seed"])).standard_normal(wave.size, dtype=np.float32)
    noise *= np.float32(rms * 10 ** (-float(parameters["snr_db"]) / 20))
    noise += wave
    return noise


def _change_volume(wave: np.ndarray, _sample_rate_hz: int, parameters: Parameters) -> np.ndarray:
    return wave * np.float32(10 ** (float(parameters["gain_db"]) / 20))


def _shift_pitch(wave: np.ndarray, sample_rate_hz: int, parameters: Parameters) -> np.ndarray:
    """Only pools with shifted copies pay for importing audiomentations, which takes seconds."""
    from audiomentations import PitchShift

    semitones = float(parameters["semitones"])
    with _seeded(f"PitchShift {semitones}"):
        changed = PitchShift(semitones, semitones, p=1.0)(samples=wave, sample_rate=sample_rate_hz)
    return np.ascontiguousarray(changed, dtype=np.float32)


_STEPS: dict[str, tuple[Callable[[np.ndarray, int, Parameters], np.ndarray], ...]] = {
    "time_stretch": (_stretch,),
    "noise": (_add_noise,),
    "volume": (_change_volume,),
    "combined": (_stretch, _add_noise, _change_volume),
    "pitch_shift": (_shift_pitch,),
}


@contextmanager
def _seeded(key: str) -> Iterator[None]:
    """Fixed global random states inside, the caller's states again outside: audiomentations draws from both."""
    seed = derive_seed(key)
    state, legacy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 # the state that must be kept
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(legacy_state)  # noqa: NPY002
