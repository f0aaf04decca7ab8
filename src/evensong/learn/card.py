"""A model's card: what a stranger's model.json must hold before anything of it is believed."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evensong.errors import IntegrityError

FORMAT = "evensong-model-2"
DIGEST = "card_sha256"

Card = dict[str, Any]
_ClassName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")]  # what tables can hold
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Pixels = Annotated[int, Field(ge=1, le=8_192)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_STRICT = ConfigDict(extra="forbid", strict=True)


class _Size(BaseModel):
    model_config = _STRICT
    height: _Pixels
    width: _Pixels


class _Stored(_Size):
    dtype: Literal["float32", "uint8"]
    uint8_scale: Annotated[float, Field(gt=0, le=1)]


class _Fed(_Size):
    channels: Literal[1]


class _Normalisation(BaseModel):
    model_config = _STRICT
    mean: _Finite
    std: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Output(BaseModel):
    model_config = _STRICT
    n_classes: int
    form: Literal["logits"]


class _Train(BaseModel):
    """The training's settings are a record, and may be another version's; prediction needs one of them."""

    model_config = ConfigDict(extra="allow", strict=True)
    test_shifts: Annotated[int, Field(ge=1, le=64)]


class _Params(BaseModel):
    model_config = _STRICT
    track: dict[str, Any]
    train: _Train


class _Model(BaseModel):
    """The card whole; the settings of the mels are their track's, which checks them."""

    model_config = _STRICT
    format: Literal["evensong-model-2"]
    timm: str
    weights_sha256: _Sha256
    card_sha256: _Sha256
    classes: Annotated[list[_ClassName], Field(min_length=2)]
    background: list[_ClassName] = []  # classes that are no answer; a card without any does not have the key
    mels: dict[str, Any]
    model: Annotated[str, Field(min_length=1, max_length=200)]
    fold: Annotated[int, Field(ge=0)]
    selected_epoch: Annotated[int, Field(ge=1)]
    stored_input: _Stored
    normalisation: _Normalisation
    network_input: _Fed
    output: _Output
    params: _Params
    pretrained_left_out: list[str]


def seal(card: Card) -> Card:
    """The card with its format and ``card_sha256``, a digest of all the rest, which holds the weights' digest too."""
    card = {**card, "format": FORMAT}
    return {**card, DIGEST: card_digest(card)}


def card_digest(card: Card) -> str:
    """Of all of a card but the digest itself."""
    rest = {key: value for key, value in card.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def open_card(raw: bytes, where: object) -> Card:
    """Read a card, or say why it cannot be believed.

    Args:
        raw: the bytes of model.json.
        where: named in the message.

    Raises:
        IntegrityError: not JSON, of another format, changed since it was written, or a value out of its bounds.
    """
    try:
        card: Card = _JSON_OBJECT.validate_python(json.loads(raw.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where}: not a model's card ({type(error).__name__}); fetch the model again") from error
    if card.get("format") != FORMAT:
        raise IntegrityError(f"{where}: model format {card.get('format')!r}, this version reads {FORMAT}")
    if card.get(DIGEST) != card_digest(card):
        raise IntegrityError(f"{where}: changed since it was written ({DIGEST} is another); fetch the model again")
    try:
        facts = _Model.model_validate(card)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise IntegrityError(f"{where}: {key}: {first['msg']}; the model cannot be used") from error
    if not len(facts.classes) == len(set(facts.classes)) == facts.output.n_classes:
        raise IntegrityError(f"{where}: classes repeat, or are not {facts.output.n_classes}; the model cannot be used")
    return card


_JSON_OBJECT: TypeAdapter[Card] = TypeAdapter(dict[str, Any])
