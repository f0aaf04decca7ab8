"""The audit's bar for what is notable, and what it says."""

import numpy as np
import pandas as pd
import pytest

from evensong.score.shortcuts import audit_shortcuts, describe_shortcuts, notable_traits

TRAIT = {"length": ["duration_s"]}


def items_of(values, labels):
    """One source an item, with one trait."""
    names = [f"{place:03d}" for place in range(len(labels))]
    classes = [f"class{label}" for label in labels]
    return pd.DataFrame({"class_name": classes, "source_id": names, "pcm_sha256": names, "duration_s": values})


def test_the_bar_by_hand():
    # 36 sources of each of two classes: the standard error of the mean of two recalls of one half is
    # sqrt(0.25 / 36 + 0.25 / 36) / 2 = 0.0589
    labels = np.arange(72) % 2
    scores = audit_shortcuts(items_of(labels * 1.0, labels), TRAIT)
    assert scores["chance"] == 0.5
    assert scores["notable_above"] == pytest.approx(0.5 + 3 * np.sqrt(0.25 / 36 * 2) / 2, abs=1e-4)
    assert scores["length"] == 1.0
    assert notable_traits(scores) == ["length", "all_traits"]
    assert "balanced accuracy length 1.00, all_traits 1.00; chance 0.50" in describe_shortcuts(scores)[0]


@pytest.mark.slow
def test_noise_is_seldom_notable():
    rng = np.random.default_rng(1)
    labels = np.arange(80) % 4 == 0
    found = [audit_shortcuts(items_of(rng.normal(size=80), labels * 1), TRAIT) for _ in range(16)]
    assert sum(bool(describe_shortcuts(scores)) for scores in found) <= 1


def test_so_few_sources_that_nothing_can_be_told():
    scores = audit_shortcuts(items_of([0.0, 1.0, 0.0, 1.0], [0, 1, 0, 1]), TRAIT)
    assert scores["notable_above"] == 1.0
    assert describe_shortcuts(scores) == []
