"""Augmentation of standardised mel batches: circular shift, SpecAugment, mixup.

Every random function works on the whole batch at once and draws only from the generator it is given.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from evensong.schemas import SpecAugment


def shift_time(mels: Tensor, max_share: float, rng: np.random.Generator) -> Tensor:
    """Roll each item along time by its own draw of up to ``max_share`` of the frames, either way.

    Args:
        mels: (batch, 1, n_mels, n_frames) float.
        max_share: 0 to 1.
    """
    batch, _, _, n_frames = mels.shape
    furthest = math.floor(max_share * n_frames)
    if furthest == 0:
        return mels
    shifts = _on(mels, rng.integers(-furthest, furthest, size=(batch, 1, 1, 1), endpoint=True))
    frames = (torch.arange(n_frames, device=mels.device) - shifts) % n_frames
    return mels.gather(3, frames.expand(mels.shape))


def time_shifts(mels: Tensor, n_shifts: int) -> Iterator[Tensor]:
    """Views of the same items, rolled along time by equal steps around the clip; the first is the clip itself.

    Args:
        mels: (batch, 1, n_mels, n_frames) float.
        n_shifts: at least 1.
    """
    for k in range(n_shifts):
        yield torch.roll(mels, k * mels.shape[3] // n_shifts, dims=3)


def mask_bands(mels: Tensor, n_masks: int, max_share: float, dim: int, rng: np.random.Generator) -> Tensor:
    """Set up to ``n_masks`` stripes of each item to 0, the mean of standardised values.

    Args:
        mels: (batch, 1, n_mels, n_frames) float.
        max_share: widest stripe as a share of the axis; widths are uniform from 0 to it.
        dim: 2 masks mel bands, 3 masks frames.
    """
    size = mels.shape[dim]
    if n_masks == 0:
        return mels
    widths = rng.integers(0, math.floor(max_share * size), size=(n_masks, len(mels)), endpoint=True)
    starts = np.floor(rng.random((n_masks, len(mels))) * (size - widths + 1)).astype(np.int64)
    places = np.arange(size)
    stripes: NDArray[np.bool_] = (places >= starts[..., None]) & (places < (starts + widths)[..., None])
    form = [len(mels), 1, 1, 1]
    form[dim] = size
    return mels.masked_fill(_on(mels, np.any(stripes, axis=0).reshape(form)), 0.0)


def spec_augment(mels: Tensor, settings: SpecAugment, rng: np.random.Generator) -> Tensor:
    """Shift in time, then mask bands and frames, each item with its own draws.

    Args:
        mels: (batch, 1, n_mels, n_frames) float, standardised.
    """
    mels = shift_time(mels, settings.max_shift_share, rng)
    mels = mask_bands(mels, settings.n_freq_masks, settings.max_freq_share, 2, rng)
    return mask_bands(mels, settings.n_time_masks, settings.max_time_share, 3, rng)


def mixup(
    mels: Tensor, labels: Tensor, n_classes: int, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Blend each item with another of its batch, inputs and targets in the same share.

    Args:
        mels: (batch, 1, n_mels, n_frames) float.
        labels: (batch,) int64.
        alpha: the share is Beta(alpha, alpha); 0 leaves the items as they are.

    Returns:
        The blended mels, and targets (batch, n_classes) float32 that sum to 1.
    """
    targets = F.one_hot(labels, n_classes).to(torch.float32)
    if alpha == 0:
        return mels, targets
    share = _on(mels, rng.beta(alpha, alpha, size=len(mels)).astype(np.float32))
    partner = _on(mels, rng.permutation(len(mels)))
    mels = torch.lerp(mels[partner], mels, share[:, None, None, None])
    return mels, torch.lerp(targets[partner], targets, share[:, None])


def _on(mels: Tensor, draws: NDArray[Any]) -> Tensor:
    return torch.from_numpy(draws).to(mels.device)
