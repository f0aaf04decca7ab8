"""Tested clips -> the cells of a confusion matrix, and pictures and sounds of as many clips as a page can carry."""

import base64
import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from evensong.audio.mel import samples_of, transform_of
from evensong.errors import IntegrityError
from evensong.night.pool_files import PoolFile, pool_files
from evensong.schemas import NightMels
from evensong.score.predictions import TrainingRun, originals_of

MOST_BYTES = 11_000_000  # of pictures and sounds, in base64; the page with all its words stays under 15 MB
MOST_CLIPS = 400
MOST_WORST = 12
_MOST_SECONDS = 10.0  # of a sound
_MOST_PIXELS = (256, 96)  # of a picture: wide, high
# Dusk: from night blue over violet to lamplight. Level 0 to 1 -> red, green, blue.
_DUSK = ((0, 0.35, 0.6, 0.8, 1), ((11, 15, 36), (67, 41, 110), (176, 70, 104), (240, 142, 84), (255, 236, 184)))


@dataclass
class Clip:
    """One tested original: its names, what the network made of it, and picture and sound in base64 where chosen."""

    name: str
    source: str
    actual: str
    predicted: str
    score: float  # probability of the predicted class
    true_score: float
    key: int = 0
    picture: str = ""
    sound: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the network chose the true class."""
        return self.actual == self.predicted


@dataclass
class Cell:
    """One cell of the matrix: how many clips, their share of the row, and those that are shown, worst first."""

    actual: str
    predicted: str
    n: int
    share: float
    clips: list[Clip] = field(default_factory=list)


def tested_clips(run: TrainingRun) -> list[Clip]:
    """Original test clips, those first whose true class was given the least probability."""
    test = originals_of(run.predictions.subset("test"))
    chosen = test.probabilities.argmax(axis=1) if len(test.labels) else []
    clips = [
        Clip(name, source, run.classes[label], run.classes[guess], float(given[guess]), float(given[label]))
        for name, source, label, guess, given in zip(
            test.table["item_id"], test.table["group"], test.labels, chosen, test.probabilities, strict=True
        )
    ]
    return sorted(clips, key=lambda clip: (clip.true_score, clip.name))


def matrix(confusion: pd.DataFrame, clips: Sequence[Clip]) -> list[list[Cell]]:
    """Rows of cells as plots/night/confusion.csv names them, with their clips; classes it does not name are its last.

    Args:
        confusion: actual, predicted, clips, share.
        clips: from `tested_clips`.
    """
    names = list(dict.fromkeys(confusion["actual"]))
    cells = {
        (actual, guess): Cell(actual, guess, int(n), float(share))
        for actual, guess, n, share in confusion[["actual", "predicted", "clips", "share"]].itertuples(index=False)
    }
    for clip in clips:
        actual, guess = (name if name in names else names[-1] for name in (clip.actual, clip.predicted))
        cells[actual, guess].clips.append(clip)
    return [[cells[actual, guess] for guess in names] for actual in names]


def choose(cells: Sequence[Sequence[Cell]], worst: Sequence[Clip]) -> list[Clip]:
    """The clips that are shown, in the order in which they get room, and the cells cut down to these.

    The worst mistakes come first, then of every cell its first clip, then its second; of equals, mistakes first.
    """
    in_turn = [
        (clip not in worst, place, clip.is_right, clip.true_score, clip.name, clip)
        for cell in (cell for row in cells for cell in row)
        for place, clip in enumerate(cell.clips)
    ]
    chosen = [clip for *_, clip in sorted(in_turn, key=lambda one: one[:-1])][:MOST_CLIPS]
    for key, clip in enumerate(chosen):
        clip.key = key
    kept = {id(clip) for clip in chosen}
    for cell in (cell for row in cells for cell in row):
        cell.clips = [clip for clip in cell.clips if id(clip) in kept]
    return chosen


def add_media(
    chosen: Sequence[Clip],
    pool: pd.DataFrame,
    pool_folder: Path,
    mels: Path,
    settings: NightMels,
    most: int = MOST_BYTES,
) -> None:
    """Give clips their picture, and their sound while there is room for it.

    Args:
        chosen: from `choose`.
        pool: from `read_pool`.
        pool_folder: where its files are.
        mels: the folder of the arrays.
        settings: they were made with.
        most: bytes of base64 in all.

    Raises:
        IntegrityError: a clip is not in the pool, or its file is not the one in the table.
    """
    places = dict(zip(pool["file_path"], zip(pool["class_slug"], pool["mel_row"], strict=True), strict=True))
    if strange := sum(clip.name not in places for clip in chosen):
        raise IntegrityError(f"{strange} predicted clips are not in pool.csv; run dvc repro night_train")
    files = {file.name: file for file in pool_files(pool, pool_folder)}
    room = most
    for clip in chosen:
        slug, row = places[clip.name]
        array = np.load(mels / f"{slug}.npy", mmap_mode="r", allow_pickle=False)
        picture = _text(png(array[row], settings.top_db))
        if len(picture) <= room:
            clip.picture = picture
            room -= len(picture)
        sound = _text(sound_of(files[clip.name], settings))
        if len(sound) <= room:
            clip.sound = sound
            room -= len(sound)


def png(mel_db: NDArray[np.float32], top_db: float) -> bytes:
    """A mel in colour: (n_mels, n_frames) dB -> the bytes of a PNG, low frequencies at the bottom, at most 256 x 96."""
    level = (mel_db[::-1] - mel_db.max() + top_db) / top_db
    grey = np.rint(np.clip(level, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(grey)
    size = (min(_MOST_PIXELS[0], image.width), min(_MOST_PIXELS[1], image.height))
    image = image.resize(size, Image.Resampling.BOX)
    image.putpalette(_palette())
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def sound_of(sound: PoolFile, settings: NightMels) -> bytes:
    """The part of a pool file that the network heard, as 16-bit WAV.

    Why not OGG: its encoder writes a random serial number, and its bytes differ between processors.
    """
    heard, rate_hz = sound.wave(), sound.sample_rate_hz
    n_samples = samples_of(settings, rate_hz)
    start = 0
    if settings.window == "loudest" and heard.size > n_samples:
        start = transform_of(settings, rate_hz).loudest_start(heard)
    heard = heard[start : start + min(n_samples, int(_MOST_SECONDS * rate_hz))]
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(np.rint(heard * 32_768).astype("<i2").tobytes())  # the very samples of the file
    return stream.getvalue()


def _palette() -> bytes:
    levels = np.linspace(0, 1, 256)
    colours = np.column_stack([np.interp(levels, _DUSK[0], column) for column in np.array(_DUSK[1]).T])
    return bytes(np.rint(colours).astype(np.uint8))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
