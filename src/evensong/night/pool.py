"""The plan -> pool files on disk: every original decoded once, with all its copies, in one task."""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from evensong.audio.augment import apply, draw, limit_peak
from evensong.audio.decode import decode, downmix, resample
from evensong.audio.wav import write_wav
from evensong.errors import DataError, InputFault, IntegrityError, ResourceError
from evensong.keys import file_sha256
from evensong.night.plan import PLAN_COLUMNS
from evensong.night.pool_files import pack
from evensong.run.parallel import map_tasks
from evensong.schemas import NightAugment

POOL_COLUMNS = [
    *PLAN_COLUMNS[:-1],
    *("half_energy_hz", "sample_rate_hz", "n_samples", "mel_row", "peak_scale", "sha256"),
]
_BYTES_A_SAMPLE = 2
_SPARE_BYTES = 64 << 20
_SILENT_RMS = 1e-4  # -80 dBFS
_LOST_SHARE = 0.01  # of the RMS, -40 dB


@dataclass(frozen=True)
class _Task:
    """One original and everything made from it: the plan's rows, the original first."""

    source: Path
    sha256: str
    max_seconds: float
    folder: Path
    sample_rate_hz: int
    files: list[dict[str, Any]]


def build_pool(
    plan: pd.DataFrame,
    clips: pd.DataFrame,
    *,
    roots: Mapping[str, Path],
    folder: Path,
    settings: NightAugment,
    workers: int,
) -> pd.DataFrame:
    """Write every planned file and, where they are more than settings.pack_above, pack them into a tar a class.

    Args:
        plan: from `plan_pool`.
        clips: the scan's clips, for the digests and durations.
        roots: folder of the originals by their origin.
        folder: pool folder to create; one folder or one tar a class inside.
        settings: pool rate and ranges.
        workers: processes; no byte depends on it.

    Returns:
        The plan with half_energy_hz of the originals, and sample_rate_hz, n_samples, peak_scale and sha256 of each
        file, columns POOL_COLUMNS.

    Raises:
        DataError: nothing of a clip is left at the pool's sample rate.
        IntegrityError: an original is not what the scan saw, or the folder does not hold exactly the planned files.
        ResourceError: the disk is too full.
    """
    check_space(plan, clips, folder=folder.parent, settings=settings)
    is_packed = len(plan) > settings.pack_above
    loose = folder.with_name(f"{folder.name}.loose") if is_packed else folder
    for class_slug in plan["class_slug"].unique():
        (loose / class_slug).mkdir(parents=True)
    tasks = _tasks(plan, clips, roots, loose, settings.sample_rate_hz)
    _warm_up(settings)
    done = map_tasks(_make_files, tasks, workers=workers, label="night_augment", unit="clip")
    pool = pd.DataFrame([file for files in done for file in files])
    pool["half_energy_hz"] = pool["original_file"].map(clips.set_index("path")["half_energy_hz"])
    check_folder(loose, plan["file_path"])
    if is_packed:
        pack(pool, loose, folder, workers=workers)
    return pool.sort_values(["class_name", "mel_row"], ignore_index=True)[POOL_COLUMNS]


def check_space(plan: pd.DataFrame, clips: pd.DataFrame, *, folder: Path, settings: NightAugment) -> None:
    """Estimate the pool's size, the slowest stretch for every copy, and compare it with the free space.

    A packed pool needs as much: files are packed one by one, and a header has less than a block of a file system.

    Raises:
        ResourceError: the pool would not fit.
    """
    seconds = plan["original_file"].map(clips.set_index("path")["duration_s"])
    longest = np.where(plan["is_augmented"] == 1, seconds / min(1.0, settings.stretch_rate.min), seconds)
    needed = int(longest.sum() * settings.sample_rate_hz * _BYTES_A_SAMPLE) + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ResourceError(
            f"the pool needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; make room, or lower "
            "night.augment.target_samples or sample_rate_hz"
        )


def check_folder(folder: Path, planned: Iterable[str]) -> None:
    """Compare the files on disk with the planned ones.

    Raises:
        IntegrityError: a file is missing, or one too many is there.
    """
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    wanted = set(planned)
    if found != wanted:
        raise IntegrityError(
            f"the pool should hold {len(wanted)} files; {len(wanted - found)} are missing and "
            f"{len(found - wanted)} are too many (such as {min(found ^ wanted)})"
        )


def _tasks(
    plan: pd.DataFrame, clips: pd.DataFrame, roots: Mapping[str, Path], folder: Path, sample_rate_hz: int
) -> list[_Task]:
    """One task an original, the longest work first so that no worker is left with it at the end."""
    facts = clips.set_index("path")[["sha256", "duration_s", "origin"]].to_dict("index")
    tasks = []
    for original, files in plan.groupby("original_file", sort=True):
        clip, rows = facts[original], cast(list[dict[str, Any]], files.sort_values("copy").to_dict("records"))
        # The scan has accepted the length; a second more covers rounding in its table.
        max_seconds = float(clip["duration_s"]) + 1.0
        tasks.append(
            _Task(roots[clip["origin"]] / str(original), clip["sha256"], max_seconds, folder, sample_rate_hz, rows)
        )
    return sorted(tasks, key=lambda task: -task.max_seconds * len(task.files))


def _warm_up(settings: NightAugment) -> None:
    """Import what the transforms need before the workers are forked: once instead of once a worker."""
    wave = np.sin(np.arange(settings.sample_rate_hz // 4, dtype=np.float32) / 10)
    for transform in settings.transforms:
        apply(wave, settings.sample_rate_hz, transform, draw("warm-up", transform, settings))


def _make_files(task: _Task) -> list[dict[str, Any]]:
    """Write one original and its copies, and complete their rows; runs in a worker."""
    wave, scale = limit_peak(_read_original(task))
    for file in task.files:
        copy, copy_scale = wave, scale
        if file["is_augmented"]:
            copy, copy_scale = apply(
                wave, task.sample_rate_hz, file["augmentation_type"], json.loads(file["parameters"])
            )
        path = task.folder / file["file_path"]
        write_wav(path, copy, task.sample_rate_hz)
        facts = {"sample_rate_hz": task.sample_rate_hz, "n_samples": copy.size, "peak_scale": copy_scale}
        file.update(facts, sha256=file_sha256(path))
    return task.files


def _read_original(task: _Task) -> np.ndarray:
    """The original's mono mix at the pool's sample rate; nothing of its channels stays in memory."""
    try:
        if file_sha256(task.source) != task.sha256:
            raise IntegrityError(f"{task.source}: the file is not the one that night_scan saw; run dvc repro again")
        decoded = decode(task.source, max_seconds=task.max_seconds)
    except InputFault as fault:
        raise IntegrityError(f"{task.source}: accepted by night_scan and now refused ({fault})") from fault
    except OSError as error:
        raise IntegrityError(f"{task.source}: cannot be read any more ({error.strerror})") from error
    recorded = downmix(decoded.waves)[0]
    wave = resample(recorded, decoded.sample_rate_hz, task.sample_rate_hz)
    _refuse_lost(task, _rms(recorded), _rms(wave))
    return wave


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.square(wave).mean(dtype=np.float64)))


def _refuse_lost(task: _Task, before: float, after: float) -> None:
    """Refuse a clip that the pool's sample rate silences, such as a bat's call."""
    if after < _LOST_SHARE * before or after < _SILENT_RMS <= before:
        raise DataError(
            f"{task.source}: nothing of it lies below {task.sample_rate_hz / 2:g} Hz; raise "
            "night.augment.sample_rate_hz and night.mels.fmax_hz, or remove the clip"
        )


def describe_pool(
    pool: pd.DataFrame, clips: pd.DataFrame, unused: pd.DataFrame, settings: NightAugment
) -> dict[str, Any]:
    """The pool in numbers, for pool_metadata.json: what each class has, and what was left out and why."""
    duplicates = clips[clips["status"] == "duplicate"]
    classes = {}
    for class_name, files in pool.groupby("class_name", sort=True):
        copies = files.groupby("original_file")["is_augmented"].sum()
        left_out = unused[unused["class_name"] == class_name]
        repeated = duplicates[duplicates["class_name"] == class_name]
        classes[str(class_name)] = {
            "folder": str(files["class_slug"].iloc[0]),
            "originals": len(copies),
            "sources": int(files["source_id"].nunique()),
            "copies": int(files["is_augmented"].sum()),
            "copies_an_original_least": int(copies.min()),
            "copies_an_original_most": int(copies.max()),
            "files": len(files),
            "unused": [{"path": path, "reason": "over target_samples"} for path in sorted(left_out["path"])],
            "duplicates": sorted(repeated["path"]),
        }
    return {
        "sample_rate_hz": settings.sample_rate_hz,
        "target_samples": settings.target_samples,
        "seed": settings.seed,
        "transforms": list(settings.transforms),
        "files": len(pool),
        "originals": int((pool["is_augmented"] == 0).sum()),
        "classes": classes,
    }
