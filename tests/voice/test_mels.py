import io
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from evensong.audio.mel import MelTransform
from evensong.audio.mel_images import encode_image, mel_image
from evensong.audio.wav import read_wav, write_wav
from evensong.errors import DataError, IntegrityError
from evensong.intake.tables import used_rows
from evensong.run.text import write_csv
from evensong.schemas import VoiceMels
from evensong.voice.mels import describe, fitting, from_first_sound, image_table, make_images
from evensong.voice.pixels import pixel_digests, refuse_other_images
from evensong.voice.scan import scan_recordings


def scanned(folder, scan_settings):
    return used_rows(scan_recordings(folder.root, scan_settings, workers=1).recordings)


def write_images(folder, used, mel_settings, out, workers=1):
    paths = {"image_folder": out / "melSpec", "array_path": out / "mels.npy"}
    return make_images(used, mel_settings, root=folder.root, **paths, workers=workers)


@pytest.fixture
def make(folder, scan_settings, mel_settings, tmp_path):
    def run(workers=1, **changes):
        used = scanned(folder, scan_settings)
        wanted = mel_settings.model_copy(update=changes)
        out = Path(tempfile.mkdtemp(dir=tmp_path))
        counts = write_images(folder, used, wanted, out, workers)
        return out, counts, image_table(used, wanted, "melSpec", pixel_digests(out / "mels.npy"))

    return run


def read_grey(path):
    return np.asarray(Image.open(path).convert("L"))


def test_the_array_holds_the_pixels_of_the_published_images(folder, make):
    folder.tone(1, 1)
    folder.tone(2, 1)
    folder.image(2, 2, size=(16, 12))
    out, counts, table = make()
    packed = np.load(out / "mels.npy")
    assert packed.dtype == np.uint8
    assert packed.shape == (3, 16, 12)
    for row, image_rel_path in zip(table["row"], table["image_rel_path"], strict=True):
        assert np.array_equal(packed[row], read_grey(out / image_rel_path))
    assert sorted(path.name for path in (out / "melSpec").iterdir()) == [
        path.removeprefix("melSpec/") for path in table["image_rel_path"]
    ]
    assert (counts["images"], counts["rendered"], counts["copied"]) == (3, 2, 1)


@pytest.mark.fault("D28")
def test_a_table_and_an_array_of_two_runs_are_refused(folder, make):
    for record in range(3):
        folder.tone(1, record)
    out, _, table = make()
    write_csv(out / "mels.csv", table)
    refuse_other_images(out / "mels.csv", out / "mels.npy")
    pixels = np.load(out / "mels.npy")
    for others, count in ((pixels[[1, 0, 2]], 2), (pixels[:2], 1), (pixels ^ 1, 3)):
        np.save(out / "mels.npy", others)
        with pytest.raises(IntegrityError, match=rf"do not belong together \({count} of 3 images") as caught:
            refuse_other_images(out / "mels.csv", out / "mels.npy")
        assert "00000000-0000-4000" not in str(caught.value)


def test_the_array_has_the_bytes_that_numpy_saves(folder, make):
    for record in range(20):
        folder.image(1, record)
    path = make()[0] / "mels.npy"
    saved = io.BytesIO()
    np.save(saved, np.load(path))
    assert path.read_bytes() == saved.getvalue()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_a_system_error(folder, scan_settings, mel_settings, tmp_path):
    folder.image(1, 1)
    (tmp_path / "mels.npy").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_images(folder, scanned(folder, scan_settings), mel_settings, tmp_path)


def test_the_image_is_the_recording_s_mel_image_within_the_jpeg_s_error(folder, make, mel_settings):
    wave, _ = read_wav(folder.tone(1, 1))
    out, counts, _ = make()
    change = np.abs(np.load(out / "mels.npy")[0].astype(int) - mel_image(wave, mel_settings))
    db_a_level = 80 / 255
    assert counts["encoding_error_max_db"] == round(change.max() * db_a_level, 4)
    assert counts["encoding_error_mean_db"] == round(change.mean() * db_a_level, 4)
    assert make(format="png")[1]["encoding_error_max_db"] == 0


def test_a_ready_made_image_is_copied_byte_for_byte_and_resized_only_in_the_array(folder, make):
    source = folder.image(1, 1, size=(40, 30), mode="RGB")
    out, counts, table = make()
    assert (out / table["image_rel_path"][0]).read_bytes() == source.read_bytes()
    expected = Image.open(source).convert("L").resize((12, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(np.load(out / "mels.npy")[0], np.asarray(expected))
    assert counts["resized_for_training"] == 1
    assert counts["encoding_error_max_db"] is None


@pytest.mark.fault("F08")
@pytest.mark.parametrize("name", [".png", ".jpg"])
def test_an_image_of_another_format_is_stored_anew_in_its_own_size(folder, make, name):
    source = folder.image(1, 1, size=(40, 30), suffix=".png")
    source.rename(source.with_suffix(name))  # what is in the file counts, not its name
    out, counts, table = make()
    published = Image.open(out / table["image_rel_path"][0])
    assert (published.format, published.size) == ("JPEG", (30, 40))
    assert counts["converted"] == 1
    assert table["image_rel_path"][0].endswith(".jpg")
    change = np.abs(np.asarray(published).astype(int) - read_grey(source.with_suffix(name))).max()
    assert counts["conversion_error_max_levels"] == change > 0


def test_a_jpeg_is_stored_as_png_without_a_change(folder, make):
    source = folder.image(1, 1, size=(40, 30))
    out, counts, table = make(format="png")
    assert np.array_equal(read_grey(out / table["image_rel_path"][0]), read_grey(source))
    assert (counts["converted"], counts["conversion_error_max_levels"]) == (1, 0)


def test_a_drawn_png_holds_the_mel_image_to_the_byte(folder, make, mel_settings):
    wave, _ = read_wav(folder.tone(1, 1))
    out, counts, table = make(format="png")
    wanted = mel_settings.model_copy(update={"format": "png"})
    drawn = mel_image(wave, wanted)
    assert (out / table["image_rel_path"][0]).read_bytes() == encode_image(drawn, wanted)
    assert np.array_equal(np.load(out / "mels.npy")[0], drawn)
    assert counts["encoding_error_max_db"] == counts["encoding_error_mean_db"] == 0


def test_recordings_that_the_settings_cut_or_lengthen_are_counted_and_told(folder, make, mel_settings):
    for record, seconds in enumerate((0.4, 0.5, 0.75, 1.0)):
        folder.tone(1, record, seconds=seconds)
    folder.image(2, 1, size=(20, 12))
    counts = make(fmax_hz=4000.0)[1]
    assert [counts[name] for name in ("longer_than_clip", "shorter_than_clip", "sampled_under_fmax")] == [2, 1, 0]
    assert counts["unused_sound_share"] == 0.283  # 0.25 s and 0.5 s of 0.4 + 0.5 + 0.75 + 1 s
    lines = describe(counts, mel_settings)
    assert lines[0] == (
        "5 mel images (jpg): 4 drawn from recordings, 1 ready-made and copied, 0 ready-made and stored anew"
    )
    assert re.fullmatch(r"jpg changes the drawn images by [\d.]+ dB on average, [\d.]+ at most", lines[1])
    assert lines[2:] == [
        "NOTE: 2 recordings are longer than voice.mels.clip_seconds (0.5 s); 28.3% of the sound is not used",
        "NOTE: 1 recordings are shorter than voice.mels.clip_seconds (0.5 s); silence is drawn after them",
        "NOTE: 1 ready-made images are not of 16 x 12 px; the array for training holds them resized",
    ]
    assert make(sample_rate_hz=16_000, fmax_hz=8_000.0)[1]["sampled_under_fmax"] == 4


def test_recordings_of_a_lower_rate_are_counted_with_every_value_to_change(folder, make, mel_settings):
    for record in range(3):
        folder.tone(1, record)  # at 8 kHz
    changes = {"sample_rate_hz": 16_000, "fmax_hz": 8_000.0, "n_fft": 512, "hop_length": 256, "n_mels": 8}
    settings = mel_settings.model_copy(update=changes)
    (note,) = [line for line in describe(make(**changes)[1], settings) if "their rate" in line]
    assert note.startswith(
        "NOTE: 3 recordings have half their rate under voice.mels.fmax_hz (8000 Hz), the lowest rate"
    )
    values = ["sample_rate_hz=8000", "fmax_hz=4000", "n_fft=256", "hop_length=128"]
    assert note.endswith(": dvc exp run " + " ".join(f"-S voice.mels.{value}" for value in values))
    told = {name: int(value) for name, value in (value.split("=") for value in values)}
    assert make(**told)[1]["sampled_under_fmax"] == 0


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([1_000, 4_000, 8_000, 11_025, 16_000]),
    st.integers(16, 4_096),
    st.integers(1, 64),
    st.integers(8, 256),
    st.floats(0, 9_000),
)
def test_the_values_told_for_a_rate_can_be_used(mel_settings, rate_hz, n_fft, hop, n_mels, fmin_hz):
    changes = {"sample_rate_hz": 22_050, "fmax_hz": 11_025.0, "n_fft": n_fft, "hop_length": min(hop, n_fft)}
    before = mel_settings.model_copy(update=changes | {"n_mels": n_mels, "fmin_hz": fmin_hz})
    after = VoiceMels(**before.model_dump() | fitting(before, rate_hz))
    MelTransform(after, after.sample_rate_hz)
    assert (after.sample_rate_hz, after.fmax_hz) == (rate_hz, rate_hz // 2)
    assert abs(after.hop_length / rate_hz - before.hop_length / 22_050) <= 1 / rate_hz


def test_every_broken_relation_between_the_settings_is_told_at_once(mel_settings):
    changes = {"hop_length": 512, "fmin_hz": 9e3, "fmax_hz": 8e3, "min_db": 0.0, "max_db": -1.0}
    with pytest.raises(ValueError, match="hop_length 512 is above n_fft 256; fmin_hz 9000 is not below") as caught:
        VoiceMels(**mel_settings.model_dump() | changes)
    assert "; min_db 0 is not below max_db -1; fmax_hz 8000 is above half of sample_rate_hz 8000: 4000 at most" in str(
        caught.value
    )


def test_images_do_not_depend_on_workers(folder, make):
    for record in range(20):
        folder.tone(record % 3, record)
    (first, *_), (second, *_) = make(workers=1), make(workers=2)
    assert (first / "mels.npy").read_bytes() == (second / "mels.npy").read_bytes()
    for path in (first / "melSpec").iterdir():
        assert path.read_bytes() == (second / "melSpec" / path.name).read_bytes()


@pytest.mark.fault("F06")
def test_a_recording_that_changed_since_the_scan_stops_without_its_name(folder, scan_settings, mel_settings, tmp_path):
    path = folder.tone(1, 1)
    used = scanned(folder, scan_settings)
    for change in (lambda: folder.tone(1, 1, level=0.2), path.unlink):
        change()
        with pytest.raises(IntegrityError, match=r"(since the scan|any more).*run `dvc repro` again") as caught:
            write_images(folder, used, mel_settings, Path(tempfile.mkdtemp(dir=tmp_path)))
        assert "00000000-0000-4000" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.fault("F06")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_changed_byte_of_a_scanned_image_stops(folder, scan_settings, mel_settings, tmp_path, place, flip):
    path = folder.image(1, 1)
    used = scanned(folder, scan_settings)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= flip
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="changed since the scan"):
        write_images(folder, used, mel_settings, Path(tempfile.mkdtemp(dir=tmp_path)))


def test_a_recording_that_starts_with_silence_is_drawn_from_its_first_sound(folder, make):
    tone = np.cos(np.arange(8000) / 4).astype(np.float32) / 3
    write_wav(folder.path(1, 1), np.concatenate([np.zeros(8000, np.float32), tone]), 8000)
    write_wav(folder.path(2, 1), tone, 8000)
    packed = np.load(make()[0] / "mels.npy")
    assert np.abs(packed[0].astype(int) - packed[1]).max() <= 2
    assert from_first_sound(np.array([0, 0, 1, 0, 1], np.float32), 2).tolist() == [1, 0, 1]
    assert from_first_sound(np.array([0, 1, 1], np.float32), 2).tolist() == [0, 1, 1]


def test_a_range_that_shows_nothing_is_refused(folder, make):
    folder.tone(1, 1)
    with pytest.raises(DataError, match=r"one grey everywhere"):
        make(min_db=100.0, max_db=150.0, reference="full_scale")
