"""Pool files -> one packed log-mel array a class, for training to map into memory."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from evensong.audio.mel import frames_of, log_mel, samples_of, transform_of
from evensong.errors import DataError, IntegrityError
from evensong.intake.names import counted, some_of
from evensong.night.mel_settings import write_mel_settings
from evensong.night.pool_files import PoolFile, pool_files
from evensong.run.parallel import map_tasks
from evensong.schemas import NightMels

_ROWS_A_TASK = 32


@dataclass(frozen=True)
class _Task:
    """Consecutive rows of one class's array, and the byte of its file where they begin."""

    array: Path
    first_byte: int
    files: tuple[PoolFile, ...]
    starts: tuple[int, ...]
    settings: NightMels


def write_mels(
    pool: pd.DataFrame, *, pool_sha256: str, pool_folder: Path, folder: Path, settings: NightMels, workers: int
) -> None:
    """Write the log-mel arrays of every class and the settings they were made with.

    Args:
        pool: from `read_pool`; row mel_row of a class's array is the file with that mel_row.
        pool_sha256: digest of the table itself, for what reads the arrays together with the index.
        pool_folder: where the pool's files are.
        folder: folder to create: {class_slug}.npy (n_files, n_mels, n_frames) float32, dB re power 1.0.
        settings: of the spectrogram.
        workers: processes; no byte depends on it.

    Raises:
        DataError: fmax_hz is above half of the pool's sample rate, or an original is silent where it is used.
        IntegrityError: a pool file is missing or is not the one in the table, or rows are missing.
    """
    sample_rate_hz = _common_rate(pool)
    if settings.fmax_hz > sample_rate_hz / 2:
        raise DataError(f"night.mels.fmax_hz {settings.fmax_hz:g} is above half of the pool's {sample_rate_hz} Hz")
    n_frames = frames_of(settings, sample_rate_hz)
    folder.mkdir(parents=True)
    log_mel(np.zeros(sample_rate_hz, np.float32), sample_rate_hz, settings)  # built once, before the workers start
    pool = pool.assign(file=pool_files(pool, pool_folder))
    pool = pool.assign(start=_window_starts(pool, settings, workers=workers))
    tasks: list[_Task] = []
    for class_slug, files in pool.groupby("class_slug", sort=True):
        files = files.sort_values("mel_row")
        if files["mel_row"].tolist() != list(range(len(files))):
            raise IntegrityError(f"pool.csv: the mel rows of {class_slug} are not 0 to {len(files) - 1}")
        array = folder / f"{class_slug}.npy"
        rows = open_memmap(array, mode="w+", dtype=np.float32, shape=(len(files), settings.n_mels, n_frames))
        for start in range(0, len(files), _ROWS_A_TASK):
            batch = files.iloc[start : start + _ROWS_A_TASK]
            first_byte = rows.offset + start * rows[0].nbytes
            tasks.append(_Task(array, first_byte, tuple(batch["file"]), tuple(batch["start"]), settings))
    is_flat = {
        name: flat
        for batch in map_tasks(_write_rows, tasks, workers=workers, label="night_mels", unit="batch")
        for name, flat in batch.items()
    }
    if len(is_flat) != len(pool):
        raise IntegrityError(f"{len(is_flat)} mel rows were written for {len(pool)} pool files")
    _refuse_silence(pool, [is_flat[name] for name in pool["file_path"]], settings)
    made_with = settings.model_dump() | {"sample_rate_hz": sample_rate_hz, "n_frames": n_frames}
    write_mel_settings(folder, made_with, pool_sha256)


def unused_sound(pool: pd.DataFrame, settings: NightMels) -> str | None:
    """One line on the clips longer than clip_seconds, which are seen in part; None where there are none."""
    n_samples = pool.loc[pool["is_augmented"] == 0, "n_samples"]
    unused = (n_samples - samples_of(settings, _common_rate(pool))).clip(lower=0)
    if not unused.any():
        return None
    found = (
        f"{(unused > 0).sum()} of {len(n_samples)} clips are longer than night.mels.clip_seconds "
        f"({settings.clip_seconds:g} s); {unused.sum() / n_samples.sum():.1%} of the sound is not used"
    )
    if settings.window == "loudest":
        return found
    return f"NOTE: {found}: all behind the start. night.mels.window: loudest takes the clips where they sound"


def _window_starts(pool: pd.DataFrame, settings: NightMels, *, workers: int) -> pd.Series:
    """First sample of what is used of every pool file; a copy is used at the same share of its length as its original.

    Why a share: a stretched copy has every moment elsewhere, in step with its length.
    """
    rate_hz = _common_rate(pool)
    n_spare = (pool["n_samples"] - samples_of(settings, rate_hz)).clip(lower=0)
    originals = pool[(pool["is_augmented"] == 0) & (n_spare > 0)]
    if settings.window == "start" or originals.empty:
        return pd.Series(0, index=pool.index)
    search = functools.partial(_loudest_start, settings=settings)
    found = list(map_tasks(search, originals["file"].tolist(), workers=workers, label="night_mels", unit="clip"))
    shares = pd.Series(found / n_spare[originals.index].to_numpy(), index=originals["original_file"])
    return (pool["original_file"].map(shares).fillna(0) * n_spare).round().astype(np.int64)


def _loudest_start(file: PoolFile, *, settings: NightMels) -> int:
    return transform_of(settings, file.sample_rate_hz).loudest_start(file.wave())


def _refuse_silence(pool: pd.DataFrame, is_flat: list[bool], settings: NightMels) -> None:
    silent = sorted(pool.loc[np.array(is_flat) & (pool["is_augmented"] == 0), "original_file"])
    if silent:
        raise DataError(
            f"{counted(len(silent), 'recording')} with nothing but silence in the {settings.clip_seconds:g} s that "
            f"night.mels.window: {settings.window} takes ({some_of(silent)}): use window: loudest, cut the silence "
            "off, raise night.mels.clip_seconds, or remove the files"
        )


def _common_rate(pool: pd.DataFrame) -> int:
    rates = sorted(pool["sample_rate_hz"].unique())
    if len(rates) != 1:
        raise IntegrityError(f"pool.csv: one sample rate expected, found {', '.join(map(str, rates))}")
    return int(rates[0])


def _write_rows(task: _Task) -> dict[str, bool]:
    """Fill some rows of one array, which no other task writes; whether each holds one value only. Runs in a worker.

    Why no memory map: on a full disk a write to one kills the process, where a write to the file says what is wrong.
    """
    is_flat = {}
    with task.array.open("r+b") as file:
        file.seek(task.first_byte)
        for sound, start in zip(task.files, task.starts, strict=True):
            mel_db = log_mel(sound.wave()[start:], sound.sample_rate_hz, task.settings)
            file.write(mel_db.tobytes())
            is_flat[sound.name] = bool(np.ptp(mel_db) == 0)
    return is_flat
