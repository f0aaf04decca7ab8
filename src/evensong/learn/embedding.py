"""A pretrained network as an ONNX file, checked at the door; then sound in, one vector out.

The file comes from elsewhere: it must have the given hash, read no other file, and bring no operator of its own.
"""

import hashlib
import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from evensong.audio.decode import resample
from evensong.audio.model_mel import frames_of, model_mels
from evensong.errors import DataError, IntegrityError, ResourceError
from evensong.keys import keyed_generator
from evensong.schemas import Embedding

_NEEDED = ("onnx", "onnxruntime")
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}  # whose operators onnxruntime brings itself
_BATCH = 16

_Kind = TypeVar("_Kind", bound=np.generic)


@dataclass(frozen=True)
class Graph:
    """An opened model.

    Attributes:
        where: its place in params.yaml, for messages.
        settings: how to feed it.
        session: of onnxruntime, one thread.
        shape: of its only input: a number, or None where it is free.
        opset: version of the standard operators.
    """

    where: str
    settings: Embedding
    session: Any
    shape: tuple[int | None, ...]
    opset: int

    @property
    def input_name(self) -> str:
        """Of its only input."""
        name: str = self.session.get_inputs()[0].name
        return name

    def vector(self, wave: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
        """The pooled output over all windows of a recording.

        Args:
            wave: (n,) float32, full scale +/-1.

        Returns:
            (dim,) float32, or (2 * dim,) where pooling is both: the mean, then the maximum.

        Raises:
            DataError: the graph cannot be run on it, or gives NaN or infinity.
        """
        windows = self._scaled(windows_of(resample(wave, sample_rate_hz, self.settings.sample_rate_hz), self.settings))
        rows = np.concatenate([self._run(batch) for batch in self._batches(windows)])
        if not np.isfinite(rows).all():
            raise DataError(f"{self.where}: the graph gives values that are not finite; the file is no use as it is")
        pooled = {"mean": rows.mean(axis=0, dtype=np.float64), "max": rows.max(axis=0)}
        names = ("mean", "max") if self.settings.pooling == "both" else (self.settings.pooling,)
        return np.concatenate([pooled[name] for name in names]).astype(np.float32)

    def _scaled(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        level = np.float32(self.settings.level)
        if self.settings.scaling == "fixed":
            return windows * level
        windows = windows - windows.mean(axis=1, keepdims=True)
        peaks = np.abs(windows).max(axis=1, keepdims=True)
        peaks[peaks == 0] = 1  # silence stays silent
        scaled: NDArray[np.float32] = windows / peaks * level
        return scaled

    def _batches(self, windows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Windows in the form of the input: a window, (batch, window) or (batch, 1, window)."""
        mel, rate_hz = self.settings.mel, self.settings.sample_rate_hz
        n_axes = len(self.shape) - len(_window_shape(self.settings))  # before those of a window
        size = 1 if n_axes == 0 or self.shape[0] == 1 else _BATCH
        for start in range(0, len(windows), size):
            batch = windows[start : start + size]
            batch = model_mels(batch, rate_hz, mel) if mel else batch
            yield batch[0] if n_axes == 0 else batch[:, None] if n_axes == 2 else batch

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n_positions, dim): all axes of the output but the last are places in time."""
        try:
            (found,) = self.session.run([self.settings.output], {self.input_name: batch})
        except _faults() as error:
            raise DataError(f"{self.where}: onnxruntime cannot run the graph ({_line(error)})") from None
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.ndim < 1 or 0 in found.shape:
            raise DataError(f"{self.where}.output: {self.settings.output} is no array of float32 with values in it")
        rows: NDArray[np.float32] = found.reshape(-1, found.shape[-1])
        return rows


@lru_cache(maxsize=1)
def open_graph(where: str, settings: Embedding) -> Graph:
    """Open a model file, once it has passed; every process opens its own.

    Args:
        where: its place in params.yaml, such as ``night.embed.models.perch``.

    Raises:
        IntegrityError: the file is not there, or has another hash.
        DataError: no ONNX graph, one that reads other files or has operators of its own, an input that is no sound of
            this length, no such output, or values that are not finite.
        ResourceError: onnx or onnxruntime is not installed.
    """
    raw, opset = checked_graph(where, settings)
    session = _session(where, raw)
    graph = Graph(where, settings, session, _input_shape(where, settings, session), opset)
    n_samples = 2 * _n_window(settings)
    noise = keyed_generator("embedding", "trial").normal(0, 0.1, n_samples).astype(np.float32)
    graph.vector(noise, settings.sample_rate_hz)
    return graph


def checked_graph(where: str, settings: Embedding) -> tuple[bytes, int]:
    """The bytes of a model file with the wanted tensor among its outputs, and its opset.

    The bytes are parsed, and nothing is run; no part of the graph may reach outside the file. A tensor inside the
    graph can become an output.

    Raises:
        EvensongError: as `open_graph`.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ResourceError(f"{where} needs {', '.join(missing)}; install with: pip install {' '.join(missing)}")
    raw = _read(where, settings)
    onnx = importlib.import_module("onnx")
    try:
        model = onnx.load_model_from_string(raw)
    except importlib.import_module("google.protobuf.message").DecodeError:
        raise DataError(f"{where}.file: not an ONNX file") from None
    own = {function.domain for function in model.functions}
    for part in _parts(model):
        if isinstance(part, onnx.TensorProto) and (part.external_data or part.data_location):
            raise DataError(f"{where}.file: it keeps weights in other files; save it as one file (onnx.save_model)")
        if isinstance(part, onnx.NodeProto) and part.domain not in _DOMAINS | own:
            raise DataError(f"{where}.file: operator {part.op_type} of {part.domain!r} is none of onnxruntime's own")
    outputs = [output.name for output in model.graph.output]
    if settings.output not in outputs:
        if settings.output not in {name for node in model.graph.node for name in node.output}:
            raise DataError(f"{where}.output: the graph has no {settings.output}; its outputs are {', '.join(outputs)}")
        model.graph.output.append(onnx.ValueInfoProto(name=settings.output))
        raw = model.SerializeToString()
    return raw, next((int(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)


def _read(where: str, settings: Embedding) -> bytes:
    try:
        raw = Path(settings.file).read_bytes()
    except OSError as error:
        raise IntegrityError(f"{where}.file: {settings.file} cannot be read ({error.strerror})") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != settings.sha256:
        raise IntegrityError(f"{where}.sha256: {settings.file} has {found}; it is not the file that was meant")
    return raw


def _parts(message: Any) -> Iterator[Any]:
    """Every message inside a message, graphs of branches and functions included."""
    for field, value in message.ListFields():
        if field.message_type:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield part
                yield from _parts(part)


def _session(where: str, raw: bytes) -> Any:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        return runtime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except _faults() as error:
        raise DataError(f"{where}.file: onnxruntime cannot load the graph ({_line(error)})") from None


def _input_shape(where: str, settings: Embedding, session: Any) -> tuple[int | None, ...]:
    inputs, window = session.get_inputs(), _window_shape(settings)
    shape = tuple(axis if isinstance(axis, int) else None for axis in inputs[0].shape) if len(inputs) == 1 else ()
    before, last = shape[: -len(window)], shape[-len(window) :]
    fits = len(last) == len(window) and all(axis in (None, n) for axis, n in zip(last, window, strict=True))
    is_sound = fits and inputs[0].type == "tensor(float)"
    if not is_sound or before not in ((), (None,), (1,), (None, 1), (1, 1), (1, None), (None, None)):
        found = "; ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
        unit, because = ("samples", "") if settings.mel is None else (settings.mel.axes.replace("_", " x "), ", mel")
        raise DataError(
            f"{where}: needs one float32 input of {' x '.join(map(str, window))} {unit} (window_seconds, sample_rate_hz"
            f"{because}), alone, after (batch) or after (batch, 1); the graph has {found or 'none'}"
        )
    return shape


def _window_shape(settings: Embedding) -> tuple[int, ...]:
    """What the graph takes of one window: (n_samples,), or its mel."""
    n_samples = _n_window(settings)
    if settings.mel is None:
        return (n_samples,)
    shape = frames_of(settings.mel, n_samples), settings.mel.n_mels
    return shape if settings.mel.axes == "frames_mels" else shape[::-1]


def _n_window(settings: Embedding) -> int:
    return max(1, round(settings.window_seconds * settings.sample_rate_hz))


def windows_of(wave: NDArray[_Kind], settings: Embedding) -> NDArray[_Kind]:
    """(n_windows, n): every sample is in one, the last ends with the recording; a short one is followed by zeros."""
    n = _n_window(settings)
    wave = np.pad(wave, (0, max(0, n - len(wave))))
    starts = [*range(0, len(wave) - n, max(1, round(settings.hop_seconds * settings.sample_rate_hz))), len(wave) - n]
    return np.stack([wave[start : start + n] for start in starts])


def _faults() -> tuple[type[Exception], ...]:
    """What onnxruntime raises; its errors have no common base."""
    kinds = vars(importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")).values()
    return tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def refuse_lower_rates(where: str, settings: Embedding, rates_hz: NDArray[np.int64], cure: str) -> None:
    """Stop where recordings have a lower rate than the model and the user has not said to resample them.

    Args:
        rates_hz: (n,) of the recordings.
        cure: a parameter that raises them, or what else to do.

    Raises:
        DataError: says the lowest rate.
    """
    low = rates_hz[rates_hz < settings.sample_rate_hz]
    if len(low) and not settings.upsample:
        raise DataError(
            f"{where}.sample_rate_hz: the model hears {settings.sample_rate_hz} Hz and the lowest rate of the "
            f"recordings is {low.min()} Hz: what lies above half of it is missing; {cure}, or set upsample: true"
        )
