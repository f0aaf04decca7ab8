"""How well the recordings' technical traits alone predict the class: a model could learn those instead of the sound."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from evensong.keys import digest_of

# What each audit may look at; a high score means that the trait gives the class away.
TRAITS: dict[str, list[str]] = {
    "container": ["container", "codec"],
    "format": ["sample_rate_hz", "n_channels"],
    "bandwidth": ["bandwidth_hz"],
    "level": ["rms_dbfs", "peak_dbfs", "clipped_share"],
    "silence": ["silence_share"],
    "duration": ["duration_s"],
}
_WORDS = {"container", "codec"}
_BOUNDS = ("chance", "notable_above")
_MAX_CLASSES, _MAX_CLIPS = 100, 5000  # looked at: the cost of a forest grows with both
_MAX_FOLDS = 5
_TREES = 30
_LEAF = 3
_NOTABLE_ERRORS = 3.0  # standard errors above chance: by luck one trait in 700


def report_shortcuts(clips: pd.DataFrame) -> dict[str, Any]:
    """The audit of `draw_clips`, and how many classes and clips it looked at."""
    looked_at = draw_clips(clips)
    return {
        "shortcut_balanced_accuracy": audit_shortcuts(looked_at),
        "shortcut_classes": looked_at["class_name"].nunique(),
        "shortcut_clips": len(looked_at),
    }


def draw_clips(clips: pd.DataFrame) -> pd.DataFrame:
    """The clips that the audit looks at, sorted: all, or at most 5,000 of at most 100 classes.

    A class gives as many clips as every other at most, of as many sources as it has. Which ones, their samples decide.

    Args:
        clips: as for `audit_shortcuts`.
    """
    clips = clips.sort_values("pcm_sha256", ignore_index=True)
    digests = clips.groupby("class_name")["pcm_sha256"].agg(digest_of).sort_values()
    if len(digests) <= _MAX_CLASSES and len(clips) <= _MAX_CLIPS:
        return clips
    clips = clips[clips["class_name"].isin(digests.index[:_MAX_CLASSES])]
    turns = clips.groupby(["class_name", "source_id"]).cumcount().sort_values(kind="stable")
    n_each = max(1, _MAX_CLIPS // clips["class_name"].nunique())
    return clips.loc[turns.index].groupby("class_name").head(n_each).sort_values("pcm_sha256", ignore_index=True)


def audit_shortcuts(
    clips: pd.DataFrame, traits: Mapping[str, Sequence[str]] = MappingProxyType(TRAITS)
) -> dict[str, float | None]:
    """Balanced accuracy of a small random forest that sees technical traits only, cross-validated over sources.

    Args:
        clips: one row an original in the pool, or a patient: class_name, source_id, pcm_sha256 (whose order decides
            ties) and the columns of ``traits``. Of large pools give `draw_clips`.
        traits: the columns of each trait.

    Returns:
        Balanced accuracy (0 to 1) by trait and of all traits together, what chance gives, and above what a score is
        notable: three standard errors above chance, each source counted once. None where a class has fewer than two
        sources.
    """
    clips = clips.sort_values("pcm_sha256", ignore_index=True)
    n_sources = clips.groupby("class_name")["source_id"].nunique()
    chance = 1 / len(n_sources)
    error = np.sqrt((chance * (1 - chance) / n_sources).sum()) * chance
    scores: dict[str, float | None] = {
        "chance": round(chance, 4),
        "notable_above": round(min(1.0, chance + _NOTABLE_ERRORS * float(error)), 4),
    }
    # Numbers: scikit-learn would take a class named "007" for 7.
    labels, _ = pd.factorize(clips["class_name"], sort=True)
    folds = _folds(clips, labels, int(min(_MAX_FOLDS, n_sources.min())))
    every = [column for columns in traits.values() for column in columns]
    for trait, columns in {**traits, "all_traits": every}.items():
        if not folds:
            scores[trait] = None
        elif (clips[list(columns)].nunique(dropna=False) == 1).all():
            scores[trait] = scores["chance"]
        else:
            scores[trait] = _score(_encode(clips, columns), labels, folds)
    return scores


def notable_traits(scores: Mapping[str, float | None]) -> list[str]:
    """The traits of `audit_shortcuts` that tell the classes apart by more than luck."""
    bar = scores.get("notable_above") or 1.0
    return [trait for trait, score in scores.items() if score and score > bar and trait not in _BOUNDS]


def describe_shortcuts(scores: Mapping[str, float | None]) -> list[str]:
    """A NOTE where a trait alone tells the classes apart; no line where none does."""
    found = notable_traits(scores)
    if not found:
        return []
    told = ", ".join(f"{trait} {scores[trait]:.2f}" for trait in found)
    return [
        f"NOTE: technical traits alone tell the classes apart: balanced accuracy {told}; chance "
        f"{scores['chance']:.2f}. Where they come from the recording and not from what sounds, a model can learn "
        "those instead, and would fail where they are others: record all classes alike, or bring the clips to one form"
    ]


def _folds(clips: pd.DataFrame, labels: np.ndarray, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    if n_folds < 2:
        return []
    return list(StratifiedGroupKFold(n_splits=n_folds).split(clips, labels, clips["source_id"]))


def _score(traits: np.ndarray, labels: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import balanced_accuracy_score

    forest = RandomForestClassifier(
        n_estimators=_TREES, min_samples_leaf=_LEAF, class_weight="balanced", random_state=0, n_jobs=1
    )
    predicted = labels.copy()
    for fitted, held_out in folds:
        predicted[held_out] = forest.fit(traits[fitted], labels[fitted]).predict(traits[held_out])
    return round(float(balanced_accuracy_score(labels, predicted)), 4)


def _encode(clips: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """(n_clips, n_traits) float64: numbers as they are, words one column each."""
    words = [column for column in columns if column in _WORDS]
    encoded = pd.get_dummies(clips[list(columns)], columns=words, dtype=float)
    return encoded.to_numpy(np.float64)
