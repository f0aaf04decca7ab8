"""Confounders are read as they stand, told without small counts, and their part in a score is found."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.voice.cohorts import patients

from evensong.errors import DataError
from evensong.schemas import Evaluate
from evensong.score.within_folds import auroc_within
from evensong.voice import confounding, confounding_answer
from evensong.voice.confounders import BLANK, choose_confounders, encode, is_numeric, read_confounders
from evensong.voice.table_one import table_one

SETTINGS = Evaluate(seed=1, n_bootstrap=100, confidence=0.95)
CANARY = "00000000-0000-4000"


def survey(folder, rows, header="healthCode,age,device,diagnosis"):
    path = folder / "survey.csv"
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def read(folder, rows, columns=("age", "device")):
    ids = [row.split(",")[0] for row in rows]
    return read_confounders(survey(folder, rows), columns, "diagnosis", ids)


def test_numbers_categories_and_blanks(tmp_path):
    ids = list(patients(4, 4))
    ages, devices = ["51", "62.5", "", "NA", "40", "41", "42", "43"], ["Phone", "phone ", "-", "tablet"] * 2
    rows = [f"{one},{age},{device},1" for one, age, device in zip(ids, ages, devices, strict=True)]
    rows.append(f"{ids[2]},50,,1")  # a repeated patient, whose blank gives way
    found = read(tmp_path, rows)
    assert found.index.tolist() == sorted(ids)
    assert is_numeric(found["age"])
    np.testing.assert_array_equal(found["age"].to_numpy(), [51, 62.5, 50, np.nan, 40, 41, 42, 43])
    assert found["device"].tolist() == ["phone", "phone", BLANK, "tablet"] * 2
    assert read(tmp_path, rows, ()).shape == (8, 0)


def test_a_few_distinct_numbers_are_codes(tmp_path):
    rows = [f"{one},{place % 5},x,1" for place, one in enumerate(patients(6, 6))]
    assert not is_numeric(read(tmp_path, rows)["age"])


@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        (lambda rows: [*rows, rows[0].replace(",40,", ",41,")], ("age",), "lines 2, 32 gave two answers in age"),
        (lambda rows: rows, ("weight",), r"missing column\(s\) weight.*\[\] for none"),
        (lambda rows: rows, ("diagnosis",), "names diagnosis, which cannot explain the diagnosis"),
        (lambda rows: rows, ("healthCode",), "names healthCode"),
        (lambda rows: [row.replace(",44,", ",forty,") for row in rows], ("age",), r"1 are no numbers \(lines 6\)"),
    ],
)
def test_a_refusal_says_what_to_do_and_names_nobody(tmp_path, change, columns, message):
    rows = [f"{one},{40 + place},phone,1" for place, one in enumerate(patients(15, 15))]
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, change(rows), columns)
    assert CANARY not in str(caught.value)
    assert "forty" not in str(caught.value)


def test_table_one_by_hand():
    table = pd.DataFrame({"age": [50.0, 60, 70, 55, 65, 40, 50, 60, 45, 55], "sex": ["f"] * 5 + ["m"] * 5})
    found = table_one(table, np.arange(10) < 5)
    age = found["age"]["classes"]
    assert (age["true"]["mean"], age["true"]["median"], age["true"]["n"]) == (60, 60, 5)
    assert (age["false"]["mean"], age["false"]["sd"], age["false"]["blank"]) == (50, round(np.sqrt(62.5), 6), 0)
    assert found["age"]["smd"] == pytest.approx(10 / np.sqrt(62.5), abs=1e-6)
    assert found["sex"]["classes"]["true"]["counts"] == {"blank": 0, "f": 5, "m": 0}


def test_smd_of_a_binary_category_is_that_of_its_share():
    table = pd.DataFrame({"sex": ["f"] * 6 + ["m"] * 14 + ["f"] * 10 + ["m"] * 10})
    spread = (0.3 * 0.7 + 0.5 * 0.5) / 2
    assert table_one(table, np.arange(40) < 20)["sex"]["smd"] == pytest.approx(0.2 / np.sqrt(spread), abs=1e-6)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c", ""])), min_size=1, max_size=60))
@settings(max_examples=50)
def test_no_small_count_is_told_or_follows(items):
    positive = np.array([item[0] for item in items])
    answers = pd.Series([item[1] for item in items], dtype=object)
    numbers = answers.map({"a": 1.0, "b": 2.0, "c": 3.0, "": np.nan}).astype(float)
    found = table_one(pd.DataFrame({"word": answers, "number": numbers}), positive)
    sides = {"false": ~positive, "true": positive}
    few_in_class = any(0 < rows.sum() < 5 for rows in sides.values())
    for name, rows in sides.items():
        told = found["word"]["classes"][name]["counts"]
        hidden = [key for key, count in told.items() if count == "withheld"]
        assert not any(isinstance(count, int) and 0 < count < 5 for count in told.values())
        assert len(hidden) != 1 or len(told) == 1
        assert not few_in_class or len(hidden) == len(told)
        if hidden:
            assert found["word"]["smd"] is None
        if 0 < numbers[rows].notna().sum() < 5 or few_in_class:
            assert found["number"]["classes"][name]["mean"] is None
    named = set(found["word"]["classes"]["true"]["counts"])
    assert not [one for one in "abc" if one in named and (answers == one).sum() < 5]


def test_encoding_rests_on_the_fitted_rows():
    table = pd.DataFrame({"age": [40.0, 60, np.nan, 1000], "sex": ["f", "m", "f", "m"]})
    fitted = np.array([True, True, True, False])
    found = encode(table, fitted)
    np.testing.assert_allclose(found[:, :2], [[-1, 0], [1, 0], [0, 1], [95, 0]])
    assert encode(table[[]], fitted).shape == (4, 0)


def cohort(seed=0, *, effect, age_effect, n_patients=400, n_folds=10, classes=0.3, blanks=0.05):
    """Patients whose age goes with the class; the score hears age, disease or both, and each fold has its own scale."""
    rng = np.random.default_rng(seed)
    labels = patients(round(classes * n_patients), n_patients - round(classes * n_patients))
    positive = np.array(list(labels.values()))
    age = 50 + 10 * positive + rng.normal(0, 8, n_patients).round()
    own = rng.permutation(n_patients) % n_folds
    answers = pd.DataFrame(
        {
            "age": np.where(rng.uniform(size=n_patients) < blanks, np.nan, age),
            "sex": rng.choice(["f", "m"], n_patients),
        },
        index=pd.Index(list(labels), name="healthCode"),
    )
    heard = age_effect * (age - 55) + effect * positive + rng.normal(0, 1, n_patients)
    rows = []
    for fold in range(n_folds):
        level, scale = rng.normal(0, 1), rng.uniform(0.5, 2)
        for subset, tested in (("test", fold), ("val", (fold + 1) % n_folds)):
            rows += [
                (fold, subset, list(labels)[one], positive[one], 1 / (1 + np.exp(-scale * heard[one] - level)))
                for one in np.flatnonzero(own == tested)
            ]
    table = pd.DataFrame(rows, columns=["fold", "subset", "group", "label", "soft_mean"])
    return confounding.make_cohort(table.sort_values(["fold", "subset", "group"], ignore_index=True), answers, SETTINGS)


@pytest.mark.slow
def test_an_age_that_explains_all_is_found_and_matching_takes_it_away():
    found = confounding.audit(cohort(effect=0, age_effect=0.15))
    assert found["voice"].low > 0.6
    assert found["alone"]["age"].low > 0.7
    for key in ("matched", "matched_over_folds"):
        one = found[key]["age"]
        assert one["voice"].low < 0.5 < one["voice"].high
        assert one["voice"].value < 0.62
        assert one["itself"].value < 0.6  # within the caliper the positives are still a little older
    assert found["added"]["difference"].low < 0
    assert any("age" in note for note in confounding_answer.notes(found))


@pytest.mark.slow
def test_a_voice_that_hears_no_age_is_left_as_it_was():
    found = confounding.audit(cohort(effect=1.5, age_effect=0))
    for key in ("matched", "matched_over_folds"):
        assert found[key]["age"]["voice"].value == pytest.approx(found["voice"].value, abs=0.05)
    assert found["added"]["difference"].low > 0
    assert found["added"]["with"].value > found["added"]["without"].value
    for stratum in found["strata"]["age"].values():
        assert stratum["n_pairs"] is None or stratum["voice"].value > 0.7


@pytest.mark.slow
def test_what_goes_with_nothing_scores_as_chance_and_never_below_by_cross_validation():
    values = []
    for seed in range(12):
        one = cohort(seed, effect=1, age_effect=0, n_patients=80)
        values.append(auroc_within(one.positive, confounding.out_of_fold(one, ["sex"]), one.folds).value)
    assert np.median(values) == 0.5


def test_floors_and_folds_are_said():
    small = confounding.audit(cohort(effect=1, age_effect=0, n_patients=30))
    assert small["matched"]["age"]["n_pairs"] is None
    assert small["matched"]["age"]["voice"].reason == confounding.TOO_FEW
    one_fold = cohort(effect=1, age_effect=0)
    rows = one_fold.folds == 0
    part = confounding.Cohort(
        one_fold.table[rows].reset_index(drop=True),
        *(getattr(one_fold, name)[rows] for name in ("patients", "positive", "folds", "scores", "standardised")),
        SETTINGS,
    )
    found = confounding.audit(part)
    assert found["alone"]["age"].value is None
    assert "no model" in found["added"]["difference"].reason
    assert all(confounding_answer.sentences(found, []))


def test_no_columns_no_audit_but_a_sentence():
    one = cohort(effect=1, age_effect=0, n_patients=60)
    found = confounding.audit(confounding.Cohort(one.table[[]], *list(vars(one).values())[1:]))
    assert confounding_answer.sentences(found, []) == [confounding_answer.NO_COLUMNS]
    told = ["Not looked at: age, sex, which could not be read; mend the survey."]
    assert confounding_answer.sentences(found, ["age", "sex"]) == told
    assert confounding_answer.notes(found) == []
    json.dumps(confounding.as_tree(found), allow_nan=False)


def test_the_models_of_a_fold_have_not_seen_its_patients():
    one = cohort(effect=1, age_effect=0.1, n_patients=100)
    before = confounding.out_of_fold(one, ["age"])
    tested = one.folds == 3
    turned = replace(one, positive=np.where(tested, ~one.positive, one.positive))
    after = confounding.out_of_fold(turned, ["age"])
    np.testing.assert_array_equal(after[tested], before[tested])
    assert not np.array_equal(after[~tested], before[~tested])


@pytest.mark.slow
def test_the_tree_and_the_table_hold_no_more_than_they_should():
    one = cohort(effect=1, age_effect=0.1, n_patients=80)
    tree = json.dumps(confounding.as_tree(confounding.audit(one)), allow_nan=False)
    assert CANARY not in tree
    table = confounding.patient_table(one)
    assert len(table) == 80
    assert table["healthCode"].is_monotonic_increasing
    assert {"age", "sex", "with_voice_log_odds"} <= set(table)


def test_usual_columns_are_taken_where_they_are_there_and_can_be_used(tmp_path):
    ids = list(patients(10, 20))
    rows = [f"{one},{place % 2},{30 + place},m,{place},x" for place, one in enumerate(ids)]
    path = survey(tmp_path, [*rows, f"{ids[0]},0,99,m,0,x"], "healthCode,diagnosis,age,sex,device,height")
    chosen, unread = choose_confounders(path, None, "diagnosis", ids)
    assert chosen == ["sex", "device"]
    assert list(unread) == ["age"]
    assert "gave two answers in age" in unread["age"]
    assert CANARY not in unread["age"]
    assert choose_confounders(path, [], "diagnosis", ids) == ([], {})
    with pytest.raises(DataError, match=r"weight.*voice\.confounders names columns of the survey"):
        choose_confounders(path, ["weight"], "diagnosis", ids)
