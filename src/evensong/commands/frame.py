"""What all subcommands share: they are parsed first and run after, show examples, and print JSON in one form."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)


class Leaf(click.Command):
    """A command that runs once its whole line is parsed: `invoke` returns what is to be run, and runs nothing.

    So a wrong command line is told before a stage's frame is entered, whose signals are for work.
    """

    def __init__(self, name: str | None, *, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(name, **settings)
        self.examples = examples

    def invoke(self, ctx: click.Context) -> Callable[[], None]:
        """The call that the line asks for."""
        assert self.callback is not None
        return partial(self.callback, **ctx.params)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples as they are typed: no line is broken anew."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")


def leaf(name: str, *examples: str, **settings: Any) -> Callable[[Callable[..., None]], Leaf]:
    """Decorator: a function becomes a command, its docstring the help."""
    return click.command(name, cls=Leaf, examples=examples, **settings)


as_json = click.option("--json", "as_json", is_flag=True, help="For a program to read.")


def print_json(tree: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False))


class Sections(click.Group):
    """The top of the command line: its commands in order of use, under headings, and not by the alphabet."""

    headings: dict[str, tuple[click.Command, ...]]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One list a heading."""
        for heading, commands in self.headings.items():
            with formatter.section(heading):
                rows = [(str(command.name), command.get_short_help_str(limit=80)) for command in commands]
                formatter.write_dl(rows, col_spacing=2)
