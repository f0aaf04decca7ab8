"""AdamW over torch's fused kernel, with its state as named tensors.

Why not torch.optim: constructing one of its optimisers imports torch's compiler, three seconds of every training
stage, and its state is not named. The kernel is the same.
"""

import torch
from torch import Tensor, nn

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_MOMENTS = ("exp_avg", "exp_avg_sq")


class AdamW:
    """Adam with decoupled weight decay of kernels and matrices; norms and biases do not decay.

    Args:
        model: its trainable parameters, already on their device and in their memory layout.
        weight_decay: times the learning rate is what a weight loses at each step.
    """

    def __init__(self, model: nn.Module, weight_decay: float) -> None:
        self._parameters = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._weight_decay = weight_decay
        self._state = {
            f"{moment}/{name}": torch.zeros_like(weight, requires_grad=False)
            for name, weight in self._parameters.items()
            for moment in _MOMENTS
        }
        for name, weight in self._parameters.items():
            self._state[f"step/{name}"] = torch.zeros((), device=weight.device)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every parameter that has a gradient, and forget the gradients."""
        moved = [name for name, weight in self._parameters.items() if weight.grad is not None]
        decaying = [name for name in moved if self._parameters[name].ndim > 1]
        sparing = [name for name in moved if self._parameters[name].ndim <= 1]
        for names, decay in ((decaying, self._weight_decay), (sparing, 0.0)):
            if names:
                self._move(names, learning_rate, decay)
        for weight in self._parameters.values():
            weight.grad = None

    def _move(self, names: list[str], learning_rate: float, weight_decay: float) -> None:
        weights: list[Tensor] = [self._parameters[name] for name in names]
        first, second, steps = ([self._state[f"{what}/{name}"] for name in names] for what in (*_MOMENTS, "step"))
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            weights,
            [weight.grad for weight in weights if weight.grad is not None],
            first,
            second,
            [],
            steps,
            lr=learning_rate,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            weight_decay=weight_decay,
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def named_state(self) -> dict[str, Tensor]:
        """Moments and step counts by name: all that the next step depends on besides weights and gradients."""
        return dict(self._state)

    def restore(self, stored: dict[str, Tensor]) -> None:
        """Take over a state from `named_state`; extra names are not read.

        Raises:
            KeyError: a name is missing.
        """
        for name, tensor in self._state.items():
            tensor.copy_(stored[name])
