import hashlib
import io
import json
import os
import re
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from sklearn.metrics import roc_auc_score
from tests.voice.cards import card

import voice_clinical
import voice_confounders
import voice_ensemble
import voice_evaluate
from evensong.errors import DataError
from evensong.params import load_section
from evensong.schemas import Evaluate, TrackTrain
from evensong.score.estimates import Estimate
from evensong.score.judges import read_judges
from evensong.score.predictions import read_predictions, read_run
from evensong.voice import ensemble, evaluate, fusion

ROOT = Path(__file__).parents[2]
RUNS = Path("artifacts/voice/train")
ARM = Path("artifacts/voice/arms/baseline")
COMBINED = Path("artifacts/voice/combined")
MODEL = load_section("voice.train", TrackTrain, ROOT / "params.yaml").model
SETTINGS = Evaluate(seed=1, n_bootstrap=100, confidence=0.95)
PATIENT = "00000000-0000-4000-8000-{:012x}"


def write_run(name, *, share=0.5, n_patients=24, n_folds=4, folds=None, positive=None, with_val=True, seed=0):
    """Write a training folder: every third patient positive, 1 to 3 recordings each, folds by rotation; all or some."""
    folder = RUNS / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, round(100 * share)])
    rows, folds = [], list(folds or range(n_folds))
    for fold in folds:
        for patient in range(n_patients):
            turn = (patient // 3 - fold) % n_folds
            subset = {0: "test", 1: "val"}.get(turn)
            if subset is None or (subset == "val" and not with_val):
                continue
            label = int(patient % 3 == 0) if positive is None else int(patient in positive)
            for recording in range(1 + patient % 3):
                odds = share / (1 - share) * np.exp(1.5 * (label - 0.5) + rng.normal())
                ids = (PATIENT.format(patient), f"{PATIENT.format(patient)}_{recording}_audio_audio_m4a")
                rows.append((fold, subset, ids[1], ids[0], 1, label, 1 - odds / (1 + odds), odds / (1 + odds)))
    columns = ["fold", "subset", "item_id", "group", "is_original", "label", "p0", "p1"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(folder / "predictions.csv", index=False, float_format="%.9g")
    lines = [
        f"{fold},3,2,best,9,{((table['fold'] == fold) & (table['subset'] == 'val')).sum()},"
        f"{((table['fold'] == fold) & (table['subset'] == 'test')).sum()},{1 - share:.6g},{share:.6g},{n_folds}\n"
        for fold in folds
    ]
    header = "fold,epochs,selected_epoch,selected_by,n_train,n_val,n_test,train_share_0,train_share_1,n_folds\n"
    (folder / "folds.csv").write_text(header + "".join(lines))
    lines = [f"{fold},{epoch},0.1,{1 / epoch:.4g},0.5,0.5\n" for fold in folds for epoch in (1, 2, 3)]
    (folder / "history.csv").write_text("fold,epoch,learning_rate,train_loss,val_loss,val_macro_f1\n" + "".join(lines))
    (folder / "classes.json").write_text(json.dumps({"classes": ["0", "1"]}))
    for fold in folds:
        write_model(folder / f"fold_{fold:02d}", fold)
    write_combined(name, table, train_on=range(n_patients))
    return folder


def write_baseline():
    """A baseline arm with the rows of the first member, whatever their order, and probabilities of its own."""
    run = min(RUNS.glob("subdb*"))
    shutil.rmtree(ARM, ignore_errors=True)
    ARM.mkdir(parents=True)
    table = pd.read_csv(run / "predictions.csv").sort_values(["fold", "subset", "item_id"])
    positive = 1 / (1 + np.exp(0.5 - table["label"] - np.random.default_rng(9).normal(size=len(table))))
    table = table.assign(p0=1 - positive, p1=positive).sort_index()
    table.to_csv(ARM / "predictions.csv", index=False, float_format="%.9g")
    for name in ("folds.csv", "classes.json"):
        shutil.copy(run / name, ARM)


def run_ensemble():
    write_baseline()
    voice_ensemble.main()


def write_model(folder, fold):
    """Weights of 2 * 3 + 4 values, and their card."""
    folder.mkdir()
    weights = {"kernel": np.zeros((2, 3), np.float32), "running_mean": np.zeros(4, np.float32)}
    save_file(weights, folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(card(fold, model=MODEL, mels={"n_mels": 48})))


def write_combined(name, predictions, train_on):
    """The combined CSV that these predictions belong to; every other patient is trained on with one recording."""
    rows = predictions[["fold", "subset", "item_id", "group", "label"]]
    parts, known = [rows], dict(zip(rows["group"], rows["label"], strict=True))
    for fold, here in rows.groupby("fold"):
        names = [PATIENT.format(patient) for patient in train_on]
        labels = {name: known.get(name, 0) for name in names if name not in set(here["group"])}
        items = [f"{name}_0_audio_audio_m4a" for name in labels]
        part = pd.DataFrame({"group": list(labels), "item_id": items, "label": list(labels.values())})
        parts.append(part.assign(fold=fold, subset="train"))
    table = pd.concat(parts, ignore_index=True)
    ids = table["item_id"].str.split("_", n=2, expand=True)
    folder = COMBINED / name
    folder.mkdir(parents=True, exist_ok=True)
    combined = pd.DataFrame({"healthCode": table["group"], "health_code": table["group"], "record_id": ids[1]})
    combined = combined.assign(column_id=ids[2], image_rel_path="-", label=table["label"], fold=table["fold"])
    path = folder / f"audio_imbalmed_{name}_combined.csv"
    combined.assign(subset=table["subset"]).to_csv(path, index=False)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with params.yaml for sub-databases 2, 5 and 8, to run the stages in."""
    monkeypatch.chdir(tmp_path)
    set_params(subdbs=[2, 5, 8])
    return tmp_path


@pytest.fixture(scope="module")
def finished_folder(tmp_path_factory):
    """Both stages run once over three sub-databases, and what they printed."""
    folder = tmp_path_factory.mktemp("finished")
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(folder)
        set_params(subdbs=[2, 5, 8])
        for subdb in (2, 5, 8):
            write_run(f"subdb{subdb}", share=subdb / 10)
        run_stages()
    return folder, said.getvalue()


@pytest.fixture(scope="module")
def controlled_folder(tmp_path_factory):
    """voice_ensemble run once over three sub-databases and a control arm of three, and what it printed."""
    folder = tmp_path_factory.mktemp("controlled")
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(folder)
        write_members(seeds=[11, 12, 13])
        run_ensemble()
    return folder, said.getvalue()


@pytest.fixture
def said(finished_folder, monkeypatch):
    """Stand in the finished folder; what the stages printed."""
    monkeypatch.chdir(finished_folder[0])
    return finished_folder[1]


def set_params(*, subdbs, control_seeds=()):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("n_bootstrap: 2000", "n_bootstrap: 100")
    text = re.sub(r"  subdbs:\n(  - \d\n)+", f"  subdbs: {subdbs}\n", text)
    text = text.replace("control_seeds: []", f"control_seeds: {list(control_seeds)}")
    Path("params.yaml").write_text(text, encoding="utf-8")


def run_stages():
    voice_evaluate.main()
    run_ensemble()


def digests(*folders):
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return {path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def summary_of(subdb):
    return read(f"artifacts/voice/summaries/subdb{subdb}/{MODEL}_cv_summary.json")


def assert_nulls_have_reasons(tree):
    if isinstance(tree, dict):
        assert "value" not in tree or tree["value"] is not None or tree["reason"]
        for value in tree.values():
            assert_nulls_have_reasons(value)


@pytest.mark.slow
def test_stages_write_what_they_declare(said):
    assert set(digests("metrics", "plots", "artifacts/voice/summaries", "artifacts/voice/ensemble")) == {
        *(f"artifacts/voice/summaries/subdb{k}/{MODEL}_cv_summary.json" for k in (2, 5, 8)),
        "artifacts/voice/ensemble/predictions.csv",
        "artifacts/voice/ensemble/summary.json",
        "metrics/voice/details.json",
        "metrics/voice/subdbs.json",
        "metrics/voice/test.json",
        *(f"plots/voice/{name}.csv" for name in ("calibration", "confusion", "pr", "roc", "scores", "training")),
        "plots/voice/subdbs.png",
        *(f"plots/ensemble/{name}.csv" for name in ("calibration", "differences", "pr", "roc", "scores")),
        "plots/ensemble/answer.md",
        "plots/ensemble/fusion.png",
    }
    metrics = read("metrics/voice/subdbs.json")
    assert sorted(metrics) == ["subdb2", "subdb5", "subdb8"]
    auroc = metrics["subdb5"]["patient"]["auroc"]
    assert auroc["low"] <= auroc["value"] <= auroc["high"]
    assert auroc == summary_of(5)["patient"]["pooled"]["auroc"]
    ensemble = read("metrics/voice/details.json")
    assert (ensemble["n"], ensemble["n_positive"], ensemble["n_members"], ensemble["n_control_members"]) == (
        24,
        8,
        3,
        0,
    )
    assert set(ensemble["minus_best_single"]) == set(ensemble["minus_baseline"]) == set(fusion.METHODS)
    assert "minus_control" not in ensemble
    fused, best = ensemble["soft_mean"]["auroc"], ensemble["best_single"]["auroc"]
    assert read("metrics/voice/test.json") == {
        "voice_auroc": fused["value"],
        "voice_auroc_low": fused["low"],
        "voice_auroc_high": fused["high"],
        "voice_n": 24,
        "voice_best_auroc": best["value"],
        "voice_gain": ensemble["minus_best_single"]["soft_mean"]["auroc"]["value"],
        "voice_baseline_auroc": ensemble["baseline"]["auroc"]["value"],
    }


@pytest.mark.slow
def test_no_patient_appears_in_git_tracked_results_or_on_the_screen(said):
    texts = [said.encode()]
    texts += [Path(path).read_bytes() for path in digests("metrics", "plots", "artifacts/voice/summaries")]
    for text in texts:
        assert b"00000000-0000" not in text
        assert b"audio_audio" not in text
    assert "00000000-0000" not in Path("artifacts/voice/ensemble/summary.json").read_text()


def test_plot_tables_have_no_row_for_a_patient(said):
    assert len(pd.read_csv("plots/voice/confusion.csv")) == 3 * 4
    for folder in ("voice", "ensemble"):
        assert (pd.read_csv(f"plots/{folder}/calibration.csv")["n"] >= 5).all()


@pytest.mark.slow
def test_stages_write_the_same_bytes_whatever_the_order_of_predictions(workspace, finished_folder):
    for folder in (RUNS, COMBINED):
        shutil.copytree(finished_folder[0] / folder, folder)
    for path in RUNS.rglob("predictions.csv"):
        header, *rows = path.read_text().splitlines()
        path.write_text("\n".join([header, *rows[::-1]]) + "\n")
    run_stages()
    folders = ("metrics", "plots", "artifacts/voice/summaries", "artifacts/voice/ensemble")
    backward = digests(*folders)
    os.chdir(finished_folder[0])
    assert digests(*folders) == backward


@pytest.mark.slow
def test_one_member_one_fold_and_no_validation_work_and_say_so(workspace):
    set_params(subdbs=[5])
    write_run("subdb5", folds=[2], with_val=False, n_patients=60)
    run_stages()
    (row,) = summary_of(5)["patient"]["per_fold"]
    assert (row["fold"], row["threshold"], row["threshold_is_from_validation"]) == (2, 0.5, False)
    assert row["threshold_reason"] == "no validation set"
    assert summary_of(5)["patient"]["validation"]["auroc"] is None
    assert summary_of(5)["patient"]["folds"]["auroc"]["sd"] is None
    ensemble = read("metrics/voice/details.json")
    assert ensemble["minus_best_single"]["soft_mean"]["auroc"] == {"value": 0, "low": 0, "high": 0}


@pytest.mark.slow
def test_a_part_of_the_folds_is_said_wherever_its_scores_stand(workspace, capsys):
    set_params(subdbs=[5])
    write_run("subdb5", n_patients=60, folds=[1])
    run_stages()
    part = "in 1 of 4 folds"
    assert read("metrics/voice/test.json")["voice_n"] == f"15 {part}"
    assert read("metrics/voice/subdbs.json")["subdb5"]["patient"]["n"] == f"15 {part}"
    trees = (read("metrics/voice/details.json"), summary_of(5), read("artifacts/voice/ensemble/summary.json"))
    assert {tree["folds"] for tree in trees} == {"1 of 4 folds"}
    answer = Path("plots/ensemble/answer.md").read_text(encoding="utf-8")
    assert f"15 patients {part}, 5 of them" in answer
    assert "; 1 sub-database; " in answer
    note = "NOTE: 1 of 4 folds were trained (voice.train.folds): these scores describe their test patients and not the"
    assert note in answer
    assert capsys.readouterr().out.count(note) == 2  # by both stages
    for name in ("scores", "roc", "calibration"):
        for path in (f"plots/voice/{name}.csv", f"plots/ensemble/{name}.csv", "plots/ensemble/differences.csv"):
            named = set(pd.read_csv(path).iloc[:, 0]) - {"chance", "perfect"}
            assert named, path
            assert [one for one in named if part not in one] == [], path


@pytest.mark.slow
@pytest.mark.fault("G17")
def test_single_class_folds_are_null_with_a_reason_and_counted(workspace):
    set_params(subdbs=[5])
    # Folds rotate by patient // 3: fold 0 tests patients 0 to 2 and 12 to 14, so only folds 0 and 1 have positives.
    write_run("subdb5", positive={0, 3, 12, 15})
    run_stages()
    level = summary_of(5)["patient"]
    assert level["folds"]["auroc"]["n_defined"] == 2
    assert level["folds"]["auroc"]["n_folds"] == 4
    assert level["folds"]["accuracy"]["n_defined"] == 4
    rows = {row["fold"]: row for row in level["per_fold"]}
    assert rows[2]["auroc"] is None
    assert rows[2]["reason"] == "one class in the test set"
    assert rows[1]["threshold_reason"] == "one class in the validation set"
    assert rows[0]["brier"] != rows[1]["brier"]
    assert len(pd.read_csv("plots/voice/confusion.csv")) == 0  # four positives: shares of them would count them
    for folder in ("voice", "ensemble"):
        assert not {"sensitivity", "specificity"} & set(pd.read_csv(f"plots/{folder}/scores.csv")["score"])
    for score in ("auroc", "brier"):
        defined = [row[score] for row in rows.values() if row[score] is not None]
        assert level["folds"][score]["mean"] == pytest.approx(np.mean(defined), abs=1e-6)
        assert level["folds"][score]["sd"] == pytest.approx(np.std(defined, ddof=1), abs=1e-6)


def refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


@pytest.mark.slow
@pytest.mark.fault("G18")
def test_one_class_in_all_is_null_with_a_reason(workspace):
    set_params(subdbs=[5])
    write_run("subdb5", positive=set())
    run_stages()
    for path in digests("metrics", "artifacts/voice/summaries", "artifacts/voice/ensemble"):
        if path.endswith(".json"):
            json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refuse_constant)
    for path in ("metrics/voice/subdbs.json", "metrics/voice/details.json"):
        assert_nulls_have_reasons(read(path))
    expected = {"value": None, "low": None, "high": None, "reason": "one class in the truth"}
    assert read("metrics/voice/subdbs.json")["subdb5"]["patient"]["auroc"] == expected
    assert read("metrics/voice/details.json")["n_positive"] == 0
    headline = read("metrics/voice/test.json")
    assert headline.pop("voice_n") == 24
    assert set(headline.values()) == {None}


def write_members(seeds):
    set_params(subdbs=[2, 5, 8], control_seeds=seeds)
    for subdb in (2, 5, 8):
        write_run(f"subdb{subdb}", share=subdb / 10)
    for seed in seeds:
        write_run(f"control{seed}", share=1 / 3, seed=seed)


def auroc_within_folds(test):
    """AUROC of each fold by scikit-learn, weighed by its pairs."""
    by_fold = [test.where(test.table["fold"] == fold) for fold in test.folds]
    n_pairs = [int(rows.labels.sum() * (1 - rows.labels).sum()) for rows in by_fold]
    aurocs = [roc_auc_score(rows.labels, rows.probabilities[:, 1]) for rows in by_fold]
    return np.average(aurocs, weights=n_pairs)


@pytest.mark.slow
def test_control_arm_answers_what_diversity_gained(controlled_folder, monkeypatch):
    monkeypatch.chdir(controlled_folder[0])
    ensemble = read("metrics/voice/details.json")
    assert ensemble["n_control_members"] == 3
    arm = fusion.join_members({f"control{seed}": read_run(RUNS / f"control{seed}") for seed in (11, 12, 13)})
    fused = fusion.soft_mean(arm).subset("test")
    assert ensemble["control"]["auroc_pooled"]["value"] == pytest.approx(
        roc_auc_score(fused.labels, fused.probabilities[:, 1]), abs=1e-6
    )
    assert ensemble["control"]["auroc"]["value"] == pytest.approx(auroc_within_folds(fused), abs=1e-6)
    pairs = [("soft_mean", "control"), ("soft_mean", "baseline"), ("control", "best_single")]
    for method, reference in [*pairs, ("control", "control_best_single")]:
        difference = ensemble[f"minus_{reference}"][method]["auroc"]
        expected = ensemble[method]["auroc"]["value"] - ensemble[reference]["auroc"]["value"]
        assert difference["value"] == pytest.approx(expected, abs=2e-6)
    table = pd.read_csv("plots/ensemble/differences.csv").query("score == 'auroc'")
    assert {(row.method, row.reference) for row in table.itertuples()} == {
        *((method, reference) for method in fusion.METHODS for reference in ("best_single", "baseline", "control")),
        ("control", "best_single"),
        ("control", "control_best_single"),
    }
    assert "WARNING" not in controlled_folder[1]
    assert read("artifacts/voice/ensemble/summary.json")["warning"] is None


@pytest.mark.slow
def test_answer_says_the_numbers_of_the_table(controlled_folder, monkeypatch):
    monkeypatch.chdir(controlled_folder[0])
    ensemble, text = read("metrics/voice/details.json"), Path("plots/ensemble/answer.md").read_text(encoding="utf-8")
    people = f"24 patients, 8 of them class 1, {ensemble['n_pairs']} pairs"
    assert f"{people}; 3 sub-databases, control arm of 3; 95 % intervals" in text
    rows = {cells[1].strip(): cells[2:] for line in text.splitlines() if len(cells := line.split("|")) > 3}
    named = [("soft mean", "soft_mean"), ("best sub-database", "best_single"), ("control arm", "control")]
    for name, key in [*named, ("baseline", "baseline")]:
        assert rows[name][0].strip().startswith(f"{ensemble[key]['auroc']['value']:.3f} (")
    diversity = ensemble["minus_control"]["soft_mean"]["auroc"]
    numbers = f"{diversity['value']:+.3f} ({diversity['low']:+.3f} to {diversity['high']:+.3f})"
    assert rows["soft mean"][4].strip() == numbers
    (sentence,) = [line for line in text.splitlines() if line.startswith("- Class-share diversity")]
    assert numbers in sentence
    is_shown = diversity["low"] > 0 or diversity["high"] < 0
    assert ("shown to be" in sentence, "not distinguishable" in sentence) == (is_shown, not is_shown)
    assert "Warning" not in text


def test_baseline_stands_beside_the_fusion_as_scikit_learn_scores_it(said):
    found, text = read("metrics/voice/details.json"), Path("plots/ensemble/answer.md").read_text(encoding="utf-8")
    predictions = read_predictions(ARM / "predictions.csv", 2)
    expected = auroc_within_folds(predictions.by_group().subset("test"))
    assert read("metrics/voice/test.json")["voice_baseline_auroc"] == pytest.approx(expected, abs=1e-6)
    added = found["minus_baseline"]["soft_mean"]["auroc"]
    assert added["value"] == pytest.approx(found["soft_mean"]["auroc"]["value"] - expected, abs=2e-6)
    (sentence,) = [line for line in text.splitlines() if line.startswith("- Networks at all")]
    assert f"minus the baseline: {added['value']:+.3f} ({added['low']:+.3f} to {added['high']:+.3f})" in sentence


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_an_embedding_stands_beside_the_baseline_alone_and_averaged_with_the_members(workspace):
    write_members(seeds=[11, 12, 13])
    write_baseline()
    perch = ARM.with_name("perch")
    shutil.copytree(ARM, perch)
    table = pd.read_csv(perch / "predictions.csv")
    table.assign(p0=table["p1"], p1=table["p0"]).to_csv(perch / "predictions.csv", index=False, float_format="%.9g")
    voice_ensemble.main()
    found = read("metrics/voice/details.json")
    assert list(found["arms"]) == ["perch", "perch_fused"]
    # the embedding says the opposite of the baseline
    assert found["arms"]["perch"]["auroc"]["value"] == pytest.approx(1 - found["baseline"]["auroc"]["value"], abs=2e-6)
    together = found["soft_mean"]["auroc"]["value"] - found["minus_perch_fused"]["soft_mean"]["auroc"]["value"]
    assert found["arms"]["perch_fused"]["auroc"]["value"] == pytest.approx(together, abs=2e-6)
    fused = pd.read_csv("artifacts/voice/ensemble/predictions.csv")
    assert fused["perch_fused"].to_numpy() == pytest.approx((fused["soft_mean"] + fused["perch"]) / 2, abs=1e-6)
    assert "| perch and soft mean |" in Path("plots/ensemble/answer.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("lost", [ARM, ARM / "predictions.csv"])
def test_an_arm_that_is_missing_is_refused_by_its_path(workspace, lost):
    write_members(seeds=[])
    write_baseline()
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    with pytest.raises(DataError, match="artifacts/voice/arms"):
        voice_ensemble.main()
    assert not Path("metrics").exists()


def test_an_arm_that_predicted_other_patients_is_refused_by_count(workspace):
    write_members(seeds=[])
    write_baseline()
    for subdb in (2, 5, 8):
        shutil.rmtree(RUNS / f"subdb{subdb}")
        write_run(f"subdb{subdb}", share=subdb / 10, n_patients=21)
    with pytest.raises(DataError, match=r"baseline cannot stand beside the network: it lacks 0 .* holds \d+") as caught:
        voice_ensemble.main()
    assert "00000000" not in str(caught.value)


@pytest.mark.slow
def test_control_arm_of_another_size_is_warned_of_everywhere(workspace, capsys):
    write_members(seeds=[11, 12])
    run_ensemble()
    expected = "the control arm has 2 members and there are 3 sub-databases"
    assert f"WARNING: {expected}" in capsys.readouterr().err
    assert expected in Path("plots/ensemble/answer.md").read_text(encoding="utf-8")
    assert expected in read("artifacts/voice/ensemble/summary.json")["warning"]


def test_without_a_control_arm_the_question_stays_open(said):
    text = Path("plots/ensemble/answer.md").read_text(encoding="utf-8")
    assert "There is no control arm" in text
    assert "Class-share diversity" not in text


def test_control_arm_that_predicted_other_patients_is_refused(workspace):
    write_members(seeds=[11])
    shutil.rmtree(RUNS / "control11")
    write_run("control11", n_patients=21)
    with pytest.raises(DataError, match="the control arm cannot stand beside the sub-databases: it lacks"):
        run_ensemble()
    assert not Path("metrics").exists()


def test_summary_counts_patients_and_recordings_by_hand(workspace):
    # Patients 0 to 11, 1 to 3 recordings each by turns (24); 0, 3, 6 and 9 positive, with 1 recording each. Fold f of 4
    # tests 3 patients of 6 recordings, one of each positive; 6 train with one recording each, 2 of them positive.
    set_params(subdbs=[5])
    write_run("subdb5", n_patients=12)
    voice_evaluate.main()
    data, model = summary_of(5)["data"], summary_of(5)["model"]
    assert (data["test"]["n_patients"], data["test"]["n_positive_patients"]) == (12, 4)
    assert (data["test"]["n_recordings"], data["test"]["n_positive_recordings"]) == (24, 4)
    assert data["test"]["prevalence_recordings"] == pytest.approx(4 / 24, abs=1e-6)
    assert (data["all"]["n_patients"], data["all"]["n_recordings"]) == (12, 24)
    assert data["per_fold"][2]["test"]["n_recordings"] == 6
    assert data["train_mean"]["n_patients"] == 6
    assert data["train_mean"]["prevalence_patients"] == pytest.approx(1 / 3, abs=1e-6)
    assert (model["name"], model["n_values"], model["mels"]) == (MODEL, 10, {"n_mels": 48})
    assert model["n_bytes"] == (RUNS / "subdb5/fold_00/model.safetensors").stat().st_size


def test_thresholds_are_those_of_the_summaries_by_the_models_digests(workspace):
    set_params(subdbs=[5])
    write_run("subdb5", n_patients=12)
    voice_evaluate.main()
    judges = read_judges(Path("artifacts/voice/thresholds.json"))
    rows = summary_of(5)["patient"]["per_fold"]
    assert [round(one.threshold, 6) for one in judges] == [row["threshold"] for row in rows]
    assert [one.reason is None for one in judges] == [row["threshold_is_from_validation"] for row in rows]
    cards = [json.loads((RUNS / f"subdb5/fold_{fold:02d}/model.json").read_text()) for fold in range(4)]
    assert [one.card_sha256 for one in judges] == [one["card_sha256"] for one in cards]
    assert {(one.member, one.train_share_1) for one in judges} == {("subdb5", 0.5)}


def without_a_row(table):
    return table.iloc[1:]


def with_other_labels(table):
    return table.assign(label=1 - table["label"])


def with_a_patient_more(table):
    return pd.concat([table, table.iloc[:1].assign(item_id="new_9_a", group="new")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_a_row, "subdb5: 0 validation and test rows of the combined table have no prediction and 1"),
        (with_other_labels, "predictions have no row"),
        (with_a_patient_more, "subdb5: 1 validation and test rows"),
    ],
)
def test_predictions_of_another_table_are_refused_by_count(workspace, change, message):
    set_params(subdbs=[5])
    predictions = pd.read_csv(write_run("subdb5") / "predictions.csv")
    write_combined("subdb5", change(predictions), train_on=range(24, 27))
    with pytest.raises(DataError, match=message) as caught:
        voice_evaluate.main()
    assert "00000000" not in str(caught.value)
    assert not Path("metrics").exists()


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_model_that_cannot_be_read_is_refused_by_its_folder(workspace, name):
    set_params(subdbs=[5])
    folder = write_run("subdb5")
    (folder / "fold_00" / name).write_bytes(b"{}")
    with pytest.raises(DataError, match="fold_00: no readable model"):
        voice_evaluate.main()


def test_fused_predictions_are_one_row_a_patient_fold_and_subset(said):
    table = pd.read_csv("artifacts/voice/ensemble/predictions.csv")
    assert not table.duplicated(["fold", "subset", "group"]).any()
    assert len(table.query("subset == 'test'")) == 24
    assert list(table.columns) == ["fold", "subset", "group", "label", *fusion.METHODS, "best_single", "baseline"]


def test_member_that_predicted_other_patients_is_refused_and_nothing_is_published(workspace):
    for subdb in (2, 5, 8):
        write_run(f"subdb{subdb}", share=subdb / 10)
    shutil.rmtree(RUNS / "subdb8")
    write_run("subdb8", n_patients=21)
    with pytest.raises(DataError, match="subdb8 cannot stand beside subdb2: it lacks") as caught:
        run_ensemble()
    assert "00000000" not in str(caught.value)
    assert not Path("metrics").exists()


def run_of(rows, folds):
    """A written run of these lines of predictions.csv and folds.csv, scored."""
    folder = write_run("subdb5")
    header = "fold,subset,item_id,group,is_original,label,p0,p1"
    (folder / "predictions.csv").write_text("\n".join([header, *rows, ""]))
    header = "fold,selected_epoch,n_train,n_val,n_test,train_share_1,n_folds"
    (folder / "folds.csv").write_text("\n".join([header, *folds, ""]))
    return evaluate.evaluate_run(read_run(folder), SETTINGS)


def test_pooled_score_and_patient_mean_by_hand(workspace):
    # Two folds, each tested once. Patient means: n1 (0.2 + 0.4) / 2 = 0.3, y1 0.6, n2 0.7, y2 (0.7 + 0.9) / 2 = 0.8.
    # Pairs (yes, no): 0.6 > 0.3, 0.6 < 0.7, 0.8 > 0.3, 0.8 > 0.7: AUROC 3/4 pooled; within folds 2 of 2.
    # By image: yes 0.6 0.7 0.9, no 0.2 0.4 0.7: 0.6 wins 2 of 3, 0.7 wins 2 and ties 1, 0.9 wins 3: 7.5 / 9;
    # within folds 0.6 wins 2 of 2, 0.7 ties its one and 0.9 wins it: 3.5 / 4.
    rows = ["0,test,n1_0,n1,1,0,0.8,0.2", "0,test,n1_1,n1,1,0,0.6,0.4", "0,test,y1_0,y1,1,1,0.4,0.6"]
    rows += ["1,test,n2_0,n2,1,0,0.3,0.7", "1,test,y2_0,y2,1,1,0.3,0.7", "1,test,y2_1,y2,1,1,0.1,0.9"]
    found = run_of(rows, ["0,2,9,0,3,0.5,2", "1,5,9,0,3,0.5,2"])
    assert found.pooled["patient"].points["auroc"] == 1
    assert found.pooled["patient"].points["auroc_pooled"] == pytest.approx(3 / 4)
    assert found.pooled["image"].points["auroc"] == pytest.approx(3.5 / 4)
    assert found.pooled["image"].points["auroc_pooled"] == pytest.approx(7.5 / 9)
    tree = evaluate.summary_tree(5, found, {"voice.evaluate": SETTINGS}, {"data": "as it is"})
    assert tree["data"] == "as it is"
    assert tree["patient"]["folds"]["auroc"] == {"mean": 1, "sd": 0, "n_defined": 2, "n_folds": 2}
    # Epochs 2 and 5: deviation sqrt((1.5^2 + 1.5^2) / 1)
    assert tree["selected_epoch"] == {"mean": 3.5, "sd": pytest.approx(4.5**0.5, abs=1e-6), "min": 2, "max": 5}
    # At 0.5: n1 right, y1 right, n2 wrong, y2 right.
    assert tree["patient"]["pooled"]["accuracy"]["value"] == 3 / 4
    assert tree["patient"]["pooled"]["sensitivity"]["value"] == 1
    assert tree["patient"]["pooled"]["specificity"]["value"] == 1 / 2


def run_of_two_folds(scores):
    """A run of two folds, each testing a patient of either class, with these probabilities of class 1."""
    subjects = [(fold, label) for fold in (0, 1) for label in (0, 1)]
    rows = [
        f"{fold},test,p{fold}{label}_0,p{fold}{label},1,{label},{1 - score:.9g},{score}"
        for (fold, label), score in zip(subjects, scores, strict=True)
    ]
    return run_of(rows, ["0,2,9,0,2,0.5,2", "1,5,9,0,2,0.5,2"])


@pytest.mark.parametrize(
    ("scores", "n_folds"),
    [((0.4998, 0.4999, 0.5007, 0.5008), 2), ((0.45, 0.55, 0.2, 0.5), 1), ((0.44, 0.5, 0.5, 0.56), 0)],
)
def test_folds_whose_network_has_hardly_moved_are_counted_and_told(workspace, scores, n_folds):
    found = run_of_two_folds(scores)
    assert found.pooled["patient"].points["auroc"] == 1  # ranked rightly all the same
    told = evaluate.notes({5: found})
    assert evaluate.details_tree({5: found})["subdb5"]["folds_hardly_moved"] == n_folds
    assert len(told) == bool(n_folds)
    assert all(f"between 0.45 and 0.55 in subdb5 ({n_folds} of 2 folds)" in line for line in told)
    assert all("train.epochs" in line for line in told)


def test_a_summary_says_that_auroc_is_within_folds_and_how_its_interval_is_made(said):
    rules = summary_of(5)["rules"]
    assert "own fold only" in rules["auroc"]
    assert "DeLong" in rules["auroc_interval"]
    same = read("artifacts/voice/ensemble/summary.json")["rules"]
    assert {name: same[name] for name in rules if name.startswith("auroc")} == {
        name: rules[name] for name in ("auroc", "auroc_interval", "auroc_pooled")
    }


@pytest.mark.fault("G11")
def test_validation_scores_stand_beside_the_test_scores_and_are_named(workspace):
    # Validation tells the patients apart, the test has them the wrong way round.
    rows = ["0,test,n_0,n,1,0,0.2,0.8", "0,test,y_0,y,1,1,0.7,0.3"]
    rows += ["0,val,m_0,m,1,0,0.6,0.4", "0,val,z_0,z,1,1,0.1,0.9"]
    tree = evaluate.summary_tree(5, run_of(rows, ["0,2,9,2,2,0.5,1"]), {}, {})
    assert tree["patient"]["validation"]["auroc"] == 1
    assert tree["patient"]["pooled"]["auroc"]["value"] == 0
    assert tree["patient"]["per_fold"][0]["auroc"] == 0
    assert "no result" in tree["rules"]["validation"]


@pytest.mark.slow
def test_patients_tested_in_two_folds_are_counted_once(workspace):
    set_params(subdbs=[5])
    path = write_run("subdb5") / "predictions.csv"
    table = pd.read_csv(path)
    again = table[(table["fold"] == 0) & (table["subset"] == "test")].assign(fold=1)
    pd.concat([table, again]).to_csv(path, index=False, float_format="%.9g")
    folds = pd.read_csv(path.with_name("folds.csv"))
    folds.loc[folds["fold"] == 1, "n_test"] += len(again)
    folds.to_csv(path.with_name("folds.csv"), index=False)
    write_combined("subdb5", pd.concat([table, again]), train_on=range(24, 27))
    run_stages()
    for found in (
        read("metrics/voice/details.json"),
        read("artifacts/voice/ensemble/summary.json"),
        summary_of(5)["patient"],
    ):
        assert (found["n"], found["n_positive"]) == (24, 8)
    assert (summary_of(5)["image"]["n"], summary_of(5)["image"]["n_positive"]) == (48, 8)
    assert pd.read_csv("plots/voice/scores.csv").groupby("level")["n"].first().to_dict() == {"image": 48, "patient": 24}


@pytest.mark.slow
def test_curves_of_few_patients_are_left_out(workspace):
    set_params(subdbs=[5])
    write_run("subdb5", positive={0, 3, 6, 9})
    run_stages()
    for name in ("voice/roc", "voice/pr", "ensemble/roc", "ensemble/pr"):
        assert pd.read_csv(f"plots/{name}.csv").empty


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 0.2, "higher"), (-0.2, -0.1, "lower"), (-0.1, 0.1, "not distinguishable"), (None, None, "undefined")],
)
def test_verdict_follows_the_interval(low, high, expected):
    assert ensemble.verdict(Estimate(0.1, low, high)) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [("inception_v3", "inception_v3_cv_summary.json"), ("hf-hub:a/b c", "hf-hub_a_b_c_cv_summary.json")],
)
def test_summary_name_is_a_file_name(model, expected):
    assert evaluate.summary_name(model) == expected


@pytest.mark.slow
def test_confounders_and_clinical_tables_say_what_the_ensemble_said(said, tmp_path, monkeypatch, capsys):
    shutil.copytree(Path(), tmp_path / "study")
    monkeypatch.chdir(tmp_path / "study")
    rows = [f"{PATIENT.format(one)},{50 + one % 3 + one},{'fm'[one % 2]},phone,true" for one in range(24)]
    survey = Path("data/voice/cohort/Demographics_Survey.csv")
    survey.parent.mkdir(parents=True)
    survey.write_text("\n".join(["healthCode,age,gender,device,professional-diagnosis", *rows, ""]))
    voice_confounders.main()
    voice_clinical.main()
    first = digests("artifacts", "metrics", "plots")
    told, tables = read("metrics/voice/confounders.json"), read("metrics/voice/clinical.json")["methods"]
    test, scores = read("metrics/voice/test.json"), pd.read_csv("plots/ensemble/scores.csv")
    assert [told["voice"][end] for end in ("value", "low", "high")] == [
        pytest.approx(test[f"voice_auroc{end}"], abs=1e-6) for end in ("", "_low", "_high")
    ]
    for method in ("soft_mean", "majority", "best_single", "baseline"):
        own = scores[scores["method"] == method].set_index("score")["value"]
        for name in ("sensitivity", "specificity"):
            assert tables[method][name]["value"] == pytest.approx(own[name], abs=1e-5)
    assert {"subdb2", "subdb5", "subdb8"} <= set(tables)
    assert len(pd.read_csv("artifacts/voice/confounders.csv")) == 24
    assert len(pd.read_csv("artifacts/voice/clinical/patients.csv")) == 24 * len(tables)
    for path in (*Path("metrics").rglob("*.*"), *Path("plots").rglob("*.csv")):
        assert PATIENT[:18] not in path.read_text(encoding="utf-8")
    assert PATIENT[:18] not in capsys.readouterr().out
    voice_clinical.main()
    voice_confounders.main()
    assert digests("artifacts", "metrics", "plots") == first
