"""Softmax probabilities -> one-against-rest probabilities, class by class.

Softmax shares one among the classes, so that two that sound at once take from each other. Platt's map (1999), a
logistic curve over the log-odds, learns from windows of known content how often a class sounds at each of its softmax
values. It keeps the order of a class's windows, so that a threshold which moves along detects the same; what it gives
is one scale for all classes.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from evensong.score.scores import Bools, Floats

_NEAREST = 1e-7  # to 0 and 1: what float32 can tell apart
_C = 1.0  # scikit-learn's inverse strength of the penalty on the slope


@dataclass(frozen=True)
class Calibration:
    """A map of a class's softmax probabilities, 0 to 1, to one-against-rest ones; it never falls.

    Attributes:
        slope: of the log-odds, above 0.
        intercept: of the log-odds.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, probs: Floats) -> Floats:
        """Probabilities of any shape; NaN stays NaN."""
        mapped: Floats = expit(self.slope * logit(np.clip(probs, _NEAREST, 1 - _NEAREST)) + self.intercept)
        return mapped


def fit(probs: Floats, is_there: Bools) -> Calibration | None:
    """Fit a class's map; None where its windows are of one kind, or likelier ones hold it no more often.

    Args:
        probs: (n_windows,) softmax probabilities of the class.
        is_there: (n_windows,) whether the class sounds in the window.
    """
    from sklearn.linear_model import LogisticRegression  # a second, for those who fit

    if is_there.all() or not is_there.any():
        return None
    odds = logit(np.clip(probs, _NEAREST, 1 - _NEAREST))[:, None]
    model = LogisticRegression(C=_C, tol=1e-8, max_iter=1000).fit(odds, is_there)
    slope, intercept = (float(f"{value:.6g}") for value in (model.coef_[0, 0], model.intercept_[0]))
    return Calibration(slope, intercept) if slope > 0 else None
