"""evensong predict on voice models, from recordings to tables, with a tiny ensemble that was trained here."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.learn.synthetic import NO_AUGMENT, fold_table, track_settings, train_settings
from tests.voice.conftest import MELS, VoiceFolder

from evensong import cli
from evensong.errors import DataError, IntegrityError, ParamsError
from evensong.learn.cv import Training, run_folds
from evensong.listen.listeners import track_of
from evensong.listen.onnx import _NEEDED, export_onnx
from evensong.listen.people import PeopleRequest, predict_people, refuse_tracked
from evensong.params import load_section
from evensong.run.parallel import use_backend
from evensong.run.text import write_csv, write_json
from evensong.schemas import VoiceScan
from evensong.score.predictions import read_run
from evensong.voice.decision import judges_of, judges_tree
from evensong.voice.mels import make_images
from evensong.voice.scan import scan_recordings

ROOT = Path(__file__).parents[2]
MEMBERS = ("subdb3", "subdb5")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where twelve patients of one recording each were trained on, by two members of three folds."""
    root = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "params.yaml", root)
    folder = VoiceFolder(root / "data/voice/recordings")
    for patient in range(12):
        folder.tone(patient, 1500 * (patient % 2), level=0.1 + 0.4 * (patient % 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("EVENSONG_STATE_DIR", raising=False)
        limits = load_section("voice.scan", VoiceScan, ROOT / "params.yaml")
        scan = scan_recordings(folder.root, limits, workers=1)
        home = Path("artifacts/voice")
        (home / "scan").mkdir(parents=True)
        write_csv(home / "scan/recordings.csv", scan.recordings)
        make_images(
            scan.recordings, MELS, root=folder.root, image_folder=home / "melSpec", array_path=home / "mels.npy",
            workers=1,
        )  # fmt: skip
        table = fold_table(n_groups=12, copies=0)
        judges = []
        for seed, member in enumerate(MEMBERS):
            train = train_settings(
                epochs=12,
                learning_rate=0.03,
                mixup_alpha=0,
                select="last",
                spec_augment=NO_AUGMENT,
                test_shifts=2,
                seed=seed,
            )
            training = Training(
                table, [home / "mels.npy"], ["false", "true"], track_settings(), train, MELS.model_dump()
            )
            run_folds(training, home / "train" / member, 1)
            judges += judges_of(home / "train" / member, read_run(home / "train" / member))
        write_json(home / "thresholds.json", judges_tree(judges))
        yield root


@pytest.fixture
def request_(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeopleRequest:
    """The same sounds once more, as those of other people: their scores are known."""
    monkeypatch.chdir(site)
    folder = VoiceFolder(tmp_path / "second")
    first = VoiceFolder(site / "data/voice/recordings")
    for patient in range(12):
        shutil.copy(first.path(patient, 1500 * (patient % 2)), folder.path(100 + patient, 1))
    return PeopleRequest(folder.root, Path("artifacts/voice/train"), tmp_path / "out/scores.csv", 2)


def survey(path: Path, first: int = 100, words: tuple[str, str] = ("HC", "PD")) -> Path:
    rows = [f"{VoiceFolder.patient_id(first + patient)},{words[patient % 2]}" for patient in range(12)]
    path.write_text("\n".join(["healthCode,status", *rows, ""]), encoding="utf-8")
    return path


def test_every_model_says_what_training_says_of_the_same_sound(request_: PeopleRequest) -> None:
    """A recording that a fold validated or tested has the probability that training wrote, image for image."""
    for member in MEMBERS:
        for fold in range(3):
            one = replace(request_, model=request_.model / member / f"fold_{fold:02d}")
            predict_people(one)
            found = pd.read_csv(one.out)["score"].to_numpy()
            trained = pd.read_csv(request_.model / member / "predictions.csv")
            rows = trained[trained["fold"] == fold]
            places = rows["item_id"].str.removeprefix("item").astype(int)
            np.testing.assert_allclose(found[places], rows["p1"], atol=1e-5)
            assert found.std() > 1e-3


def test_a_cluster_writes_the_bytes_of_this_machine(request_: PeopleRequest) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    predict_people(request_)
    local = request_.out.read_bytes()
    try:
        predict_people(replace(request_, backend="ray"))
    finally:
        use_backend("local")
        ray.shutdown()
    assert request_.out.read_bytes() == local
    assert {path.name for path in request_.out.parent.iterdir()} == {"scores.csv", "scores.unused.csv"}


def test_the_ensemble_is_the_mean_and_the_votes_of_its_folds(request_: PeopleRequest) -> None:
    singles, votes = [], []
    known = json.loads(Path("artifacts/voice/thresholds.json").read_text(encoding="utf-8"))["models"]
    for judge in known:
        one = replace(request_, model=request_.model / judge["member"] / f"fold_{judge['fold']:02d}")
        predict_people(one)
        singles.append(pd.read_csv(one.out)["score"])
        votes.append(singles[-1] >= judge["threshold"])
    said = "\n".join(predict_people(replace(request_, prevalence=0.2)))
    table = pd.read_csv(request_.out)
    np.testing.assert_allclose(table["score"], np.mean(singles, axis=0), atol=1e-6)
    np.testing.assert_allclose(table["votes"], np.mean(votes, axis=0), atol=1e-6)
    assert table["decision"].tolist() == (np.mean(votes, axis=0) >= 0.5).astype(int).tolist()
    assert (table["score_at_prevalence"] < table["score"]).all()
    assert "6 models of subdb3, subdb5" in said
    assert "WARNING: 12 recordings, of 12 people, are those of the cohort that was trained on" in said
    assert "00000000-0000-4000" not in said


@pytest.fixture
def words(request_: PeopleRequest) -> None:
    """params.yaml knows what the survey's words mean."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("values: null ", "values: {PD: 1, HC: 0} ")
    Path("params.yaml").write_text(text, encoding="utf-8")


@pytest.mark.usefixtures("words")
def test_tables_with_a_survey_and_nothing_of_anyone_beside_them(request_: PeopleRequest, tmp_path: Path) -> None:
    said = predict_people(replace(request_, survey=survey(tmp_path / "s.csv"), label="status"))
    assert any(line.startswith("auroc ") for line in said)
    assert pd.read_csv(request_.out)["label"].tolist() == [0, 1] * 6
    assert oct(request_.out.stat().st_mode & 0o777) == "0o600"
    shared = [path for path in request_.out.parent.rglob("*") if path.is_file() and path.name.startswith("scores.s")]
    shared += list((request_.out.parent / "scores.tables").iterdir())
    assert len(shared) == 4
    assert not [path for path in shared if b"00000000-0000-4000" in path.read_bytes()]
    first = request_.out.read_bytes()
    predict_people(replace(request_, survey=tmp_path / "s.csv", label="status", workers=1))
    assert request_.out.read_bytes() == first


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize("others", [{"first": 500}, {"words": ("", "")}])
def test_a_survey_without_their_diagnoses_is_refused_before_anything_is_scored(
    request_: PeopleRequest, tmp_path: Path, others: dict
) -> None:
    asked = survey(tmp_path / "o.csv", **others)
    with pytest.raises(DataError, match="nobody with a recording has a diagnosis"):
        predict_people(replace(request_, survey=asked, label="status"))
    assert not request_.out.exists()


def test_a_model_without_its_threshold_decides_nothing(request_: PeopleRequest, tmp_path: Path) -> None:
    known = json.loads(Path("artifacts/voice/thresholds.json").read_text(encoding="utf-8"))
    write_json(tmp_path / "few.json", known | {"models": known["models"][:1]})
    one = replace(request_, thresholds=tmp_path / "few.json", model=request_.model / "subdb3")
    with pytest.raises(IntegrityError, match="knows nothing of 2 of the 3 models"):
        predict_people(one)


def test_an_export_decides_as_its_models(request_: PeopleRequest, tmp_path: Path) -> None:
    for package in _NEEDED:
        pytest.importorskip(package)
    graph = tmp_path / "voice.onnx"
    assert export_onnx(request_.model, graph) < 1e-4
    assert track_of(graph) == "voice"
    predict_people(request_)
    ours = pd.read_csv(request_.out)
    assert any("not told" in line for line in predict_people(replace(request_, model=graph)))
    pd.testing.assert_frame_equal(ours, pd.read_csv(request_.out), check_exact=False, atol=1e-5)
    assert "00000000-0000-4000" not in graph.with_suffix(".json").read_text(encoding="utf-8")
    with pytest.raises(ParamsError, match="has its own"):
        predict_people(replace(request_, model=graph, thresholds=tmp_path / "x.json"))


def test_what_git_would_take_up_is_refused(tmp_path: Path) -> None:
    refuse_tracked(tmp_path / "no/repository/scores.csv")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("/artifacts/\n")
    refuse_tracked(tmp_path / "artifacts/cohort/scores.csv")
    with pytest.raises(ParamsError, match="git would take it up"):
        refuse_tracked(tmp_path / "new/scores.csv")


def test_options_of_the_other_track_are_refused(request_: PeopleRequest, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cli, "run_stage", lambda command: command())
    with pytest.raises(ParamsError, match=r"--raven, --hours: for night models"):
        cli.main(["predict", "r", "--model", str(request_.model), "--raven", "x", "--hours", "21:00-05:00"])
    with pytest.raises(ParamsError, match=r"--survey: for voice models"):
        cli.main(["predict", "r", "--model", str(tmp_path), "--survey", "x.csv"])
    with pytest.raises(ParamsError, match="one folder"):
        cli.main(["predict", "a", "b", "--model", str(request_.model)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out": Path("x.parquet")}, r"end in \.csv"),
        ({"out": Path("s.csv"), "survey": Path("s.csv")}, r"--survey s\.csv: that is a place of --out"),
        ({"workers": 0}, "one at least"),
        ({"label": "x"}, "which file"),
        ({"prevalence": 1.0}, "below 1"),
    ],
)
def test_options_out_of_their_range(request_: PeopleRequest, changes: dict, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        predict_people(replace(request_, **changes))
