"""metrics/ of a finished run -> the headline scores as a table for a terminal, and three places to look next."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evensong.errors import IntegrityError

TRACKS = ("night", "voice")
_QUARANTINE = "files that were not used, and why"
_PAGES = {
    "night": ("artifacts/night/report.html", "the whole run to look at, and its clips"),
    "voice": ("artifacts/voice/report.html", "the whole run to look at, in aggregates"),
}
_PLOTS = ("dvc plots show", "every curve, in a browser")
_SHORTCUTS = {
    "night": (Path("metrics/night/index.json"), "index.shortcut_balanced_accuracy"),
    "voice": (Path("metrics/voice/tables.json"), "shortcut_balanced_accuracy"),
}
_PLACES = {
    ("night", "voice"): (_PAGES["night"], _PAGES["voice"], _PLOTS),
    ("night",): (_PAGES["night"], ("artifacts/night/scan/quarantine.csv", _QUARANTINE), _PLOTS),
    ("voice",): (_PAGES["voice"], ("artifacts/voice/scan/quarantine.csv", _QUARANTINE), _PLOTS),
}


class Score(NamedTuple):
    """One line of the table; None where it cannot be computed."""

    what: str
    value: float | None
    low: float | None
    high: float | None


def headline(root: Path, tracks: Sequence[str] = TRACKS) -> str:
    """The table of the tracks' headline scores, at most 80 columns wide.

    Args:
        root: folder of the repository.
        tracks: night, voice, or both in this order.

    Raises:
        IntegrityError: a metrics file is not what the evaluation writes.
    """
    ran = tuple(track for track in tracks if (root / _test_file(track)).exists())
    lines = [f"{'':49}{'score':>9}{'interval':>20}"] if ran else []
    for track in tracks:
        if track not in ran:
            lines.append(f"{track:8}never run here: make {track}")
            continue
        for number, score in enumerate(_SCORES[track](root)):
            name = "" if number else track
            lines.append(f"{name:8}{score.what:41}{_number(score.value):>9}{_interval(score):>20}")
        if part := _counted(root, track)[1]:
            lines.append(f"{'':8}{part} only: scores of what these test, not of the whole")
        lines += _shortcuts(root, track)
        lines += [*_untrained(root), *_confounders(root)] if track == "voice" else _left_out(root)
    if ran:
        lines += ["", "Look next:", *(f"  {where:37}{why}" for where, why in _PLACES[ran])]
    return "\n".join(lines)


def scores_of(root: Path, tracks: Sequence[str] = TRACKS) -> dict[str, list[dict[str, Any]]]:
    """The same scores for a program; an empty list where a track never ran.

    Raises:
        IntegrityError: as `headline`.
    """
    return {
        track: [score._asdict() for score in _SCORES[track](root)] if (root / _test_file(track)).exists() else []
        for track in tracks
    }


def tracks_here(root: Path) -> tuple[str, ...]:
    """The tracks that dvc.yaml has: a project may have one alone."""
    path = root / "dvc.yaml"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return tuple(track for track in TRACKS if f"  {track}_report:" in text) or TRACKS


def _night(root: Path) -> Iterator[Score]:
    test, (n, part) = _read(root, _test_file("night")), _counted(root, "night")
    clips = f"originals in {part}" if part else "original test clips"
    yield _flat(test, "night_f1", f"macro-F1, {n} {clips}")
    details = _read(root, Path("metrics/night/details.json"))
    if n_sources := _at(details, "originals.source.sources"):
        yield _nested(details, "originals.source.macro_f1", f"the same by source, {n_sources} of them")
    yield _baseline(details, "arms.baseline.clip.macro_f1", _of(test, "night_baseline_f1"))
    if _at(details, "arms.baseline"):
        yield _nested(details, "arms.baseline.network_minus_clip.macro_f1", "network minus baseline, paired")
    for name in sorted(set(_at(details, "arms") or {}) - {"baseline"}):
        yield _nested(details, f"arms.{name}.clip.macro_f1", name)
    field = _read(root, Path("metrics/night/detection.json"))
    if n_events := field.get("night_detection_n"):
        yield _flat(field, "night_detection_f1", f"detection F1, {n_events} events in the field")


def _voice(root: Path) -> Iterator[Score]:
    test, (n, part) = _read(root, _test_file("voice")), _counted(root, "voice")
    details = _read(root, Path("metrics/voice/details.json"))
    is_alone = _at(details, "n_members") == 1  # a fusion of one is that one
    patients = f"patients in {part}" if part else "patients"
    fused = ("" if part else ", one sub-database") if is_alone else ", fused" if part else ", sub-databases fused"
    yield _flat(test, "voice_auroc", f"AUROC, {n} {patients}{fused}")
    if not is_alone:
        yield from _fusion(test, details)
    yield _baseline(details, "baseline.auroc", _of(test, "voice_baseline_auroc"))
    if _at(details, "minus_baseline"):
        yield _nested(
            details, "minus_baseline.soft_mean.auroc", f"{'network' if is_alone else 'fused'} minus baseline, paired"
        )
    for name in sorted(_at(details, "arms") or {}):
        yield _nested(details, f"arms.{name}.auroc", name)


def _fusion(test: Any, details: Any) -> Iterator[Score]:
    """The best member, and what fusing gains over it."""
    best = _nested(details, "best_single.auroc", "best single sub-database")
    yield best._replace(value=_of(test, "voice_best_auroc"))
    gain = _nested(details, "minus_best_single.soft_mean.auroc", "fused minus best single, paired")
    yield gain._replace(value=_of(test, "voice_gain"))


_SCORES = {"night": _night, "voice": _voice}


def _shortcuts(root: Path, track: str) -> list[str]:
    """A line where technical traits alone tell the classes apart, and the scores may rest on them."""
    from evensong.score.shortcuts import notable_traits  # it loads numpy, which `evensong --help` does without

    where, key = _SHORTCUTS[track]
    scores = _at(_read(root, where), key)
    found = notable_traits(scores) if scores else []
    return [f"{'':8}NOTE: shortcuts by {', '.join(found)}: {where}"] if found else []


def _untrained(root: Path) -> list[str]:
    """A line where networks of some folds say nearly the same of everyone."""
    where = Path("metrics/voice/subdbs.json")
    n = sum(_at(one, "folds_hardly_moved") or 0 for one in _read(root, where).values())
    return [f"{'':8}NOTE: folds hardly moved, train longer: {n}: {where}"] if n else []


def _confounders(root: Path) -> list[str]:
    """Lines where columns of the survey alone tell the classes apart, and where some could not be read."""
    where = Path("metrics/voice/confounders.json")
    alone, unread = (_at(_read(root, where), key) or {} for key in ("alone", "unread"))
    is_notable = any((_at(one, "low") or 0) > 0.5 for one in alone.values())
    notes = ["confounders tell too"] if is_notable else []
    notes += [f"{len(unread)} of the confounders not read"] if unread else []
    return [f"{'':8}NOTE: {note}: {where}" for note in notes]


def _left_out(root: Path) -> list[str]:
    """A line where classes had too few sources to be learnt at all."""
    where = Path("metrics/night/index.json")
    n = len(_at(_read(root, where), "index.classes_left_out") or {})
    return [f"{'':8}NOTE: {n} of the classes left out: {where}"] if n else []


def _counted(root: Path, track: str) -> tuple[str, str]:
    """How much was tested, and in what part of the folds; empty for all of them."""
    n, _, part = str(_of(_read(root, _test_file(track)), f"{track}_n")).partition(" in ")
    return n, part


def _test_file(track: str) -> Path:
    return Path("metrics") / track / "test.json"


def _read(root: Path, path: Path) -> dict[str, Any]:
    """A metrics file's tree; empty where there is none."""
    try:
        tree = json.loads((root / path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise IntegrityError(f"{path}: not JSON ({error}); `dvc checkout` or `dvc repro` brings it back") from error
    if not isinstance(tree, dict):
        raise IntegrityError(f"{path}: no mapping of names to scores; `dvc repro` writes it anew")
    return tree


def _flat(test: dict[str, Any], key: str, what: str) -> Score:
    return Score(what, _of(test, key), _of(test, f"{key}_low"), _of(test, f"{key}_high"))


def _nested(details: dict[str, Any], keys: str, what: str) -> Score:
    return Score(what, *(_at(details, f"{keys}.{part}") for part in ("value", "low", "high")))


def _baseline(details: dict[str, Any], keys: str, value: float | None) -> Score:
    return _nested(details, keys, "baseline: mel statistics, linear")._replace(value=value)


def _of(test: dict[str, Any], key: str) -> Any:
    if key not in test:
        track = key.split("_")[0]
        raise IntegrityError(f"{_test_file(track)}: has no {key}; `make {track}` writes it anew")
    return test[key]


def _at(tree: Any, keys: str) -> Any:
    """What stands at a dotted path, or None."""
    for key in keys.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _interval(score: Score) -> str:
    if score.low is None or score.high is None:
        return "no interval"
    return f"{score.low:.3f} to {score.high:.3f}"
