"""Damaged params.yaml and model cards, and cards that strangers sealed."""

import functools
import json
import random
import tempfile
from pathlib import Path

import torch
from tests.learn.cards import CARD
from tests.reliability.mutations import Disagreement, mutated, mutated_text

from evensong.audio.mel import frames_of
from evensong.errors import IntegrityError, ParamsError
from evensong.learn.card import seal
from evensong.learn.models import InputSize, build_model
from evensong.learn.saved import write_model
from evensong.listen.folds import TrainedFolds, read_folds
from evensong.listen.windows import listening_of
from evensong.params import load_section
from evensong.schemas import LogMels, Params

ROOT = Path(__file__).parents[2]
_MELS = LogMels(n_fft=256, hop_length=128, n_mels=16, fmin_hz=50, fmax_hz=4_000, clip_seconds=0.5, top_db=80)

_VALUES = (
    *(
        "null",
        "[]",
        "{}",
        "-1",
        "0",
        "1e999",
        ".nan",
        ".inf",
        "0x10",
        "0o9",
        "1_000",
        "yes",
        "''",
        '"',
        "'",
        "&a x",
        "*a",
    ),
    *(
        "!!python/name:os.system x",
        "!!int x",
        "!!float x",
        "!!binary x",
        "!!timestamp x",
        "!!set {a}",
        "!!omap [a]",
        "!",
    ),
    *(
        "2026-13-45",
        "2026-02-30 25:61:61",
        "1:60:60",
        "<<: {a: 1}",
        "? x",
        "[" * 3_000,
        "{a: " * 3_000,
        "9" * 5_000,
        "0x" + "f" * 5_000,
        "%YAML 9",
    ),
)


def damaged_params(chance: random.Random) -> bytes:
    raw = (ROOT / "params.yaml").read_bytes()
    if chance.random() < 0.4:
        return mutated_text(raw, chance)
    lines = raw.decode().splitlines(keepends=True)
    n = chance.randrange(len(lines))
    lines[n] = f"{lines[n].split(':')[0]}: {chance.choice(_VALUES)}\n"
    return "".join(lines).encode()


def check_params(folder: Path, raw: bytes) -> str:
    """Parameters are loaded, or refused."""
    (folder / "params.yaml").write_bytes(raw)
    try:
        load_section("", Params, folder / "params.yaml")
    except ParamsError:
        return "refused"
    return "used"


@functools.cache
def model() -> tuple[bytes, bytes]:
    """Card and weights of a small network that was never trained."""
    torch.set_num_threads(1)
    made_with = _MELS.model_dump() | {"sample_rate_hz": 8_000, "n_frames": frames_of(_MELS, 8_000)}
    with tempfile.TemporaryDirectory() as folder:
        network = build_model(CARD["model"], 2, InputSize(16, 32))
        write_model(Path(folder), network.state_dict(), {**CARD, "mels": made_with})
        return Path(folder, "model.json").read_bytes(), Path(folder, "model.safetensors").read_bytes()


_STRANGE = (None, 0, -1, 1, 1e308, 10**400, float("nan"), "", "x", "../x", [], {}, [[]], True, ["a", "a"])


def damaged_card(chance: random.Random) -> bytes:
    """A card with a bit flipped or worse; or a stranger's, whose digest fits what it says."""
    raw = model()[0]
    if chance.random() < 0.5:
        return mutated(raw, chance)
    card = json.loads(raw)
    place = card
    while isinstance(place[key := chance.choice(sorted(place))], dict) and place[key] and chance.random() < 0.8:
        place = place[key]
    place[key] = chance.choice(_STRANGE)
    del card["card_sha256"]
    return json.dumps(seal(card)).encode()


def check_card(folder: Path, raw: bytes) -> str:
    """A changed card is refused unless it says the same; a stranger's is refused, or can be used without a fault."""
    original, weights = model()
    (folder / "model.json").write_bytes(raw)
    (folder / "model.safetensors").write_bytes(weights)
    try:
        found = read_folds(folder)
        listening_of(found, None)
        _use(found)
    except (IntegrityError, ParamsError):
        return "refused"
    ours = json.loads(original)
    if found.cards[0]["card_sha256"] == ours["card_sha256"] and found.cards[0] != ours:
        raise Disagreement("a changed card is used")
    return "used"


def _use(found: TrainedFolds) -> None:
    size = found.stored_input
    with torch.inference_mode():
        found.network(torch.zeros(1, size["height"], size["width"]))
