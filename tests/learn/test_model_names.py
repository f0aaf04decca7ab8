"""What the source says is a network of timm is one: a yes is right, and a no asks timm itself."""

import pytest

from evensong.learn.model_names import is_registered
from evensong.learn.models import import_timm


@pytest.mark.parametrize(
    "name", ["test_efficientnet", "inception_v3", "resnet10t", "efficientnet_b0", "vit_tiny_patch16_224"]
)
def test_a_network_is_told_without_timm(name: str) -> None:
    assert import_timm().is_model(name)
    assert is_registered(name)


@pytest.mark.parametrize(
    "name", ["", "resnet10t.c3_in1k", "resnet", "Resnet10t", "resnet10t\n", ".*", "../resnet", "create_model"]
)
def test_anything_else_is_left_to_timm(name: str) -> None:
    assert not is_registered(name)
