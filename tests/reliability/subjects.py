"""What is fuzzed: how each kind of file is damaged, and what must hold of whatever comes out."""

import functools
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.reliability import fuzz_audio, fuzz_settings, fuzz_tables
from tests.reliability.mutations import Disagreement, mutated_text


@dataclass(frozen=True)
class Subject:
    """One kind of file.

    Attributes:
        damaged: draws a damaged file.
        check: reads it in a folder of its own, and returns "used" or why it was refused; raises Disagreement.
        batch: files that take about a second.
    """

    damaged: Callable[[random.Random], bytes]
    check: Callable[[Path, bytes], str]
    batch: int


def recording(suffix: str) -> Subject:
    return Subject(
        functools.partial(fuzz_audio.damaged_recording, suffix),
        functools.partial(fuzz_audio.check_recording, suffix),
        50,
    )


AUDIO = ("wav", "flac", "ogg", "mp3", "m4a", "aiff")
SUBJECTS = {
    **{suffix: recording(suffix) for suffix in AUDIO},
    "survey": Subject(lambda chance: mutated_text(fuzz_tables.survey(), chance), fuzz_tables.check_survey, 100),
    "splits": Subject(fuzz_tables.damaged_lists, fuzz_tables.check_lists, 60),
    "groups": Subject(lambda chance: mutated_text(fuzz_tables.groups(), chance), fuzz_tables.check_groups, 100),
    "params": Subject(fuzz_settings.damaged_params, fuzz_settings.check_params, 20),
    "models": Subject(fuzz_settings.damaged_card, fuzz_settings.check_card, 20),
}


def verdict(name: str, chance: random.Random, folder: Path) -> tuple[str, str]:
    """Damage one file and read it.

    Returns:
        The verdict, and what is wrong with it if anything: "death: ..." or "disagreement: ...".
    """
    subject = SUBJECTS[name]
    place = folder / "one"
    place.mkdir()
    try:
        return subject.check(place, subject.damaged(chance)), ""
    except Disagreement as error:
        return "", f"disagreement: {error}"
    except Exception as error:  # what a stage would end with exit code 70 for
        return "", f"death: {type(error).__name__}: {error}"[:300]
    finally:
        shutil.rmtree(place)
