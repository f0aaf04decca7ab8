import json

import numpy as np
import pandas as pd
import pytest

from evensong.errors import DataError
from evensong.score.predictions import (
    Predictions,
    fused_arms,
    in_part,
    originals_of,
    read_arms,
    read_predictions,
    read_run,
)

CANARY = "00000000-0000-4000-8000-00000000c0de"
HEADER = "fold,subset,item_id,group,is_original,label,p0,p1"
ROWS = [
    f"0,test,{CANARY}_1_a,{CANARY},1,1,0.25,0.75",
    f"0,test,{CANARY}_2_a,{CANARY},1,1,0.75,0.25",
    "0,val,x_1_a,x,1,0,0.5,0.5",
    "1,test,x_1_a,x,1,0,0.9,0.1",
]
FOLDS = "fold,epochs,selected_epoch,n_train,n_val,n_test,n_folds\n1,3,2,5,0,1,2\n0,3,3,5,1,2,2\n"
HISTORY = "fold,epoch,learning_rate,train_loss,val_loss,val_macro_f1\n0,1,0.1,0.7,0.6,0.5\n1,1,0.1,0.7,,\n"


def write_run(folder, rows=ROWS, folds=FOLDS, header=HEADER, classes=("no", "yes")):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "predictions.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    (folder / "folds.csv").write_text(folds)
    (folder / "history.csv").write_text(HISTORY)
    (folder / "classes.json").write_text(json.dumps({"classes": list(classes)}))
    return folder


def refusal_of(folder):
    with pytest.raises(DataError) as caught:
        read_run(folder)
    message = str(caught.value)
    assert CANARY not in message
    assert CANARY[-4:] not in message
    return message


def test_run_is_read_sorted_whatever_the_order_of_its_rows(tmp_path):
    forward, backward = read_run(write_run(tmp_path / "a")), read_run(write_run(tmp_path / "b", ROWS[::-1]))
    pd.testing.assert_frame_equal(forward.predictions.table, backward.predictions.table)
    assert forward.predictions.probabilities.tolist() == backward.predictions.probabilities.tolist()
    assert forward.folds["fold"].tolist() == [0, 1]
    assert forward.classes == ["no", "yes"]
    assert forward.history["val_loss"].isna().tolist() == [False, True]


def test_a_run_says_what_part_of_the_folds_it_is(tmp_path):
    assert read_run(write_run(tmp_path / "all")).part == ""
    some = FOLDS.replace(",1,2\n", ",1,5\n").replace(",2,2\n", ",2,5\n")
    assert read_run(write_run(tmp_path / "some", folds=some)).part == "2 of 5 folds"
    assert (in_part(9, "2 of 5 folds"), in_part(9, "")) == ("9 in 2 of 5 folds", 9)
    unknown = read_run(write_run(tmp_path / "unknown", folds=FOLDS.replace("n_folds", "n_others")))
    with pytest.raises(DataError, match="no column n_folds; run the training again"):
        _ = unknown.part


def test_names_that_look_like_numbers_or_missing_values_stay_text(tmp_path):
    rows = ["0,test,NA,null,1,0,1,0", "0,test,007,1e3,1,1,0,1"]
    path = write_run(tmp_path / "a", rows) / "predictions.csv"
    table = read_predictions(path, 2).table
    assert table["item_id"].tolist() == ["007", "NA"]
    assert table["group"].tolist() == ["1e3", "null"]


@pytest.mark.fault("G16")
@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        (0, f"0,test,{CANARY}_1_a,{CANARY},1,1,0.25,0.76", "line 2: probabilities do not sum to 1"),
        (0, f"0,test,{CANARY}_1_a,{CANARY},1,1,nan,0.75", "line 2: p0 is not a finite number"),
        (0, f"0,test,{CANARY}_1_a,{CANARY},1,1,,0.75", "line 2: p0 is not a finite number"),
        (0, f"0,test,{CANARY}_1_a,{CANARY},1,1,inf,0.75", "line 2: p0 is not a finite number"),
        (0, f"0,test,{CANARY}_1_a,{CANARY},1,1,{CANARY},0.75", "line 2: p0 is not a finite number"),
        (0, f"0,test,{CANARY}_1_a,{CANARY},1,1,-0.25,1.25", "a probability outside 0 to 1"),
        (1, ROWS[0], "line 3: an item is predicted twice in one fold (1 such lines)"),
        (1, f"0,val,{CANARY}_1_a,{CANARY},1,1,0.25,0.75", "an item is predicted twice in one fold"),
        (1, f"0,val,{CANARY}_2_a,{CANARY},1,1,0.25,0.75", "a group is in validation and in test of one fold"),
        (3, "1,test,x_1_a,x,1,1,0.9,0.1", "another label or group in another fold"),
        (3, f"1,test,x_1_a,{CANARY},1,0,0.9,0.1", "another label or group in another fold"),
        (0, f"0,train,{CANARY}_1_a,{CANARY},1,1,0.25,0.75", "subset is neither"),
        (0, f"0,test,{CANARY}_1_a,{CANARY},1,2,0.25,0.75", "label is not a whole number 0 to 1"),
        (0, f"0,test,{CANARY}_1_a,{CANARY},1,0.5,0.25,0.75", "label is not a whole number 0 to 1"),
        (0, f"0.5,test,{CANARY}_1_a,{CANARY},1,1,0.25,0.75", "fold is not a whole number"),
        (0, f"0,test,{CANARY}_1_a,,1,1,0.25,0.75", "item or group is empty"),
        (1, f"0,test,{CANARY}_2_a,{CANARY},1,1,0.25,0.75,{CANARY}", "not a well-formed CSV"),
    ],
)
def test_wrong_predictions_are_refused_by_line_and_never_by_name(tmp_path, line, replacement, message):
    rows = [replacement if number == line else row for number, row in enumerate(ROWS)]
    assert message in refusal_of(write_run(tmp_path / "a", rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ROWS[1:]}, "fold 0 has 1 test predictions, folds.csv says 2"),
        ({"rows": ROWS[:3]}, "do not hold the same folds"),
        ({"folds": FOLDS.replace("1,3,2,5,0,1", "1,3,2,5,1,1")}, "fold 1 has 0 val predictions, folds.csv says 1"),
        ({"header": HEADER.replace("p1", "p2")}, "columns missing: ['p1'], not known: 1"),
        ({"classes": ("no", "yes", "maybe")}, "columns missing: ['p2']"),
        ({"classes": ("no",)}, "at least two class names"),
    ],
)
def test_files_that_do_not_agree_are_refused(tmp_path, change, message):
    assert message in refusal_of(write_run(tmp_path / "a", **change))


@pytest.mark.parametrize("name", ["predictions.csv", "folds.csv", "history.csv", "classes.json"])
def test_missing_file_is_refused_by_its_path(tmp_path, name):
    folder = write_run(tmp_path / "a")
    (folder / name).unlink()
    assert name in refusal_of(folder)


def arms_of(tmp_path, **arms):
    """What is read beside a run of `ROWS`; each arm is what `write_run` takes besides its folder."""
    for name, change in arms.items():
        write_run(tmp_path / "arms" / name, **change)
        (tmp_path / "arms" / name / "history.csv").unlink()  # nothing was trained by epochs
    return read_arms(tmp_path / "arms", read_run(write_run(tmp_path / "network")))


def arm_refusal_of(tmp_path, **arms):
    with pytest.raises(DataError) as caught:
        arms_of(tmp_path, **arms)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_arms_are_read_by_name_and_a_file_among_them_is_none(tmp_path):
    other = [ROWS[0].replace("0.25,0.75", "1,0"), *ROWS[1:]]
    (tmp_path / "arms").mkdir()
    (tmp_path / "arms/notes.txt").touch()
    arms = arms_of(tmp_path, perch={}, baseline={"rows": other[::-1]}, birdnet={})
    assert list(arms) == ["baseline", "birdnet", "perch"]
    assert arms["perch"].probabilities.tolist() == read_run(tmp_path / "network").predictions.probabilities.tolist()
    assert arms["baseline"].probabilities[:, 1].tolist() == [0, 0.25, 0.5, 0.1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ("yes", "no")}, "its classes are not those of the network"),
        (
            {"rows": [ROWS[0].replace("_1_a", "_9_a"), *ROWS[1:]]},
            "lacks 1 predictions that the network has and holds 1",
        ),
        ({"rows": [ROWS[0].replace(f",{CANARY},1", ",x2,1"), *ROWS[1:]]}, "they disagree on 1 labels"),
        ({"rows": [ROWS[0].replace(",1,1,", ",1,0,"), *ROWS[1:]]}, "they disagree on 1 labels"),
        ({"rows": ROWS[1:]}, "fold 0 has 1 test predictions, folds.csv says 2"),
    ],
)
def test_arm_of_other_classes_or_rows_is_refused_by_its_name(tmp_path, change, message):
    said = arm_refusal_of(tmp_path, baseline={}, perch=change)
    assert "perch" in said
    assert message in said


def test_an_arm_of_the_originals_alone_has_the_rows_of_these(tmp_path):
    rows = [ROWS[0].replace(f",{CANARY},1", f",{CANARY},0"), *ROWS[1:]]
    assert rows != ROWS
    run = read_run(write_run(tmp_path / "network", rows=rows))
    bare = originals_of(run.predictions)
    assert len(bare.labels) == len(ROWS) - 1
    opposite = bare.replaced(1 - bare.probabilities)
    fused = fused_arms(run.predictions, {"baseline": run.predictions, "perch": opposite})
    assert list(fused) == ["perch_fused"]
    assert fused["perch_fused"].probabilities == pytest.approx(np.full((len(ROWS) - 1, 2), 0.5))
    assert fused["perch_fused"].table.equals(bare.table)


@pytest.mark.parametrize("arms", [{}, {"perch": {}}])
def test_without_the_baseline_nothing_is_compared(tmp_path, arms):
    assert "arms/baseline/classes.json" in arm_refusal_of(tmp_path, **arms)


def test_mean_by_group_by_hand(tmp_path):
    means = read_run(write_run(tmp_path / "a")).predictions.by_group()
    # fold 0, test: (0.75 + 0.25) / 2; fold 0, val and fold 1, test: one item each
    assert means.table[["fold", "subset", "label"]].values.tolist() == [[0, "test", 1], [0, "val", 0], [1, "test", 0]]
    assert means.probabilities[:, 1] == pytest.approx([0.5, 0.5, 0.1])


def test_mean_by_group_keeps_classes_of_a_group_and_folds_apart():
    table = pd.DataFrame(
        {"fold": [0, 0, 0, 1], "subset": "test", "item_id": list("abca"), "group": "site", "is_original": True}
    ).assign(label=[1, 0, 1, 1])
    positive = np.array([0.2, 0.4, 0.6, 0.9])
    means = Predictions(table, np.column_stack([1 - positive, positive])).by_group()
    assert means.table[["fold", "label"]].values.tolist() == [[0, 0], [0, 1], [1, 1]]
    assert means.probabilities[:, 1] == pytest.approx([0.4, 0.4, 0.9])


def test_mean_by_group_of_nothing_is_nothing():
    table = pd.DataFrame(columns=["fold", "subset", "item_id", "group", "is_original", "label"])
    assert len(Predictions(table, np.zeros((0, 3))).by_group().labels) == 0
