import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.learn.synthetic import MODEL

from evensong.errors import IntegrityError, ParamsError
from evensong.learn.models import (
    InputSize,
    build_model,
    check_model_name,
    import_timm,
    input_size,
    load_pretrained,
)
from evensong.schemas import Pretrained

SIZE = InputSize(32, 24)


def _stored(path: Path, weights: dict[str, torch.Tensor]) -> Pretrained:
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    return Pretrained(file=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _donor(n_classes: int, in_chans: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    model = import_timm().create_model(MODEL, pretrained=False, in_chans=in_chans, num_classes=n_classes)
    return dict(model.state_dict())


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("efficientnet-b1", "efficientnet_b1"), ("inception_v33", "inception_v3"), ("EfficientNet_B0", "efficientnet_b0")],
)
def test_unknown_model_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ParamsError, match=nearest):
        check_model_name(name)


def test_an_unknown_tag_names_the_known_ones() -> None:
    check_model_name("resnet10t.c3_in1k")
    for name in ("resnet10t.bogus", "resnet10t."):
        with pytest.raises(ParamsError, match=r"unknown tag; take resnet10t\.c3_in1k, or none"):
            check_model_name(name)


@pytest.mark.fault("G09")
@pytest.mark.parametrize("name", ["hf-hub:timm/resnet18", "local-dir:/weights", "timm/resnet18"])
def test_names_that_timm_would_fetch_are_refused(name: str) -> None:
    with pytest.raises(ParamsError, match="no model"):
        check_model_name(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inception_v3", "test_vit", "dla34", "levit_128", "efficientformer_l1"])
def test_a_fresh_network_predicts_nothing(name: str) -> None:
    torch.manual_seed(1)
    size = InputSize(224, 224) if name.startswith("efficientformer") else InputSize(96, 96)
    model = build_model(name, 3, size)
    with torch.inference_mode():
        logits = model.eval()(torch.randn(2, 1, *size))
    torch.testing.assert_close(logits, torch.zeros(2, 3))


def test_inputs_too_small_for_the_model_say_so() -> None:
    with pytest.raises(ParamsError, match="inception_v3 cannot be trained on 1 x 32 x 75 inputs"):
        build_model("inception_v3", 2, InputSize(32, 75))


@pytest.mark.parametrize(("stored", "fed"), [((64, 64), (75, 75)), ((64, 108), (75, 108)), ((96, 96), (96, 96))])
def test_inception_v3_takes_small_images_enlarged(stored: tuple[int, int], fed: tuple[int, int]) -> None:
    assert input_size("inception_v3", *stored) == fed
    assert input_size("inception_v3.tv_in1k", *stored) == fed
    assert input_size(MODEL, *stored) == stored


def test_inception_v3_has_one_output_when_training() -> None:
    model = build_model("inception_v3", 3, input_size("inception_v3", 64, 64)).train()
    assert model(torch.zeros(2, 1, 75, 75)).shape == (2, 3)


def test_fixed_size_transformers_take_the_stored_size() -> None:
    assert build_model("test_vit", 3, InputSize(32, 48)) is not None


def test_pretrained_colour_weights_are_summed_and_another_head_is_left_out(tmp_path: Path) -> None:
    donor = _donor(n_classes=1000)
    model = build_model(MODEL, 2, SIZE)
    fresh_head = model.get_classifier().weight.clone()
    left_out = load_pretrained(model, _stored(tmp_path / "w.safetensors", donor))
    assert left_out == ["classifier.bias", "classifier.weight"]
    assert torch.equal(model.get_classifier().weight, fresh_head)
    assert torch.allclose(model.conv_stem.weight, donor["conv_stem.weight"].sum(dim=1, keepdim=True))
    assert torch.equal(model.conv_head.weight, donor["conv_head.weight"])


def test_pretrained_head_of_the_same_classes_is_used(tmp_path: Path) -> None:
    donor = _donor(n_classes=2, in_chans=1)
    model = build_model(MODEL, 2, SIZE)
    assert load_pretrained(model, _stored(tmp_path / "w.safetensors", donor)) == []
    assert torch.equal(model.get_classifier().weight, donor["classifier.weight"])


@pytest.mark.fault("G09")
def test_pretrained_file_that_is_not_there_is_refused_and_not_downloaded(tmp_path: Path) -> None:
    source = Pretrained(file=str(tmp_path / "absent.safetensors"), sha256="0" * 64)
    with pytest.raises(IntegrityError, match=r"absent\.safetensors cannot be read"):
        load_pretrained(build_model(MODEL, 2, SIZE), source)


@pytest.mark.fault("G09")
def test_pretrained_file_with_other_bytes_is_refused(tmp_path: Path) -> None:
    source = _stored(tmp_path / "w.safetensors", _donor(2))
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=r"params\.yaml says"):
        load_pretrained(build_model(MODEL, 2, SIZE), source)


@pytest.mark.fault("G08")
def test_pretrained_tensor_missing_or_misshapen_is_refused(tmp_path: Path) -> None:
    for change in ({"conv_head.weight": torch.zeros(3)}, {"extra.weight": torch.zeros(1)}):
        source = _stored(tmp_path / "w.safetensors", {**_donor(2), **change})
        with pytest.raises(IntegrityError, match="1 tensors do not fit the model"):
            load_pretrained(build_model(MODEL, 2, SIZE), source)
    lacking = _donor(2)
    del lacking["conv_head.weight"]
    with pytest.raises(IntegrityError, match=r"conv_head.weight \(None in the file"):
        load_pretrained(build_model(MODEL, 2, SIZE), _stored(tmp_path / "w.safetensors", lacking))


def test_pretrained_pickle_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(_donor(2), path)
    source = Pretrained(file=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(IntegrityError, match="not a safetensors file"):
        load_pretrained(build_model(MODEL, 2, SIZE), source)


@pytest.mark.slow
def test_training_never_loads_the_compiler_and_leaves_it_importable(tmp_path: Path) -> None:
    code = """
import sys, numpy as np, torch
from pathlib import Path
from evensong.learn.fit import Trainer
from evensong.learn.cv import _task
from evensong.learn.resume import JobState
from evensong.learn.store import ArrayStore
from tests.learn.synthetic import training
torch.set_deterministic_debug_mode("error")
task = _task(training(Path(sys.argv[1])), 0, Path("out"), JobState("key"), single=True)
trainer = Trainer(task.fold, ArrayStore(task.arrays))
trainer.train_epoch(1)
assert not {"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)
import importlib.util
assert importlib.util.find_spec("torch._dynamo").origin.endswith("__init__.py")
"""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, env=environment)


@pytest.mark.parametrize("name", [MODEL, "mobilenetv3_small_050"])
def test_training_copies_no_activation_before_overwriting_it_and_computes_the_same(name: str) -> None:
    ours = build_model(name, 2, SIZE).train()
    plain = import_timm().create_model(name, in_chans=1, num_classes=2).train()
    plain.load_state_dict(ours.state_dict())
    mels = torch.rand(4, 1, *SIZE)
    losses = [model(mels).square().mean() for model in (ours, plain)]
    for loss in losses:
        loss.backward()
    assert losses[0] == losses[1]
    gradients = [[weight.grad for weight in model.parameters()] for model in (ours, plain)]
    assert all(torch.equal(mine, its) for mine, its in zip(*gradients, strict=True))
    copying = [m for m in ours.modules() if isinstance(m, torch.nn.SiLU | torch.nn.Hardswish) and m.inplace]
    assert not copying
    assert [m for m in plain.modules() if isinstance(m, torch.nn.SiLU | torch.nn.Hardswish) and m.inplace]
