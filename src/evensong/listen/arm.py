"""The arm of an embedding, ready to listen: the model's file in front, the heads of its folds behind."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evensong.errors import DataError, IntegrityError
from evensong.keys import digest_of, joined_key
from evensong.learn.arms import Arm, read_arm
from evensong.learn.embedding import Graph, open_graph
from evensong.learn.head_choice import head_name
from evensong.listen.scorer import Hearing, Listener, Scorer, Window, as_in_pool


class _Night(BaseModel):
    """What the night track adds to an arm's card."""

    model_config = ConfigDict(extra="ignore", strict=True)
    clip_seconds: Annotated[float, Field(gt=0, le=36_000, allow_inf_nan=False)]
    pool_sample_rate_hz: Annotated[int, Field(ge=1_000, le=500_000)]
    background: list[str]


@dataclass(frozen=True)
class ListeningArm(Listener):
    """The mean of its folds' heads; it is its own `Scorer`.

    Attributes:
        arm: as it is stored.
        folds: whose heads are asked.
        heard: what its windows are.
        graph: the opened model.
    """

    arm: Arm
    folds: tuple[int, ...]
    heard: Hearing
    graph: Graph

    def of_vectors(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, n_classes) of vectors (n, dim).

        Raises:
            DataError: as `Arm.probabilities`.
        """
        shares: NDArray[np.float64] = np.mean([self.arm.probabilities(fold, vectors) for fold in self.folds], axis=0)
        return shares

    def hearing(self) -> Hearing:
        """A window of night.mels.clip_seconds, at the rate of the pool that the heads were fitted on."""
        return self.heard

    def scorer(self) -> Scorer:
        """Itself."""
        return self

    def probabilities(self, windows: Sequence[Window]) -> NDArray[np.float64]:
        """The mean over folds of every window by itself, as night_embed took a clip of the pool."""
        waves = [as_in_pool(wave) for _, wave in windows]
        try:
            vectors = np.stack([self.graph.vector(wave, self.heard.sample_rate_hz) for wave in waves])
            shares = self.of_vectors(vectors)
        except DataError as error:
            raise IntegrityError(str(error)) from error  # the model's fault, not the recording's
        if not np.isfinite(shares).all():
            raise IntegrityError(f"{self.arm.where}: gives no finite probabilities; run dvc repro again")
        probs: NDArray[np.float64] = shares.astype(np.float32).astype(np.float64)  # what is kept of them
        probs[[np.ptp(wave) == 0 for wave in waves]] = np.nan
        return probs


@functools.cache
def read_arm_to_listen(path: Path) -> ListeningArm:
    """Read an arm's folder, or one head in it, and open the model's file where its card says, from here.

    Raises:
        IntegrityError: the arm is damaged, is none of the night track, or the model's file is missing or another.
        DataError, ResourceError: as `open_graph`.
    """
    folder = path if path.is_dir() else path.parent
    arm = read_arm(folder)
    folds = tuple(fold for fold in sorted(arm.heads) if path in (folder, folder / head_name(fold)))
    if not folds:
        raise IntegrityError(f"{path}: no head of the arm; it has {', '.join(map(head_name, sorted(arm.heads)))}")
    night = _night_of(arm)
    if not Path(arm.model.file).is_file():
        raise IntegrityError(
            f"{folder}: its model {arm.model.file} is not here; run in the project's folder, and fetch the file with "
            f"dvc pull or from its source ({arm.model.source}, sha256 {arm.model.sha256})"
        )
    graph = open_graph(str(folder), arm.model)
    mel, rate_hz = arm.model.mel, night.pool_sample_rate_hz
    band_hz = (mel.fmin_hz, mel.fmax_hz) if mel else (0.0, arm.model.sample_rate_hz / 2)
    heard = Hearing(night.clip_seconds, rate_hz, (band_hz[0], min(band_hz[1], rate_hz / 2)), 1, night.clip_seconds / 2)
    digest = digest_of([joined_key(arm.card["card_sha256"], repr(folds))])
    return ListeningArm(arm.classes, night.background, [arm.card], digest, arm, folds, heard, graph)


def _night_of(arm: Arm) -> _Night:
    try:
        return _Night.model_validate(arm.card)
    except ValidationError as error:
        first = error.errors()[0]
        raise IntegrityError(
            f"{arm.where}/card.json: {'.'.join(map(str, first['loc']))}: {first['msg']}; predict takes arms of the "
            "night track: run dvc repro again where it is one"
        ) from error
