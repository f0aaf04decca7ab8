"""Cards that damage or a stranger has changed: refused with a reason, and never another label or setting."""

import json
from typing import Any

import pytest
from tests.learn.cards import CARD

from evensong.errors import IntegrityError
from evensong.learn.card import FORMAT, open_card, seal


def written(card: dict[str, Any]) -> bytes:
    return json.dumps(card, sort_keys=True, indent=2, ensure_ascii=False).encode()


def changed(path: str, value: Any) -> dict[str, Any]:
    """The card with another value at a dotted path, or without that key where the value is ``...``."""
    card = json.loads(json.dumps(CARD))
    *parents, last = path.split(".")
    part = card
    for parent in parents:
        part = part[parent]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return card


def test_a_card_is_read_as_it_was_written() -> None:
    card = seal(CARD)
    assert open_card(written(card), "x") == card == CARD | {"format": FORMAT, "card_sha256": card["card_sha256"]}


@pytest.mark.fault("M01")
def test_any_flipped_bit_is_refused_or_changes_nothing() -> None:
    card = seal(CARD)
    raw = written(card)
    n_read = 0
    for bit in range(8 * len(raw)):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert open_card(bytes(damaged), "x") == card
            n_read += 1
        except IntegrityError:
            pass
    assert n_read < 20  # the last digit of a float, an e that is an E


@pytest.mark.fault("M02")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("normalisation.mean", float("nan")),
        ("normalisation.std", 0.0),
        ("normalisation.std", float("inf")),
        ("normalisation", ...),
        ("params.train.test_shifts", 10**9),
        ("params.train.test_shifts", True),
        ("params.train", ...),
        ("classes", "asio"),
        ("classes", ["asio"]),
        ("classes", ["asio", "asio"]),
        ("classes", ["asio", "rain", "strix"]),
        ("classes", ["asio", "ra\tin"]),
        ("classes", ["asio", "\ud800"]),
        ("network_input.height", 10**7),
        ("network_input.height", "16"),
        ("network_input", [16, 32]),
        ("output.form", "probabilities"),
        ("weights_sha256", None),
        ("model", 5),
        ("mels", []),
        ("fold", -1),
        ("more", 1),
        ("network_input.height", 0),
        ("network_input.width", 8_193),
        ("stored_input.uint8_scale", 0.0),
        ("stored_input.uint8_scale", 1.01),
        ("params.train.test_shifts", 0),
        ("params.train.test_shifts", 65),
        ("model", ""),
        ("model", "m" * 201),
        ("selected_epoch", 0),
    ],
)
def test_a_stranger_s_card_is_refused_with_the_key(path: str, value: Any) -> None:
    """Its digest fits: anybody can compute one."""
    with pytest.raises(IntegrityError, match=f"^x: {path.split('.')[0]}"):
        open_card(json.dumps(seal(changed(path, value))).encode(), "x")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("network_input.height", 1),
        ("network_input.width", 8_192),
        ("stored_input.uint8_scale", 1e-9),
        ("stored_input.uint8_scale", 1.0),
        ("normalisation.std", 1e-9),
        ("params.train.test_shifts", 1),
        ("params.train.test_shifts", 64),
        ("model", "m"),
        ("model", "m" * 200),
        ("fold", 0),
        ("selected_epoch", 1),
    ],
)
def test_a_value_at_its_bound_is_read(path: str, value: Any) -> None:
    card = seal(changed(path, value))
    assert open_card(json.dumps(card).encode(), "x") == card


def test_of_several_faults_the_first_is_named() -> None:
    card = {**changed("fold", -1), "model": 5}
    with pytest.raises(IntegrityError, match=r"^x: model: "):
        open_card(json.dumps(seal(card)).encode(), "x")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"fold": ' + b"9" * 5_000 + b"}", b"\xff"]
)
def test_what_is_no_card_is_refused(raw: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"^x: (not a model's card|model format None)"):
        open_card(raw, "x")


def test_a_card_of_another_version_says_so() -> None:
    with pytest.raises(IntegrityError, match=f"model format 'evensong-model-1', this version reads {FORMAT}"):
        open_card(written(seal(CARD) | {"format": "evensong-model-1"}), "x")
