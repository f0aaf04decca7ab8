"""evensong new: a repository of one's own, with this checkout's code and settings and without its sample.

The checkout is the product: stages are scripts beside params.yaml, so a project holds them, and none changes under it.
"""

import io
import re
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from evensong.errors import DataError, ParamsError
from evensong.preset import apply_preset

CHECKOUT = Path(__file__).parents[2]
TRACKS = {"night": ("night",), "voice": ("voice",), "both": ("night", "voice")}
# The sample and what came of it, and what is for work on evensong itself.
_LEFT_OUT = re.compile(
    r"data\.dvc|dvc\.lock|\.dvc/sample-store/.*|metrics/.*|plots/.*|tests/.*|bench/.*|\.ci/.*|\.github/.*"
    r"|\.pre-commit-config\.yaml|README\.md|CONTRIBUTING\.md|CHANGELOG\.md|CITATION\.cff"
    r"|tools/(make_sample_data|render_plots|list_licences)\.py|src/(?P<track>night|voice)_\w+\.py"
)
_FOLDERS = {"night": ("data/night", "data/field"), "voice": ("data/voice/recordings", "data/voice/cohort")}
_OTHER_WORDS = {"night": r"night", "voice": r"voice|ensemble"}
_README = """# {name}

A project made by `evensong new --track {track}`. `evensong --help` lists the commands, `docs/` explains them.

```console
{commands}
```
"""


def new_project(folder: Path, track: str, presets: Sequence[str] = ()) -> list[str]:
    """Make the project, and commit it where git knows who commits.

    Args:
        folder: new, or empty.
        track: night, voice or both.
        presets: applied one after the other.

    Returns:
        What was made, and the commands that come next.

    Raises:
        ParamsError: the folder holds something, or no such preset.
        DataError: this is no git checkout of evensong, or git failed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ParamsError(f"{folder}: is there already and holds something; choose a new folder")
    names = {path.stem for path in (CHECKOUT / "presets").glob("*.yaml")}
    if unknown := sorted(set(presets) - names):
        raise ParamsError(f"no preset {unknown[0]!r}; there are {', '.join(sorted(names))}")
    archive = _archive()
    folder.mkdir(parents=True, exist_ok=True)
    _unpack(archive, folder, track)
    _write_config(folder)
    _keep_tracks(folder / "dvc.yaml", track)
    for part in (part for one in TRACKS[track] for part in _FOLDERS[one]):
        (folder / part).mkdir(parents=True)
    if track != "voice":
        (folder / "data/field/.keep").touch()  # DVC drops empty folders
    changes = [line for name in presets for line in apply_preset(folder, name)]
    commands = _commands(folder, track)
    text = _README.format(name=folder.resolve().name, track=track, commands="\n".join(f"$ {one}" for one in commands))
    (folder / "README.md").write_text(text, encoding="utf-8")
    committed = _commit(folder)
    return [f"{folder}: a project for {track}", *changes, committed, "next:", *(f"  {one}" for one in commands)]


def _archive() -> bytes:
    """The last commit's files."""
    top = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=CHECKOUT, capture_output=True, text=True)
    if top.returncode or Path(top.stdout.strip()).resolve() != CHECKOUT.resolve():
        raise DataError(f"{CHECKOUT}: not a git checkout of evensong, whose files a project is made of")
    return _git(CHECKOUT, "archive", "--format=tar", "HEAD")


def _unpack(archive: bytes, folder: Path, track: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            left_out = _LEFT_OUT.fullmatch(member.name)
            if member.isfile() and (not left_out or left_out["track"] in TRACKS[track]):
                tar.extract(member, folder, filter="data")


def _write_config(folder: Path) -> None:
    """DVC's settings without the remote of the sample."""
    path = folder / ".dvc/config"
    sections = re.split(r"(?m)^(?=\[)", path.read_text(encoding="utf-8"))
    path.write_text("".join(one for one in sections if "remote" not in one.partition("]")[0]), encoding="utf-8")


def _keep_tracks(path: Path, track: str) -> None:
    """Take the other track out of dvc.yaml, so that `dvc repro` needs no data of it."""
    yaml = YAML()
    yaml.width = 4_096
    tree = yaml.load(path.read_text(encoding="utf-8"))
    for other in TRACKS["both"]:
        if other in TRACKS[track]:
            continue
        is_other = re.compile(rf"({_OTHER_WORDS[other]})[_/ -]|\b({_OTHER_WORDS[other]})[,:]", re.IGNORECASE)
        for key in ("stages", "artifacts"):
            for name in [name for name in tree[key] if is_other.search(name)]:
                del tree[key][name]
        for key in ("metrics", "plots"):
            tree[key] = [
                one for one in tree[key] if not is_other.search(one if isinstance(one, str) else next(iter(one)))
            ]
    with path.open("w", encoding="utf-8", newline="\n") as out:
        yaml.dump(tree, out)


def _commands(folder: Path, track: str) -> list[str]:
    sources = {"night": "~/recordings", "voice": "~/cohort"}
    brought = [f"evensong import {sources[one]} --set-params" for one in TRACKS[track]]
    return [f"cd {folder}", *brought, "evensong scan", "make repro"]


def _commit(folder: Path) -> str:
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")
    known = all(_config(folder, f"user.{part}") for part in ("name", "email"))
    if not known:
        return "not committed, as training needs: tell git your user.name and user.email, then git commit -m begin"
    _git(folder, "commit", "--quiet", "--message", "A project of evensong new")
    return "committed as the project's first commit"


def _config(folder: Path, key: str) -> str:
    done = subprocess.run(["git", "config", key], cwd=folder, capture_output=True, text=True)
    return done.stdout.strip()


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True)
    except FileNotFoundError as error:
        raise DataError("there is no git; install it first") from error
    if done.returncode:
        raise DataError(f"git {arguments[0]} failed in {folder}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
