"""Tiny ONNX graphs that a test can compute by hand, and the settings that feed them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from evensong.schemas import Embedding

RATE_HZ = 8_000
N = 800  # samples a window


def graph_of(nodes: list[Any], *, shape: Any = ("batch", N), weights: tuple[Any, ...] = (), domain: str = "") -> Any:
    """A model from ``wave`` to ``vector``."""
    wave = helper.make_tensor_value_info("wave", TensorProto.FLOAT, shape)
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "tiny", [wave], [vector], initializer=list(weights))
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def octaves(shape: Any = ("batch", N)) -> Any:
    """The energy of a window's samples under a few cosines: pitch as a vector of 8."""
    time_s = np.arange(N) / RATE_HZ
    waves = np.cos(2 * np.pi * time_s[:, None] * np.array([300, 400, 500, 600, 700, 800, 900, 1000]))
    matrix = helper.make_tensor("matrix", TensorProto.FLOAT, waves.shape, waves.astype(np.float32).tobytes(), raw=True)
    nodes = [helper.make_node("MatMul", ["wave", "matrix"], ["mixed"]), helper.make_node("Abs", ["mixed"], ["vector"])]
    return graph_of(nodes, shape=shape, weights=(matrix,))


def same(shape: Any = ("batch", N)) -> Any:
    """The samples themselves as the vector."""
    return graph_of([helper.make_node("Identity", ["wave"], ["vector"])], shape=shape)


def save(model: Any, path: Path, **changes: Any) -> dict[str, Any]:
    """Write a model; what params.yaml says of it."""
    raw = model if isinstance(model, bytes) else model.SerializeToString()
    path.write_bytes(raw)
    values = {
        "file": str(path), "sha256": hashlib.sha256(raw).hexdigest(), "sample_rate_hz": RATE_HZ,
        "window_seconds": N / RATE_HZ, "hop_seconds": N / RATE_HZ, "scaling": "fixed", "level": 1.0, "output": "vector",
        "pooling": "mean", "copies": False, "upsample": False, "licence": "CC0-1.0", "source": "made by a test",
        "training_data": ["none"], "mel": None,
    }  # fmt: skip
    return values | changes


def settings_of(model: Any, path: Path, **changes: Any) -> Embedding:
    return Embedding.model_validate(save(model, path, **changes))
