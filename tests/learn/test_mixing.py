import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from evensong.keys import keyed_generator
from evensong.learn.mixing import mask_bands, mixup, shift_time, spec_augment, time_shifts
from evensong.schemas import SpecAugment


def _mels(batch: int = 6, n_mels: int = 10, n_frames: int = 12) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(5, 1, (batch, 1, n_mels, n_frames)).astype(np.float32))


@given(st.floats(0, 1), st.integers(0, 99))
def test_shift_rolls_each_item_by_at_most_its_share(share: float, seed: int) -> None:
    mels = _mels()
    shifted = shift_time(mels, share, keyed_generator(seed))
    furthest = int(share * 12)
    for before, after in zip(mels, shifted, strict=True):
        rolls = [roll for roll in range(-furthest, furthest + 1) if torch.equal(before.roll(roll, dims=2), after)]
        assert rolls


def test_shift_differs_between_items() -> None:
    same = _mels(1).expand(32, 1, 10, 12).contiguous()
    assert len({item.numpy().tobytes() for item in shift_time(same, 0.5, keyed_generator(3))}) > 4


@given(st.integers(0, 3), st.floats(0, 1), st.sampled_from([2, 3]), st.integers(0, 99))
def test_masks_cover_whole_stripes_and_no_more_than_allowed(n_masks: int, share: float, dim: int, seed: int) -> None:
    mels = _mels()
    masked = mask_bands(mels, n_masks, share, dim, keyed_generator(seed))
    zero = masked == 0
    stripes = zero.all(dim=5 - dim)  # over the other axis
    assert torch.equal(zero, stripes.unsqueeze(5 - dim).expand_as(zero))
    assert int(stripes.sum(dim=2).max()) <= n_masks * int(share * mels.shape[dim])
    assert torch.equal(masked[~zero], mels[~zero])


def test_widest_mask_is_reached_and_no_place_is_spared() -> None:
    mels = _mels(batch=400)
    zero = (mask_bands(mels, 1, 0.3, 2, keyed_generator(0)) == 0).all(dim=3).squeeze(1)
    assert int(zero.sum(dim=1).max()) == 3
    assert zero.any(dim=0).all()


@given(st.floats(0.05, 5), st.integers(0, 99))
def test_mixup_blends_inputs_and_targets_in_the_same_share(alpha: float, seed: int) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    codes = torch.nn.functional.one_hot(labels, 3).float()
    mels = codes[:, None, :, None] * torch.ones(1, 1, 1, 4)  # the input says its label
    mixed, targets = mixup(mels, labels, 3, alpha, keyed_generator(seed))
    assert torch.allclose(targets.sum(dim=1), torch.ones(6))
    assert torch.allclose(mixed[:, 0, :, 0], targets, atol=1e-6)
    assert (targets >= 0).all()


def test_mixup_off_leaves_everything() -> None:
    mels, labels = _mels(), torch.tensor([0, 1, 0, 1, 0, 1])
    mixed, targets = mixup(mels, labels, 2, 0.0, keyed_generator(0))
    assert torch.equal(mixed, mels)
    assert targets.argmax(dim=1).tolist() == labels.tolist()


def test_same_key_gives_same_batch_and_another_epoch_another() -> None:
    settings = SpecAugment(n_freq_masks=1, max_freq_share=0.5, n_time_masks=1, max_time_share=0.5, max_shift_share=0.5)
    once, again, other = (spec_augment(_mels(), settings, keyed_generator(42, "epoch", 0, e)) for e in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_time_shifts_start_with_the_clip_and_go_round_once() -> None:
    mels = _mels(2)
    views = list(time_shifts(mels, 3))
    assert [torch.equal(view, mels.roll(4 * k, dims=3)) for k, view in enumerate(views)] == [True, True, True]
