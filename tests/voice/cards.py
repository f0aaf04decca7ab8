"""Models that nobody has trained: a card that can be believed, and what one decides by."""

from typing import Any

from evensong.learn.card import Card, seal
from evensong.score.judges import Judge


def card(fold: int, **changes: Any) -> Card:
    """Sealed; of a fold of a two-class training on 48 x 64 images."""
    return seal(
        {
            "timm": "1.0",
            "weights_sha256": "0" * 64,
            "classes": ["0", "1"],
            "mels": {"n_mels": 48, "width_px": 64},
            "model": "test_efficientnet",
            "fold": fold,
            "selected_epoch": 2,
            "stored_input": {"height": 48, "width": 64, "dtype": "uint8", "uint8_scale": 1 / 255},
            "normalisation": {"mean": 0.5, "std": 0.2},
            "network_input": {"channels": 1, "height": 64, "width": 64},
            "output": {"n_classes": 2, "form": "logits"},
            "params": {"track": {}, "train": {"test_shifts": 1}},
            "pretrained_left_out": [],
            **changes,
        }
    )


def judge(fold: int, threshold: float, share: float = 0.5, member: str = "subdb5") -> Judge:
    """One fold."""
    return Judge(
        member=member, fold=fold, card_sha256=f"{fold:064x}", threshold=threshold, reason=None, train_share_1=share
    )
