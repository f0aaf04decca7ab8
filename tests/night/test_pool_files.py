"""Both layouts of the pool hold the same files, and what is made of one is what is made of the other."""

import functools
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.learn.graphs import octaves, save
from tests.night.pools import tree

from evensong.audio.wav import write_wav
from evensong.errors import IntegrityError, ParamsError, ResourceError
from evensong.intake.names import slug
from evensong.keys import file_sha256
from evensong.listen.folders import export_pool
from evensong.night.embed import write_embeddings
from evensong.night.mels import write_mels
from evensong.night.plan import plan_pool
from evensong.night.pool import build_pool
from evensong.night.pool_files import pack, pool_files
from evensong.night.scan import scan_folder
from evensong.params import load_section
from evensong.report.clips import Clip, add_media
from evensong.run.text import write_csv
from evensong.schemas import Embedding, NightAugment, NightMels, NightScan

RATE_HZ = 8_000
PACKED, LOOSE = 23, 24  # night.augment.pack_above, for a pool of 24 files


def build(folder, pack_above, workers=1):
    settings = load_section("night.augment", NightAugment).model_copy(update={"pack_above": pack_above})
    clips = scan_folder(Path("data/night"), load_section("night.scan", NightScan), workers=1).clips
    plan, _ = plan_pool(clips[clips["status"] == "used"], settings)
    roots = {"clips": Path("data/night")}
    return build_pool(plan, clips, roots=roots, folder=folder, settings=settings, workers=workers)


def made_pool(folder, names, lengths):
    """Files of those names and numbers of samples, and their rows of pool.csv, shuffled."""
    rows = []
    for number, (name, n_samples) in enumerate(zip(names, lengths, strict=True)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, np.random.default_rng(number).uniform(-1, 1, n_samples).astype(np.float32), RATE_HZ)
        facts = {"file_path": name, "class_slug": path.parent.name, "n_samples": n_samples, "sha256": file_sha256(path)}
        rows.append(facts | {"sample_rate_hz": RATE_HZ})
    pool = pd.DataFrame(rows).sort_values("file_path")
    return pool.assign(mel_row=pool.groupby("class_slug").cumcount()).sample(frac=1, random_state=0)


# What `unique_slugs` may make of a name, up to the digest of 64 digits that tells two apart; and what a class may be.
SLUGS = st.tuples(st.text(min_size=1, max_size=200), st.sampled_from(["", "_" + 64 * "0"])).map(
    lambda parts: slug(parts[0]) + parts[1]
)
NAMES = st.builds(
    "{}/{}{}.wav".format,
    SLUGS | st.sampled_from(["owl", "owl.tar"]),
    SLUGS,
    st.sampled_from(["_original", "_aug001_noise", "_aug10000_time_stretch"]),
)


@given(
    st.lists(st.tuples(NAMES, st.integers(0, 600)), min_size=1, max_size=12, unique_by=lambda file: file[0].casefold())
)
def test_every_packed_file_is_where_it_is_looked_for_and_where_others_look_for_it(files):
    names, lengths = zip(*files, strict=True)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        pool = made_pool(home / "loose", names, lengths)
        wanted = {name: (home / "loose" / name).read_bytes() for name in names}
        assert {file.name: file.content() for file in pool_files(pool, home / "loose")} == wanted
        pack(pool, home / "loose", home / "pool", workers=1)
        assert [path.name for path in home.iterdir()] == ["pool"]
        packed = pool_files(pool, home / "pool")
        assert packed.index.equals(pool.index)
        assert [file.name for file in packed] == pool["file_path"].tolist()
        assert {file.name: file.content() for file in packed} == wanted
        listed = {}
        for class_slug, rows in pool.groupby("class_slug"):
            with tarfile.open(home / f"pool/{class_slug}.tar", "r:") as tar:
                assert tar.getnames() == rows.sort_values("mel_row")["file_path"].tolist()
                listed |= {entry.name: tar.extractfile(entry).read() for entry in tar}
        assert listed == wanted


def test_the_bytes_of_a_tar_are_these(tmp_path):
    names = [f"owl/{stem}_original.wav" for stem in ("hoot", 80 * "h")]  # 21 and 97 characters
    pool = made_pool(tmp_path / "loose", [*names, f"owl/{80 * 'h'}_aug001_noise.wav"], [0, 1, 600])  # and 101
    for name in pool["file_path"]:
        (tmp_path / "loose" / name).write_bytes(b"sound")
    pack(pool, tmp_path / "loose", tmp_path / "pool", workers=1)
    content = (tmp_path / "pool/owl.tar").read_bytes()
    assert len(content) == 512 * (2 + 2 + 4 + 2)  # a long name has two more headers
    # Of Python 3.11, 3.12 and 3.13 alike.
    assert hashlib.sha256(content).hexdigest() == "cbda0040910be8dedd387cb681ac3f95367a607a14ca76640ca9e386c665cfc3"


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar program")
def test_the_tar_program_gives_the_other_layout(tmp_path):
    made_pool(
        tmp_path / "loose", ["owl/hoot_original.wav", f"owl/{99 * 'h'}.wav", "rain/x_aug001_noise.wav"], [9, 0, 5]
    )
    shutil.copytree(tmp_path / "loose", tmp_path / "before")
    pool = made_pool(tmp_path / "loose", [*tree(tmp_path / "before")], [0, 9, 5])
    before = tree(tmp_path / "loose")
    pack(pool, tmp_path / "loose", tmp_path / "pool", workers=1)
    (tmp_path / "out").mkdir()
    for path in (tmp_path / "pool").iterdir():
        subprocess.run(["tar", "xf", path], cwd=tmp_path / "out", check=True)
    assert tree(tmp_path / "out") == before


@pytest.mark.slow
def test_a_pool_of_more_files_than_pack_above_is_a_tar_a_class(night, tmp_path):
    loose = build(tmp_path / "loose", LOOSE)
    packed = build(tmp_path / "packed", PACKED)
    build(tmp_path / "again", 0, workers=2)
    pd.testing.assert_frame_equal(loose, packed)
    assert set(tree(tmp_path / "loose")) == set(loose["file_path"])
    assert set(tree(tmp_path / "packed")) == {"asio_flammeus.tar", "Flugzeug_e.tar"}
    assert tree(tmp_path / "packed") == tree(tmp_path / "again")
    assert not list(tmp_path.glob("*.loose"))


@pytest.mark.slow
def test_mels_vectors_and_sounds_of_the_page_are_those_of_either_layout(night, tmp_path, params):
    params(night__mels__window="loudest", night__mels__clip_seconds=0.4)
    mels = load_section("night.mels", NightMels)
    model = Embedding.model_validate(save(octaves(), tmp_path / "tiny.onnx", copies=True))
    made = {}
    for layout, pack_above in (("loose", LOOSE), ("packed", PACKED)):
        home = tmp_path / layout
        home.mkdir()
        pool = build(home / "pool", pack_above)
        of = {"pool_sha256": "0" * 64, "pool_folder": home / "pool"}
        write_mels(pool, **of, folder=home / "mels", settings=mels, workers=2)
        write_embeddings(pool, **of, folder=home / "vectors", where="model", settings=model, workers=1)
        clips = [Clip(name, "", "", "", 0, 0) for name in pool["file_path"]]
        add_media(clips, pool, home / "pool", home / "mels", mels)
        assert all(clip.sound for clip in clips)
        shutil.rmtree(home / "pool")
        made[layout] = tree(home), clips
    assert len(made["loose"][0]) == 6
    assert made["loose"] == made["packed"]


@pytest.fixture
def packed(tmp_path):
    """A packed pool of two classes of three files: folder and table."""
    names = [f"{name}/{n}.wav" for name in ("owl", "rain") for n in range(3)]
    pool = made_pool(tmp_path / "loose", names, [100, 200, 300, 100, 200, 300])
    pack(pool, tmp_path / "loose", tmp_path / "pool", workers=1)
    return tmp_path / "pool", pool


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-2_000])


def shift(path):
    path.write_bytes(bytes(512) + path.read_bytes())


def flip(path):
    content = bytearray(path.read_bytes())
    content[content.rindex(b"data") + 100] ^= 1
    path.write_bytes(content)


def swap(path):
    shutil.copy(path.with_name("rain.tar"), path)


def lose(path):
    path.unlink()


@pytest.mark.fault("D29")
@pytest.mark.parametrize("damage", [cut_short, shift, flip, swap, lose])
def test_a_damaged_tar_is_named_with_the_file_and_the_cure(packed, damage):
    folder, pool = packed
    damage(folder / "owl.tar")
    with pytest.raises(IntegrityError, match=r"owl.tar: .*owl/\d.wav .*run dvc repro night_augment"):
        [file.wave() for file in pool_files(pool, folder)]
    intact = pool_files(pool[pool["class_slug"] == "rain"], folder)
    assert sorted(file.wave().size for file in intact) == [100, 200, 300]


def test_another_rate_than_the_tables_is_refused(packed):
    folder, pool = packed
    with pytest.raises(IntegrityError, match="is not the file that"):
        pool_files(pool.assign(sample_rate_hz=16_000), folder).iloc[0].wave()


def test_a_file_is_gone_as_soon_as_it_is_in_the_tar(tmp_path):
    pool = made_pool(tmp_path / "loose", [f"owl/{n}.wav" for n in range(9)], 9 * [500])
    (tmp_path / "loose/owl/8.wav").unlink()
    with pytest.raises(FileNotFoundError):
        pack(pool, tmp_path / "loose", tmp_path / "pool", workers=1)
    assert tree(tmp_path / "loose") == {}


@pytest.fixture
def table(packed, tmp_path):
    """pool.csv of the packed pool; its classes are called OWL and RAIN."""
    pool = packed[1].assign(class_name=packed[1]["class_slug"].str.upper(), source_id="", pcm_sha256="")
    pool[["is_augmented", "copy", "half_energy_hz", "peak_scale"]] = 0
    write_csv(tmp_path / "pool.csv", pool)
    return tmp_path / "pool.csv"


@pytest.mark.parametrize(
    ("names", "written"),
    [
        ([], ["owl/0.wav", "owl/1.wav", "owl/2.wav", "rain/0.wav", "rain/1.wav", "rain/2.wav"]),
        (["owl"], ["owl/0.wav", "owl/1.wav", "owl/2.wav"]),
        (["RAIN", "owl/1.wav"], ["owl/1.wav", "rain/0.wav", "rain/1.wav", "rain/2.wav"]),
    ],
)
def test_export_pool_gives_classes_and_files_with_their_digests(packed, table, tmp_path, names, written):
    digests = packed[1].set_index("file_path")["sha256"]
    assert export_pool(table, tmp_path / "pool", names, tmp_path / "out") == len(written)
    assert tree(tmp_path / "out") == {name: digests[name] for name in written}


def test_export_pool_writes_all_or_nothing(packed, table, tmp_path, monkeypatch):
    export = functools.partial(export_pool, table, tmp_path / "pool")
    with pytest.raises(ParamsError, match=r"crow, owl/9.wav: neither a class nor a file of .*pool.csv"):
        export(["owl", "owl/9.wav", "crow"], tmp_path / "out")
    flip(tmp_path / "pool/rain.tar")
    with pytest.raises(IntegrityError, match=r"rain\.tar: rain/2\.wav is not the file"):
        export([], tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=6 * 4_096))
        with pytest.raises(ResourceError, match="are free in"):
            export([], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pool", "pool.csv"]
    assert export(["owl"], tmp_path / "out") == 3
    with pytest.raises(ParamsError, match="is there already"):
        export(["owl"], tmp_path / "out")
