"""Synthesise the sample data: ten night-time classes and a small voice cohort, all made up.

    python tools/make_sample_data.py data

Everything is drawn from keyed generators, so two runs on one machine give the same files. The sounds are meant to be
hard enough that a model has to earn its score: mixed signal-to-noise ratios, shared frequency bands, pairs that
differ in rhythm only (two owls; two crickets), recorders that colour the sound, and severities that overlap.
"""

import argparse
import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

Array = np.ndarray
Synth = Callable[[np.random.Generator, "Individual", Array, int], Array]

CLIPS_PER_CLASS = {
    "airplane": 72,
    "asio_flammeus": 16,
    "asio_otus": 12,
    "caprimulgus_europaeus": 24,
    "gryllus_campestris": 40,
    "hyla_arborea": 30,
    "rain": 64,
    "strix_aluco": 44,
    "tettigonia_viridissima": 20,
    "vulpes_vulpes": 34,
}
# (suffix, sample rate in Hz, weight): what a mixed fleet of recorders and phones brings home
RECORDERS = [
    (".ogg", 22_050, 0.30),
    (".ogg", 44_100, 0.14),
    (".mp3", 22_050, 0.20),
    (".m4a", 24_000, 0.16),
    (".flac", 16_000, 0.08),
    (".wav", 22_050, 0.08),
    (".WAV", 16_000, 0.04),
]
N_POSITIVE, N_NEGATIVE, N_UNLABELLED = 20, 60, 5
VOICE_RATE_HZ = 16_000


def generator(*key: object) -> np.random.Generator:
    """A generator that depends on the key alone."""
    digest = hashlib.blake2b("|".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest, "little")))


@dataclass(frozen=True)
class Individual:
    """What stays the same over the takes of one source: voice, distance, recorder and its noise colour."""

    pitch: float
    tempo: float
    snr_db: float
    tilt: float
    suffix: str
    rate_hz: int


def draw_individual(rng: np.random.Generator) -> Individual:
    """Draw one source."""
    weights = np.array([weight for *_, weight in RECORDERS])
    suffix, rate_hz, _ = RECORDERS[rng.choice(len(RECORDERS), p=weights / weights.sum())]
    return Individual(
        pitch=float(np.exp(rng.normal(0, 0.10))),
        tempo=float(np.exp(rng.normal(0, 0.12))),
        snr_db=float(rng.uniform(-13, 9)),
        tilt=float(rng.uniform(0.3, 1.3)),
        suffix=suffix,
        rate_hz=int(rate_hz),
    )


# ---- night sounds: (rng, individual, seconds axis, rate) -> wave around unit peak


def tone(frequency_hz: Array, rate_hz: int, harmonics: tuple[float, ...] = (1.0,)) -> Array:
    """A harmonic tone that follows an instantaneous frequency."""
    phase = 2 * np.pi * np.cumsum(frequency_hz) / rate_hz
    return sum((gain * np.sin((k + 1) * phase) for k, gain in enumerate(harmonics)), np.zeros_like(phase))


def bumps(t: Array, starts: Array, length_s: float, attack: float = 0.2) -> Array:
    """An envelope of raised-cosine bumps, one a start time."""
    envelope = np.zeros_like(t)
    for start in starts:
        x = (t - start) / length_s
        inside = (x >= 0) & (x <= 1)
        shape = np.minimum(1.0, np.minimum(x / attack, (1 - x) / (1 - attack) * 1.4))
        envelope[inside] = np.maximum(envelope[inside], np.sin(np.pi / 2 * np.clip(shape[inside], 0, 1)))
    return envelope


def noise(
    rng: np.random.Generator, n: int, rate_hz: int, tilt: float, band: tuple[float, float] | None = None
) -> Array:
    """Noise with a spectrum of 1 / f**tilt, optionally limited to a band in Hz; unit deviation."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / rate_hz), 20.0)
    spectrum *= frequency**-tilt
    if band:
        spectrum *= np.exp(-0.5 * ((np.log(frequency) - np.log(np.mean(band))) / np.log(band[1] / band[0])) ** 2)
    wave = np.fft.irfft(spectrum, n)
    return wave / (wave.std() + 1e-12)


def owl(base_hz: float, gap_s: float, length_s: float, warble: float) -> Synth:
    """Hoots that differ between species in pitch, rhythm and warble only."""

    def synth(rng: np.random.Generator, one: Individual, t: Array, rate_hz: int) -> Array:
        gap = gap_s / one.tempo
        starts = np.arange(rng.uniform(0.05, gap), t[-1], gap) + rng.normal(0, 0.02)
        bend = 1 + warble * np.sin(2 * np.pi * 7 * t + rng.uniform(0, 6)) + 0.03 * np.sin(2 * np.pi * t)
        return tone(base_hz * one.pitch * bend, rate_hz, (1, 0.25, 0.08)) * bumps(t, starts, length_s / one.tempo)

    return synth


def pulses(carrier_hz: float, pulse_hz: float, duty: float, group_hz: float) -> Synth:
    """A pulsed carrier in groups: crickets, frogs and the nightjar."""

    def synth(rng: np.random.Generator, one: Individual, t: Array, rate_hz: int) -> Array:
        drift = 1 + 0.01 * np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6))
        carrier = tone(carrier_hz * one.pitch * drift, rate_hz, (1, 0.15))
        cycle = (pulse_hz * one.tempo * t + rng.uniform()) % 1
        fine = np.where(cycle < duty, np.sin(np.pi * np.clip(cycle / duty, 0, 1)), 0)
        group = (group_hz * one.tempo * t + rng.uniform()) % 1 < 0.6 if group_hz else 1.0
        return carrier * fine * group

    return synth


def fox(rng: np.random.Generator, one: Individual, t: Array, rate_hz: int) -> Array:
    """Hoarse barks with a falling pitch."""
    starts = np.sort(rng.uniform(0, max(t[-1] - 0.4, 0.1), rng.integers(1, 4)))
    fall = 900 * one.pitch * (1 - 0.25 * (t % 0.6))
    rough = 1 + 0.6 * noise(rng, t.size, rate_hz, 0.0)
    return tone(fall, rate_hz, (0.6, 1, 0.7, 0.4, 0.2)) * rough * bumps(t, starts, 0.45 / one.tempo, 0.1)


def airplane(rng: np.random.Generator, one: Individual, t: Array, rate_hz: int) -> Array:
    """Low rumble with a faint propeller line."""
    swell = 0.7 + 0.3 * np.sin(2 * np.pi * t / rng.uniform(2, 5) + rng.uniform(0, 6))
    rumble = noise(rng, t.size, rate_hz, 0.9, (60, 500))
    return swell * (rumble + 0.5 * tone(np.full_like(t, 95 * one.pitch), rate_hz, (1, 0.6, 0.4)))


def rain(rng: np.random.Generator, one: Individual, t: Array, rate_hz: int) -> Array:
    """Hiss and single drops."""
    wave = 0.5 * noise(rng, t.size, rate_hz, 0.15)
    for _ in range(int(20 * one.tempo)):
        at = int(rng.integers(0, max(t.size - 400, 1)))
        decay = np.exp(-np.arange(400) / rng.uniform(20, 80))
        wave[at : at + 400] += rng.uniform(1, 3) * (decay * rng.standard_normal(400))[: t.size - at]
    return wave


SYNTHS: dict[str, Synth] = {
    "airplane": airplane,
    "asio_flammeus": owl(390, 0.30, 0.13, 0.0),
    "asio_otus": owl(400, 1.10, 0.40, 0.0),
    "caprimulgus_europaeus": pulses(1_700, 36, 0.6, 0.0),
    "gryllus_campestris": pulses(4_600, 30, 0.5, 3.0),
    "hyla_arborea": pulses(2_300, 8, 0.4, 0.0),
    "rain": rain,
    "strix_aluco": owl(760, 1.40, 0.70, 0.05),
    "tettigonia_viridissima": pulses(6_200, 24, 0.7, 0.0),
    "vulpes_vulpes": fox,
}


def night_clip(class_name: str, one: Individual, take: int, source: str) -> Array:
    """One clip of 2 to 3 s: the class's sound, a faint passer-by of another class, and the site's noise."""
    rng = generator("clip", class_name, source, take)
    t = np.arange(int(rng.uniform(2.0, 3.0) * one.rate_hz)) / one.rate_hz
    call = SYNTHS[class_name](rng, one, t, one.rate_hz)
    call /= np.sqrt(np.mean(call**2)) + 1e-9
    other = sorted(set(SYNTHS) - {class_name})[rng.integers(len(SYNTHS) - 1)]
    passer = SYNTHS[other](rng, draw_individual(rng), t, one.rate_hz)
    passer /= np.sqrt(np.mean(passer**2)) + 1e-9
    floor = noise(rng, t.size, one.rate_hz, one.tilt) * 10 ** (-(one.snr_db + rng.normal(0, 2)) / 20)
    wave = call + 10 ** (rng.uniform(-26, -8) / 20) * passer + floor
    return wave / np.abs(wave).max() * 10 ** (rng.uniform(-14, -1) / 20)


def write_night(root: Path) -> None:
    """Write every class folder; sources have one to four takes."""
    for class_name, n_clips in CLIPS_PER_CLASS.items():
        folder = root / class_name
        folder.mkdir(parents=True)
        n_written, source_idx = 0, 0
        while n_written < n_clips:
            rng = generator("source", class_name, source_idx)
            source, one = f"rec{rng.integers(10_000):04d}{chr(97 + source_idx % 26)}", draw_individual(rng)
            for take in range(1, min(int(rng.integers(1, 5)), n_clips - n_written) + 1):
                wave = night_clip(class_name, one, take, source)
                write_audio(folder / f"{source}_take{take}{one.suffix}", wave, one.rate_hz)
                n_written += 1
            source_idx += 1


# ---- field recordings


FIELD_RATE_HZ, FIELD_SECONDS, FIELD_CALL_S = 16_000, 12, 2.2
FIELD_CLASSES = ["asio_otus", "caprimulgus_europaeus", "gryllus_campestris", "hyla_arborea", "strix_aluco"]
FIELD_SITES = {"moor": "Raven", "pond": "Audacity", "wood": "CSV"}  # the last one's are not exhaustive
FIELD_NIGHTS = ["20240601", "20240602", "20240603", "20240604"]
FIELD_NOISE = 0.02  # RMS, of full scale


def field_calls(site: str, night: str) -> list[tuple[float, float, str]]:
    """What sounds in one recording: three calls, and two seconds or more without any; two of them may overlap."""
    rng = generator("field calls", site, night)
    names = rng.permutation(FIELD_CLASSES)[:3]
    begins = np.array([0.7, 3.4 if rng.uniform() < 0.75 else 2.0, 9.0]) + rng.uniform(-0.4, 0.4, 3)
    return [
        (round(float(begin), 2), round(float(begin) + FIELD_CALL_S, 2), str(name))
        for begin, name in zip(begins, names, strict=True)
    ]


def field_recording(site: str, night: str) -> Array:
    """One recording: its calls, each of an individual of its own, over the noise of the site."""
    rng = generator("field", site, night)
    wave = FIELD_NOISE * noise(rng, FIELD_SECONDS * FIELD_RATE_HZ, FIELD_RATE_HZ, 0.5)
    for begin_s, end_s, name in field_calls(site, night):
        t = np.arange(round((end_s - begin_s) * FIELD_RATE_HZ)) / FIELD_RATE_HZ
        call = SYNTHS[name](rng, draw_individual(rng), t, FIELD_RATE_HZ)
        first = round(begin_s * FIELD_RATE_HZ)
        fade = np.clip(np.minimum(t, t[-1] - t) / 0.05, 0, 1)
        call = FIELD_NOISE * 10 ** (rng.uniform(4, 12) / 20) * call / (np.sqrt(np.mean(call**2)) + 1e-9)
        wave[first : first + t.size] += fade * call
    return wave


def write_field(root: Path) -> None:
    """Write recordings by site with their tables, which ones are exhaustive, and the placeholder that DVC keeps."""
    root.mkdir(parents=True)
    (root / ".keep").touch()
    listed, rows = ["recording,exhaustive"], ["file,start,end,label,annotator"]
    for site, form in FIELD_SITES.items():
        (root / site).mkdir()
        for night in FIELD_NIGHTS:
            path = root / site / f"{site}_{night}_2200.ogg"
            write_audio(path, field_recording(site, night), FIELD_RATE_HZ)
            listed.append(f"{site}/{path.name},{'no' if form == 'CSV' else 'yes'}")
            calls = field_calls(site, night)
            if form == "Raven":
                lines = [
                    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies"
                ]
                lines += [
                    f"{n}\tSpectrogram 1\t1\t{b}\t{e}\t200\t7000\t{name}" for n, (b, e, name) in enumerate(calls, 1)
                ]
                table = path.with_name(f"{path.stem}.Table.1.selections.txt")
            elif form == "Audacity":
                lines = [f"{begin}\t{end}\t{name}" for begin, end, name in calls]
                table = path.with_suffix(".txt")
            else:
                rows += [f"{site}/{path.name},{begin},{end},{name},made up" for begin, end, name in calls]
                continue
            table.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    (root / "annotations.csv").write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")
    (root / "recordings.csv").write_text("\n".join(listed) + "\n", encoding="utf-8", newline="\n")


# ---- voices


@dataclass(frozen=True)
class Patient:
    """One voice: how high, how long the vocal tract, how strong the tremor, hoarseness and breath."""

    health_code: str
    label: bool | None
    pitch_hz: float
    tract: float
    severity: float


def reserved_id(*key: object) -> str:
    """An id of the reserved form that can belong to nobody."""
    return f"00000000-0000-4000-8000-{generator('id', *key).integers(16**12):012x}"


def draw_patients() -> list[Patient]:
    """Positive voices are more severe on average; the two groups overlap."""
    labels = [True] * N_POSITIVE + [False] * N_NEGATIVE + [None] * N_UNLABELLED
    patients = []
    for idx, label in enumerate(labels):
        rng = generator("patient", idx)
        severity = rng.normal(1.6 if label else 0.0, 0.55)
        pitch_hz = float(np.exp(rng.normal(np.log(155), 0.28)))
        patients.append(Patient(reserved_id("patient", idx), label, pitch_hz, rng.normal(1, 0.06), severity))
    return patients


def vowel(patient: Patient, take: int) -> Array:
    """About 3 s of a sustained /a/: glottal pulses through formants, with jitter, shimmer, tremor and breath."""
    rng = generator("vowel", patient.health_code, take)
    rate_hz, n = VOICE_RATE_HZ, int(rng.uniform(2.6, 3.4) * VOICE_RATE_HZ)
    t, severity = np.arange(n) / rate_hz, max(patient.severity + rng.normal(0, 0.15), -0.6)
    wander = np.interp(t, np.linspace(0, t[-1], 200), rng.standard_normal(200))
    tremor = np.sin(2 * np.pi * rng.uniform(4, 6.5) * t + rng.uniform(0, 6))
    f0 = patient.pitch_hz * (1 + 0.006 * np.exp(0.8 * severity) * wander + 0.010 * np.exp(0.9 * severity) * tremor)
    source = tone(f0, rate_hz, tuple((k + 1) ** -1.1 for k in range(int(6_500 // patient.pitch_hz))))
    shimmer = np.interp(t, np.linspace(0, t[-1], 300), rng.standard_normal(300))
    source *= 1 + 0.05 * np.exp(0.8 * severity) * shimmer + 0.10 * np.exp(1.0 * severity) * tremor
    source = source / source.std() + 0.08 * np.exp(1.1 * severity) * noise(rng, n, rate_hz, -0.1)
    spectrum = np.fft.rfft(source)
    frequency = np.fft.rfftfreq(n, 1 / rate_hz)
    response = np.full_like(frequency, 0.02)
    for formant_hz, width_hz in ((730, 90), (1_090, 110), (2_440, 170), (3_400, 250)):
        response += 1 / (1 + ((frequency - formant_hz * patient.tract) / width_hz) ** 2)
    wave = np.fft.irfft(spectrum * response, n)
    wave = wave / wave.std() + 10 ** (-rng.uniform(18, 34) / 20) * noise(rng, n, rate_hz, 0.7)
    fade = np.clip(np.minimum(t, t[-1] - t) / 0.08, 0, 1)
    return wave * fade / np.abs(wave).max() * 10 ** (rng.uniform(-12, -2) / 20)


def write_voice(root: Path) -> None:
    """Write one or two recordings each, and the survey; rows are in the order of the ids."""
    (root / "recordings").mkdir(parents=True)
    (root / "cohort").mkdir()
    patients = sorted(draw_patients(), key=lambda patient: patient.health_code)
    for patient in patients:
        for take in range(1, int(generator("takes", patient.health_code).integers(1, 3)) + 1):
            name = f"{patient.health_code}_{reserved_id('record', patient.health_code, take)}_audio_audio_m4a.m4a"
            write_audio(root / "recordings" / name, vowel(patient, take), VOICE_RATE_HZ)
    with (root / "cohort" / "Demographics_Survey.csv").open("w", encoding="utf-8", newline="") as handle:
        rows = csv.writer(handle, lineterminator="\n")
        rows.writerow(["healthCode", "age", "gender", "device", "professional-diagnosis"])
        for patient in patients:
            diagnosis = "" if patient.label is None else patient.label
            rows.writerow([patient.health_code, *survey_answers(patient), diagnosis])


def survey_answers(patient: Patient) -> tuple[int | str, str, str]:
    """Age, gender and device. Age is planted as a confounder: the diagnosed are older, and an old voice is rougher.

    Gender goes with the pitch and the device with nothing, so that neither tells the diagnosis. One age in sixteen is
    blank.
    """
    rng = generator("survey", patient.health_code)
    age = round(float(np.clip(50 + 5 * bool(patient.label) + 4 * patient.severity + rng.normal(0, 9), 18, 95)))
    gender = "female" if patient.pitch_hz * np.exp(rng.normal(0, 0.1)) > 155 else "male"
    device = ("phone a", "phone b", "tablet")[rng.choice(3, p=(0.5, 0.35, 0.15))]
    return "" if rng.uniform() < 1 / 16 else age, gender, device


# ---- files


def write_audio(path: Path, wave: Array, rate_hz: int) -> None:
    """Write a mono wave in the container its suffix names."""
    samples = np.round(np.clip(wave, -1, 1) * 32_767).astype(np.int16)
    if path.suffix == ".m4a":
        write_m4a(path, samples, rate_hz)
        return
    subtype = "PCM_16" if path.suffix in (".flac", ".wav", ".WAV") else None
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    if path.suffix == ".ogg":
        path.write_bytes(with_serial(path.read_bytes(), 1))


def write_m4a(path: Path, samples: Array, rate_hz: int) -> None:
    """Encode AAC in FFmpeg's bit-exact mode, which leaves clock and version out of the file."""
    with av.open(str(path), "w", format="ipod", options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream("aac", rate=rate_hz, layout="mono")
        stream.bit_rate = 36_000
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)


def with_serial(ogg: bytes, serial: int) -> bytes:
    """Replace the stream serial number, which libsndfile draws at random, in every page (RFC 3533, section 6)."""
    pages, at = [], 0
    while at < len(ogg):
        n_segments = ogg[at + 26]
        end = at + 27 + n_segments + sum(ogg[at + 27 : at + 27 + n_segments])
        blank = (
            ogg[at : at + 14] + serial.to_bytes(4, "little") + ogg[at + 18 : at + 22] + bytes(4) + ogg[at + 26 : end]
        )
        pages.append(blank[:22] + ogg_crc(blank).to_bytes(4, "little") + blank[26:])
        at = end
    return b"".join(pages)


def ogg_crc(page: bytes) -> int:
    """CRC-32 of an ogg page: polynomial 04c11db7, not reflected, initial value 0."""
    crc = 0
    for byte in page:
        crc = (crc << 8) & 0xFFFFFFFF ^ OGG_CRC_TABLE[(crc >> 24) ^ byte]
    return crc


def crc_entry(value: int) -> int:
    """The table entry of one byte."""
    value <<= 24
    for _ in range(8):
        value = (value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1
    return value & 0xFFFFFFFF


OGG_CRC_TABLE = [crc_entry(byte) for byte in range(256)]


def main() -> None:
    """Write both tracks, and the field recordings, below an empty or absent folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write; must not exist yet")
    root = parser.parse_args().folder
    if root.exists():
        parser.error(f"{root} exists; move it away first")
    write_night(root / "night")
    write_field(root / "field")
    write_voice(root / "voice")
    files = [path for path in root.rglob("*") if path.is_file()]
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
