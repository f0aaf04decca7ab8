"""evensong export onnx: the folds of a training as one ONNX file, checked against torch, its mel settings beside it."""

import contextlib
import importlib
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evensong.errors import ResourceError
from evensong.listen.exported import FORMAT
from evensong.listen.folds import TrainedFolds, read_folds
from evensong.listen.onnx_files import check_export, write_export

_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_BATCH_SIZES = (1, 2, 7)  # any size must do, whatever the export was traced with


def export_onnx(model: Path, out: Path) -> float:
    """Write ``out`` and a JSON of the same name: one input ``mel`` as stored, one output ``probabilities``.

    Normalisation, resizing, softmax and the mean over the folds are inside the graph; the batch size is free.

    Args:
        model: a training folder, or one fold's.
        out: file to write, ending in .onnx; replaced where it is there.

    Returns:
        The greatest difference of a probability between onnxruntime and torch.

    Raises:
        ParamsError: out is not named *.onnx.
        IntegrityError: the model is damaged, or the exported file does not give torch's probabilities.
        ResourceError: a package that the export needs is not installed.
    """
    check_export(out, _NEEDED)
    trained = read_folds(model)
    raw = _to_onnx(trained)
    difference = _greatest_difference(trained, raw)
    write_export(model, out, raw, _description(trained), difference, "torch")
    return difference


def _to_onnx(trained: TrainedFolds) -> bytes:
    mel = _mels(trained, 3, np.random.default_rng(0))
    shapes = ({0: torch.export.Dim("batch")},)
    with _quietly():
        program = torch.onnx.export(
            trained.network,
            (mel,),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=["mel"],
            output_names=["probabilities"],
            verbose=False,
        )
    if program is None:
        raise ResourceError("this version of torch returns no exported program; install torch 2.9 or newer")
    raw: bytes = program.model_proto.SerializeToString()
    return raw


@contextlib.contextmanager
def _quietly() -> Any:
    """Without the exporter's notes on its own internals; what matters is checked afterwards."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _greatest_difference(trained: TrainedFolds, raw: bytes) -> float:
    onnxruntime = importlib.import_module("onnxruntime")  # optional, as are the others in _NEEDED
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    greatest = 0.0
    for n in _BATCH_SIZES:
        mel = _mels(trained, n, rng)
        with torch.inference_mode():
            expected = trained.network(mel).numpy()
        (found,) = session.run(["probabilities"], {"mel": mel.numpy()})
        greatest = max(greatest, float(np.abs(found - expected).max()))
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


def _description(trained: TrainedFolds) -> dict[str, Any]:
    stored = trained.stored_input
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
        "output": {
            "name": "probabilities",
            "dtype": "float32",
            "shape": ["batch", len(trained.classes)],
            "values": "mean over the folds, in the order of classes",
        },
        "folds": [
            {key: card[key] for key in ("fold", "normalisation", "weights_sha256", "card_sha256")}
            for card in trained.cards
        ],
        "model": trained.cards[0]["model"],
        "torch": torch.__version__,
    }
