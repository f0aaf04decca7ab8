"""evensong export onnx of an arm: its heads as one graph, behind the vector or, where that is possible, the sound."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evensong.errors import DataError, ParamsError
from evensong.keys import keyed_generator
from evensong.learn.embedding import checked_graph, windows_of
from evensong.listen.arm import ListeningArm, read_arm_to_listen
from evensong.listen.onnx_files import check_export, write_export

FORMAT = "evensong-arm-onnx-1"
_NEEDED = ("onnx", "onnxruntime")
_OPSET, _IR = 17, 8
_AXES_ARE_AN_INPUT = 18  # of reductions, from this opset on
_N_CHECKED = 7
_PREFIX = "embedding_"  # of its names, so that none is ours

_Part = tuple[list[str], dict[str, NDArray[Any]]]  # nodes in ONNX's own notation, and the arrays they name


def export_arm(model: Path, out: Path, *, joined: bool) -> float:
    """Write ``out`` and a JSON of the same name: ``vector`` or ``wave`` in, ``probabilities`` out, the mean over folds.

    Args:
        model: an arm's folder, or one head in it.
        out: file to write, ending in .onnx; replaced where it is there.
        joined: the embedding stands in the graph, too, which then takes the samples of one window.

    Returns:
        The greatest difference of a probability between onnxruntime and the arm.

    Raises:
        EvensongError: as `check_export`, `write_export` and `read_arm_to_listen`.
        ParamsError: joined, and the embedding takes mels, or one of its windows at a time where there are several.
    """
    check_export(out, _NEEDED)
    arm = read_arm_to_listen(model)
    raw: bytes = (_joined(model, arm) if joined else _model(*_ends(arm), _heads(arm))).SerializeToString()
    difference = _greatest_difference(arm, raw, joined)
    write_export(model, out, raw, _description(arm, joined), difference, "the_arm")
    return difference


def _model(given: str, found: str, part: _Part, opset: int = _OPSET, ir_version: int = _IR) -> Any:
    onnx = importlib.import_module("onnx")  # optional
    lines, arrays = part
    nodes = "\n".join(lines)
    graph = onnx.parser.parse_graph(f"evensong ({given}) => ({found}) {{ {nodes} }}")
    used = {name for node in graph.node for name in node.input} & arrays.keys()
    graph.initializer.extend(onnx.numpy_helper.from_array(arrays[name], name) for name in sorted(used))
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=ir_version)


def _ends(arm: ListeningArm) -> tuple[str, str]:
    return f"float[batch, {_dim(arm)}] vector", f"float[batch, {len(arm.classes)}] probabilities"


def _heads(arm: ListeningArm) -> _Part:
    """Heads: vector (batch, dim) -> probabilities (batch, n_classes)."""
    lines: list[str] = []
    arrays: dict[str, NDArray[Any]] = {}
    shares: list[str] = []
    for fold in arm.folds:
        head, of = arm.arm.heads[fold], f"fold{fold}_"
        arrays |= {of + name: values.astype(np.float32) for name, values in head.tensors().items()}
        lines += [f"{of}centred = Sub (vector, {of}mean)", f"{of}x0 = Div ({of}centred, {of}scale)"]
        for n in range(len(head.layers)):
            after = "Relu" if n + 1 < len(head.layers) else "Softmax <axis = 1>"
            lines.append(f"{of}product{n} = MatMul ({of}x{n}, {of}weights_{n})")
            lines.append(f"{of}sum{n} = Add ({of}product{n}, {of}biases_{n})")
            lines.append(f"{of}x{n + 1} = {after} ({of}sum{n})")
        shares.append(f"{of}x{len(head.layers)}")
    return [*lines, f"probabilities = Mean ({', '.join(shares)})"], arrays


def _joined(model: Path, arm: ListeningArm) -> Any:
    """All in one: wave (n_samples,) -> probabilities (1, n_classes)."""
    onnx = importlib.import_module("onnx")
    settings, shape = arm.arm.model, arm.graph.shape
    windows = windows_of(np.arange(1, _n_samples(arm) + 1), settings)  # 0 is the silence behind a short one
    if settings.mel or (len(windows) > 1 and (len(shape) < 2 or shape[0] == 1)):
        why = "takes mels" if settings.mel else f"takes one window at a time, and a clip has {len(windows)}"
        raise ParamsError(f"--joined: the embedding of {model} {why}; without --joined the heads alone are exported")
    raw, opset = checked_graph(str(arm.arm.where), settings)
    embedding = onnx.compose.add_prefix(onnx.load_model_from_string(raw), _PREFIX)
    given, found, made = _PREFIX + arm.graph.input_name, _PREFIX + settings.output, (opset, embedding.ir_version)
    front = _model(f"float[{_n_samples(arm)}] wave", "float[] windows", _front(arm, windows, opset), *made)
    back = _model("float[] found", _ends(arm)[1].replace("batch", "1"), _behind(arm, opset), *made)
    try:
        rest = onnx.compose.merge_models(embedding, back, [(found, "found")], outputs=["probabilities"])
        return onnx.compose.merge_models(front, rest, [("windows", given)])
    except (ValueError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"--joined: the embedding of {model} cannot be joined ({reason}); export the heads") from error


def _front(arm: ListeningArm, windows: NDArray[np.int64], opset: int) -> _Part:
    """Before it: wave (n_samples,) -> windows as the embedding takes them, scaled as `Graph.vector` does."""
    settings, shape = arm.arm.model, arm.graph.shape
    form = [windows.shape[1]] if len(shape) == 1 else [len(windows), *(1,) * (len(shape) - 2), windows.shape[1]]
    arrays: dict[str, NDArray[Any]] = {
        "zero": np.zeros(1, np.float32),
        "one": np.ones(1, np.float32),
        "level": np.array([settings.level], np.float32),
        "places": windows,
        "form": np.array(form),
        "axis1": np.array([1]),
    }
    cut = ["padded = Concat <axis = 0> (zero, wave)", "cut = Gather (padded, places)"]
    peaks = [
        *(_reduce("middle", "ReduceMean", "cut", 1, opset), "centred = Sub (cut, middle)", "size = Abs (centred)"),
        *(_reduce("peak", "ReduceMax", "size", 1, opset), "is_silent = Equal (peak, zero)"),
        *("divisor = Where (is_silent, one, peak)", "unit = Div (centred, divisor)", "scaled = Mul (unit, level)"),
    ]
    lines = cut + (peaks if settings.scaling == "peak" else ["scaled = Mul (cut, level)"])
    return [*lines, "windows = Reshape (scaled, form)"], arrays


def _behind(arm: ListeningArm, opset: int) -> _Part:
    """Behind it: its output, all axes but the last places in time -> vector (1, dim) -> probabilities."""
    names = ("mean", "max") if arm.arm.model.pooling == "both" else (arm.arm.model.pooling,)
    kinds = {"mean": "ReduceMean", "max": "ReduceMax"}
    pools = [_reduce(f"pooled_{name}", kinds[name], "rows", 0, opset) for name in names]
    vector = f"vector = Concat <axis = 1> ({', '.join(f'pooled_{name}' for name in names)})"
    arrays = {"row_form": np.array([-1, _dim(arm) // len(names)]), "axis0": np.array([0])}
    lines, of_heads = _heads(arm)
    return ["rows = Reshape (found, row_form)", *pools, vector, *lines], arrays | of_heads


def _reduce(name: str, kind: str, of: str, axis: int, opset: int) -> str:
    if opset >= _AXES_ARE_AN_INPUT:
        return f"{name} = {kind} <keepdims = 1> ({of}, axis{axis})"
    return f"{name} = {kind} <keepdims = 1, axes = [{axis}]> ({of})"


def _dim(arm: ListeningArm) -> int:
    return next(iter(arm.arm.heads.values())).mean.size


def _n_samples(arm: ListeningArm) -> int:
    """Samples of a window at the embedding's rate."""
    return max(1, round(arm.heard.clip_seconds * arm.arm.model.sample_rate_hz))


def _greatest_difference(arm: ListeningArm, raw: bytes, joined: bool) -> float:
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    chance, head = keyed_generator("export", "arm"), arm.arm.heads[arm.folds[0]]
    if joined:
        rate_hz = arm.arm.model.sample_rate_hz
        given: Any = chance.normal(0, 0.1, (_N_CHECKED, _n_samples(arm))).astype(np.float32)
        vectors = np.stack([arm.graph.vector(wave, rate_hz) for wave in given])
        found = np.concatenate([session.run(["probabilities"], {"wave": wave})[0] for wave in given])
    else:
        vectors = (head.mean + head.scale * chance.normal(size=(_N_CHECKED, _dim(arm)))).astype(np.float32)
        (found,) = session.run(["probabilities"], {"vector": vectors})
    return float(np.abs(found - arm.of_vectors(vectors)).max())


def _description(arm: ListeningArm, joined: bool) -> dict[str, Any]:
    embedding = {key: value for key, value in arm.arm.model.model_dump(mode="json").items() if key != "file"}
    n = _n_samples(arm)
    wave = (
        f"{arm.heard.clip_seconds:g} s at {embedding['sample_rate_hz']} Hz, full scale +/-1, zeros behind a shorter one"
    )
    vector = "what the embedding gives of a window, pooled over its windows and frames as pooling says"
    return {
        "format": FORMAT,
        "classes": arm.classes,
        "background": arm.background,
        "input": {
            "name": "wave" if joined else "vector",
            "dtype": "float32",
            "shape": [n] if joined else ["batch", _dim(arm)],
            "values": wave if joined else vector,
        },
        "output": {
            "name": "probabilities",
            "dtype": "float32",
            "shape": [1 if joined else "batch", len(arm.classes)],
            "values": "mean over the folds, in the order of classes",
        },
        "clip_seconds": arm.heard.clip_seconds,
        "pool_sample_rate_hz": arm.heard.sample_rate_hz,
        "embedding": embedding | {"is_in_the_graph": joined},
        "folds": [{"fold": fold, "card_sha256": arm.cards[0]["card_sha256"]} for fold in arm.folds],
    }
