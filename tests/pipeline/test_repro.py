"""The whole pipeline on a small repository: it runs, it is reproducible, and a change reruns what it must."""

import csv
import functools
import json
import operator
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML
from tests.learn.graphs import octaves, save
from tests.pipeline.conftest import IN_ONE_PROCESS, ROOT, SmallRepo, commands_of, copy_code, make_repo, ran_stages
from tests.pipeline.contract import DVC_YAML, PARAMS, STAGES, outputs

from evensong.report.seeds import SCORES, SEEDS, TARGETS

pytestmark = pytest.mark.slow


SEEDS_PIPELINE = """
stages:
  night_evaluate:
    cmd: python score.py
    deps: [score.py]
    params: [night.index.seed, train.seed]
    metrics: [{metrics/night/test.json: {cache: false}}]
"""
SEEDS_SCORE = """
import json, pathlib
seeds = [int(line.split()[-1]) for line in open("params.yaml") if "seed" in line]
pathlib.Path("metrics/night").mkdir(parents=True, exist_ok=True)
json.dump({"night_f1": sum(seeds) / 10, "night_baseline_f1": 0.5}, open("metrics/night/test.json", "w"))
"""
RUN_SEEDS = ("evensong", "seeds", "night", "--runs", "2")


class Queue(NamedTuple):
    """A repository in which DVC works off its queue; `finish` waits for it and returns all it printed."""

    repo: SmallRepo
    finish: Callable[[], str]


class Repro(SmallRepo):
    """A repository after its first `dvc repro`, committed, and what DVC said in it."""

    said: str


@pytest.fixture(scope="module")
def repo(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Repro:
    made = Repro(make_repo(tmp_path_factory.mktemp("first") / "repo", small_data).folder)
    made.said = made.must("dvc", "repro")
    made.commit()
    return made


@pytest.fixture(scope="module")
def queue(repo: Repro, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """A copy whose queue works beside the other tests, since it sleeps more than it works, and whose code has changed
    since."""
    copy = SmallRepo(tmp_path_factory.mktemp("queue") / "repo")
    shutil.copytree(repo.folder, copy.folder, symlinks=True)
    changes = ["night.index.train=0.4", "night.index.val=0.35", "train.epochs=1"]
    values = [part for change in changes for part in ("-S", change)]
    copy.must("dvc", "exp", "run", "--queue", "-n", "short", *values, "night_train")
    (copy.folder / "src/night_train.py").write_text("raise SystemExit('the workspace copy ran')\n", encoding="utf-8")
    with copy.running("dvc", "exp", "run", "--run-all", "-j", "1") as finish:
        yield Queue(copy, finish)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """Runs over seeds, in the same way, of a pipeline whose score is its seed."""
    made = SmallRepo(tmp_path_factory.mktemp("seeds"))
    made.must("git", "init", "-q")
    for name, value in (("name", "t"), ("email", "t@example.org")):
        made.must("git", "config", f"user.{name}", value)
    made.must("dvc", "init", "-q")
    text = "night:\n  index:\n    seed: 0\ntrain:\n  seed: 0\n"
    for name, content in (("params.yaml", text), ("dvc.yaml", SEEDS_PIPELINE), ("score.py", SEEDS_SCORE)):
        (made.folder / name).write_text(content, encoding="utf-8")
    made.must("dvc", "repro")
    made.commit()
    with made.running(*RUN_SEEDS, PYTHONPATH=str(ROOT / "src")) as finish:
        yield Queue(made, finish)


@pytest.mark.usefixtures("queue", "seeds")  # which go on meanwhile
def test_every_declared_output_is_there(repo: Repro) -> None:
    for name, stage in STAGES.items():
        if name == "voice_control" or "foreach" in DVC_YAML["stages"][name]:  # none by default
            continue
        for path, _ in outputs(stage):
            for subdb in ("3", "5"):
                assert (repo.folder / path.replace("${item.subdb}", subdb)).exists(), path


def test_second_run_does_nothing(repo: Repro) -> None:
    assert "Data and pipelines are up to date." in repo.must("dvc", "repro")
    assert repo.must("git", "status", "--porcelain") == ""


def test_another_folder_and_one_worker_give_the_same_bytes(repo: Repro, tmp_path: Path, small_data: Path) -> None:
    second = SmallRepo(tmp_path / "elsewhere" / "repo")
    second.folder.mkdir(parents=True)
    copy_code(second.folder)
    shutil.copytree(small_data, second.folder / "data")
    commands = commands_of(repo.said)
    assert len(commands) == len(ran_stages(repo.said))
    script = IN_ONE_PROCESS.format(commands=commands)
    second.must("python", "-c", script, cpus="0", PYTHONHASHSEED="7", TZ="Asia/Kathmandu", LC_ALL="C")
    locked = YAML(typ="safe", pure=True).load((repo.folder / "dvc.lock").read_text(encoding="utf-8"))
    published = [out["path"] for stage in locked["stages"].values() for out in stage["outs"]]
    assert len(published) > len(commands)
    for path in published:
        assert files_of(second.folder / path) == files_of(repo.folder / path), path


def files_of(path: Path) -> dict[str, bytes]:
    """An output, a file or a folder, by names within it."""
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in (path, *path.rglob("*")) if one.is_file()}


def test_a_model_that_comes_or_goes_reruns_nothing_but_what_is_of_it(repo: Repro) -> None:
    text = (repo.folder / "params.yaml").read_text(encoding="utf-8")
    models = {name: save(octaves(), repo.folder / f"{name}.onnx", file=f"{name}.onnx") for name in ("one", "two")}

    def choose(**chosen: dict[str, object]) -> None:
        changed = text.replace("models: {}", f"models: {json.dumps(chosen)}", 1)
        (repo.folder / "params.yaml").write_text(changed, encoding="utf-8")

    assert text.count("models: {}") == 2
    choose(two=models["two"])
    of_it = ["check_params", "night_embed@two", "night_evaluate", "night_head@two", "night_report"]
    assert sorted(ran_stages(repo.must("dvc", "repro"))) == of_it
    arms = json.loads((repo.folder / "metrics/night/details.json").read_text())["arms"]
    assert list(arms) == ["baseline", "two", "two_fused"]
    choose(**models)
    waiting = json.loads(repo.must("dvc", "status", "--json"))  # before what waits for their outputs
    assert sorted(waiting) == ["check_params", "night_embed@one", "night_head@one", "night_report"]
    shutil.rmtree(repo.folder / "artifacts/night/arms/two")
    choose()
    assert ran_stages(repo.must("dvc", "repro")) == ["night_evaluate"]  # DVC knows the other runs, the page among them
    for name in models:
        (repo.folder / f"{name}.onnx").unlink()
    assert set(repo.must("git", "diff", "--name-only").split()) <= {"dvc.lock"}  # which keeps what is gone
    repo.must("git", "checkout", "-q", ".")
    repo.must("dvc", "checkout", "-q")
    assert repo.must("git", "status", "--porcelain") == ""


def test_queued_experiment_uses_its_own_code_and_values_and_touches_no_audio(queue: Queue) -> None:
    # the queue works on a snapshot, so a later edit of the workspace must not reach it
    said = queue.finish()
    assert "the workspace copy ran" not in said
    assert set(ran_stages(said)) == {"check_params", "night_index", "night_train"}
    queue.repo.must("git", "checkout", "-q", ".")
    queue.repo.must("dvc", "exp", "apply", "short")
    history = (queue.repo.folder / "artifacts/night/train/history.csv").read_text(encoding="utf-8")
    assert {row["epoch"] for row in csv.DictReader(history.splitlines())} == {"1"}


def test_runs_over_seeds_are_summarised_and_not_repeated(seeds: Queue) -> None:
    assert "Reproducing experiment 'seeds-night-2'" in seeds.finish()
    again = seeds.repo.must(*RUN_SEEDS, PYTHONPATH=str(ROOT / "src"))
    assert "Reproducing" not in again
    # both seeds are 1, then both are 2: 0.2 and 0.4
    assert again.splitlines()[1].split() == ["night_f1", "0.300", "0.141", "0.200", "0.400"]


@pytest.mark.parametrize("track", SEEDS)
def test_what_runs_over_seeds_change_run_and_read_is_there(repo: Repro, track: str) -> None:
    for key in SEEDS[track]:
        section, name = key.rsplit(".", 1)
        assert isinstance(functools.reduce(operator.getitem, section.split("."), PARAMS)[name], int)
    assert set(TARGETS[track]) <= set(STAGES)
    headline = json.loads((repo.folder / f"metrics/{track}/test.json").read_text(encoding="utf-8"))
    assert set(SCORES[track]) <= set(headline)


def test_bad_params_stop_before_any_output_is_touched(repo: Repro) -> None:
    failed = repo.run("dvc", "exp", "run", "-S", "train.epochs=abc")
    assert failed.returncode != 0
    assert "train.epochs" in failed.stdout + failed.stderr
    repo.must("git", "checkout", "-q", "params.yaml")
    assert repo.must("git", "status", "--porcelain") == ""
    assert (repo.folder / "artifacts/night/train/predictions.csv").exists()


def test_no_patient_is_named_in_git_or_on_the_screen(repo: Repro) -> None:
    # the library's other files may name patients: they are DVC outputs, outside git
    with (repo.folder / "data/voice/cohort/Demographics_Survey.csv").open(encoding="utf-8") as handle:
        ids = [row["healthCode"] for row in csv.DictReader(handle)]
    tracked = repo.must("git", "ls-files", "-z").split("\0")
    text = "".join((repo.folder / name).read_bytes().decode("latin-1") for name in tracked if name)
    text += repo.said
    assert not [code for code in ids if code in text]


def test_images_alone_give_the_same_tables_and_pixels(repo: Repro, tmp_path: Path, small_data: Path) -> None:
    images = tmp_path / "data"
    shutil.copytree(small_data, images)
    shutil.rmtree(images / "voice" / "recordings")
    shutil.copytree(repo.folder / "artifacts/voice/melSpec", images / "voice" / "recordings")
    # what a cohort brings along: the lists of the sub-databases and the common one
    lists = shutil.ignore_patterns("labels.csv", "control")
    shutil.copytree(repo.folder / "artifacts/voice/splits", images / "voice/cohort/splits", ignore=lists)
    second = SmallRepo(tmp_path / "images")
    copy_code(second.folder)
    images.rename(second.folder / "data")
    stages = ("check_params", "voice_scan", "voice_mels", "voice_splits", "voice_tables")
    second.must("python", "-c", IN_ONE_PROCESS.format(commands=[f"src/{stage}.py" for stage in stages]))
    name = "artifacts/voice/combined/subdb3/audio_imbalmed_subdb3_combined.csv"
    assert (second.folder / name).read_bytes() == (repo.folder / name).read_bytes()
    assert (second.folder / "artifacts/voice/mels.npy").read_bytes() == (
        repo.folder / "artifacts/voice/mels.npy"
    ).read_bytes()


def test_metrics_are_scalars_with_plain_names(repo: Repro) -> None:
    shown = json.loads(repo.must("dvc", "metrics", "show", "--json"))
    for path, entry in shown["workspace"]["data"].items() if "workspace" in shown else shown[""]["data"].items():
        waiting = [entry["data"]]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting += value.values()
            else:
                assert not isinstance(value, list), path


def test_a_fresh_clone_without_field_recordings_and_an_experiment_elsewhere(repo: Repro, tmp_path: Path) -> None:
    clone = SmallRepo(tmp_path / "clone")
    repo.must("git", "clone", "-q", ".", str(clone.folder))
    clone.must("dvc", "remote", "add", "-d", "mine", str(repo.folder / ".dvc/cache"))
    clone.must("dvc", "pull", "-q")
    field = clone.folder / "data/field"
    shutil.rmtree(field)
    field.mkdir()
    (field / ".keep").touch()
    clone.must("dvc", "add", "-q", "data")
    said = clone.must("dvc", "repro", "night_detect")
    assert set(ran_stages(said)) == {"night_cut", "night_index", "night_train", "night_detect"}
    assert "detection is not scored: no field recordings" in said
    assert json.loads((clone.folder / "metrics/night/detection.json").read_text())["night_detection_n"] == 0
    clone.must("dvc", "plots", "show", "-o", "plots_html")
    assert "night_detection_n" in clone.must("dvc", "metrics", "show")
    clone.must("git", "config", "user.name", "t")
    clone.must("git", "config", "user.email", "t@example.org")
    clone.commit()
    said = clone.must("dvc", "exp", "run", "--temp", "-S", "night.detect.min_overlap=0.25", "night_cut")
    assert "Ran experiment" in said
