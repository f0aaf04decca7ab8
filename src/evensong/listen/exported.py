"""A model that `evensong export onnx` wrote, ready to listen without torch: a third of its memory, no wait for it."""

import functools
import hashlib
import importlib
import importlib.util
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evensong.errors import IntegrityError, ResourceError
from evensong.listen.scorer import Infer, Trained

FORMAT: Literal["evensong-onnx-2"] = "evensong-onnx-2"


class _Fold(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    card_sha256: str


class _Description(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    format: Literal["evensong-onnx-2"]
    classes: list[str] = Field(min_length=1)
    background: list[str]
    mels: dict[str, Any]
    folds: list[_Fold] = Field(min_length=1)
    onnx_sha256: str


@functools.cache
def read_exported(path: Path) -> Trained:
    """Read a graph and the description beside it, once a process.

    Raises:
        IntegrityError: one of them is missing or damaged, or they do not belong together.
        ResourceError: onnxruntime is not installed.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise ResourceError(f"{path} needs onnxruntime; install with: pip install onnxruntime")
    beside = path.with_suffix(".json")
    try:
        raw, described = path.read_bytes(), beside.read_bytes()
        facts = _Description.model_validate_json(described)
    except OSError as error:
        raise IntegrityError(f"{path}: no readable model with its {beside.name} ({type(error).__name__})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise IntegrityError(
            f"{beside}: {where}: {first['msg']}; export the model again (an arm listens by its folder)"
        ) from error
    if hashlib.sha256(raw).hexdigest() != facts.onnx_sha256:
        raise IntegrityError(f"{path}: not the graph that {beside.name} was written for; export the model again")
    cards = [fold.model_dump() for fold in facts.folds]
    infer = _infer(path, raw, len(facts.classes))
    return Trained(facts.classes, facts.background, cards, facts.onnx_sha256, infer, facts.mels)


def _infer(path: Path, raw: bytes, n_classes: int) -> Infer:
    """The graph in one thread: a forked worker finds no thread pool."""
    onnxruntime = importlib.import_module("onnxruntime")  # optional
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds have no common one
        raise IntegrityError(f"{path}: no graph that onnxruntime can use ({type(error).__name__})") from error

    def infer(mels: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            (probs,) = session.run(["probabilities"], {"mel": mels})
        except Exception as error:
            raise IntegrityError(f"{path}: the graph cannot be run on the mels of its description") from error
        if probs.shape != (len(mels), n_classes):
            raise IntegrityError(f"{path}: gives {probs.shape[1:]} for a window, not {n_classes} probabilities")
        found: NDArray[np.float32] = probs
        return found

    return infer
