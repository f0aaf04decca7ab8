"""Near-equal recordings: how many copies are found, how many unrelated pairs are taken for copies, and what it costs.

    python bench/near_duplicates.py ROOT [ROOT ...] [--every 4] [--sizes 5000 75000]

A ROOT is a folder of recordings, taken to hold no two of the same sound. Of every fourth one copies are made in
memory: re-encoded (mp3, aac, ogg), resampled, shifted, trimmed, quieter, with noise at 20 dB, and several of these at
once; each is looked for among all recordings. All recordings are compared with each other too. The sizes are run on
drawn landmarks that collide as often as those of each ROOT, without audio: decoding comes on top.
"""

import argparse
import io
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import av
import numpy as np
import soundfile

from evensong.audio.containers import AUDIO_SUFFIXES
from evensong.audio.decode import decode, downmix, resample
from evensong.audio.fingerprint import HOP, LANDMARK, RATE_HZ, fingerprint, propose
from evensong.audio.likeness import likeness
from evensong.errors import InputFault
from evensong.intake.twins import is_same_sound

Sound = tuple[np.ndarray, int]


def load(root: Path) -> dict[str, Sound]:
    """The mono waves of all readable recordings of 0.5 to 60 s that are not silent."""
    sounds = {}
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES):
        try:
            decoded = decode(path, max_seconds=60)
        except InputFault:
            continue
        wave = downmix(decoded.waves)[0]
        if wave.size > decoded.sample_rate_hz / 2 and np.square(wave).mean() > 1e-8:
            sounds[str(path)] = (wave, decoded.sample_rate_hz)
    return sounds


def encoded(wave: np.ndarray, rate_hz: int, codec: str, container: str) -> Sound:
    """There and back through a lossy codec at 64 kbit/s."""
    wave = resample(wave, rate_hz, max(rate_hz, 16_000))
    rate_hz, buffer = max(rate_hz, 16_000), io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None]), format="fltp", layout="mono")
        frame.rate = rate_hz
        step = av.AudioResampler(stream.format, "mono", rate_hz, frame_size=stream.codec_context.frame_size)
        for part in [*step.resample(frame), *step.resample(None), None]:
            file.mux(stream.encode(part))
    buffer.seek(0)
    with av.open(buffer) as file:
        parts = [part.to_ndarray()[0] for part in file.decode(audio=0)]
        return np.concatenate(parts).astype(np.float32), file.streams.audio[0].rate


def vorbis(wave: np.ndarray, rate_hz: int) -> Sound:
    """There and back through Ogg Vorbis."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate_hz, format="OGG", subtype="VORBIS")
    buffer.seek(0)
    back, rate_hz = soundfile.read(buffer, dtype="float32")
    return back, rate_hz


def copies(wave: np.ndarray, rate_hz: int) -> Iterator[tuple[str, Sound]]:
    """Each kind of copy by name."""
    n, noise = wave.size, np.random.default_rng(3).standard_normal(wave.size).astype(np.float32)
    yield "mp3 64k", encoded(wave, rate_hz, "libmp3lame", "mp3")
    yield "aac 64k", encoded(wave, rate_hz, "aac", "adts")
    yield "ogg", vorbis(wave, rate_hz)
    yield "22.05 kHz", (resample(wave, rate_hz, 22_050), 22_050)
    yield "16 kHz", (resample(wave, rate_hz, 16_000), 16_000)
    yield "shifted 0.376 s", (np.pad(wave, (round(0.376 * rate_hz) + 1, 0)), rate_hz)
    yield "trimmed 10 %", (wave[n // 10 :], rate_hz)
    yield "trimmed 30 %", (wave[n * 17 // 100 : n * 87 // 100], rate_hz)
    yield "-12 dB", (wave * np.float32(10 ** (-12 / 20)), rate_hz)
    yield "noise 20 dB", (wave + noise * np.float32(0.1) * np.sqrt(np.square(wave).mean()), rate_hz)
    trimmed = resample(wave, rate_hz, 22_050)[3 + n // 8 * 22_050 // rate_hz :] * np.float32(0.3)
    yield "22.05 kHz, cut, -10 dB, mp3", encoded(trimmed, 22_050, "libmp3lame", "mp3")


def heard(sound: Sound) -> np.ndarray:
    """The wave at the rate of the comparison."""
    return resample(*sound, RATE_HZ)


def compare(sounds: Sequence[Sound], landmarks: Sequence[bytes], owners: Sequence[str]) -> tuple[list, int, float]:
    """Pairs taken for the same sound, how many were proposed, and the largest correlation of the others."""
    found, highest = [], 0.0
    proposals = propose(landmarks, owners)
    for one in proposals:
        like = likeness(heard(sounds[one.first]), heard(sounds[one.second]), one.lag * HOP)
        if is_same_sound(like):
            found.append((one.first, one.second, like))
        else:
            highest = max(highest, like.correlation)
    return found, len(proposals), highest


def run_copies(names: list[str], sounds: list[Sound], landmarks: list[bytes], every: int) -> None:
    """Each copy against all recordings: whether its own is found, and any other."""
    tried, true, false = defaultdict(int), defaultdict(int), defaultdict(int)
    for number in range(0, len(names), every):
        for kind, copy in copies(*sounds[number]):
            owners = ["others"] * len(names) + ["copy"]
            found, _, _ = compare([*sounds, copy], [*landmarks, fingerprint(*copy)], owners)
            tried[kind] += 1
            true[kind] += any(first == number for first, _, _ in found)
            false[kind] += sum(first != number for first, _, _ in found)
    for kind in tried:
        print(f"  {kind:28} found {true[kind]:4} of {tried[kind]:4}, others taken for it {false[kind]}")


def run_size(n: int, each: int, space: float) -> None:
    """The index on drawn landmarks that collide as real ones do."""
    rng, landmarks = np.random.default_rng(1), []
    for _ in range(n):
        drawn = np.zeros(each, LANDMARK)
        drawn["hash"] = np.unique(rng.integers(0, int(space), 2 * each))[:each] if space > 4 * each else 0
        drawn["frame"] = rng.integers(0, 625, each)
        landmarks.append(drawn.tobytes())
    began = time.process_time()
    proposals = propose(landmarks, [str(number) for number in range(n)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n} recordings of {each} landmarks: index {time.process_time() - began:.1f} CPU s, {len(proposals)} proposed "
        f"by chance, fingerprints {n * each * LANDMARK.itemsize / 2**20:.0f} MB, peak of the process {peak:.0f} MB"
    )


def collisions(landmarks: Sequence[bytes]) -> tuple[int, float]:
    """Mean landmarks of a recording, and how many equally likely hashes would collide as often as these do."""
    hashes = np.concatenate([np.frombuffer(one, LANDMARK)["hash"] for one in landmarks])
    _, counts = np.unique(hashes, return_counts=True)
    pairs = np.sum(counts * (counts - 1.0)) / 2
    return round(hashes.size / len(landmarks)), min(hashes.size**2 / 2 / max(pairs, 1), 2.0**32)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--sizes", type=int, nargs="*", default=[5_000, 75_000])
    args = parser.parse_args()
    spaces = []
    for root in args.roots:
        named = load(root)
        names, sounds = list(named), list(named.values())
        began = time.process_time()
        landmarks = [fingerprint(*sound) for sound in sounds]
        spent = (time.process_time() - began) / len(names)
        spaces.append(collisions(landmarks))
        print(
            f"{root.name}: {len(names)} recordings, {1000 * spent:.1f} CPU ms a fingerprint, landmarks {spaces[-1][0]}"
        )
        began = time.process_time()
        found, n_proposed, highest = compare(sounds, landmarks, names)
        print(
            f"  {len(names) * (len(names) - 1) // 2} pairs: {n_proposed} proposed, {len(found)} taken for the same "
            f"sound (correlation {', '.join(f'{like.correlation:.3f}' for *_, like in found) or '-'}), highest of the "
            f"others {highest:.3f}, {time.process_time() - began:.1f} CPU s"
        )
        run_copies(names, sounds, landmarks, args.every)
    for n in args.sizes:
        for each, space in spaces:
            run_size(n, each, space)


if __name__ == "__main__":
    main()
