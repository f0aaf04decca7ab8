"""evensong preset: what goes into a run."""

from pathlib import Path

import click

from evensong.commands.frame import leaf


def add_to(top: click.Group) -> list[str]:
    """Add these commands, and name them."""
    for command in (preset,):
        top.add_command(command)
    return ["preset"]


@leaf("preset", "evensong preset", "evensong preset owl")
@click.argument("name", required=False)
def preset(name: str | None) -> None:
    """Set params.yaml up for an animal or the size of a set.

    NAME is that of a preset in presets/; several may follow each other. Without it, list them.
    """
    from evensong.preset import apply_preset, describe_presets

    lines = apply_preset(Path(), name) if name else describe_presets(Path())
    print(*(lines or ["nothing to change"]), sep="\n")
