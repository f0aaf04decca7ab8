"""Every command of README and docs/ is one that exists: targets, parameters, options, scripts, links."""

import functools
import re
import shutil
import tempfile
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import pytest
from dvc.cli.parser import get_main_parser
from dvc.exceptions import InvalidArgumentError
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from ruamel.yaml import YAML
from tests.docs.commands import PAGES, ROOT, TOOLS, simple_commands

from evensong import cli
from evensong.errors import ParamsError
from evensong.params import load_section
from evensong.schemas import Params

DVC_YAML = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
SHELL = {
    *("$EDITOR", "cd", "cp", "export", "for", "git", "mkdir", "pre-commit", "pytest", "ray", "rm", "sbatch"),
    *("sha256sum", "source"),
}
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
BENCH_OPTIONS = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "bench").glob("*.py")))
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
EXAMPLE = "perch"  # a model of night.embed.models, as the pages have it
OUTS = [
    re.sub(r"\$\{[^}]*\}", "1", (next(iter(out)) if isinstance(out, dict) else out).replace("${key}", EXAMPLE))
    for stage in DVC_YAML["stages"].values()
    for out in stage.get("do", stage)["outs"]
]
LOCAL = {
    "artifacts/cohort/",
    "artifacts/cohort/scores.csv",
    "artifacts/night/problems.csv",
    "artifacts/voice/problems.csv",
}  # written beside the outputs, for the user's eyes only
RESULT = re.compile(r"(?:metrics|plots|artifacts)/[\w/.@<>{}-]*")
PLACEHOLDER = re.compile(r"\{[^}]*\}|<[^>]*>")
COMMANDS = [(page.name, words) for page in PAGES for words in simple_commands(page)]


def commands_of(tool: str) -> list[object]:
    found = [(page, words) for page, words in COMMANDS if words[0] == tool]
    return [pytest.param(words[1:], id=f"{page}: {' '.join(words)[:60]}") for page, words in found]


@functools.cache  # many commands of the pages have none
def with_overrides(*pairs: str) -> Params:
    """What `dvc exp run -S` would make of params.yaml."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(ROOT / "params.yaml", folder))
        apply_overrides(path, list(pairs))
        return load_section("", Params, path)


def stage_of(target: str) -> str:
    return target.split("@")[0]


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_output(path: str) -> bool:
    """Whether a path, with {k} or <class> for anything, is an output of dvc.yaml, in one, or a folder of them."""
    parts = PLACEHOLDER.sub("*", path).rstrip("/.").split("/")
    heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    return any(fnmatch(out, f"{heads[-1]}/*") or any(fnmatch(out, head) for head in heads) for out in OUTS)


def test_every_tool_is_one_that_is_checked() -> None:
    assert {words[0] for _, words in COMMANDS} <= {*SHELL, *TOOLS}
    assert {words[0] for _, words in COMMANDS} >= set(TOOLS)


@pytest.mark.slow
@pytest.mark.parametrize("words", commands_of("dvc"))
def test_dvc(words: list[str]) -> None:
    options = get_main_parser().parse_args(words)
    if options.cmd in ("repro", "exp") and (targets := getattr(options, "targets", None)):
        assert {stage_of(target) for target in targets} <= set(DVC_YAML["stages"])
    pairs = [value for option, value in pairwise(words) if option == "-S"]
    for one in get_hydra_sweeps({"params.yaml": pairs}):  # one, unless a value is a choice such as a=1,2
        with_overrides(*one["params.yaml"])


@pytest.mark.parametrize("words", commands_of("make"))
def test_make(words: list[str]) -> None:
    assert set(words) <= MAKE_TARGETS


@pytest.mark.parametrize("words", commands_of("evensong"))
def test_evensong(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    monkeypatch.setattr(cli, "run_stage", parsed.append)
    cli.main(words)
    assert len(parsed) == 1


@pytest.mark.parametrize("words", commands_of("python"))
def test_python(words: list[str]) -> None:
    script = ROOT / (f"{words[1].replace('.', '/')}.py" if words[0] == "-m" else words[0])
    known = script.read_text(encoding="utf-8") + BENCH_OPTIONS
    for option in (word for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_repository_resolve(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_results_that_a_page_names_are_outputs(page: Path) -> None:
    named = set(RESULT.findall(page.read_text(encoding="utf-8"))) - LOCAL
    assert {path for path in named if not is_output(path)} == set()


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 9_000


def test_an_override_that_is_wrong_is_seen() -> None:
    with pytest.raises(InvalidArgumentError):
        with_overrides("train.epoch=3")
    with pytest.raises(ParamsError, match="epochs"):
        with_overrides("train.epochs=many")
