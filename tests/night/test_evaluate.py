import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import night_evaluate
from evensong.errors import DataError
from evensong.night import evaluate
from evensong.params import load_section
from evensong.schemas import Evaluate
from evensong.score.estimates import make_bootstrap, multiclass_scores, score
from evensong.score.predictions import read_run

ROOT = Path(__file__).parents[2]
SETTINGS = Evaluate(seed=1, n_bootstrap=100, confidence=0.95)
RUN = Path("artifacts/night/train")
ARM = Path("artifacts/night/arms/baseline")


def write_run(folder, rows, classes, n_epochs=3, n_folds=None):
    """Write a training folder from rows (fold, subset, item, group, is_original, label, probabilities...)."""
    folder.mkdir(parents=True)
    names = ["fold", "subset", "item_id", "group", "is_original", "label", *(f"p{i}" for i in range(len(classes)))]
    table = pd.DataFrame([(*row[:6], *row[6]) for row in rows], columns=names)
    table.to_csv(folder / "predictions.csv", index=False, float_format="%.9g")
    folds = sorted(table["fold"].unique())
    counts = [
        [((table["fold"] == fold) & (table["subset"] == subset)).sum() for subset in ("val", "test")] for fold in folds
    ]
    lines = [f"{fold},3,2,9,{n[0]},{n[1]},{n_folds or len(folds)}\n" for fold, n in zip(folds, counts, strict=True)]
    (folder / "folds.csv").write_text("fold,epochs,selected_epoch,n_train,n_val,n_test,n_folds\n" + "".join(lines))
    lines = [f"{fold},{epoch},0.1,{1 / epoch:.4g},,\n" for fold in folds for epoch in range(1, n_epochs + 1)]
    (folder / "history.csv").write_text("fold,epoch,learning_rate,train_loss,val_loss,val_macro_f1\n" + "".join(lines))
    (folder / "classes.json").write_text(json.dumps({"classes": classes}))
    return folder


def write_arms(rows, classes, n_folds=None):
    """A network with these predictions, and a baseline that half mistakes each class for the one before it."""
    write_run(RUN, rows, classes, n_folds=n_folds)
    write_run(ARM, [(*row[:6], (np.array(row[6]) + np.roll(row[6], -1)) / 2) for row in rows], classes)


def random_rows(n_classes, n_folds=1, n_sources=12, with_val=True, tested=None, seed=0):
    """Sources with two clips and one copy each; class of source s is s % n_classes."""
    rng = np.random.default_rng(seed)
    rows = []
    for fold in range(n_folds):
        for source in range(n_sources):
            subset = "val" if with_val and source % 5 == 3 else "test"
            label = source % n_classes
            if tested is not None and label not in tested:
                continue
            for item in range(4):
                probabilities = rng.dirichlet(np.ones(n_classes) + 3 * np.eye(n_classes)[label])
                name = f"secret{fold}_{source}_{item}"
                rows.append((fold, subset, name, f"secret{fold}-{source}", int(item % 2 == 0), label, probabilities))
    return rows


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with params.yaml, to run the stage in."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("n_bootstrap: 2000", "n_bootstrap: 100"), encoding="utf-8")
    return tmp_path


def outputs():
    return {
        path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("metrics", "plots")
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def load_seed():
    return load_section("night.evaluate", Evaluate).seed


def read(name):
    return json.loads(Path(f"metrics/night/{name}.json").read_text(encoding="utf-8"))


def test_clip_and_source_scores_by_hand(tmp_path):
    # Test originals: source a (owl): clips owl 0.9, wind 0.4 -> one of two right; its mean 0.65 is right.
    #                 source b (wind): clips owl 0.8, wind 0.9 -> one right; its mean owl 0.45 is right.
    # The copy of a is wrong and counts in 'all' only.
    rows = [
        (0, "test", "a1", "a", 1, 0, (0.9, 0.1)),
        (0, "test", "a2", "a", 1, 0, (0.4, 0.6)),
        (0, "test", "a3", "a", 0, 0, (0.2, 0.8)),
        (0, "test", "b1", "b", 1, 1, (0.8, 0.2)),
        (0, "test", "b2", "b", 1, 1, (0.1, 0.9)),
        (0, "val", "c1", "c", 1, 1, (0.1, 0.9)),
    ]
    # The baseline mistakes a1 for wind: F1 of owl is 2/3 (recall 1/2), of wind 4/5 (precision 2/3).
    answers = {"a1": (0.4, 0.6), "a2": (0.9, 0.1), "b1": (0.2, 0.8), "b2": (0.3, 0.7)}
    run = read_run(write_run(tmp_path / "train", rows, ["owl", "wind"]))
    others = [(*row[:6], answers.get(row[2], row[6])) for row in rows]
    baseline = read_run(write_run(tmp_path / "baseline", others, ["owl", "wind"])).predictions
    arms = {"network": run.predictions.subset("test"), "baseline": baseline.subset("test")}
    found = evaluate.evaluate_views(arms, SETTINGS)
    tree = evaluate.details_tree(run, found)
    assert tree["originals"]["clip"]["accuracy"]["value"] == pytest.approx(2 / 4)
    assert tree["originals"]["source"]["accuracy"]["value"] == 1
    assert tree["all"]["clip"]["accuracy"]["value"] == pytest.approx(2 / 5)
    # with the copy the mean of a is (0.9 + 0.4 + 0.2) / 3 = 0.5: the first class of equals, right
    assert tree["all"]["source"]["accuracy"]["value"] == 1
    assert [tree["originals"][level]["n"] for level in evaluate.LEVELS] == [4, 2]
    assert [tree["all"][level]["n"] for level in evaluate.LEVELS] == [5, 2]
    # wind: b2 of the two chosen is right, and of two clips
    assert tree["classes"]["wind"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "n": 2}
    headline = evaluate.headline_tree(run, found)
    assert (headline["night_f1"], headline["night_n"]) == (0.5, 4)
    assert headline["night_baseline_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2, abs=1e-6)
    added = tree["arms"]["baseline"]["network_minus_clip"]["macro_f1"]["value"]
    assert added == pytest.approx(0.5 - (2 / 3 + 4 / 5) / 2, abs=1e-6)
    undefined = {"value": None, "reason": "one class in the truth"}
    assert tree["validation"]["clip"] == {"n": 1, "macro_f1": undefined, "balanced_accuracy": undefined}


def test_a_part_of_the_folds_is_told_beside_the_number_of_clips(workspace):
    write_arms(random_rows(2, n_folds=2), ["owl", "wind"], n_folds=5)
    night_evaluate.main()
    assert read("test")["night_n"] == f"{read('details')['originals']['clip']['n']} in 2 of 5 folds"
    assert read("details")["folds"] == "2 of 5 folds"


@pytest.mark.parametrize(("n_classes", "n_folds", "with_val"), [(2, 1, True), (3, 3, False), (30, 2, True)])
def test_stage_writes_plain_numbers_and_no_file_names(workspace, n_classes, n_folds, with_val):
    rows = random_rows(n_classes, n_folds, n_sources=2 * max(n_classes, 6), with_val=with_val)
    classes = [f"Käuz, {label}" for label in range(n_classes)]
    write_arms(rows, classes)
    night_evaluate.main()
    headline, tree = read("test"), read("details")
    assert (tree["n_classes"], tree["n_folds"]) == (n_classes, n_folds)
    macro_f1 = tree["originals"]["clip"]["macro_f1"]
    assert macro_f1["low"] <= macro_f1["value"] <= macro_f1["high"]
    numbers = {"night_f1": macro_f1["value"], "night_f1_low": macro_f1["low"], "night_f1_high": macro_f1["high"]}
    baseline_f1 = tree["arms"]["baseline"]["clip"]["macro_f1"]["value"]
    assert headline == numbers | {"night_n": tree["originals"]["clip"]["n"], "night_baseline_f1": baseline_f1}
    assert (tree["validation"]["clip"]["macro_f1"]["value"] is not None) == with_val
    for path in outputs():
        text = Path(path).read_text(encoding="utf-8")
        assert "secret" not in text
        assert not {"NaN", "nan", "inf"} & set(re.split(r"[^A-Za-z]+", text))
    per_class = pd.read_csv("plots/night/per_class.csv")
    assert per_class["class"].tolist() == classes
    originals = [row for row in rows if row[1] == "test" and row[4]]
    assert per_class["support"].sum() == len(originals) == pd.read_csv("plots/night/confusion.csv")["clips"].sum()
    assert not RUN.parent.joinpath("../.staging/night_evaluate").exists()


def test_stage_writes_the_same_bytes_whatever_the_order_of_predictions(workspace):
    rows = random_rows(4)
    write_arms(rows, list("abcd"))
    night_evaluate.main()
    first = outputs()
    for folder in (RUN, ARM):
        shutil.rmtree(folder)
    write_arms(rows[::-1], list("abcd"))
    night_evaluate.main()
    assert outputs() == first


def test_keys_do_not_depend_on_the_predictions(workspace):
    def keys(tree):
        return {key: keys(value) for key, value in tree.items()} if isinstance(tree, dict) else None

    found = []
    for seed in (0, 1):
        for folder in (RUN, ARM):
            shutil.rmtree(folder, ignore_errors=True)
        write_arms(random_rows(3, seed=seed), list("abc"))
        night_evaluate.main()
        found.append(keys(read("test")) | keys(read("details")))
    assert found[0] == found[1]


def test_absent_classes_are_left_out_of_the_means_and_blank_in_the_class_table(workspace):
    write_arms(random_rows(4, tested={0, 1}), list("abcd"))
    night_evaluate.main()
    tree = read("details")
    table = pd.read_csv("plots/night/per_class.csv")
    assert table["recall"].isna().tolist() == [False, False, True, True]
    expected = table["recall"].iloc[:2].mean()
    assert tree["originals"]["clip"]["balanced_accuracy"]["value"] == pytest.approx(expected, abs=1e-5)
    assert set(pd.read_csv("plots/night/roc.csv")["curve"]) == {"a", "b", "chance"}
    assert tree["classes"]["c"]["reason"] == "no test clips"


def test_one_class_in_the_test_set_is_null_with_a_reason(workspace):
    write_arms(random_rows(3, tested={1}), list("abc"))
    night_evaluate.main()
    tree = read("details")
    expected = {"value": None, "low": None, "high": None, "reason": "one class in the truth"}
    assert tree["originals"]["clip"]["macro_f1"] == expected
    assert [read("test")[f"night_f1{end}"] for end in ("", "_low", "_high")] == [None] * 3
    assert read("test")["night_baseline_f1"] is None
    assert tree["arms"]["baseline"]["network_minus_clip"]["macro_f1"] == expected
    assert tree["all"]["source"]["auroc"] == {"value": None, "reason": "one class in the truth"}
    assert tree["originals"]["clip"]["accuracy"]["value"] is not None


def test_what_the_network_adds_is_paired_on_one_bootstrap(workspace):
    write_arms(random_rows(3), list("abc"))
    night_evaluate.main()
    # drawn here by hand: clips of originals, sources of both arms drawn together
    tests = [read_run(folder).predictions.subset("test") for folder in (RUN, ARM)]
    units = [evaluate.units_of(test.where(test.table["is_original"])) for test in tests]
    bootstrap = make_bootstrap(units[0], SETTINGS.model_copy(update={"seed": load_seed()}), "night")
    network, baseline = (score(one, multiclass_scores, bootstrap) for one in units)
    tree = read("details")["arms"]["baseline"]
    table = pd.read_csv("plots/night/differences.csv").set_index(["level", "score"])
    for name in evaluate.HEADLINE:
        expected = network.minus(baseline, name).tree()
        assert tree["network_minus_clip"][name] == expected
        assert table.loc[("clip", name), ["value", "low", "high"]].tolist() == pytest.approx(
            [expected[part] for part in ("value", "low", "high")], abs=1e-5
        )
    assert tree["network_minus_clip"]["macro_f1"]["value"] > 0


def test_other_arms_are_scored_on_originals_alone_and_a_missing_one_is_refused(workspace):
    write_arms(random_rows(3), list("abc"))
    night_evaluate.main()
    table = pd.read_csv("plots/night/scores.csv")
    assert set(table.loc[table["arm"] == "baseline", "files"]) == {"originals"}
    assert set(table.loc[table["arm"] == "network", "files"]) == {"originals", "all"}
    shutil.rmtree(ARM)
    with pytest.raises(DataError, match="artifacts/night/arms/baseline"):
        night_evaluate.main()


def test_an_embedding_of_originals_is_scored_alone_and_averaged_with_the_network(workspace):
    # The network takes b0 for owl by 0.6, the embedding for wind by 0.9: together wind. b2 it is the other way by 0.9.
    rows = [
        (0, "test", f"{name}{n}", f"{name}{n}", int(n % 2 == 0), k, (0.9 - 0.8 * k, 0.1 + 0.8 * k))
        for k, name in enumerate("ab")
        for n in range(4)
    ]
    network = [(*row[:6], (0.6, 0.4)) if row[2] == "b0" else row for row in rows]
    embedding = [(*row[:6], (0.95, 0.05)) if row[2] == "b2" else row for row in rows if row[4]]
    write_arms(network, ["owl", "wind"])
    write_run(ARM.with_name("perch"), embedding, ["owl", "wind"])
    night_evaluate.main()
    arms = read("details")["arms"]
    assert list(arms) == ["baseline", "perch", "perch_fused"]
    assert arms["perch"]["clip"]["accuracy"]["value"] == 0.75
    assert arms["perch_fused"]["clip"]["accuracy"]["value"] == 0.75  # b0 is right now, b2 is not
    assert arms["perch_fused"]["network_minus_clip"]["accuracy"]["value"] == 0
    assert arms["perch_fused"]["clip"]["auroc"]["value"] == 1  # a0 and a2 0.9, b0 0.35, b2 0.525
    table = pd.read_csv("plots/night/scores.csv")
    assert set(table.loc[table["arm"] == "perch", "files"]) == {"originals"}
    assert table[table["arm"] != "network"].groupby("arm")["colour"].first().nunique() == 3
    assert pd.read_csv("plots/night/differences.csv")["arm"].unique().tolist() == ["baseline", "perch", "perch_fused"]


def test_several_embeddings_stand_beside_each_other_by_name(workspace):
    rows = random_rows(2)
    write_arms(rows, ["owl", "wind"])
    for name in ("two", "one"):
        write_run(ARM.with_name(name), [row for row in rows if row[4]], ["owl", "wind"])
    night_evaluate.main()
    assert list(read("details")["arms"]) == ["baseline", "one", "one_fused", "two", "two_fused"]


def test_a_source_of_two_classes_is_one_source_and_scored_once_for_each(workspace):
    rows = [
        (fold, subset, item, group.replace("-1", "-0"), *rest) for fold, subset, item, group, *rest in random_rows(2)
    ]
    write_arms(rows, ["owl", "rain"])
    night_evaluate.main()
    of = read("details")["originals"]["source"]
    tested = {(group, label) for _, subset, _, group, is_original, label, _ in rows if subset == "test" and is_original}
    assert (of["sources"], of["n"]) == (len({group for group, _ in tested}), len(tested))
    assert of["sources"] < of["n"]


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_300_classes_are_shown_as_the_worst_30_and_the_others(workspace):
    names = [f"species {label:03d}" for label in range(300)]
    write_arms(random_rows(300, n_sources=330), names)
    night_evaluate.main()
    classes, table = read("details")["classes"], pd.read_csv("plots/night/per_class.csv")
    f1 = {name: row["f1"] for name, row in classes.items() if row["n"]}
    named = table["class"][:-1].tolist()
    assert table["class"].iloc[-1] == "270 others (mean)"
    assert len(named) == 30
    assert max(f1[name] for name in named) <= min(f1[name] for name in set(f1) - set(named))
    assert table["support"].sum() == read("test")["night_n"]
    confusion = pd.read_csv("plots/night/confusion.csv")
    order = [*named, "270 others"]
    assert confusion["actual"].unique().tolist() == confusion["predicted"].unique().tolist() == order
    assert confusion["clips"].sum() == read("test")["night_n"]
    for curve in ("roc", "pr"):
        shown = pd.read_csv(f"plots/night/{curve}.csv")["curve"].unique().tolist()
        assert shown == [*named, f"{len(f1) - 30} others (mean)", "chance"]
