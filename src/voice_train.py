"""voice_train K: the combined CSV of sub-database K + packed images -> models, predictions and curves of every fold."""

import sys
from pathlib import Path

from evensong.run.stage import run_stage  # first: it sets the thread counts

from evensong.errors import ParamsError
from evensong.learn.cv import Training, run_folds
from evensong.keys import derive_seed
from evensong.params import load_section
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import TrackTrain, Train, VoiceMels
from evensong.voice.tables import read_fold_table

COMBINED = Path("artifacts/voice/combined")
IMAGES = Path("artifacts/voice/mels.npy")
IMAGE_TABLE = Path("artifacts/voice/mels.csv")
RUNS = Path("artifacts/voice/train")


def main() -> None:
    if sys.argv[1:] not in [[str(subdb)] for subdb in range(1, 10)]:
        raise ParamsError("usage: python src/voice_train.py SUBDB, a number from 1 to 9")
    name = f"subdb{sys.argv[1]}"
    train = load_section("train", Train)
    training = Training(
        table=read_fold_table(COMBINED / name / f"audio_imbalmed_{name}_combined.csv", IMAGE_TABLE),
        arrays=[IMAGES],
        classes=["false", "true"],
        track=load_section("voice.train", TrackTrain),
        # Members that shared a seed would share their first weights, and agree more than they should.
        train=train.model_copy(update={"seed": derive_seed(train.seed, name)}),
        mels=load_section("voice.mels", VoiceMels).model_dump(),
    )
    with publishing(f"voice_train_{name}", [RUNS / name]) as staged:
        progress = run_folds(training, staged[RUNS / name], n_workers())
    progress.prune()


if __name__ == "__main__":
    run_stage(main)
