"""A model that `evensong export onnx` wrote, ready to listen without torch: a third of its memory, no wait for it."""

import functools
import hashlib
import importlib
import importlib.util
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evensong.errors import IntegrityError, ResourceError
from evensong.keys import digest_of
from evensong.listen.scorer import Infer, Trained
from evensong.score.judges import Judge

FORMAT: Literal["evensong-onnx-2"] = "evensong-onnx-2"


class _Fold(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    card_sha256: str


class _Described(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    format: Literal["evensong-onnx-2"]
    classes: list[str] = Field(min_length=1)
    background: list[str]
    mels: dict[str, Any]
    onnx_sha256: str


class _Night(_Described):
    folds: list[_Fold] = Field(min_length=1)


class _Voice(_Described):
    folds: list[Judge] = Field(min_length=1)


_D = TypeVar("_D", bound=_Described)


@functools.cache
def read_exported(path: Path) -> Trained:
    """Read a graph of the night track and the description beside it, once a process.

    Raises:
        IntegrityError: one of them is missing or damaged, or they do not belong together.
        ResourceError: onnxruntime is not installed.
    """
    raw, facts = _read(path, _Night)
    infer = _infer(path, raw, "probabilities", (len(facts.classes),))
    cards = [fold.model_dump() for fold in facts.folds]
    digest = digest_of([facts.model_dump_json()])  # which holds the graph's
    return Trained(facts.classes, facts.background, cards, digest, infer, facts.mels)


def read_exported_voice(path: Path) -> tuple[Infer, list[Judge], dict[str, Any]]:
    """Read a graph of voice models: what each of them says, what they decide by, and the settings of the images.

    Raises:
        IntegrityError: as `read_exported`.
        ResourceError: as `read_exported`.
    """
    raw, facts = _read(path, _Voice)
    return _infer(path, raw, "each", (len(facts.folds), len(facts.classes))), facts.folds, facts.mels


def _read(path: Path, description: type[_D]) -> tuple[bytes, _D]:
    """The graph's bytes, and what the file beside it says of them."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise ResourceError(f"{path} needs onnxruntime; install with: pip install onnxruntime")
    beside = path.with_suffix(".json")
    try:
        raw, described = path.read_bytes(), beside.read_bytes()
        facts = description.model_validate_json(described)
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
    return raw, facts


def _infer(path: Path, raw: bytes, output: str, shape: tuple[int, ...]) -> Infer:
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
            (probs,) = session.run([output], {"mel": mels})
        except Exception as error:
            raise IntegrityError(f"{path}: the graph cannot be run on the mels of its description") from error
        if probs.shape != (len(mels), *shape):
            wanted = " x ".join(map(str, shape))
            raise IntegrityError(f"{path}: gives {probs.shape[1:]} for a window, not {wanted} probabilities")
        found: NDArray[np.float32] = probs
        return found

    return infer
