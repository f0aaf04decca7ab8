"""What making the mel images took -> aggregates that may stand in git, and what a user is told on the screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evensong.schemas import VoiceMels


@dataclass(frozen=True)
class Made:
    """What making one image took.

    Args:
        origin: rendered from sound, copied, or converted to the wanted format.
        was_resized: whether the file has another size than the array.
        error_sum: sum over the pixels of what the encoder changed, in grey levels; 0 for copied images.
        error_max: the largest such change.
    """

    origin: str
    was_resized: bool
    error_sum: int
    error_max: int


def count_images(made: Sequence[Made], settings: VoiceMels) -> dict[str, Any]:
    """Where the images come from and what encoding them cost: dB for drawn ones, grey levels for ready-made ones.

    Why levels: what a level of a ready-made image stands for is not known.
    """
    rendered = [image for image in made if image.origin == "rendered"]
    converted = [image for image in made if image.origin == "converted"]
    db_a_level = (settings.max_db - settings.min_db) / 255
    n_pixels = len(rendered) * settings.n_mels * settings.width_px
    mean_db = sum(image.error_sum for image in rendered) / n_pixels * db_a_level if rendered else None
    max_db = max(image.error_max for image in rendered) * db_a_level if rendered else None
    return {
        "images": len(made),
        "rendered": len(rendered),
        "copied": sum(image.origin == "copied" for image in made),
        "converted": len(converted),
        "resized_for_training": sum(image.was_resized for image in made),
        "encoding_error_mean_db": None if mean_db is None else round(mean_db, 4),
        "encoding_error_max_db": None if max_db is None else round(max_db, 4),
        "conversion_error_max_levels": max((image.error_max for image in converted), default=None),
    }


def count_sounds(sounds: pd.DataFrame, settings: VoiceMels) -> dict[str, Any]:
    """How many recordings the settings cut, lengthen, or ask for more bandwidth than they have.

    Args:
        sounds: the scan's used recordings that are no images.
    """
    duration_s = sounds["duration_s"].astype("float64")
    half_rate_hz = sounds["sample_rate_hz"].astype("float64") / 2
    unused_s = float((duration_s - settings.clip_seconds).clip(lower=0).sum())
    return {
        "unused_sound_share": round(unused_s / float(duration_s.sum()), 4) if len(sounds) else 0.0,
        "longer_than_clip": int((duration_s > settings.clip_seconds).sum()),
        "shorter_than_clip": int((duration_s < settings.clip_seconds).sum()),
        "sampled_under_fmax": int((half_rate_hz < settings.fmax_hz).sum()),
    }


def describe(counts: Mapping[str, Any], settings: VoiceMels) -> list[str]:
    """The counts of a run as lines to read."""
    lines = [
        f"{counts['images']} mel images ({settings.format}): {counts['rendered']} drawn from recordings, "
        f"{counts['copied']} ready-made and copied, {counts['converted']} ready-made and stored anew"
    ]
    if counts["rendered"]:
        mean_db, max_db = counts["encoding_error_mean_db"], counts["encoding_error_max_db"]
        lines.append(f"{settings.format} changes the drawn images by {mean_db:.2g} dB on average, {max_db:.2g} at most")
    clip, fmax = f"clip_seconds ({settings.clip_seconds:g} s)", f"fmax_hz ({settings.fmax_hz:g} Hz)"
    unused = counts["unused_sound_share"]
    size = f"{settings.n_mels} x {settings.width_px} px"
    notes = {
        "longer_than_clip": f"recordings are longer than voice.mels.{clip}; {unused:.1%} of the sound is not used",
        "shorter_than_clip": f"recordings are shorter than voice.mels.{clip}; silence is drawn after them",
        "sampled_under_fmax": f"recordings have half their rate under voice.mels.{fmax}; the rows above it are empty",
        "resized_for_training": f"ready-made images are not of {size}; the array for training holds them resized",
    }
    return lines + [f"NOTE: {counts[name]} {note}" for name, note in notes.items() if counts[name]]
