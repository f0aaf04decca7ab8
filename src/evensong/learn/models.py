"""timm classifiers for one-channel images, and their weights: safetensors only, checked, never downloaded."""

import difflib
import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from evensong.errors import IntegrityError, ParamsError
from evensong.schemas import Pretrained

_COMPILER = "torch._dynamo"
# These end in an unpadded 3x3 window: below 75 px nothing is left of the image, so it is enlarged to 75.
_SMALLEST_PX = {"inception_v3": 75, "inception_v4": 75, "inception_resnet_v2": 75}
_WHERE = "model in night.train or voice.train"  # the engine does not know its track


class InputSize(NamedTuple):
    """What the network is fed, which is what is stored unless the network needs more."""

    height: int
    width: int


def import_timm() -> ModuleType:
    """Import timm without torch's compiler, which nothing here uses and which takes longer to load than all the rest.

    torchvision and timm each ask the compiler one small question while they load. Answering it here saves every
    training stage three of its eight seconds of imports. The real compiler stays importable afterwards.
    """
    with _compiler_not_needed():
        import timm
    return timm


@contextmanager
def _compiler_not_needed() -> Iterator[None]:
    """Answer for the compiler while the block imports, unless the real one is already loaded."""
    if _COMPILER in sys.modules or "timm" in sys.modules:
        yield
        return
    answers, helpers = ModuleType(_COMPILER), ModuleType(f"{_COMPILER}.utils")
    answers.disable = _leave_as_is  # type: ignore[attr-defined]  # timm marks functions that must not be compiled
    helpers.is_compile_supported = lambda _device: False  # type: ignore[attr-defined]  # torchvision.ops asks
    answers.utils = helpers  # type: ignore[attr-defined]
    sys.modules.update({answers.__name__: answers, helpers.__name__: helpers})
    try:
        yield
    finally:
        for module in (answers, helpers):
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]


def _leave_as_is(function: Callable[..., Any] | None = None, *_args: object, **_options: object) -> Any:
    return function if function is not None else _leave_as_is


def check_model_name(name: str) -> None:
    """Accept exactly the names that timm can build without a network.

    Raises:
        ParamsError: unknown; names the nearest known ones.
    """
    timm = import_timm()
    if ":" not in name and "/" not in name and timm.is_model(name):
        _check_tag(name)
        return
    known = timm.list_models()
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=3, cutoff=0.6)
    hint = f"; did you mean {', '.join(near)}?" if near else "; `timm.list_models()` names them all"
    raise ParamsError(f"{_WHERE}: timm has no model {name!r}{hint}")


def _check_tag(name: str) -> None:
    timm = import_timm()
    try:
        timm.models.get_pretrained_cfg(name)
    except RuntimeError:
        tagged = timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)
        raise ParamsError(f"{_WHERE}: {name!r} has an unknown tag; take {' or '.join(tagged)}, or none") from None


def input_size(name: str, height: int, width: int) -> InputSize:
    """The size a stored image is fed at: enlarged for the few networks that cannot take it as it is."""
    smallest = _SMALLEST_PX.get(name.partition(".")[0], 1)
    return InputSize(max(height, smallest), max(width, smallest))


def build_model(name: str, n_classes: int, size: InputSize) -> nn.Module:
    """Build a one-channel classifier with fresh weights from torch's global generator.

    Raises:
        ParamsError: unknown name, a model that takes no one-channel images, or one too deep for this size.
    """
    check_model_name(name)
    timm = import_timm()
    config = timm.models.get_pretrained_cfg(name)
    options: dict[str, Any] = {"img_size": tuple(size)} if config and config.fixed_input_size else {}
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, in_chans=1, num_classes=n_classes, **options)
        with torch.inference_mode():
            logits = model.eval()(torch.zeros(1, 1, *size))
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise ParamsError(
            f"{_WHERE}: {name} cannot be trained on 1 x {size.height} x {size.width} inputs "
            f"({_first_line(error)}); take mels of another size, or another model"
        ) from error
    if logits.shape != (1, n_classes):
        raise ParamsError(f"{_WHERE}: {name} gives {tuple(logits.shape)} for one item, not {n_classes} logits")
    _spare_copies(model)
    _start_even(model, n_classes)
    return model


def _start_even(model: nn.Module, n_classes: int) -> None:
    """Zero the last layer, so that training starts from equal probabilities (Fixup: Zhang et al., ICLR 2019).

    Some networks' own heads are confidently wrong at first, and a few epochs on a small set pass in unlearning that.
    """
    heads = model.get_classifier()  # type: ignore[operator]
    for head in heads if isinstance(heads, tuple) else (heads,):
        for layer in head.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d) and len(layer.weight) == n_classes:
                nn.init.zeros_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


def _spare_copies(model: nn.Module) -> None:
    """Switch off in-place activations whose backward needs the input: torch copies the input first, for nothing."""
    for module in model.modules():
        if isinstance(module, nn.SiLU | nn.Hardswish | nn.Mish):
            module.inplace = False


def load_pretrained(model: nn.Module, source: Pretrained) -> list[str]:
    """Load weights from a local safetensors file into a model built by `build_model`.

    The first convolution may have three input channels: they are summed into one, as timm does. A head of another
    number of classes is left out, and the model keeps its fresh one. Everything else must fit, name by name.

    Returns:
        The names left out, for the model card.

    Raises:
        IntegrityError: missing file, other bytes than ``sha256``, not safetensors, or tensors that do not fit.
    """
    loaded = _read_checked(source)
    expected = model.state_dict()
    head = f"{_head_name(model)}."
    left_out = _drop_other_heads(loaded, expected, head)
    _adapt_first_convolution(loaded, expected)
    fresh = {key for key in expected if key.startswith(head) and key not in loaded}
    wanted = loaded.keys() | (expected.keys() - fresh)
    unfit = sorted(key for key in wanted if _shape(loaded, key) != _shape(expected, key))
    if unfit:
        raise IntegrityError(
            f"{source.file}: {len(unfit)} tensors do not fit the model, such as {unfit[0]} "
            f"({_shape(loaded, unfit[0])} in the file, {_shape(expected, unfit[0])} in the model)"
        )
    model.load_state_dict({**expected, **loaded}, strict=True)
    return left_out


def _read_checked(source: Pretrained) -> dict[str, Tensor]:
    try:
        raw = Path(source.file).read_bytes()
    except OSError as error:
        raise IntegrityError(f"pretrained.file: {source.file} cannot be read ({error.strerror})") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != source.sha256:
        raise IntegrityError(f"pretrained.file: {source.file} has sha256 {found}, params.yaml says {source.sha256}")
    try:
        return dict(load_safetensors(raw))
    except SafetensorError as error:
        raise IntegrityError(f"pretrained.file: {source.file} is not a safetensors file ({error})") from error


def _head_name(model: nn.Module) -> str:
    """Dotted name of the last classifier layer, as timm records it."""
    name = getattr(model, "pretrained_cfg", {}).get("classifier")
    if not isinstance(name, str):
        raise IntegrityError(
            f"pretrained: {type(model).__name__} has no single named head; its weights cannot be reused"
        )
    return name


def _drop_other_heads(loaded: dict[str, Tensor], expected: dict[str, Tensor], head: str) -> list[str]:
    """Leave out a head for other classes, and auxiliary heads that the model does not have."""
    has_other_head = any(_shape(loaded, key) != _shape(expected, key) for key in expected if key.startswith(head))
    left_out = [
        key
        for key in sorted(loaded)
        if (has_other_head and key.startswith(head)) or (key.startswith("AuxLogits.") and key not in expected)
    ]
    for key in left_out:
        del loaded[key]
    return left_out


def _adapt_first_convolution(loaded: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    adapt = import_timm().models.adapt_input_conv
    for key, weight in loaded.items():
        wanted = _shape(expected, key)
        if weight.ndim == 4 and wanted == (len(weight), 1, *weight.shape[2:]) and weight.shape[1] == 3:
            loaded[key] = adapt(1, weight)


def _shape(tensors: dict[str, Tensor], key: str) -> tuple[int, ...] | None:
    return tuple(tensors[key].shape) if key in tensors else None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
