"""evensong export onnx: the folds of a training as one ONNX file, checked against torch, its mel settings beside it."""

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from evensong.errors import ResourceError
from evensong.listen.exported import FORMAT
from evensong.listen.folds import TrainedFolds, read_folds
from evensong.listen.onnx_files import check_export, write_export
from evensong.listen.listeners import track_of
from evensong.listen.voice_folds import read_each
from evensong.listen.voice_models import beside

_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_BATCH_SIZES = (1, 2, 7)  # any size must do, whatever the export was traced with


def export_onnx(model: Path, out: Path) -> float:
    """Write ``out`` and a JSON of the same name: one input ``mel`` as stored, an output ``probabilities``.

    Normalisation, resizing, softmax and the mean over the folds are inside the graph; the batch size is free. Voice
    models have a second output ``each``, since each has its own threshold, which the JSON holds.

    Args:
        model: a training folder, or one fold's; of the voice track also the folder of all trainings.
        out: file to write, ending in .onnx; replaced where it is there.

    Returns:
        The greatest difference of a probability between onnxruntime and torch.

    Raises:
        ParamsError: out is not named *.onnx.
        IntegrityError: the model is damaged, or the exported file does not give torch's probabilities.
        ResourceError: a package that the export needs is not installed.
    """
    check_export(out, _NEEDED)
    source = _read(model)
    raw = _to_onnx(source)
    difference = _greatest_difference(source, raw)
    write_export(model, out, raw, _description(source), difference, "torch")
    return difference


@dataclass(frozen=True)
class _Source:
    """What is exported.

    Attributes:
        network: mels as stored -> as many tensors as there are outputs.
        outputs: their names and what their values are.
        first: a training, whose input and classes are those of all.
        folds: what the description says of each model.
    """

    network: nn.Module
    outputs: dict[str, str]
    first: TrainedFolds
    folds: list[dict[str, Any]]


def _read(model: Path) -> _Source:
    outputs = {"probabilities": "mean over the folds, in the order of classes"}
    if track_of(model) == "night":
        trained = read_folds(model)
        return _Source(trained.network, outputs, trained, [_fold(card) for card in trained.cards])
    network, members, judges = read_each(model, beside(model))
    outputs["each"] = "of each model, in the order of folds; a model votes for class 1 from its threshold on"
    folds = [_fold(one.cards[0]) | judge.model_dump() for one, judge in zip(members, judges, strict=True)]
    return _Source(network, outputs, members[0], folds)


def _fold(card: dict[str, Any]) -> dict[str, Any]:
    return {key: card[key] for key in ("fold", "normalisation", "weights_sha256", "card_sha256")}


def _to_onnx(source: _Source) -> bytes:
    mel = _mels(source.first, 3, np.random.default_rng(0))
    shapes = ({0: torch.export.Dim("batch")},)
    with _quietly():
        program = torch.onnx.export(
            source.network,
            (mel,),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=["mel"],
            output_names=list(source.outputs),
            verbose=False,
        )
    if program is None:
        raise ResourceError("this version of torch returns no exported program; install torch 2.9 or newer")
    raw: bytes = program.model_proto.SerializeToString()
    return raw


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's notes on its own internals; what matters is checked afterwards."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _greatest_difference(source: _Source, raw: bytes) -> float:
    onnxruntime = importlib.import_module("onnxruntime")  # optional, as are the others in _NEEDED
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    greatest = 0.0
    for n in _BATCH_SIZES:
        mel = _mels(source.first, n, rng)
        with torch.inference_mode():
            expected = source.network(mel)
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = session.run(list(source.outputs), {"mel": mel.numpy()})
        differences = [np.abs(ours - theirs.numpy()).max() for ours, theirs in zip(found, expected, strict=True)]
        greatest = max(greatest, *map(float, differences))
    return greatest


def _mels(trained: TrainedFolds, n: int, rng: np.random.Generator) -> torch.Tensor:
    """(n, height, width) float32 noise on the scale of the training's mels, loud in one band each."""
    height, width = trained.stored_input["height"], trained.stored_input["width"]
    mels = rng.standard_normal((n, height, width))
    for mel in mels:
        first = int(rng.integers(height))
        mel[first : first + height // 8 + 1] += 3
    facts = trained.cards[0]["normalisation"]
    return torch.from_numpy((mels * facts["std"] + facts["mean"]).astype(np.float32))


def _description(source: _Source) -> dict[str, Any]:
    trained, stored = source.first, source.first.stored_input
    is_float = stored["dtype"] == "float32"
    values = "log-mel in dB as evensong.audio.mel.log_mel makes it" if is_float else "8-bit mel image divided by 255"
    return {
        "format": FORMAT,
        "classes": trained.classes,
        "background": trained.background,
        "mels": trained.mels,
        "input": {
            "name": "mel",
            "dtype": "float32",
            "shape": ["batch", stored["height"], stored["width"]],
            "values": f"{values}; not standardised, the graph does that",
        },
        **_described_outputs(source),
        "folds": source.folds,
        "model": trained.cards[0]["model"],
        "torch": torch.__version__,
    }


def _described_outputs(source: _Source) -> dict[str, Any]:
    n_classes, n_models = len(source.first.classes), len(source.folds)
    shapes = {"probabilities": ["batch", n_classes], "each": ["batch", n_models, n_classes]}
    described = [
        {"name": name, "dtype": "float32", "shape": shapes[name], "values": values}
        for name, values in source.outputs.items()
    ]
    return {"output": described[0]} | ({"each": described[1]} if len(described) > 1 else {})
