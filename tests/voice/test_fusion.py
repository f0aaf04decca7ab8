import numpy as np
import pandas as pd
import pytest

from evensong.errors import DataError
from evensong.score.predictions import KEY_COLUMNS, Predictions, TrainingRun
from evensong.voice import fusion
from evensong.voice.patients import decide, level_of

CANARY = "00000000-0000-4000-8000-00000000c0de"


def run_of(rows, shares=None):
    """A training run from rows (fold, subset, patient, recording, label, p1)."""
    names = ["fold", "subset", "group", "recording", "label", "p1"]
    table = pd.DataFrame(rows, columns=names).assign(is_original=True)
    table["item_id"] = table["group"] + "_" + table["recording"].astype(str)
    table = table.sort_values(KEY_COLUMNS, ignore_index=True)
    folds = sorted(table["fold"].unique())
    shares = shares or dict.fromkeys(folds, 0.5)
    positive = table["p1"].to_numpy()
    predictions = Predictions(
        table[[*KEY_COLUMNS, "group", "is_original", "label"]], np.column_stack([1 - positive, positive])
    )
    return TrainingRun(
        ["0", "1"],
        predictions,
        pd.DataFrame({"fold": folds, "train_share_1": [shares[fold] for fold in folds], "n_folds": len(folds)}),
        pd.DataFrame(),
    )


def one_fold(*probabilities):
    """One fold: validation patients v (no) and w (yes), test patients t (no) and u (yes), one recording each."""
    names, labels, subsets = "vwtu", (0, 1, 0, 1), ("val", "val", "test", "test")
    return run_of([(0, s, n, 0, y, p) for s, n, y, p in zip(subsets, names, labels, probabilities, strict=True)])


def positives(predictions):
    return dict(zip(predictions.table["group"], predictions.probabilities[:, 1], strict=True))


def test_soft_mean_is_the_mean_of_the_members_by_patient():
    members = fusion.join_members({"a": one_fold(0.1, 0.9, 0.2, 0.6), "b": one_fold(0.3, 0.5, 0.4, 0.8)})
    assert positives(fusion.soft_mean(members)) == pytest.approx({"v": 0.2, "w": 0.7, "t": 0.3, "u": 0.7})


def test_soft_mean_averages_recordings_first():
    rows = [(0, "test", "t", 0, 1, 0.2), (0, "test", "t", 1, 1, 0.6), (0, "test", "u", 0, 0, 0.1)]
    members = fusion.join_members({"a": run_of(rows), "b": run_of([(*row[:5], 0.5) for row in rows])})
    assert positives(fusion.soft_mean(members))["t"] == pytest.approx((0.4 + 0.5) / 2)


def test_majority_votes_at_each_members_own_threshold():
    # Thresholds from v and w: a (0.1 + 0.9) / 2 = 0.5, b (0.6 + 0.8) / 2 = 0.7, c (0.2 + 0.4) / 2 = 0.3.
    # t: a 0.6 yes, b 0.65 no, c 0.25 no -> 1/3. u: a 0.4 no, b 0.75 yes, c 0.35 yes -> 2/3.
    members = fusion.join_members(
        {"a": one_fold(0.1, 0.9, 0.6, 0.4), "b": one_fold(0.6, 0.8, 0.65, 0.75), "c": one_fold(0.2, 0.4, 0.25, 0.35)}
    )
    votes = positives(fusion.majority(members))
    assert votes == pytest.approx({"v": 0, "w": 1, "t": 1 / 3, "u": 2 / 3})
    level = fusion.fuse(members)["majority"]
    assert dict(zip(level.test.table["group"], decide(level.test, level.thresholds), strict=True)) == {"t": 0, "u": 1}


def test_majority_tie_counts_as_class_1():
    members = fusion.join_members({"a": one_fold(0.1, 0.9, 0.6, 0.4), "b": one_fold(0.1, 0.9, 0.4, 0.6)})
    level = fusion.fuse(members)["majority"]
    assert decide(level.test, level.thresholds).tolist() == [1, 1]


def test_prior_correction_undoes_the_training_share():
    # The same evidence seen by members that learned 20 % and 80 %: odds 0.25 * e and 4 * e. The natural share of
    # v and w is 1/2, so both must become odds e.
    evidence = np.array([0.2, 5.0, 0.5, 3.0])

    def member(odds):
        return one_fold(*(odds * evidence / (1 + odds * evidence)))

    low, high = member(0.25), member(4.0)
    low = TrainingRun(low.classes, low.predictions, low.folds.assign(train_share_1=0.2), low.history)
    high = TrainingRun(high.classes, high.predictions, high.folds.assign(train_share_1=0.8), high.history)
    corrected = positives(fusion.prior_corrected(fusion.join_members({"low": low, "high": high})))
    expected = dict(zip("vwtu", evidence / (1 + evidence), strict=True))
    assert corrected == pytest.approx(expected)


def test_natural_share_counts_each_validation_patient_once_whatever_their_recordings_and_folds():
    # Validated: a and b (no), c (yes, three recordings, and again in fold 1). By patient 1/3; by recording 6/8.
    # The member learned one half, so odds halve: t of 0.5 becomes 1/3.
    rows = [(0, "val", "a", 0, 0, 0.2), (0, "val", "b", 0, 0, 0.2), (0, "test", "t", 0, 1, 0.5)]
    rows += [(fold, "val", "c", recording, 1, 0.8) for fold in (0, 1) for recording in range(3)]
    members = fusion.join_members({"m": run_of([*rows, (1, "test", "u", 0, 0, 0.5)])})
    assert fusion.natural_share(members) == pytest.approx(1 / 3)
    assert positives(fusion.prior_corrected(members))["t"] == pytest.approx(1 / 3)


def test_prior_correction_bears_certain_members():
    members = fusion.join_members({"a": one_fold(0, 1, 0, 1)})
    values = fusion.prior_corrected(members).probabilities
    assert np.isfinite(values).all()
    assert values.sum(axis=1) == pytest.approx(np.ones(4))


def test_weights_grow_with_validation_auroc_above_chance():
    aurocs = np.array([[0.9, 0.5, np.nan], [0.7, 0.3, np.nan]])
    # gains 0.4 and 0.2; none above chance: equal; undefined: equal
    assert fusion.member_weights(aurocs) == pytest.approx(np.array([[2 / 3, 0.5, 0.5], [1 / 3, 0.5, 0.5]]))


def three_folds(wrong_patient=None, sign=1):
    """Patients 0 to 5, two a fold, fold f tests pair f and validates on pair f + 1; odd patients are positive."""
    rows = []
    for fold in range(3):
        for subset, pair in (("test", fold), ("val", (fold + 1) % 3)):
            for patient in (2 * pair, 2 * pair + 1):
                score = 0.5 + sign * (0.2 if patient % 2 else -0.2) + patient / 100
                rows.append((fold, subset, f"p{patient}", 0, patient % 2, 0.99 if patient == wrong_patient else score))
    return run_of(rows)


def test_evidence_for_a_fold_leaves_out_those_tested_in_it():
    # Patient 0 (negative, tested in fold 0) is scored highest by the second member.
    members = fusion.join_members({"good": three_folds(), "flawed": three_folds(wrong_patient=0)})
    aurocs = fusion.validation_aurocs(members)
    assert aurocs[0].tolist() == [1, 1, 1]
    assert aurocs[1, 0] == 1  # its flaw is not seen by the fold that tests patient 0
    assert aurocs[1, 1] < 1
    assert aurocs[1, 2] < 1


def test_best_member_is_one_for_all_folds_and_the_first_of_equals():
    runs = {"bad": three_folds(sign=-1), "good": three_folds(), "as good": three_folds()}
    assert fusion.best_member(fusion.join_members(runs)) == 1
    fused = fusion.fuse(fusion.join_members(runs))
    good = fusion.join_members({"good": three_folds()})
    assert positives(fused["best_single"].test) == positives(good.patients[0].subset("test"))


def test_one_member_fuses_to_itself():
    members = fusion.join_members({"a": three_folds()})
    alone = level_of(members.patients[0])
    for name, level in fusion.fuse(members).items():
        if name != "majority":
            assert level.test.probabilities == pytest.approx(alone.test.probabilities), name
        assert decide(level.test, level.thresholds).tolist() == decide(alone.test, alone.thresholds).tolist(), name


@pytest.mark.fault("G14")
def test_rows_are_joined_on_ids_not_on_position():
    rows = [(0, "test", name, 0, label, p) for name, label, p in (("t", 0, 0.2), ("u", 1, 0.9), ("s", 1, 0.7))]
    members = fusion.join_members({"a": run_of(rows), "b": run_of(rows[::-1])})
    assert positives(fusion.soft_mean(members)) == pytest.approx({"t": 0.2, "u": 0.9, "s": 0.7})


def refusal_of(first, second):
    with pytest.raises(DataError) as caught:
        fusion.join_members({"subdb1": first, "subdb2": second})
    assert CANARY not in str(caught.value)
    return str(caught.value)


ROW = (0, "test", CANARY, 0, 1, 0.5)
OTHER = (0, "test", "x", 0, 0, 0.5)


@pytest.mark.fault("G13")
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([OTHER], "subdb2 cannot stand beside subdb1: it lacks 1 predictions that subdb1 has and holds 0"),
        (
            [OTHER, ROW, (0, "test", CANARY, 1, 1, 0.5)],
            "subdb2 cannot stand beside subdb1: it lacks 0 predictions that subdb1 has and holds 1",
        ),
        ([OTHER, (0, "val", CANARY, 0, 1, 0.5)], "lacks 1 predictions that subdb1 has and holds 1"),
        ([OTHER, (1, "test", CANARY, 0, 1, 0.5)], "lacks 1 predictions"),
        ([OTHER, (0, "test", CANARY, 0, 0, 0.5)], "disagree on 1 labels"),
    ],
)
def test_members_with_other_rows_are_refused_by_count(rows, message):
    assert message in refusal_of(run_of([ROW, OTHER]), run_of(rows))


@pytest.mark.fault("G15")
def test_member_with_other_folds_is_refused():
    # Fold 0 of the second member tests whom fold 0 of the first one trains on. Each member alone is free of a leak.
    first = three_folds()
    table = first.predictions.table.assign(fold=(first.predictions.table["fold"] + 1) % 3)
    order = table.sort_values(KEY_COLUMNS, kind="stable").index.to_numpy()
    rotated = Predictions(table.loc[order].reset_index(drop=True), first.predictions.probabilities[order])
    message = refusal_of(first, TrainingRun(first.classes, rotated, first.folds, first.history))
    assert "it lacks 12 predictions that subdb1 has and holds 12 that it has not" in message


def test_patient_with_two_labels_is_refused_by_count():
    rows = [ROW, (0, "test", CANARY, 1, 0, 0.5)]
    assert "1 patients have two labels" in refusal_of(run_of(rows), run_of(rows))


def test_folds_without_training_shares_are_refused():
    bare = run_of([ROW, OTHER])
    bare = TrainingRun(bare.classes, bare.predictions, bare.folds[["fold", "n_folds"]], bare.history)
    assert "no column train_share_1" in refusal_of(run_of([ROW, OTHER]), bare)
