"""The decision about people: by hand, and what must hold whatever the models say."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.voice.cards import judge

from evensong.errors import IntegrityError
from evensong.score.judges import read_judges
from evensong.voice.decision import at_prevalence, decide_people, judges_tree

ANN, BOB = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
SHARES = st.floats(0.01, 0.99)


def test_by_hand() -> None:
    """Ann has two recordings, Bob one; each model's own threshold and not that of the mean decides."""
    probabilities = np.array([[0.2, 0.6, 0.9], [0.4, 0.4, 0.3]])
    table = decide_people(probabilities, [ANN, ANN, BOB], [judge(0, 0.4), judge(1, 0.5)])
    assert table["healthCode"].tolist() == [ANN, BOB]
    assert table["n_recordings"].tolist() == [2, 1]
    np.testing.assert_allclose(table["score"], [(0.4 + 0.4) / 2, (0.9 + 0.3) / 2])
    assert table["votes"].tolist() == [0.5, 0.5]  # the first model reaches its threshold, the second does not
    assert table["decision"].tolist() == [1, 1]  # a tie is class 1, as in the majority of members
    higher = decide_people(probabilities, [ANN, ANN, BOB], [judge(0, 0.41), judge(1, 0.5)])
    assert higher["decision"].tolist() == [0, 1]


def test_the_correction_by_hand() -> None:
    """Elkan's theorem 2 with p = 0.5, b = 0.5, b' = 0.1: p' = 0.1 (0.5 - 0.25) / (0.5 - 0.25 + 0.05 - 0.05) = 0.1."""
    assert at_prevalence(np.array(0.5), 0.5, 0.1) == pytest.approx(0.1)
    p, b, new = 0.7, 0.6, 0.2
    elkan = new * (p - p * b) / (b - p * b + new * p - b * new)
    assert at_prevalence(np.array(p), b, new) == pytest.approx(elkan)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), SHARES, SHARES)
def test_the_correction_keeps_order_and_ends_and_can_be_undone(values: list[float], share: float, new: float) -> None:
    p = np.sort(np.array(values))
    corrected = at_prevalence(p, share, new)
    assert ((corrected >= 0) & (corrected <= 1)).all()
    assert (np.diff(corrected) >= -1e-12).all()
    np.testing.assert_allclose(at_prevalence(corrected, new, share), p, atol=1e-9)
    np.testing.assert_array_equal(at_prevalence(np.array([0.0, 1.0]), share, new), [0, 1])
    np.testing.assert_allclose(at_prevalence(p, share, share), p, atol=1e-12)


@given(st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 12))
def test_the_order_of_recordings_does_not_matter(random, n_models: int, n_recordings: int) -> None:
    probabilities = np.array([[random.random() for _ in range(n_recordings)] for _ in range(n_models)])
    people = [random.choice([ANN, BOB]) for _ in range(n_recordings)]
    judges = [judge(fold, random.random(), random.uniform(0.1, 0.9)) for fold in range(n_models)]
    table = decide_people(probabilities, people, judges, prevalence=0.3)
    order = random.sample(range(n_recordings), n_recordings)
    shuffled = decide_people(probabilities[:, order], [people[place] for place in order], judges, prevalence=0.3)
    for name in ("healthCode", "n_recordings", "decision"):
        assert table[name].tolist() == shuffled[name].tolist()
    np.testing.assert_allclose(table["score_at_prevalence"], shuffled["score_at_prevalence"])
    assert table["n_recordings"].sum() == n_recordings


def test_models_of_other_shares_are_each_corrected_from_their_own() -> None:
    """One half at shares of 0.9 and of 0.1 says the opposite of each; at a prevalence of one half: 0.1 and 0.9."""
    judges = [judge(0, 0.5, 0.9), judge(1, 0.5, 0.1)]
    table = decide_people(np.array([[0.5], [0.5]]), [ANN], judges, prevalence=0.5)
    assert table["score_at_prevalence"][0] == pytest.approx((0.1 + 0.9) / 2)
    assert decide_people(np.array([[0.5]]), [ANN], judges[:1], 0.5)["score_at_prevalence"][0] == pytest.approx(0.1)


def test_thresholds_come_back_as_written_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.json"
    judges = [judge(0, 0.4), judge(1, 0.1 + 0.2)]
    path.write_text(json.dumps(judges_tree(judges)), encoding="utf-8")
    assert read_judges(path) == judges
    for text in ("", "{}", '{"models": []}', path.read_text().replace("0.4", "1.4")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(IntegrityError, match="dvc repro voice_evaluate"):
            read_judges(path)
    with pytest.raises(IntegrityError, match="FileNotFoundError"):
        read_judges(tmp_path / "none.json")
