"""evensong import: plan, tell, copy, and set what was proposed where that is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evensong.audio.containers import AUDIO_SUFFIXES
from evensong.errors import DataError, ParamsError
from evensong.importing.copying import Fate, copy, fate_of
from evensong.importing.layouts import SURVEY, look
from evensong.importing.patterns import Candidate, candidates, fold_pattern
from evensong.importing.plan import FOLDERS, Layout, Plan
from evensong.importing.report import as_tree, lines_of, pattern_lines
from evensong.intake.names import counted, some_of
from evensong.night.classes import class_of as class_of_path
from evensong.night.sources import GROUPS_FILE
from evensong.params import load_section
from evensong.preset import set_values
from evensong.schemas import PATTERN, Params, VoiceLabels
from evensong.voice.cohort import read_demographics

NULL = "null"  # on a command line: no pattern


@dataclass(frozen=True)
class Wish:
    """What a command line asks for.

    Attributes:
        layout: None where it is to be found out.
        into: None for the folder of that layout.
        group_pattern: the user's own; NULL for none; None for the first that fits.
        is_dry: tell, and write nothing.
        sets_params: write what was proposed into params.yaml.
    """

    source: Path
    layout: Layout | None = None
    into: Path | None = None
    group_pattern: str | None = None
    is_dry: bool = False
    sets_params: bool = False


@dataclass(frozen=True)
class Brought:
    """The report in both forms, and why nothing was copied; empty where all is well."""

    lines: list[str]
    tree: dict[str, Any]
    refusal: str = ""


def bring(root: Path, wish: Wish) -> Brought:
    """Import a folder.

    Args:
        root: folder of the project.

    Raises:
        DataError: as `look`.
        ParamsError: as `look`; source and target lie in each other; a pattern that is none.
    """
    params = load_section("", Params, root / "params.yaml")
    plan = look(wish.source, wish.layout, params.night.cut.label_column)
    into = wish.into or FOLDERS[plan.layout]
    _refuse_overlap(wish.source, root / into)
    if plan.is_private:
        plan.notes.append(_survey_note(plan, params.voice.labels))
    plan.notes.extend([*_mixed(plan, root / into), *_no_stages(plan, root)])
    fate = fate_of(plan.files, plan.source, root / into)
    class_of = plan.recordings if plan.layout == "field" else _clips_there(root / into) | plan.recordings
    found = [] if plan.is_private or GROUPS_FILE in plan.files else _candidates(class_of, wish)
    if wish.sets_params and found and found[0].meaning == "yours" and not found[0].fits:
        raise ParamsError(f"--group-pattern finds a source in {found[0].n_found} of {found[0].n_clips} names only")
    folds = fold_pattern(plan.folds)
    chosen = _chosen(plan, root, params.night.sources, found, folds, is_own=wish.group_pattern is not None)
    tree = as_tree(plan, into, fate, found, folds, chosen)
    lines = lines_of(plan, into, fate)
    if found:
        lines += pattern_lines(found, folds, len(plan.folds), chosen.get("night.scan.group_pattern", ""))
    if fate.other:
        refusal = f"{counted(len(fate.other), 'target')} in {into} held something else; nothing was copied: move them"
        return Brought(lines, tree, refusal)
    return Brought([*lines, *_done(root, plan, into, fate, wish, chosen)], tree)


def _done(root: Path, plan: Plan, into: Path, fate: Fate, wish: Wish, chosen: dict[str, Any]) -> list[str]:
    """Copy and set what the wish asks for, a line on each."""
    values = [f"  {key}: {NULL if value is None else str(value)}" for key, value in chosen.items()]
    if wish.is_dry:
        return ["dry run: nothing was written", *(["--set-params would set:", *values] if values else [])]
    n_shared = copy(plan.files, plan.source, root / into, fate.new)
    lines = [f"{len(fate.new)} copied into {into}" + (f", {n_shared} of them as reflinks" if n_shared else "")]
    if not values:
        return lines
    if not wish.sets_params:
        return [*lines, "params.yaml is as it was; --set-params sets:", *values]
    changes = set_values(root, _nested(chosen), "import")
    return [*lines, "params.yaml:", *(f"  {change}" for change in changes or ["nothing to change"])]


def _candidates(class_of: Mapping[str, str], wish: Wish) -> list[Candidate]:
    own = wish.group_pattern
    if own is None or own == NULL:
        found = candidates(class_of)
        return found if own is None else sorted(found, key=lambda one: one.pattern is not None)
    load_pattern(own)
    return candidates(class_of, own)


def _clips_there(into: Path) -> dict[str, str]:
    """Class by path of the clips that are there already: one pattern has to serve them too."""
    paths = [path for name in _folders(into) for path in (into / name).rglob("*")]
    clips = sorted(path.relative_to(into).as_posix() for path in paths if path.suffix.lower() in AUDIO_SUFFIXES)
    return {path: class_of_path(path) for path in clips}


def load_pattern(pattern: str) -> None:
    """Refuse a text that is no pattern with one group.

    Raises:
        ParamsError: says why.
    """
    try:
        PATTERN.validate_python(pattern, strict=True)
    except ValidationError as error:
        raise ParamsError(f"--group-pattern: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


def _chosen(
    plan: Plan, root: Path, sources: str, found: Sequence[Candidate], folds: str | None, *, is_own: bool
) -> dict[str, Any]:
    """Dotted parameters that go with the import: of the candidates the first that finds a source in every name."""
    chosen = dict(plan.settings)
    has_clips = plan.layout == "field" and bool(_folders(root / FOLDERS["classes"]))
    # A proposal leaves the clips their pattern: where it finds nothing, a recording is its source.
    if found and (is_own or not has_clips):
        chosen["night.scan.group_pattern"] = next(one for one in found if one.fits).pattern
    if folds:
        chosen["night.index.fold_pattern"] = folds
    if has_clips:
        chosen["night.sources"] = "both"
    if plan.layout in ("classes", "esc") and sources == "field":
        chosen["night.sources"] = "both"
    return chosen


def _mixed(plan: Plan, into: Path) -> list[str]:
    """A note on classes that are there already and get nothing: those of the sample, maybe."""
    if plan.layout not in ("classes", "esc"):
        return []
    others = sorted(_folders(into) - set(plan.recordings.values()))
    return [f"{into} has other classes already, which will train too: {some_of(others)}"] if others else []


def _no_stages(plan: Plan, root: Path) -> list[str]:
    """A note where `evensong new` has left the track out."""
    track, path = "voice" if plan.is_private else "night", root / "dvc.yaml"
    is_there = not path.is_file() or f"  {track}_scan:" in path.read_text(encoding="utf-8")
    return [] if is_there else [f"{path} has no {track} track: nothing will read what is copied here"]


def _folders(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("[!.]*") if path.is_dir()} if folder.is_dir() else set()


def _survey_note(plan: Plan, settings: VoiceLabels) -> str:
    """What the survey holds, in counts; or what is wrong with it, which does not stop a copy."""
    try:
        return read_demographics(plan.source / plan.files[SURVEY], settings).describe()
    except DataError as error:
        return str(error)


def _refuse_overlap(source: Path, into: Path) -> None:
    one, other = source.resolve(), into.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise ParamsError(f"{source} and {into} lie in each other; import from a folder outside")


def _nested(dotted: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in dotted.items():
        *parents, last = key.split(".")
        section = tree
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return tree
