"""How well the recordings' technical traits alone predict the class: a model could learn those instead of the sound."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

# What each audit may look at; a high score means that the trait gives the class away.
_TRAITS = {
    "container": ["container", "codec"],
    "format": ["sample_rate_hz", "n_channels"],
    "bandwidth": ["bandwidth_hz"],
    "level": ["rms_dbfs", "peak_dbfs", "clipped_share"],
    "silence": ["silence_share"],
    "duration": ["duration_s"],
}
_WORDS = {"container", "codec"}
_MAX_FOLDS = 5
_TREES = 30
_LEAF = 3


def audit_shortcuts(clips: pd.DataFrame) -> dict[str, float | None]:
    """Balanced accuracy of a small random forest that sees technical traits only, cross-validated over sources.

    Args:
        clips: one row an original in the pool: class_name, source_id, pcm_sha256 and the scan's statistics.

    Returns:
        Balanced accuracy (0 to 1) by trait and of all traits together, and what chance gives. None where a class has
        fewer than two sources.
    """
    clips = clips.sort_values("pcm_sha256", ignore_index=True)
    n_sources = clips.groupby("class_name")["source_id"].nunique()
    n_folds = int(min(_MAX_FOLDS, n_sources.min()))
    everything = [column for columns in _TRAITS.values() for column in columns]
    audits = {**_TRAITS, "all_traits": everything}
    scores: dict[str, float | None] = {"chance": round(1 / len(n_sources), 4)}
    for trait, columns in audits.items():
        is_constant = (clips[columns].nunique() == 1).all()
        if n_folds < 2:
            scores[trait] = None
        else:
            scores[trait] = scores["chance"] if is_constant else _score(clips, columns, n_folds)
    return scores


def _score(clips: pd.DataFrame, columns: Sequence[str], n_folds: int) -> float:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedGroupKFold

    traits = _encode(clips, columns)
    # Numbers: scikit-learn would take a class named "007" for 7.
    labels, _ = pd.factorize(clips["class_name"], sort=True)
    forest = RandomForestClassifier(
        n_estimators=_TREES, min_samples_leaf=_LEAF, class_weight="balanced", random_state=0, n_jobs=1
    )
    predicted = labels.copy()
    for fitted, held_out in StratifiedGroupKFold(n_splits=n_folds).split(traits, labels, clips["source_id"]):
        predicted[held_out] = forest.fit(traits[fitted], labels[fitted]).predict(traits[held_out])
    return round(float(balanced_accuracy_score(labels, predicted)), 4)


def _encode(clips: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """(n_clips, n_traits) float64: numbers as they are, words one column each."""
    words = [column for column in columns if column in _WORDS]
    encoded = pd.get_dummies(clips[list(columns)], columns=words, dtype=float)
    return encoded.to_numpy(np.float64)
