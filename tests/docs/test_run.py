"""The marked blocks of README and docs/, executed in order as one user would type them, on a tiny project."""

import shutil
import sys
from pathlib import Path

import pytest
from tests.docs.commands import PAGES, Block, blocks
from tests.pipeline.conftest import BIN, SmallRepo, make_repo, write_data

pytestmark = pytest.mark.docs

MARKED = [block for page in PAGES for block in blocks(page) if block.runs]


class User:
    """Someone with recordings at home, an editor that changes nothing, and the environment active."""

    def __init__(self, folder: Path, repo: SmallRepo) -> None:
        self.repo = repo
        self.environment = {
            "HOME": str(folder),
            "PATH": f"{folder / 'bin'}:{BIN}:/usr/local/bin:/usr/bin:/bin",
            "EDITOR": "true",
            "GIT_AUTHOR_NAME": "a user",
            "GIT_AUTHOR_EMAIL": "user@example.org",
            "GIT_COMMITTER_NAME": "a user",
            "GIT_COMMITTER_EMAIL": "user@example.org",
        }

    def types(self, command: str) -> None:
        """Run one line in a shell; it has to succeed."""
        self.repo.must("bash", "-c", command, **self.environment)


def fill_home(folder: Path, repo: Path) -> None:
    """What the pages take from home: class folders, a cohort, nights to listen to; and the evensong command."""
    shutil.copytree(repo / "data/night", folder / "recordings")
    shutil.copytree(repo / "data/night/rain", folder / "nights")
    shutil.copytree(repo / "data/voice/recordings", folder / "mpower")
    shutil.copy(repo / "data/voice/cohort/Demographics_Survey.csv", folder / "mpower")
    command = folder / "bin/evensong"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{repo}/src" exec {sys.executable} -m evensong.cli "$@"\n')
    command.chmod(0o755)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> User:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as monkeypatch:
        write_data(home / "sample", monkeypatch)
    repo = make_repo(home / "evensong", home / "sample")
    fill_home(home, repo.folder)
    return User(home, repo)


@pytest.mark.parametrize("block", MARKED, ids=str)
def test_a_marked_block_runs(user: User, block: Block) -> None:
    for command in block.commands:
        user.types(command)
