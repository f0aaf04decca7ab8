"""voice_control SEED: the training patients at natural prevalence + packed images -> one member of the control arm."""

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

COMBINED = Path("artifacts/voice/combined/control/audio_imbalmed_control_combined.csv")
IMAGES = Path("artifacts/voice/mels.npy")
IMAGE_TABLE = Path("artifacts/voice/mels.csv")
RUNS = Path("artifacts/voice/train")


def main() -> None:
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        raise ParamsError("usage: python src/voice_control.py SEED, a whole number")
    seed = int(sys.argv[1])
    name = f"control{seed}"
    train = load_section("train", Train)
    training = Training(
        table=read_fold_table(COMBINED, IMAGE_TABLE),
        arrays=[IMAGES],
        classes=["false", "true"],
        track=load_section("voice.train", TrackTrain),
        train=train.model_copy(update={"seed": derive_seed(train.seed, "control", seed)}),
        mels=load_section("voice.mels", VoiceMels).model_dump(),
    )
    with publishing(f"voice_control_{name}", [RUNS / name]) as staged:
        progress = run_folds(training, staged[RUNS / name], n_workers())
    progress.prune()


if __name__ == "__main__":
    run_stage(main)
