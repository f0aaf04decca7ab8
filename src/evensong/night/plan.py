"""Used clips -> the exact files of the balanced pool, drawn from hashes of the samples and a seed."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from evensong.audio.augment import draw
from evensong.errors import ParamsError
from evensong.keys import joined_key, keyed_hash
from evensong.intake.names import unique_slugs
from evensong.schemas import NightAugment

# fmt: off
PLAN_COLUMNS = [
    "file_path", "class_name", "class_slug", "is_augmented", "original_file", "source_id", "copy", "augmentation_type",
    "parameters", "pcm_sha256", "mel_row",
]
# fmt: on


def allot_copies(pcm_digests: Sequence[str], target: int, *, max_copies: int, seed: int) -> dict[str, int]:
    """Spread augmented copies over originals so that originals plus copies are exactly the target.

    Args:
        pcm_digests: one distinct digest an original; at least one.
        target: files wanted; with as many originals or more, no copy is made.
        max_copies: most copies one original may get.
        seed: decides which originals get the one copy more.

    Returns:
        Copies by digest; any two differ by at most one.

    Raises:
        ParamsError: an original would need more than max_copies copies.
    """
    n_originals = len(pcm_digests)
    base, n_extra = divmod(max(target - n_originals, 0), n_originals)
    most = base + (n_extra > 0)
    if most > max_copies:
        raise ParamsError(
            f"{n_originals} originals would need {most} copies each to make {target} files, and "
            f"night.augment.max_copies is {max_copies}; record more clips, lower night.augment.target_samples to "
            f"{n_originals * (max_copies + 1)} or less, or raise max_copies"
        )
    order = sorted(pcm_digests, key=lambda digest: (keyed_hash(seed, "extra", digest), digest))
    return {digest: base + (rank < n_extra) for rank, digest in enumerate(order)}


def choose_originals(sources: Mapping[str, str], target: int, *, seed: int) -> list[str]:
    """Choose originals round-robin over sources, so that as many sources as possible stay.

    Args:
        sources: source id by digest of the samples.
        target: how many to keep; all are kept when there are no more.
        seed: decides the order of the sources and of the clips within one.

    Returns:
        Digests that are kept, sorted.
    """
    if len(sources) <= target:
        return sorted(sources)
    by_source: dict[str, list[str]] = defaultdict(list)
    for digest in sorted(sources, key=lambda digest: (keyed_hash(seed, "keep", digest), digest)):
        by_source[sources[digest]].append(digest)
    # A source's place comes from its first clip's hash, not from its name: renaming files keeps the choice.
    rounds = sorted(
        (turn, keyed_hash(seed, "source", members[0]), digest)
        for members in by_source.values()
        for turn, digest in enumerate(members)
    )
    return sorted(digest for _, _, digest in rounds[:target])


def plan_pool(
    clips: pd.DataFrame, settings: NightAugment, background: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Plan every file of the pool.

    Args:
        clips: used clips, with the columns path, class_name, source_id and pcm_sha256.
        settings: target, transforms and ranges.
        background: classes whose target is background_target, where it is set.

    Returns:
        files: one row a pool file with the columns PLAN_COLUMNS, sorted by class_name and mel_row.
        unused: rows of the clips that the cap leaves out.

    Raises:
        ParamsError: a class would need too many copies of an original; names the class.
    """
    class_slugs = unique_slugs({name: name for name in clips["class_name"].unique()})
    files: list[pd.DataFrame] = []
    unused: list[pd.DataFrame] = []
    aside = settings.model_copy(update={"target_samples": settings.background_target or settings.target_samples})
    for class_name, members in clips.groupby("class_name", sort=True):
        chosen = aside if class_name in background else settings
        sources = dict(zip(members["pcm_sha256"], members["source_id"], strict=True))
        target = chosen.target_samples if chosen.cap_majority else max(chosen.target_samples, len(sources))
        kept = members["pcm_sha256"].isin(choose_originals(sources, target, seed=settings.seed))
        unused.append(members[~kept])
        files.append(_plan_class(members[kept], class_slugs[str(class_name)], chosen))
    return pd.concat(files, ignore_index=True), pd.concat(unused, ignore_index=True)


def _plan_class(clips: pd.DataFrame, class_slug: str, settings: NightAugment) -> pd.DataFrame:
    """All files of one class, in file order."""
    digests = list(clips["pcm_sha256"])
    try:
        copies = allot_copies(digests, settings.target_samples, max_copies=settings.max_copies, seed=settings.seed)
    except ParamsError as error:
        raise ParamsError(f"class {clips['class_name'].iloc[0]}: {error}") from error
    stems = unique_slugs(
        {digest: PurePosixPath(path).stem for digest, path in zip(digests, clips["path"], strict=True)}
    )
    originals: Any = clips.rename(columns={"path": "original_file"}).to_dict("records")
    rows = []
    for clip in originals:
        digest = clip["pcm_sha256"]
        for copy in range(copies[digest] + 1):
            name, kind, parameters = _plan_file(stems[digest], digest, copy, settings)
            drawn = {"copy": copy, "is_augmented": int(copy > 0), "augmentation_type": kind, "parameters": parameters}
            rows.append({**clip, **drawn, "class_slug": class_slug, "file_path": f"{class_slug}/{name}"})
    files = pd.DataFrame(rows).sort_values("file_path", ignore_index=True)
    return files.assign(mel_row=range(len(files)))[PLAN_COLUMNS]


def _plan_file(stem: str, pcm_digest: str, copy: int, settings: NightAugment) -> tuple[str, str, str]:
    """File name, augmentation type and drawn values (JSON) of one copy; copy 0 is the original."""
    if copy == 0:
        return f"{stem}_original.wav", "original", "{}"
    offset = keyed_hash(settings.seed, pcm_digest, "transform")
    transform = settings.transforms[(offset + copy) % len(settings.transforms)]
    parameters = draw(joined_key(settings.seed, pcm_digest, copy), transform, settings)
    return f"{stem}_aug{copy:03d}_{transform}.wav", transform, json.dumps(parameters, sort_keys=True)
