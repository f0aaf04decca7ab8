import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.listen.synthetic import CLASSES, MELS, Trained
from torch import nn

from evensong.errors import IntegrityError
from evensong.learn.card import seal
from evensong.learn.models import InputSize
from evensong.listen.folds import FoldMean, read_folds
from evensong.listen.windows import listening_of


class _Loudness(nn.Module):
    """Logits of an input: its mean, and 0; remembers what it was given."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.given = inputs
        mean = inputs.mean(dim=(1, 2, 3))
        return torch.stack([mean, torch.zeros_like(mean)], dim=1)


def test_mean_of_probabilities_worked_by_hand() -> None:
    # A mel of 10 dB everywhere: (10 - 4) / 3 = 2 for the first fold, (10 - 10) / 5 = 0 for the second.
    network = FoldMean([_Loudness(), _Loudness()], [4, 10], [3, 5], size=InputSize(2, 3), n_shifts=1)
    probs = network(torch.full((1, 2, 3), 10.0))
    expected = (1 / (1 + np.exp(-2)) + 0.5) / 2
    np.testing.assert_allclose(probs.numpy(), [[expected, 1 - expected]], rtol=1e-6)


def test_inputs_are_resized_to_what_the_network_takes() -> None:
    network = FoldMean([_Loudness()], [0], [1], size=InputSize(75, 75), n_shifts=1)
    network(torch.zeros(2, 64, 20))
    assert network.models[0].given.shape == (2, 1, 75, 75)


def test_shifts_are_averaged_as_in_training() -> None:
    class FirstFrame(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.stack([inputs[:, 0, 0, 0], torch.zeros(len(inputs))], dim=1)

    network = FoldMean([FirstFrame()], [0], [1], size=InputSize(1, 4), n_shifts=2)
    probs = network(torch.tensor([[[0.0, 5.0, 2.0, 7.0]]]))  # two frames on, the first is 2.0
    assert probs[0, 0].item() == pytest.approx((0.5 + 1 / (1 + np.exp(-2))) / 2, rel=1e-6)


@pytest.mark.slow
def test_a_training_folder_and_one_of_its_folds_are_read(trained: Trained) -> None:
    assert [card["fold"] for card in read_folds(trained.folder).cards] == [0, 1, 2]
    assert [card["fold"] for card in read_folds(trained.folder / "fold_01").cards] == [1]
    assert read_folds(trained.folder).classes == CLASSES


def resealed(card: dict) -> dict:
    """As a stranger would: with a digest that fits."""
    return seal({key: value for key, value in card.items() if key != "card_sha256"})


def edited(trained: Trained, folder: Path, **changes) -> Path:
    """A copy of the training whose second fold's card says something else; None takes a key away."""
    copy = folder / "train"
    shutil.copytree(trained.folder, copy)
    card = json.loads((copy / "fold_01/model.json").read_text(encoding="utf-8"))
    card = {key: value for key, value in (card | changes).items() if value is not None}
    (copy / "fold_01/model.json").write_text(json.dumps(resealed(card)), encoding="utf-8")
    return copy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": CLASSES[::-1]}, "fold_01: not of one training with .*: classes differ"),
        ({"normalisation": None}, r"fold_01/model\.json: normalisation: Field required"),
        ({"model": "efficientnet_b0"}, "fold_01: the weights are not those of the card's efficientnet_b0"),
        ({"model": "no_such_model"}, "fold_01: the weights are not those of .* timm has no model 'no_such_model'"),
        ({"weights_sha256": "0" * 64}, "not the file its card was written for"),
    ],
)
def test_folds_that_do_not_belong_together_are_refused(trained: Trained, tmp_path: Path, changes, message) -> None:
    with pytest.raises(IntegrityError, match=message):
        read_folds(edited(trained, tmp_path, **changes))


@pytest.mark.parametrize("change", [{}, {"window": "start"}, {"window": "loudest"}])
def test_a_model_listens_alike_whichever_part_of_long_clips_it_learned(
    trained: Trained, tmp_path: Path, change
) -> None:
    mels = json.loads((trained.folder / "fold_01/model.json").read_text(encoding="utf-8"))["mels"]
    folder = edited(trained, tmp_path, mels=mels | change)
    heard = listening_of(read_folds(folder / "fold_01"), None)
    assert (heard.n_window, heard.hop_seconds, heard.band_hz) == (4_000, 0.256, (MELS.fmin_hz, MELS.fmax_hz))
    assert read_folds(folder / "fold_01").scorer().settings == MELS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_fft": 1024, "width_px": 64, "top_db": None}, "no mel settings of the night track"),
        ({"n_fft": float("inf")}, "no mel settings of the night track"),
        ({"fmin_hz": 5_000.0}, "no mel settings of the night track"),
        ({"sample_rate_hz": 10**9}, "the card holds sample_rate_hz 1000000000"),
        ({"fmax_hz": 4_001.0}, "mel settings that cannot be used"),
    ],
)
def test_mel_settings_of_another_track_or_of_no_use_are_refused(
    trained: Trained, tmp_path: Path, change, message
) -> None:
    mels = json.loads((trained.folder / "fold_01/model.json").read_text(encoding="utf-8"))["mels"]
    folder = edited(trained, tmp_path, mels=mels | change)
    with pytest.raises(IntegrityError, match=message):
        listening_of(read_folds(folder / "fold_01"), None)
