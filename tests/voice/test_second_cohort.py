"""Tables of a second cohort: one scale for all, no id, no small cell."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.voice.cards import judge

from evensong.schemas import Evaluate
from evensong.voice import second_cohort
from evensong.voice.decision import decide_people

SETTINGS = Evaluate(seed=1, n_bootstrap=100, confidence=0.95)


def cohort(n_positive: int, n_negative: int, *, n_blank: int = 0, overlap=None) -> second_cohort.Cohort:
    n = n_positive + n_negative + n_blank
    people = [f"00000000-0000-4000-8000-{number:012d}" for number in range(n)]
    labels = [1] * n_positive + [0] * n_negative + [None] * n_blank
    raised = np.array([label or 0 for label in labels]) * 0.2
    probabilities = np.clip(np.random.default_rng(1).uniform(0.1, 0.7, (3, n)) + raised, 0, 1)
    table = decide_people(probabilities, people, [judge(fold, 0.5) for fold in range(3)], prevalence=0.2)
    table["label"] = pd.array(labels, dtype="Int64")
    return second_cohort.Cohort(table, [judge(fold, 0.5) for fold in range(3)], 0.2, overlap)


def tree_of(one: second_cohort.Cohort) -> dict:
    scored = second_cohort.score_cohort(one.labelled(), SETTINGS)
    surveyed = dict.fromkeys([*one.table["healthCode"], "00000000-0000-4000-8000-00000000ffff"], 1)
    return second_cohort.summary_tree(one, scored, surveyed, SETTINGS.confidence)


def test_scores_are_those_of_the_mean_score_and_of_the_decision() -> None:
    one = cohort(20, 30, n_blank=6)
    tree, known = tree_of(one), one.labelled()
    labels = known["label"].to_numpy(int)
    assert tree["scores"]["auroc"]["value"] == pytest.approx(roc_auc_score(labels, known["score"]), abs=1e-6)
    assert tree["scores"]["sensitivity"]["value"] == pytest.approx(known["decision"][labels == 1].mean(), abs=1e-6)
    assert tree["scores"]["specificity"]["value"] == pytest.approx(1 - known["decision"][labels == 0].mean(), abs=1e-6)
    assert "auroc_pooled" not in tree["scores"]
    called = known["decision"] == 1
    assert tree["clinical"]["ppv"]["value"] == pytest.approx(labels[called].mean(), abs=1e-6)
    assert {"npv", "lr_positive", "calibration_slope"} <= set(tree["clinical"])
    assert (tree["n"], tree["n_positive"], tree["people"], tree["without_diagnosis"]) == (50, 20, 56, 6)
    assert tree["without_recording"] == "<5"
    assert tree["at_prevalence"]["stated"] == 0.2
    assert tree["at_prevalence"]["brier"] != tree["scores"]["brier"]["value"]


def test_small_classes_and_ids_are_not_told() -> None:
    few = cohort(3, 30)
    tree = tree_of(few)
    assert not {"sensitivity", "specificity"} & set(tree["scores"])
    assert list(tree["clinical"]) == ["reason"]
    assert (tree["n"], tree["n_positive"]) == (33, "<5")
    scored = second_cohort.score_cohort(few.labelled(), SETTINGS)
    said = [*second_cohort.lines(few), *second_cohort.score_lines(few.labelled(), scored)]
    assert not [line for line in said if "sensitivity" in line or "3 of class 1" in line]
    curves = second_cohort.curves_of(few.labelled())
    assert "second cohort" not in {*curves["roc"]["curve"], *curves["pr"]["curve"]}
    assert "00000000-0000-4000" not in json.dumps(tree) + " ".join(said) + "".join(map(str, curves.values()))


def test_what_is_shared_with_the_training_is_counted() -> None:
    columns = ["healthCode", "kind", "content_sha256"]
    trained = pd.DataFrame([("a", "audio", "1"), ("b", "audio", "2"), ("c", "image", "3")], columns=columns)
    ours = pd.DataFrame(
        [("x", "audio", "1"), ("x", "audio", "2"), ("y", "audio", "3"), ("c", "image", "9")], columns=columns
    )
    overlap = second_cohort.overlap_of(ours, trained)  # y's sound has the digest of an image, and is another thing
    assert overlap == second_cohort.Overlap(n_recordings=2, n_people=1, n_ids=1)
    (warning,) = [line for line in second_cohort.lines(cohort(6, 6, overlap=overlap)) if line.startswith("WARNING")]
    assert "2 recordings, of <5 people" in warning
    nothing = second_cohort.Overlap(0, 0, 0)
    assert not any(line.startswith(("WARNING", "NOTE")) for line in second_cohort.lines(cohort(6, 6, overlap=nothing)))
