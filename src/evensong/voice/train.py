"""A combined CSV + the packed mel images -> the trained folds of one member, a sub-database's or the control arm's."""

from pathlib import Path

from evensong.keys import Part, derive_seed
from evensong.learn.cv import Training, run_folds
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import TrackTrain, Train, VoiceMels
from evensong.voice.pixels import refuse_other_images
from evensong.voice.tables import CLASSES, read_fold_table

COMBINED = Path("artifacts/voice/combined")
IMAGES = Path("artifacts/voice/mels.npy")
IMAGE_TABLE = Path("artifacts/voice/mels.csv")
RUNS = Path("artifacts/voice/train")


def train_member(
    name: str, combined: str, purpose: tuple[Part, ...], *, train: Train, track: TrackTrain, mels: VoiceMels
) -> None:
    """Train every fold of a member and publish its folder under `RUNS`.

    Args:
        name: the member's folder.
        combined: whose combined table it is trained on, such as ``subdb3``.
        purpose: what its own seed is drawn for. Members that shared a seed would share their first weights, and agree
            more than they should.

    Raises:
        EvensongError: see `refuse_other_images`, `read_fold_table` and `run_folds`.
    """
    refuse_other_images(IMAGE_TABLE, IMAGES)
    training = Training(
        table=read_fold_table(COMBINED / combined / f"audio_imbalmed_{combined}_combined.csv", IMAGE_TABLE),
        arrays=[IMAGES],
        classes=CLASSES,
        track=track,
        train=train.model_copy(update={"seed": derive_seed(train.seed, *purpose)}),
        mels=mels.model_dump(),
    )
    with publishing(f"voice_train_{name}", [RUNS / name]) as staged:
        progress = run_folds(training, staged[RUNS / name], n_workers())
    progress.prune()
