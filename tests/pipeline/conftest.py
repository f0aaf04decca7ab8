"""A small repository of the same shape: all the code, little data, cheap settings."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tools import make_sample_data

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

SMALL_PARAMS = {
    r"target_samples: \d+": "target_samples: 9",
    r"n_mels: \d+": "n_mels: 32",
    r"width_px: \d+": "width_px: 32",
    r"clip_seconds: [\d.]+": "clip_seconds: 1",
    r"model: \w+": "model: test_efficientnet",
    r"batch_size: \d+": "batch_size: 8",
    r"n_bootstrap: \d+": "n_bootstrap: 200",
    r"  n_folds: 10": "  n_folds: 3",
    r"epochs: \d+": "epochs: 2",
    r"train: 0\.8\n    val: 0\.1\n    test: 0\.1": "train: 0.5\n    val: 0.25\n    test: 0.25",
    r"subdbs:\n(  - \d\n)+": "subdbs:\n  - 3\n  - 5\n",
}


class SmallRepo:
    """A clone-like folder in which DVC commands run as a user would run them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, cpus: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, on the given CPUs only if any, and return what it said."""
        pinned = ["taskset", "-c", cpus] if cpus else []
        variables = self._variables(environment)
        return subprocess.run(
            [*pinned, *command], cwd=self.folder, env=variables, capture_output=True, text=True, check=False
        )

    @contextmanager
    def running(self, *command: str, **environment: str) -> Iterator[Callable[[], str]]:
        """Start a command that has to succeed; what is given waits for its end and returns all it printed."""
        with (
            tempfile.TemporaryFile("w+") as said,
            subprocess.Popen(
                command, cwd=self.folder, env=self._variables(environment), stdout=said, stderr=subprocess.STDOUT
            ) as process,
        ):

            def finish() -> str:
                code = process.wait()
                said.seek(0)
                text = said.read()
                assert code == 0, text[-3000:]
                return text

            try:
                yield finish
            finally:
                process.kill()

    def _variables(self, more: Mapping[str, str]) -> dict[str, str]:
        cache = str(self.folder / ".dvc/tmp/site-cache")
        path = f"{BIN}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": cache, **more}

    def must(self, *command: str, cpus: str | None = None, **environment: str) -> str:
        """Run a command that has to succeed, and return all it printed."""
        done = self.run(*command, cpus=cpus, **environment)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def commit(self) -> None:
        """Commit everything that git tracks."""
        self.must("git", "add", "-A")
        self.must("git", "commit", "-qm", "x")


# A stage after the other in one process, for outputs alone: what they import takes longer than what they do.
IN_ONE_PROCESS = """
import runpy, sys
sys.path.insert(0, "src")
for command in {commands}:
    sys.argv = command.split()
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise
"""


def ran_stages(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def commands_of(output: str) -> list[str]:
    """What DVC ran, in its order: a script and its arguments each."""
    return re.findall(r"^> python (src/.+)$", output, flags=re.MULTILINE)


def copy_code(folder: Path) -> None:
    """Everything of the repository but its data and results."""
    names = ["dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore", ".dvc/plots", "presets"]
    for name in names:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copy(source, target)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for pattern, value in SMALL_PARAMS.items():
        text, n_changed = re.subn(pattern, value, text)
        assert n_changed, pattern
    (folder / "params.yaml").write_text(text, encoding="utf-8")


def write_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three classes, one above the target and two below it, three field recordings, a cohort of two dozen patients."""
    monkeypatch.setattr(make_sample_data, "CLIPS_PER_CLASS", {"asio_otus": 7, "rain": 11, "strix_aluco": 8})
    monkeypatch.setattr(make_sample_data, "N_POSITIVE", 9)
    monkeypatch.setattr(make_sample_data, "N_NEGATIVE", 12)
    monkeypatch.setattr(make_sample_data, "N_UNLABELLED", 1)
    monkeypatch.setattr(make_sample_data, "FIELD_NIGHTS", ["20240601"])
    make_sample_data.write_night(root / "night")
    make_sample_data.write_field(root / "field")
    make_sample_data.write_voice(root / "voice")


def make_repo(folder: Path, data: Path, tracked: Sequence[str] = ("data",)) -> SmallRepo:
    """A fresh repository on that data, committed."""
    folder.mkdir(parents=True)
    copy_code(folder)
    shutil.copytree(data, folder / "data")
    repo = SmallRepo(folder)
    repo.must("git", "init", "-q")
    for name, value in (("name", "t"), ("email", "t@example.org")):  # an experiment is a commit
        repo.must("git", "config", f"user.{name}", value)
    repo.must("dvc", "add", "-q", *tracked)
    repo.commit()
    return repo


@pytest.fixture(scope="module")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as monkeypatch:
        write_data(folder, monkeypatch)
    return folder
