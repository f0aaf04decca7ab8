"""evensong: bring your data, look at a run, use what it has trained, and keep it in order."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import click

from evensong.commands import care, data, listen, runs
from evensong.commands.frame import Sections

_HELP = """Bring your data, look at a run, use what it has trained, and keep it in order.

Training itself is `dvc repro`, or `make night` and `make voice`. Exit codes: 0 done, 2 a parameter or this line is
wrong, 3 data, 4 a stored file is not what it should be, 5 disk or memory, 6 busy, 70 a bug, 130 interrupted.
"""


@click.group("evensong", cls=Sections, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
def evensong() -> None:
    """All commands."""


evensong.headings = {
    "Your data": data.COMMANDS,
    "A run": runs.COMMANDS,
    "After training": listen.COMMANDS,
    "This installation": care.COMMANDS,
}
for commands in evensong.headings.values():
    for command in commands:
        evensong.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one subcommand and leave with its exit code."""
    run_stage(parse(arguments))


def parse(arguments: Sequence[str] | None = None) -> Callable[[], None]:
    """What a command line asks for; nothing of it has run.

    Raises:
        SystemExit: 2 and a line on what is wrong with it; 0 after --help.
    """
    try:
        asked = evensong.main(
            sys.argv[1:] if arguments is None else list(arguments), prog_name="evensong", standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    if isinstance(asked, int):  # the help was shown
        raise SystemExit(asked)
    return asked  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
