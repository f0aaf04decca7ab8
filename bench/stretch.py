"""Ways to stretch a clip: what each costs, and how near it comes to sounds whose stretched form is known.

    python bench/stretch.py [--clips DIR] [--per-class 2] [--wav DIR] [--json FILE]

The sounds are written twice, at their own pace and slowed down or hurried at the same pitch, and a stretched copy of
the first is held against the second. DIR holds a folder of recordings a class: their copies are held against their own
spectrogram read at that pace. --wav writes copies to listen to. A few minutes on one core; nothing else is changed.

ms        CPU of a clip of 5 s at 22.05 kHz, mean over the rates, each the best of some
dB        distance of log spectra, 64 mel bands: of frames of 23 ms | of 93 ms; misplaced sounds count too
clicks    heard in the four copies of 48 clicks, and the longest time in ms that holds nine tenths of one's energy
tone      its pitch in cents, and power beside it in dB, the worst of two tones and all rates
level     change in dB of white noise | of noise bursts
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import audiomentations
import librosa
import numba
import numpy as np
import python_stretch
from night_copy import describe, machine

from evensong.audio.augment import limit_peak
from evensong.audio.stretch import stretch
from evensong.audio.wav import write_wav

RATE_HZ = 22_050
SECONDS = 5
RATES = (0.8, 0.9, 1.1, 1.25)
Stretch = Callable[[np.ndarray, float], np.ndarray]
Sound = Callable[[float], np.ndarray]


# --- ways ------------------------------------------------------------------------------------------------------------


def with_audiomentations(wave: np.ndarray, rate: float) -> np.ndarray:
    """As pools were made until now: Signalsmith Stretch with its better preset."""
    return audiomentations.TimeStretch(rate, rate, leave_length_unchanged=False, p=1.0)(wave, RATE_HZ)


def signalsmith(block: int, interval: int) -> Stretch:
    """The same library with other blocks; 2205 and 882 are its cheaper preset."""

    def run(wave: np.ndarray, rate: float) -> np.ndarray:
        way = python_stretch.Signalsmith.Stretch(1)
        way.configure(1, block, interval)
        way.setTimeFactor(rate)
        return way.process(wave[np.newaxis])[0]

    return run


def textbook_wsola(wave: np.ndarray, rate: float) -> np.ndarray:
    """Frames of 46 ms at every half of one, each moved by up to 12 ms to where it goes on best."""
    return _textbook_wsola(wave, rate, np.hanning(1025)[:-1].astype(np.float32), 256)


@numba.njit(cache=False)
def _textbook_wsola(wave: np.ndarray, rate: float, window: np.ndarray, reach: int) -> np.ndarray:
    size, hop = window.size, window.size // 2
    n_out = round(wave.size / rate)
    padded = np.zeros(wave.size + 2 * (size + reach), np.float32)
    padded[reach : reach + wave.size] = wave
    copy, score = np.zeros(n_out + 2 * size, np.float32), np.empty(2 * reach, np.float32)
    ahead = 0
    for start in range(0, n_out, hop):
        middle = int(start * rate)
        if start:
            score[:] = 0
            for i in range(size):
                for lag in range(2 * reach):  # side by side: the order of every sum stays
                    score[lag] += padded[ahead + i] * padded[middle + lag + i]
        at = middle + (np.argmax(score) if start else reach)
        for i in range(size):
            copy[start + i] += window[i] * padded[at + i]
        ahead = min(at + hop, padded.size - size)
    return copy[:n_out]


WAYS: dict[str, Stretch] = {
    "audiomentations": with_audiomentations,
    "signalsmith, cheaper preset": signalsmith(2205, 882),
    "signalsmith 2048/1024": signalsmith(2048, 1024),
    "librosa's phase vocoder": lambda wave, rate: librosa.effects.time_stretch(wave, rate=rate),
    "textbook WSOLA, numba": textbook_wsola,
    "evensong": lambda wave, rate: stretch(wave, sample_rate_hz=RATE_HZ, rate=rate),
}


# --- sounds ----------------------------------------------------------------------------------------------------------


def times_s(rate: float) -> np.ndarray:
    """The moment of the original that every sample of a copy is."""
    return np.arange(round(SECONDS * RATE_HZ / rate)) / RATE_HZ * rate


def tone(pitch_hz: Callable, level: Callable, overtones: int = 1) -> Sound:
    """A pitch and a level over time, and so many partials that fall off."""

    def sound(rate: float) -> np.ndarray:
        at_s = times_s(rate)
        phase = 2 * np.pi * np.cumsum(pitch_hz(at_s) + np.zeros(at_s.size)) / RATE_HZ
        return level(at_s) * sum(np.sin(k * phase) / k for k in range(1, overtones + 1))

    return sound


def noise(level: Callable) -> Sound:
    """White noise with a level over time; another draw at every rate."""
    return lambda rate: level(times_s(rate)) * np.random.default_rng(round(1e4 * rate)).normal(size=times_s(rate).size)


def pulses(period_s: float, length_s: float) -> Callable:
    """A level that swells and fades once a period."""
    return lambda at_s: np.sin(np.pi * np.minimum(at_s % period_s / length_s, 1))


def steady(at_s: np.ndarray) -> np.ndarray:
    """A level that stays."""
    return np.ones(at_s.size)


def clicks(rate: float) -> np.ndarray:
    """Twelve short clicks, unevenly apart, in silence."""
    wave, n = np.zeros(times_s(rate).size), np.arange(40)
    for at_s in CLICKS_S:
        wave[round(at_s / rate * RATE_HZ) + n] = np.exp(-n / 8) * np.cos(0.9 * n)
    return wave


CLICKS_S = 0.2 + 0.37 * np.arange(12) + np.random.default_rng(5).uniform(-0.1, 0.1, 12)
SOUNDS: dict[str, Sound] = {
    "owl": tone(lambda t: 400 + 30 * np.sin(2 * np.pi * t), pulses(1.0, 0.4), 3),
    "chirps": tone(lambda t: 6000 - 3000 * np.clip(t % 0.25 / 0.08, 0, 1), pulses(0.25, 0.08)),
    "trill": tone(lambda t: 4000 + 1500 * np.sin(2 * np.pi * 25 * t), pulses(1.0, 0.7)),
    "frog": tone(lambda t: 1800, pulses(0.04, 0.025)),
    "glide": tone(lambda t: 500 + 120 * t, lambda t: 1 + 0.5 * np.sin(2 * np.pi * 5 * t), 5),
    "70 Hz": tone(lambda t: 70, steady, 3),
    "two tones": lambda rate: tone(lambda t: 523, steady)(rate) + tone(lambda t: 3137, steady)(rate),
    "bursts": noise(lambda t: np.exp(-(t % 0.3) / 0.03)),
    "noise": noise(steady),
    "clicks": clicks,
}


def scaled(wave: np.ndarray) -> np.ndarray:
    """Float32 with a peak of one half."""
    return (wave * 0.5 / np.abs(wave).max()).astype(np.float32)


# --- measures --------------------------------------------------------------------------------------------------------


def mel_power(wave: np.ndarray, n_fft: int, hop: float, n_frames: int) -> np.ndarray:
    """(64, n_frames) power of frames that may be a part of a sample apart."""
    wave = np.pad(wave.astype(np.float64), n_fft)
    starts = np.minimum(np.round(np.arange(n_frames) * hop + n_fft / 2).astype(int), wave.size - n_fft)
    frames = wave[starts[:, np.newaxis] + np.arange(n_fft)] * np.hanning(n_fft)
    bank = librosa.filters.mel(sr=RATE_HZ, n_fft=n_fft, n_mels=64, fmin=50, fmax=11_000)
    return bank @ (np.abs(np.fft.rfft(frames, axis=1)) ** 2).T


def distance_db(copy: np.ndarray, truth: np.ndarray, n_fft: int, pace: float = 1.0) -> float:
    """Root mean square over frames and bands, of what is within 60 dB of the loudest; the truth read at a pace."""
    n_frames = copy.size // 256
    powers = mel_power(copy, n_fft, 256, n_frames), mel_power(truth, n_fft, 256 * pace, n_frames)
    floor = 1e-6 * powers[1].max()
    one, other = (10 * np.log10(np.maximum(power, floor)) for power in powers)
    return float(np.sqrt(np.mean((one - other) ** 2)))


def level_db(copy: np.ndarray, wave: np.ndarray) -> float:
    """Power of the copy over that of the original."""
    return 10 * float(np.log10(np.mean(copy.astype(np.float64) ** 2) / np.mean(wave.astype(np.float64) ** 2)))


def heard_clicks(copy: np.ndarray, rate: float) -> tuple[int, float]:
    """Peaks of half a click's height and more, and the longest time in ms that holds nine tenths of one's energy."""
    count, longest_ms = 0, 0.0
    for at_s in CLICKS_S:
        at = round(at_s / rate * RATE_HZ)
        near = copy[at - 1_300 : at + 1_300].astype(np.float64)
        loud = np.flatnonzero(np.abs(near) > 0.25)
        count += min(loud.size, 1) + int((np.diff(loud) > 44).sum())
        energy = np.concatenate([[0.0], np.cumsum(near**2)])
        ends = np.searchsorted(energy, energy + 0.9 * energy[-1] * (1 - 1e-9))
        inside = ends < energy.size
        longest_ms = max(longest_ms, float((ends - np.arange(ends.size))[inside].min()) / RATE_HZ * 1e3)
    return count, longest_ms


def tone_errors(copy: np.ndarray, hz: float) -> tuple[float, float]:
    """Distance of the strongest frequency in cents, and the power from 3 to 300 Hz beside it over its own, in dB."""
    middle = copy[copy.size // 8 : copy.size * 7 // 8] * np.blackman(copy.size * 7 // 8 - copy.size // 8)
    power = np.abs(np.fft.rfft(middle, 4 * middle.size)) ** 2
    at_hz = np.fft.rfftfreq(4 * middle.size, 1 / RATE_HZ)
    near = np.abs(at_hz - hz) < 300
    found_hz = float(at_hz[near][power[near].argmax()])
    beside = near & (np.abs(at_hz - found_hz) > 3)
    return abs(1200 * np.log2(found_hz / hz)), 10 * np.log10(power[beside].sum() / power[near & ~beside].sum())


def cost_ms(way: Stretch) -> float:
    """Mean over the rates of the best of five."""
    wave = scaled(np.random.default_rng(0).normal(size=SECONDS * RATE_HZ))
    way(wave, RATES[0])
    spent = []
    for rate in RATES:
        tries = []
        for _ in range(5):
            start = time.process_time()
            way(wave, rate)
            tries.append(time.process_time() - start)
        spent.append(min(tries))
    return 1e3 * float(np.mean(spent))


def measured(way: Stretch) -> dict[str, Any]:
    """All numbers of one way, of sounds with a known truth."""
    found: dict[str, Any] = {"ms": cost_ms(way), "dB": {}}
    copies = {name: {rate: way(scaled(sound(1.0)), rate) for rate in RATES} for name, sound in SOUNDS.items()}
    for name, by_rate in copies.items():
        found["dB"][name] = [
            float(np.mean([distance_db(copy, scaled(SOUNDS[name](rate)), n_fft) for rate, copy in by_rate.items()]))
            for n_fft in (512, 2048)
        ]
    heard = [heard_clicks(copy, rate) for rate, copy in copies["clicks"].items()]
    found["clicks"] = [sum(count for count, _ in heard), max(length_ms for _, length_ms in heard)]
    tones = {hz: scaled(np.sin(2 * np.pi * hz * times_s(1.0))) for hz in (200.2, 3000.3)}
    found["tone"] = np.max(
        [tone_errors(way(wave, rate), hz) for hz, wave in tones.items() for rate in RATES], 0
    ).tolist()
    found["level"] = [
        float(np.mean([level_db(copy, scaled(SOUNDS[name](1.0))) for copy in copies[name].values()]))
        for name in ("noise", "bursts")
    ]
    return found


def measured_on(way: Stretch, clips: dict[str, list[np.ndarray]]) -> dict[str, list[float]]:
    """Distances of real clips' copies at both spectra, by class; the level's mean change at last."""
    found = {
        name: np.mean(
            [
                [*(distance_db(copy, wave, n_fft, pace=rate) for n_fft in (512, 2048)), abs(level_db(copy, wave))]
                for wave in waves
                for rate in (0.85, 1.2)
                for copy in [way(wave, rate)]
            ],
            axis=0,
        ).tolist()
        for name, waves in clips.items()
    }
    return found | {"all": np.mean(list(found.values()), axis=0).tolist()}


def read_clips(folder: Path, per_class: int) -> dict[str, list[np.ndarray]]:
    """The first clips of every class."""
    return {
        path.name: [limit_peak(librosa.load(clip, sr=RATE_HZ)[0])[0] for clip in sorted(path.iterdir())[:per_class]]
        for path in sorted(folder.iterdir())
        if path.is_dir()
    }


def main() -> None:
    """Measure every way and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--per-class", type=int, default=2)
    parser.add_argument("--wav", type=Path, help="folder for copies to listen to")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    facts = machine([0])
    print(describe(facts))
    start = time.process_time()
    textbook_wsola(scaled(np.ones(RATE_HZ)), 0.9)
    print(f"numba compiles the textbook's WSOLA in {time.process_time() - start:.1f} s CPU\n")
    ways = {name: measured(way) for name, way in WAYS.items()}
    print(f"{'':29}{'ms':>6}" + "".join(f"{name:>11}" for name in SOUNDS) + f"{'clicks':>10}{'tone':>9}{'level':>12}")
    for name, row in ways.items():
        spectra = "".join(f"{short:6.1f} |{long:3.1f}" for short, long in row["dB"].values())
        print(
            f"{name:29}{row['ms']:6.1f}{spectra}{row['clicks'][0]:5d} {row['clicks'][1]:4.1f}"
            f"{row['tone'][0]:5.1f} {row['tone'][1]:3.0f}{row['level'][0]:6.1f} |{row['level'][1]:4.1f}"
        )
    if arguments.clips:
        clips = read_clips(arguments.clips, arguments.per_class)
        print(f"\n{'real clips':29}" + "".join(f"{name[:10]:>12}" for name in [*clips, "all"]) + "  level")
        for name, way in WAYS.items():
            ways[name]["real"] = found = measured_on(way, clips)
            cells = "".join(f"{short:7.1f} |{long:3.1f}" for short, long, _ in found.values())
            print(f"{name:29}{cells}{found['all'][2]:7.2f}")
    if arguments.wav:
        arguments.wav.mkdir(parents=True, exist_ok=True)
        for place, (name, way) in enumerate(WAYS.items()):
            for sound, make in SOUNDS.items():
                copy = limit_peak(way(scaled(make(1.0)), RATES[0]))[0]
                write_wav(arguments.wav / f"{sound.replace(' ', '_')}-{place}.wav", copy, RATE_HZ)
            print(f"{place}.wav: {name}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts, "ways": ways}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
