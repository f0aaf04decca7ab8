"""A model's card as training writes it, before it is sealed."""

from typing import Any

CARD: dict[str, Any] = {
    "timm": "1.0.0", "weights_sha256": "0" * 64, "classes": ["asio", "rain é"], "model": "test_efficientnet",
    "mels": {"n_mels": 16, "top_db": 80.0}, "fold": 0, "selected_epoch": 3,
    "stored_input": {"height": 16, "width": 32, "dtype": "float32", "uint8_scale": 1 / 255},
    "normalisation": {"mean": -41.2345678901234567, "std": 6.5},
    "network_input": {"channels": 1, "height": 16, "width": 32},
    "output": {"n_classes": 2, "form": "logits"},
    "params": {"track": {"model": "test_efficientnet"}, "train": {"epochs": 4, "test_shifts": 2}},
    "pretrained_left_out": [],
}  # fmt: skip
