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
    r"|mkdocs\.yml|tools/(?!set_up\.sh|get_sample\.sh|offline_plots\.py).*|src/(?P<track>night|voice)_\w+\.py"
)
_FOLDERS = {"night": ("data/night", "data/field"), "voice": ("data/voice/recordings", "data/voice/cohort")}
_OTHER_WORDS = {"night": r"night", "voice": r"voice|ensemble"}
_OWN_WORK = "# ---- for work on evensong itself"  # the Makefile's part that a project has no use for
_LINK = re.compile(r"!?\[([^\]]*)\]\((?!https?:|#)([^)\s#]+)[^)]*\)")
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
    _keep_targets(folder / "Makefile", track)
    for part in (part for one in TRACKS[track] for part in _FOLDERS[one]):
        (folder / part).mkdir(parents=True)
    if track != "voice":
        (folder / "data/field/.keep").touch()  # DVC drops empty folders
    changes = [line for name in presets for line in apply_preset(folder, name)]
    commands = _commands(folder, track)
    text = _README.format(name=folder.resolve().name, track=track, commands="\n".join(f"$ {one}" for one in commands))
    (folder / "README.md").write_text(text, encoding="utf-8")
    _mend_links(folder)
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
    for other in _others(track):
        is_other = re.compile(rf"({_OTHER_WORDS[other]})[_/ -]|\b({_OTHER_WORDS[other]})[,:]", re.IGNORECASE)
        for key in ("stages", "artifacts"):
            for name in [name for name in tree[key] if is_other.search(name)]:
                del tree[key][name]
        for key in ("metrics", "plots"):
            tree[key] = [
                one for one in tree[key] if not is_other.search(one if isinstance(one, str) else next(iter(one)))
            ]
    text = io.StringIO()
    yaml.dump(tree, text)
    gone = "|".join(_others(track)) or "(?!)"
    path.write_text(re.sub(rf"(?m)^  # ---- ({gone}): .*\n", "", text.getvalue()), encoding="utf-8", newline="\n")


def _others(track: str) -> list[str]:
    return [one for one in TRACKS["both"] if one not in TRACKS[track]]


def _keep_targets(path: Path, track: str) -> None:
    """Take out of the Makefile what is for work on evensong, and the other track."""
    text = path.read_text(encoding="utf-8").partition(_OWN_WORK)[0].rstrip() + "\n"
    for other in _others(track):
        text = re.sub(rf"(?m)^{other}: .*\n(\t.*\n)+\n", "", text)
        text = re.sub(rf"(?m)^(\.PHONY: .*) {other}\b", r"\1", text)
    path.write_text(text, encoding="utf-8")


def _mend_links(folder: Path) -> None:
    """Leave the words of links in docs/ whose file stays behind."""
    docs = folder / "docs"
    for page in sorted(docs.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        mended = _LINK.sub(lambda link: link[0] if (docs / link[2]).exists() else link[1], text)
        page.write_text(mended, encoding="utf-8")


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
