import copy

import torch
from torch import Tensor

from evensong.learn.optimizer import AdamW


def _model() -> torch.nn.Module:
    torch.manual_seed(0)
    convolution, head = torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.Linear(4 * 16, 2)
    model = torch.nn.Sequential(convolution, torch.nn.BatchNorm2d(4), torch.nn.Flatten(), head)
    return model.to(memory_format=torch.channels_last)


def _step(model: torch.nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    model(torch.randn(5, 3, 6, 6)).square().mean().backward()


@torch.no_grad()
def _reference_step(weight: Tensor, moments: list[Tensor], step: int, learning_rate: float, decay: float) -> None:
    """Algorithm 2 of Loshchilov and Hutter, in float64."""
    assert weight.grad is not None
    gradient = weight.grad.double()
    moments[0].mul_(0.9).add_(0.1 * gradient)
    moments[1].mul_(0.999).add_(0.001 * gradient**2)
    mean, variance = moments[0] / (1 - 0.9**step), moments[1] / (1 - 0.999**step)
    change = learning_rate * (mean / (variance.sqrt() + 1e-8) + decay * weight.double())
    weight.copy_(weight.double() - change)
    weight.grad = None


def test_steps_follow_the_published_algorithm_and_spare_norms_and_biases() -> None:
    ours, reference = _model(), _model()
    moments = [[torch.zeros_like(weight).double() for _ in range(2)] for weight in reference.parameters()]
    optimizer = AdamW(ours, weight_decay=0.1)
    for step, learning_rate in enumerate([1e-2, 5e-3, 0.0, 1e-3], start=1):
        _step(ours, step)
        optimizer.step(learning_rate)
        _step(reference, step)
        for weight, its_moments in zip(reference.parameters(), moments, strict=True):
            _reference_step(weight, its_moments, step, learning_rate, 0.1 if weight.ndim > 1 else 0.0)
    for mine, other in zip(ours.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)
        assert mine.grad is None


def test_restored_state_continues_to_the_bit() -> None:
    model = _model()
    optimizer = AdamW(model, weight_decay=0.1)
    _step(model, 1)
    optimizer.step(1e-2)
    resumed = copy.deepcopy(model)
    restored = AdamW(resumed, weight_decay=0.1)
    restored.restore({name: tensor.contiguous().clone() for name, tensor in optimizer.named_state().items()})
    for each, its_optimizer in ((model, optimizer), (resumed, restored)):
        _step(each, 2)
        its_optimizer.step(1e-2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True))


def test_parameters_without_a_gradient_stay() -> None:
    model = _model()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    optimizer = AdamW(model, weight_decay=0.5)
    _step(model, 1)
    optimizer.step(1e-1)
    assert torch.equal(model[0].weight, before)
    assert not any("0.weight" in name for name in optimizer.named_state())
