import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import night_evaluate
from evensong.night import evaluate
from evensong.schemas import Evaluate
from evensong.score.predictions import read_run

ROOT = Path(__file__).parents[2]
SETTINGS = Evaluate(seed=1, n_bootstrap=100, confidence=0.95)
RUN = Path("artifacts/night/train")


def write_run(folder, rows, classes, n_epochs=3):
    """Write a training folder from rows (fold, subset, item, group, is_original, label, probabilities...)."""
    folder.mkdir(parents=True)
    names = ["fold", "subset", "item_id", "group", "is_original", "label", *(f"p{i}" for i in range(len(classes)))]
    table = pd.DataFrame([(*row[:6], *row[6]) for row in rows], columns=names)
    table.to_csv(folder / "predictions.csv", index=False, float_format="%.9g")
    folds = sorted(table["fold"].unique())
    counts = [
        [((table["fold"] == fold) & (table["subset"] == subset)).sum() for subset in ("val", "test")] for fold in folds
    ]
    lines = [f"{fold},3,2,9,{n_val},{n_test}\n" for fold, (n_val, n_test) in zip(folds, counts, strict=True)]
    (folder / "folds.csv").write_text("fold,epochs,selected_epoch,n_train,n_val,n_test\n" + "".join(lines))
    lines = [f"{fold},{epoch},0.1,{1 / epoch:.4g},,\n" for fold in folds for epoch in range(1, n_epochs + 1)]
    (folder / "history.csv").write_text("fold,epoch,learning_rate,train_loss,val_loss,val_macro_f1\n" + "".join(lines))
    (folder / "classes.json").write_text(json.dumps({"classes": classes}))
    return folder


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
    run = read_run(write_run(tmp_path / "train", rows, ["owl", "wind"]))
    found = evaluate.evaluate_views(run.predictions.subset("test"), SETTINGS)
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
    undefined = {"value": None, "reason": "one class in the truth"}
    assert tree["validation"]["clip"] == {"n": 1, "macro_f1": undefined, "balanced_accuracy": undefined}


@pytest.mark.parametrize(("n_classes", "n_folds", "with_val"), [(2, 1, True), (3, 3, False), (30, 2, True)])
def test_stage_writes_plain_numbers_and_no_file_names(workspace, n_classes, n_folds, with_val):
    rows = random_rows(n_classes, n_folds, n_sources=2 * max(n_classes, 6), with_val=with_val)
    classes = [f"Käuz, {label}" for label in range(n_classes)]
    write_run(RUN, rows, classes)
    night_evaluate.main()
    headline, tree = read("test"), read("details")
    assert (tree["n_classes"], tree["n_folds"]) == (n_classes, n_folds)
    macro_f1 = tree["originals"]["clip"]["macro_f1"]
    assert macro_f1["low"] <= macro_f1["value"] <= macro_f1["high"]
    numbers = {"night_f1": macro_f1["value"], "night_f1_low": macro_f1["low"], "night_f1_high": macro_f1["high"]}
    assert headline == numbers | {"night_n": tree["originals"]["clip"]["n"]}
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
    write_run(RUN, rows, list("abcd"))
    night_evaluate.main()
    first = outputs()
    shutil.rmtree(RUN)
    write_run(RUN, rows[::-1], list("abcd"))
    night_evaluate.main()
    assert outputs() == first


def test_keys_do_not_depend_on_the_predictions(workspace):
    def keys(tree):
        return {key: keys(value) for key, value in tree.items()} if isinstance(tree, dict) else None

    found = []
    for seed in (0, 1):
        shutil.rmtree(RUN, ignore_errors=True)
        write_run(RUN, random_rows(3, seed=seed), list("abc"))
        night_evaluate.main()
        found.append(keys(read("test")) | keys(read("details")))
    assert found[0] == found[1]


def test_absent_classes_are_left_out_of_the_means_and_blank_in_the_class_table(workspace):
    write_run(RUN, random_rows(4, tested={0, 1}), list("abcd"))
    night_evaluate.main()
    tree = read("details")
    table = pd.read_csv("plots/night/per_class.csv")
    assert table["recall"].isna().tolist() == [False, False, True, True]
    expected = table["recall"].iloc[:2].mean()
    assert tree["originals"]["clip"]["balanced_accuracy"]["value"] == pytest.approx(expected, abs=1e-5)
    assert set(pd.read_csv("plots/night/roc.csv")["curve"]) == {"a", "b", "chance"}
    assert tree["classes"]["c"]["reason"] == "no test clips"


def test_one_class_in_the_test_set_is_null_with_a_reason(workspace):
    write_run(RUN, random_rows(3, tested={1}), list("abc"))
    night_evaluate.main()
    tree = read("details")
    expected = {"value": None, "low": None, "high": None, "reason": "one class in the truth"}
    assert tree["originals"]["clip"]["macro_f1"] == expected
    assert [read("test")[f"night_f1{end}"] for end in ("", "_low", "_high")] == [None] * 3
    assert tree["all"]["source"]["auroc"] == {"value": None, "reason": "one class in the truth"}
    assert tree["originals"]["clip"]["accuracy"]["value"] is not None


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_300_classes_are_shown_as_the_worst_30_and_the_others(workspace):
    names = [f"species {label:03d}" for label in range(300)]
    write_run(RUN, random_rows(300, n_sources=900), names)
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
