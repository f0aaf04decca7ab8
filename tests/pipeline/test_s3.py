"""Data on an S3-speaking server on loopback: pushed, pulled in a fresh clone, imported.

Skipped, visibly, without both: pip install '.[s3]' 'moto[server]'
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.conftest import SmallRepo, make_repo

pytestmark = pytest.mark.slow

SECRET = "made-up-secret"
LOGIN = {"access_key_id": "made-up-key", "secret_access_key": SECRET}


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, Any]]:
    """Address of a server with an empty bucket named data, and a client."""
    pytest.importorskip("dvc_s3", reason="dvc-s3 is not installed")
    server_module = pytest.importorskip("moto.server", reason="no S3-speaking server: moto[server] is not installed")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=LOGIN["access_key_id"],
        aws_secret_access_key=SECRET,
    )
    client.create_bucket(Bucket="data")
    yield address, client
    server.stop()


@pytest.fixture
def repo(s3: tuple[str, Any], small_data: Path, tmp_path: Path) -> SmallRepo:
    """The small repository with that bucket as its remote, as docs/storage.md says."""
    made = make_repo(tmp_path / "first", small_data)
    made.must("dvc", "remote", "add", "-d", "mine", "s3://data/project")
    made.must("dvc", "remote", "modify", "mine", "endpointurl", s3[0])
    log_in(made)
    made.commit()
    return made


def log_in(repo: SmallRepo) -> None:
    """The key pair goes where git does not look."""
    for name, value in LOGIN.items():
        repo.must("dvc", "remote", "modify", "--local", "mine", name, value)


def fresh_clone(repo: SmallRepo, folder: Path) -> SmallRepo:
    repo.must("git", "clone", "-q", str(repo.folder), str(folder))
    clone = SmallRepo(folder)
    log_in(clone)
    return clone


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(client: Any) -> set[str]:
    """Keys of all objects; fewer than a page of a thousand."""
    return {one["Key"] for one in client.list_objects_v2(Bucket="data").get("Contents", [])}


def test_what_is_pushed_comes_back_in_a_fresh_clone(repo: SmallRepo, tmp_path: Path) -> None:
    repo.must("dvc", "push")
    clone = fresh_clone(repo, tmp_path / "second")
    assert not (clone.folder / "data").exists()
    clone.must("dvc", "pull", "data.dvc")
    assert contents(clone.folder / "data") == contents(repo.folder / "data")
    assert "Everything is up to date" in clone.must("dvc", "push", "data.dvc")
    assert repo.run("git", "grep", SECRET).returncode == 1


def test_a_file_is_imported_and_followed(repo: SmallRepo, s3: tuple[str, Any], tmp_path: Path) -> None:
    _, client = s3
    client.put_object(Bucket="data", Key="project/incoming/model.onnx", Body=b"first")
    (repo.folder / "models").mkdir()
    repo.must("dvc", "import-url", "remote://mine/incoming/model.onnx", "models/model.onnx")
    repo.must("dvc", "push")
    repo.commit()
    clone = fresh_clone(repo, tmp_path / "second")
    clone.must("dvc", "pull", "models/model.onnx.dvc")
    assert (clone.folder / "models/model.onnx").read_bytes() == b"first"
    client.put_object(Bucket="data", Key="project/incoming/model.onnx", Body=b"second")
    clone.must("dvc", "update", "models/model.onnx.dvc")
    assert (clone.folder / "models/model.onnx").read_bytes() == b"second"


def test_a_cohort_that_stays_is_never_sent(repo: SmallRepo, s3: tuple[str, Any]) -> None:
    _, client = s3
    before = stored(client)
    (repo.folder / "data/voice/recordings/new.txt").write_text("of this cohort alone", encoding="utf-8")
    repo.must("dvc", "add", "data")
    listed = repo.folder / "data.dvc"
    listed.write_text(listed.read_text(encoding="utf-8") + "  push: false\n", encoding="utf-8")
    repo.must("dvc", "push")
    assert stored(client) == before
    (repo.folder / "data/voice/recordings/new.txt").write_text("and again", encoding="utf-8")
    repo.must("dvc", "add", "data")
    repo.must("dvc", "push")
    assert stored(client) == before
