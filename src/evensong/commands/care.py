"""evensong doctor, verify, forget, completion: the state of an installation, and of what it holds."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from evensong.commands.frame import as_json, leaf, print_json
from evensong.errors import ParamsError


@leaf("doctor", "evensong doctor", "evensong doctor --data", "evensong doctor --json")
@click.option("--data", is_flag=True, help="Only whether DVC can read data/; exit code 3 if not.")
@as_json
def doctor(data: bool, as_json: bool) -> None:
    """Say what this machine and repository bring to a run."""
    if data:
        from evensong.preflight import check_data

        told = check_data(Path())
        print_json({"data": told}) if as_json else print(told)
        return
    from evensong.doctor import diagnose, doctor, refuse

    if not as_json:
        doctor(Path())
        return
    findings = diagnose(Path())
    print_json([one._asdict() for one in findings])
    refuse(findings)


@leaf("verify", "evensong verify", "evensong verify --json")
@as_json
def verify(as_json: bool) -> None:
    """Hash every output and cached object anew.

    The exit code is 4 if one differs from what was recorded.
    """
    from evensong.verify import examine, verify

    if not as_json:
        print(verify(Path()))
        return
    found = examine(Path())
    print_json(asdict(found))
    found.refuse()


@leaf("forget", "evensong forget - < id.txt")
@click.argument("healthcode", nargs=-1, required=True, metavar="ID")
def forget(healthcode: tuple[str, ...]) -> None:
    """Remove every local trace of a patient who withdraws.

    ID is the healthCode; - reads it from standard input, so that no shell remembers it. Remove the patient's
    recordings, survey rows, everything made of them, and their copies in DVC's cache and notes; say what must be made
    anew and what lies elsewhere; prove that nothing here holds the id. The id is never printed.
    """
    from evensong.forget import forget

    if len(healthcode) != 1:  # not left to the parser, whose message would quote the second one
        raise ParamsError(f"{len(healthcode)} ids; forget takes one at a time")
    identifier = sys.stdin.readline().rstrip("\n") if healthcode[0] == "-" else healthcode[0]
    print(*forget(Path(), identifier).lines(), sep="\n")


@leaf("completion", "source <(evensong completion bash)", "evensong completion fish | source")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script by which a shell completes options."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    print(made(click.Group(), {}, "evensong", "_EVENSONG_COMPLETE").source())


COMMANDS = (doctor, verify, forget, completion)
