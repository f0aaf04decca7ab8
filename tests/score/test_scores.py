import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from evensong.score import probability_scores as ranks
from evensong.score import scores
from evensong.score.estimates import Units, binary_scores

# Three classes, twelve items. Rows are the truth, columns the choice:
#        0  1  2
#   0    3  1  0   recall 3/4, precision 3/4, F1 3/4
#   1    1  2  1   recall 2/4, precision 2/5, F1 4/9
#   2    0  2  2   recall 2/4, precision 2/3, F1 4/7
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
CHOSEN = np.array([0, 0, 0, 1, 0, 1, 1, 2, 1, 1, 2, 2])
TABLE = np.array([[3, 1, 0], [1, 2, 1], [0, 2, 2]])


@st.composite
def classified(draw, max_classes=5, max_items=25):
    """Labels and probabilities on a coarse grid, so that ties happen."""
    n_classes = draw(st.integers(2, max_classes))
    n_items = draw(st.integers(2, max_items))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grid = rng.integers(0, draw(st.integers(1, 8)) + 1, (n_items, n_classes)) + 1e-9
    return rng.integers(0, n_classes, n_items), grid / grid.sum(axis=1, keepdims=True)


def test_confusion_of_worked_table():
    assert scores.confusion(LABELS, CHOSEN, 3).tolist() == TABLE.tolist()


def test_class_scores_of_worked_table():
    table = TABLE.astype(float)
    assert scores.class_recall(table) == pytest.approx([3 / 4, 2 / 4, 2 / 4])
    assert scores.class_precision(table) == pytest.approx([3 / 4, 2 / 5, 2 / 3])
    assert scores.class_f1(table) == pytest.approx([3 / 4, 4 / 9, 4 / 7])


def test_mean_scores_of_worked_table():
    table = TABLE.astype(float)
    assert scores.accuracy_from(table) == pytest.approx(7 / 12)
    assert scores.balanced_accuracy_from(table) == pytest.approx((3 / 4 + 2 / 4 + 2 / 4) / 3)
    assert scores.macro_f1_from(table) == pytest.approx((3 / 4 + 4 / 9 + 4 / 7) / 3)
    # 7 right of 12; truth 4, 4, 4; chosen 4, 5, 3: (7*12 - 48) / sqrt((144 - 48) * (144 - 50))
    assert scores.mcc_from(table) == pytest.approx(36 / np.sqrt(96 * 94))


def test_scores_of_two_classes_by_hand():
    # 10 patients. Class 1: three found, one missed. Class 0: four rejected, two taken for class 1.
    table = np.array([[4.0, 2.0], [1.0, 3.0]])
    assert scores.class_recall(table) == pytest.approx([4 / 6, 3 / 4])  # specificity, sensitivity
    assert scores.accuracy_from(table) == pytest.approx(7 / 10)
    assert scores.balanced_accuracy_from(table) == pytest.approx((4 / 6 + 3 / 4) / 2)
    assert scores.macro_f1_from(table) == pytest.approx((2 * 4 / (6 + 5) + 2 * 3 / (4 + 5)) / 2)
    assert scores.mcc_from(table) == pytest.approx((3 * 4 - 2 * 1) / np.sqrt(5 * 4 * 6 * 5))


def test_model_that_chooses_one_class_scores_chance_and_not_null():
    table = np.array([[6.0, 0.0], [4.0, 0.0]])
    assert scores.balanced_accuracy_from(table) == 0.5
    assert scores.mcc_from(table) == 0
    assert scores.macro_f1_from(table) == pytest.approx((2 * 6 / 16 + 0) / 2)


def test_means_leave_out_a_class_absent_from_the_truth():
    # Class 2 is never true but chosen once: recalls 1/2 and 1; F1 2*1/(2+1) and 2*2/(2+2); the F1 of 0 is left out.
    labels, chosen = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    assert scores.balanced_accuracy(labels, chosen, 3) == pytest.approx((1 / 2 + 1) / 2)
    assert scores.macro_f1(labels, chosen, 3) == pytest.approx((2 / 3 + 1) / 2)
    assert scores.macro_f1_from(scores.confusion(labels, chosen, 3)) == pytest.approx((2 / 3 + 1) / 2)


def test_single_class_truth_is_undefined_for_reports_and_a_number_for_training():
    labels, chosen = np.array([1, 1, 1, 1]), np.array([1, 1, 1, 0])
    table = scores.confusion(labels, chosen, 2)
    for undefined in (scores.balanced_accuracy_from, scores.macro_f1_from, scores.mcc_from):
        assert np.isnan(undefined(table))
    assert scores.balanced_accuracy(labels, chosen, 2) == pytest.approx(3 / 4)
    assert scores.macro_f1(labels, chosen, 2) == pytest.approx(2 * 3 / (4 + 3))
    assert np.isnan(ranks.auroc(labels == 1, np.arange(4.0)))
    assert np.isnan(ranks.average_precision(labels == 1, np.arange(4.0)))


def test_no_items_are_refused():
    with pytest.raises(ValueError, match="at least one label"):
        scores.macro_f1(np.array([], int), np.array([], int), 2)


def test_auroc_counts_a_tie_as_half():
    # positives 0.4, 0.8 against negatives 0.4, 0.6: tie, loss, win, win = (0.5 + 0 + 1 + 1) / 4
    positive = np.array([True, False, False, True])
    assert ranks.auroc(positive, np.array([0.4, 0.4, 0.6, 0.8])) == pytest.approx(2.5 / 4)


def test_auroc_and_average_precision_of_one_score_for_all_are_chance():
    positive = np.array([True, False, False, False, True])
    assert ranks.auroc(positive, np.full(5, 0.3)) == 0.5
    assert ranks.average_precision(positive, np.full(5, 0.3)) == pytest.approx(2 / 5)


def test_average_precision_takes_a_tie_as_one_step():
    # 0.9 one positive: recall 1/2 at precision 1. 0.8 one of each: recall 1 at precision 2/3. 0.1 one negative.
    positive, values = np.array([True, True, False, False]), np.array([0.9, 0.8, 0.8, 0.1])
    expected = 1 / 2 * 1 + 1 / 2 * 2 / 3
    assert ranks.average_precision(positive, values) == pytest.approx(expected)
    assert ranks.average_precision(positive[[0, 2, 1, 3]], values) == pytest.approx(expected)


def test_brier_of_two_and_of_three_classes():
    assert ranks.brier(np.array([1, 0]), np.array([[0.3, 0.7], [0.8, 0.2]])) == pytest.approx((0.09 + 0.04) / 2)
    # (0.5 - 1)^2 + 0.3^2 + 0.2^2 = 0.25 + 0.09 + 0.04
    assert ranks.brier(np.array([0]), np.array([[0.5, 0.3, 0.2]])) == pytest.approx(0.38)


def test_calibration_bins_by_hand():
    # p1 = 0.05, 0.1 and 0.15, 1.0: bins [0, 0.1): one, [0.1, 0.2): two, [0.9, 1]: one
    positive = np.array([0.05, 0.1, 0.15, 1.0])
    labels, probabilities = np.array([0, 1, 0, 1]), np.column_stack([1 - positive, positive])
    bins = ranks.calibration(labels, probabilities)
    assert bins.low == pytest.approx([0.0, 0.1, 0.9])
    assert bins.predicted == pytest.approx([0.05, 0.125, 1.0])
    assert bins.observed == pytest.approx([0.0, 0.5, 1.0])
    assert bins.n_items.tolist() == [1, 2, 1]
    # (1 * 0.05 + 2 * 0.375 + 1 * 0) / 4
    assert ranks.calibration_error(labels, probabilities) == pytest.approx(0.2)


def test_calibration_bins_hold_their_lower_edge_and_the_last_one_both():
    positive = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    bins = ranks.calibration(np.ones(11, int), np.column_stack([1 - positive, positive]))
    assert bins.low == pytest.approx(np.arange(10) / 10)
    assert bins.n_items.tolist() == [1, 1, 1, 1, 1, 1, 1, 1, 1, 2]
    below = np.nextafter(positive[1:], 0)
    bins = ranks.calibration(np.ones(10, int), np.column_stack([1 - below, below]))
    assert bins.low == pytest.approx(np.arange(10) / 10)
    assert bins.n_items.tolist() == [1] * 10


@pytest.mark.parametrize(("labels", "expected"), [([0, 1, 1], 0), ([1, 0, 0], 1), ([1, 1, 1], 1 / 3)])
def test_calibration_error_of_certain_models(labels, expected):
    positive = np.array([0.0, 1.0, 1.0])
    probabilities = np.column_stack([1 - positive, positive])
    assert ranks.calibration_error(np.array(labels), probabilities) == pytest.approx(expected)


def test_calibration_error_of_one_item():
    assert ranks.calibration_error(np.array([1]), np.array([[0.75, 0.25]])) == pytest.approx(0.75)


@given(classified(max_classes=2))
def test_calibration_error_equals_a_loop_over_the_bins(case):
    labels, probabilities = case
    total = 0.0
    for number in range(10):
        low, high = number / 10, (number + 1) / 10 if number < 9 else 1.1
        here = (probabilities[:, 1] >= low) & (probabilities[:, 1] < high)
        if here.any():
            total += here.sum() * abs(probabilities[here, 1].mean() - labels[here].mean())
    assert ranks.calibration_error(labels, probabilities) == pytest.approx(total / len(labels))


def test_calibration_of_many_classes_compares_the_chosen_class():
    # Tops 0.6 (right) and 0.6 (wrong): one bin, predicted 0.6, observed 0.5.
    probabilities = np.array([[0.6, 0.2, 0.2], [0.6, 0.2, 0.2]])
    assert ranks.calibration_error(np.array([0, 1]), probabilities) == pytest.approx(0.1)


def test_youden_threshold_by_hand():
    # scores 0.1- 0.3- 0.4+ 0.6- 0.9+: cuts 0.35 (sens 1, spec 2/3: J 2/3) and 0.75 (1/2, 1: J 1/2)
    positive = np.array([False, False, True, False, True])
    cut = ranks.youden_threshold(positive, np.array([0.1, 0.3, 0.4, 0.6, 0.9]))
    assert cut.value == pytest.approx(0.35)
    assert cut.reason is None


def test_youden_threshold_takes_the_middle_of_equal_cuts():
    # + - + - : cuts 0.15 (J 1/2 - 1 ...) are: after 0.1+ J=-1/2, after 0.2- 0, after 0.3+ -1/2 -> only 0.25 wins
    assert ranks.youden_threshold(np.array([True, False, True, False]), np.array([0.1, 0.2, 0.3, 0.4])).value == 0.25
    # - + - + - + : cuts 0.15, 0.35 and 0.55 are equally good (J = 1/3); the middle one
    truth = np.array([False, True, False, True, False, True])
    assert ranks.youden_threshold(truth, np.arange(0.1, 0.7, 0.1)).value == pytest.approx(0.35)


@pytest.mark.parametrize(
    ("positive", "values", "reason"),
    [
        ([], [], "no validation set"),
        ([True, True], [0.2, 0.8], "one class in the validation set"),
        ([True, False], [0.5, 0.5], "one score for the whole validation set"),
    ],
)
def test_youden_threshold_without_evidence_is_half_and_says_why(positive, values, reason):
    cut = ranks.youden_threshold(np.array(positive, dtype=bool), np.array(values, dtype=float))
    assert cut == (0.5, reason)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=20))
def test_youden_threshold_is_as_good_as_any_cut(items):
    positive = np.array([truth for truth, _ in items])
    values = np.array([value / 9 for _, value in items])
    if positive.all() or not positive.any():
        return

    def gain(cut):
        return (values[positive] >= cut).mean() + (values[~positive] < cut).mean()

    levels = np.unique(values)
    chosen = ranks.youden_threshold(positive, values)
    if chosen.reason is None:
        assert gain(chosen.value) == pytest.approx(max(gain(cut) for cut in (levels[1:] + levels[:-1]) / 2))


@given(classified())
def test_scores_equal_scikit_learn(case):
    labels, probabilities = case
    n_classes = probabilities.shape[1]
    chosen = probabilities.argmax(axis=1)
    present = np.unique(labels)
    table = scores.confusion(labels, chosen, n_classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of absent classes
        assert table.tolist() == sk.confusion_matrix(labels, chosen, labels=range(n_classes)).tolist()
        assert scores.accuracy_from(table) == pytest.approx(sk.accuracy_score(labels, chosen))
        assert scores.macro_f1(labels, chosen, n_classes) == pytest.approx(
            sk.f1_score(labels, chosen, labels=present, average="macro")
        )
        assert scores.balanced_accuracy(labels, chosen, n_classes) == pytest.approx(
            sk.balanced_accuracy_score(labels, chosen)
        )
        if len(present) > 1:
            assert scores.mcc_from(table) == pytest.approx(sk.matthews_corrcoef(labels, chosen))
            expected = [sk.roc_auc_score(labels == label, probabilities[:, label]) for label in present]
            assert ranks.macro_auroc(labels, probabilities) == pytest.approx(np.mean(expected))
            expected = [sk.average_precision_score(labels == label, probabilities[:, label]) for label in present]
            assert ranks.macro_average_precision(labels, probabilities) == pytest.approx(np.mean(expected))
        truth = np.eye(n_classes)[labels] if n_classes > 2 else labels
        forecast = probabilities if n_classes > 2 else probabilities[:, 1]
        expected = ((forecast - truth) ** 2).sum() / len(labels)
        assert ranks.brier(labels, probabilities) == pytest.approx(expected)
        expected = sk.brier_score_loss(labels, forecast, labels=range(n_classes))
        assert ranks.brier(labels, probabilities) == pytest.approx(expected)


@given(classified(max_classes=2), st.floats(0, 1))
def test_scores_of_the_voice_track_equal_scikit_learn(case, cut):
    labels, probabilities = case
    labels[:2] = 0, 1
    chosen = (probabilities[:, 1] >= cut).astype(int)
    names = [str(item) for item in range(len(labels))]
    found = binary_scores(Units(labels, probabilities, chosen, names, np.zeros(len(labels), int)))
    expected = {
        "accuracy": sk.accuracy_score(labels, chosen),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, chosen),
        "macro_f1": sk.f1_score(labels, chosen, average="macro"),
        "mcc": sk.matthews_corrcoef(labels, chosen),
        "auroc": sk.roc_auc_score(labels, probabilities[:, 1]),
        "auroc_pooled": sk.roc_auc_score(labels, probabilities[:, 1]),
        "auprc": sk.average_precision_score(labels, probabilities[:, 1]),
        "sensitivity": sk.recall_score(labels, chosen, pos_label=1),
        "specificity": sk.recall_score(labels, chosen, pos_label=0),
        "brier": sk.brier_score_loss(labels, probabilities[:, 1]),
        "calibration_error": float(ranks.calibration_error(labels, probabilities)),
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected)


@given(classified(), st.integers(0, 2**32 - 1))
def test_weighted_scores_equal_scores_of_repeated_items(case, seed):
    labels, probabilities = case
    n_classes = probabilities.shape[1]
    weights = np.random.default_rng(seed).integers(0, 4, (3, len(labels)))
    weights[:, 0] += 1  # no empty draw
    floats = weights.astype(float)
    chosen = probabilities.argmax(axis=1)
    tables = scores.confusion(labels, chosen, n_classes, floats)
    positive = labels == 1
    for draw, row in enumerate(weights):
        again = np.repeat(np.arange(len(labels)), row)
        alone = scores.confusion(labels[again], chosen[again], n_classes)
        assert tables[draw].tolist() == alone.tolist()
        for score, args in (
            (ranks.auroc, (positive, probabilities[:, 1])),
            (ranks.average_precision, (positive, probabilities[:, 1])),
            (ranks.macro_auroc, (labels, probabilities)),
            (ranks.macro_average_precision, (labels, probabilities)),
            (ranks.brier, (labels, probabilities)),
            (ranks.calibration_error, (labels, probabilities)),
        ):
            expected = score(*(array[again] for array in args))
            assert score(*args, floats)[draw] == pytest.approx(expected, nan_ok=True), score.__name__
