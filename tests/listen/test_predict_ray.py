"""evensong predict over Ray: skipped, visibly, where Ray is not installed (pip install 'evensong[ray]')."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.listen.synthetic import Trained

from evensong.errors import DataError, ParamsError
from evensong.listen.predict import Request, predict
from evensong.listen.segments import Sample
from evensong.run.parallel import Backend, use_backend


@pytest.fixture
def local_again() -> Iterator[None]:
    yield
    use_backend("local")


def test_a_cluster_needs_a_table_to_keep_its_scores_beside(trained: Trained) -> None:
    with pytest.raises(ParamsError, match="--backend ray needs --out"):
        predict(Request(list(trained.pool.values()), trained.folder, None, None, None, 0.5, 1, backend="ray"))


@pytest.mark.slow
def test_a_cluster_writes_the_bytes_of_this_machine(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_again: None
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.chdir(tmp_path)  # paths are relative, as people write them
    Path("nights").mkdir()
    for path in trained.pool.values():
        shutil.copy2(path, "nights")
    Path("nights/no_sound.wav").write_bytes(b"RIFF")
    shutil.copytree(trained.folder, "model")
    backends: tuple[Backend, ...] = ("local", "ray")
    for name in backends:
        request = Request(
            [Path("nights")], Path("model"), Path(name, "scores.csv"), Path(name, "raven"), None, 0.5, 2,
            segments=Sample(Path(name, "listen")), backend=name,
        )  # fmt: skip
        with pytest.raises(DataError, match="1 of 13 recordings could not be used"):
            predict(request)
    ray.shutdown()
    local, there = (
        {str(path.relative_to(name)): path.read_bytes() for path in sorted(Path(name).rglob("*")) if path.is_file()}
        for name in backends
    )
    assert len(local) > 40
    assert local == there
