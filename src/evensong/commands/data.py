"""evensong new, import, scan, preset: what goes into a run."""

from pathlib import Path

import click

from evensong.commands.frame import PATH, as_json, leaf, print_json
from evensong.errors import DataError


@leaf("new", "evensong new ~/owls --track night --preset owl", "evensong new ~/cohort --track voice")
@click.argument("folder", type=PATH, metavar="DIR")
@click.option("--track", type=click.Choice(["night", "voice", "both"]), required=True, help="What it is to learn from.")
@click.option("--preset", "presets", multiple=True, metavar="NAME", help="Of `evensong preset`; may be given again.")
def new(folder: Path, track: str, presets: tuple[str, ...]) -> None:
    """Begin a project of your own in a new folder, without the sample.

    The code, the settings and the pinned packages of this checkout's last commit are copied there; DIR is then a
    repository of its own. A first commit is made where git knows your name.
    """
    from evensong.project import new_project

    print(*new_project(folder, track, presets), sep="\n")


@leaf(
    "import",
    "evensong import ~/clips --dry-run",
    "evensong import ~/clips --set-params",
    "evensong import ~/clips --set-params --group-pattern '^(site\\d+)_'",
    "evensong import ~/ESC-50 --as esc",
)
@click.argument("source", type=PATH)
@click.option("--as", "layout", type=click.Choice(["classes", "esc", "field", "cohort"]), help="Default: found out.")
@click.option("--into", type=PATH, metavar="DIR", help="Default: data/night, data/field or data/voice.")
@click.option("--group-pattern", metavar="PATTERN", help="Your own, or null where each clip is independent.")
@click.option("--set-params", is_flag=True, help="Write what is proposed into params.yaml; its comments stay.")
@click.option("--dry-run", is_flag=True, help="Print the report, and write nothing.")
@as_json
def import_(
    source: Path,
    layout: str | None,
    into: Path | None,
    group_pattern: str | None,
    set_params: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Copy recordings into data/, and propose what says 'same source'.

    SOURCE is a folder, and is only read. It holds a folder of clips a class (classes); a CSV with the columns filename
    and category, and the clips (esc); recordings beside their annotations (field); or a cohort's recordings and survey
    (cohort). Every file that is not taken is counted with its reason.
    """
    from evensong.importing.bring import Wish, bring

    wish = Wish(source, layout, into, group_pattern, is_dry=dry_run, sets_params=set_params)  # type: ignore[arg-type]
    brought = bring(Path(), wish)
    if as_json:
        print_json(brought.tree)
    else:
        print(*brought.lines, sep="\n")
    if brought.refusal:
        raise DataError(brought.refusal)


@leaf("scan", "evensong scan", "evensong scan night", "evensong scan --json")
@click.argument("part", required=False, type=click.Choice(["night", "field", "voice"]))
@as_json
def scan(part: str | None, as_json: bool) -> None:
    """Say what is in data/ and what is wrong with it.

    What the stages night_scan, night_cut and voice_scan would find, before DVC is asked; nothing is written. The exit
    code is theirs. Of data/voice only counts are shown.
    """
    from evensong.look import look_at, parts_here

    parts = [part] if part else parts_here()
    if not parts:
        raise DataError("data/ holds no recordings; evensong import copies them there")
    seen = {name: look_at(name) for name in parts}
    if as_json:
        print_json({name: one.tree for name, one in seen.items()})
    else:
        print(
            *(line for name, one in seen.items() for line in (f"data/{name}", *(f"  {x}" for x in one.lines))), sep="\n"
        )
    for one in seen.values():
        if one.refusal:
            raise one.refusal


@leaf("preset", "evensong preset", "evensong preset owl")
@click.argument("name", required=False)
def preset(name: str | None) -> None:
    """Set params.yaml up for an animal or the size of a set.

    NAME is that of a preset in presets/; several may follow each other. Without it, list them.
    """
    from evensong.preset import apply_preset, describe_presets

    lines = apply_preset(Path(), name) if name else describe_presets(Path())
    print(*(lines or ["nothing to change"]), sep="\n")


COMMANDS = (new, import_, scan, preset)
