"""Heads: a classifier on features, fitted in seconds, as a few matrices that can be stored and read again."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from evensong.errors import ResourceError
from evensong.keys import derive_seed

Kind = Literal["logistic", "mlp"]

_INVERSE_PENALTY = 0.01  # scikit-learn's C; on ESC-10 none from 0.001 to 1 is told from another
_MAX_ITERATIONS = 1000
_HIDDEN = 64
_HIDDEN_PENALTY = 1.0  # scikit-learn's alpha; on ESC-10 none from 0.1 to 10 is told from another
_HIDDEN_STEPS = 200

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Head:
    """Standardised features through layers, with a rectifier between two of them and softmax at the end.

    Attributes:
        mean, scale: (n_features,), what the features are standardised by.
        layers: weights (n_in, n_out) and biases (n_out,); the last n_out is the number of classes.
    """

    mean: Floats
    scale: Floats
    layers: tuple[tuple[Floats, Floats], ...]

    def probabilities(self, features: NDArray[Any]) -> Floats:
        """(n_items, n_classes) of features (n_items, n_features)."""
        values = (features.astype(np.float64) - self.mean) / self.scale
        for number, (weights, biases) in enumerate(self.layers):
            values = (np.maximum(values, 0) if number else values) @ weights + biases
        exponentials = np.exp(values - values.max(axis=1, keepdims=True))
        shares: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
        return shares

    def tensors(self) -> dict[str, Floats]:
        """Every array by name, see `head_from`."""
        named = {"mean": self.mean, "scale": self.scale}
        for number, (weights, biases) in enumerate(self.layers):
            named |= {f"weights_{number}": weights, f"biases_{number}": biases}
        return {name: np.ascontiguousarray(values) for name, values in named.items()}


def head_from(tensors: Mapping[str, Floats], n_classes: int) -> Head:
    """The head whose `tensors` these are.

    Raises:
        ValueError: they are not those of one head of so many classes, or not finite.
    """
    n_layers = max(1, (len(tensors) - 2) // 2)
    try:
        layers = [(tensors[f"weights_{number}"], tensors[f"biases_{number}"]) for number in range(n_layers)]
        head = Head(tensors["mean"], tensors["scale"], tuple(layers))
    except KeyError as error:
        raise ValueError(f"{error} is missing") from None
    widths = [head.mean.size, *(biases.size for _, biases in layers)]
    wanted: dict[str, tuple[int, ...]] = {"mean": (widths[0],), "scale": (widths[0],)}
    for number in range(n_layers):
        wanted |= {f"weights_{number}": (widths[number], widths[number + 1]), f"biases_{number}": (widths[number + 1],)}
    if {name: values.shape for name, values in tensors.items()} != wanted or widths[-1] != n_classes:
        raise ValueError("the shapes do not fit")
    if not all(values.dtype == np.float64 and np.isfinite(values).all() for values in tensors.values()):
        raise ValueError("not all are finite float64")
    return head


def fit_head(kind: Kind, values: NDArray[Any], labels: Ints, where: str) -> Head:
    """Fit a head to standardised features, the classes weighed alike.

    ``logistic`` is multinomial logistic regression with an L2 penalty. ``mlp`` has one hidden layer of 64 rectifiers,
    an L2 penalty, and a fixed number of steps of L-BFGS from one keyed start, all items at once: no batches, no rate.

    Args:
        values: (n_items, n_features).
        labels: (n_items,), 0 to n_classes - 1, every class among them.
        where: for the message.

    Raises:
        ResourceError: the optimiser of the logistic regression did not settle.
    """
    scaler = StandardScaler()
    standard = scaler.fit_transform(values.astype(np.float64))
    layers = _logistic(standard, labels, where) if kind == "logistic" else _hidden(standard, labels)
    weights, biases = layers[-1]
    if biases.size == 1:  # of two classes scikit-learn keeps the second's lead over the first alone
        layers[-1] = np.hstack([np.zeros_like(weights), weights]), np.concatenate([np.zeros_like(biases), biases])
    return Head(scaler.mean_, scaler.scale_, tuple(layers))


def _logistic(standard: Floats, labels: Ints, where: str) -> list[tuple[Floats, Floats]]:
    model = LogisticRegression(C=_INVERSE_PENALTY, class_weight="balanced", tol=1e-8, max_iter=_MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(standard, labels)
        except ConvergenceWarning:
            raise ResourceError(f"{where}: the linear classifier did not settle in {_MAX_ITERATIONS} steps") from None
    return [(model.coef_.T, model.intercept_)]


def _hidden(standard: Floats, labels: Ints) -> list[tuple[Floats, Floats]]:
    model = MLPClassifier(
        (_HIDDEN,), solver="lbfgs", alpha=_HIDDEN_PENALTY, max_iter=_HIDDEN_STEPS, random_state=derive_seed("mlp")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are fixed
        model.fit(standard, labels, sample_weight=compute_sample_weight("balanced", labels))
    return list(zip(model.coefs_, model.intercepts_, strict=True))
