"""A tiny made-up cohort: tones as wav files, ids of the reserved form."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from evensong.audio.wav import write_wav
from evensong.schemas import VoiceMels, VoiceScan
from evensong.score import shortcuts

RATE_HZ = 8_000
MELS = VoiceMels(
    n_fft=256,
    hop_length=128,
    n_mels=16,
    fmin_hz=50,
    fmax_hz=4000,
    clip_seconds=0.5,
    sample_rate_hz=8000,
    width_px=12,
    min_db=-80,
    max_db=0,
    reference="peak",
    format="jpg",
    jpeg_quality=95,
)
SOUND_KINDS = {  # a container, and a codec where it holds several: what the scan calls the two
    "wav": ("wav", "pcm_16"),
    "wav_float": ("wav", "float"),
    "flac": ("flac", "flac"),
    "ogg": ("ogg", "vorbis"),
    "mp3": ("mp3", "mp3"),
    "m4a_aac": ("m4a", "aac"),
    "m4a_alac": ("m4a", "alac"),
}


class VoiceFolder:
    """Writes recordings and images named as the cohort's."""

    def __init__(self, root):
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def patient_id(number):
        return f"00000000-0000-4000-8000-{number:012d}"

    def path(self, patient, record, suffix=".wav", column="audio_audio_m4a"):
        record_id = f"00000000-0000-4000-9000-{record:012d}"
        return self.root / f"{self.patient_id(patient)}_{record_id}_{column}{suffix}"

    def tone(self, patient, record, *, seconds=0.5, level=0.3, suffix=".wav"):
        """One vowel-like tone that no other (patient, record) has."""
        time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        wave = level * np.sin(2 * np.pi * (200 + 7 * patient + record) * time_s)
        path = self.path(patient, record, suffix)
        write_wav(path, wave.astype(np.float32), RATE_HZ)
        return path

    def sound(self, patient, record, kind):
        """A tone in one of the containers and codecs of `SOUND_KINDS`."""
        path = self.path(patient, record, f".{kind.split('_')[0]}")
        write_sound(path, kind, frequency_hz=200 + 70 * patient + 10 * record)
        return path

    def image(self, patient, record, *, size=(16, 12), suffix=".jpg", mode="L", is_colour=False):
        """A ready-made mel image of the given height and width; grey, whatever the mode, unless in colour."""
        shape = (*size, 3) if is_colour else size
        pixels = np.random.default_rng([patient, record]).integers(0, 256, shape, dtype=np.uint8)
        path = self.path(patient, record, suffix)
        mode = "RGB" if is_colour else mode
        Image.fromarray(pixels).convert(mode).save(path, "PNG" if suffix == ".png" else "JPEG")
        return path


def write_sound(path, kind, *, frequency_hz, rate_hz=16_000):
    """Half a second of a tone as one of `SOUND_KINDS`."""
    wave = 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(rate_hz // 2) / rate_hz)
    if not kind.startswith("m4a"):
        soundfile.write(path, wave, rate_hz, subtype="FLOAT" if kind == "wav_float" else None)
        return
    codec = kind.removeprefix("m4a_")
    samples = wave.astype(np.float32) if codec == "aac" else (wave * 32_768).astype(np.int16)
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        form = "fltp" if codec == "aac" else "s16p"
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format=form, layout="mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """The audit of shortcuts takes longer than the stages that write it; its own tests have all trees."""
    monkeypatch.setattr(shortcuts, "_TREES", 3)


@pytest.fixture
def folder(tmp_path):
    return VoiceFolder(tmp_path / "data/voice/recordings")


@pytest.fixture
def labels():
    """Of twenty patients, the first six positive."""
    return {f"p{number:02d}": int(number < 6) for number in range(20)}


@pytest.fixture
def scan_settings():
    return VoiceScan(
        min_seconds=0.25,
        max_seconds=60,
        silence_dbfs=-80,
        max_clipped_share=0.5,
        max_quarantined=0.5,
        columns="all",
        image_sizes="any",
        near_duplicates="note",
    )


@pytest.fixture
def mel_settings():
    return MELS
