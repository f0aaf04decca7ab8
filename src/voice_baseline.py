"""voice_baseline: the training patients at natural prevalence + packed images -> what mel statistics predict."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.learn.baseline import run_baseline
from evensong.params import load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import FOLDS
from evensong.voice.pixels import refuse_other_images
from evensong.voice.tables import CLASSES, CONTROL, read_fold_table

COMBINED = Path("artifacts/voice/combined")
IMAGES = Path("artifacts/voice/mels.npy")
IMAGE_TABLE = Path("artifacts/voice/mels.csv")
OUTPUT = Path("artifacts/voice/arms/baseline")


def main() -> None:
    refuse_other_images(IMAGE_TABLE, IMAGES)
    table = read_fold_table(COMBINED / CONTROL / f"audio_imbalmed_{CONTROL}_combined.csv", IMAGE_TABLE)
    folds = load_value("voice.train.folds", FOLDS)
    with publishing("voice_baseline", [OUTPUT]) as staged:
        run_baseline(table, [IMAGES], CLASSES, folds, staged[OUTPUT], n_workers())


if __name__ == "__main__":
    run_stage(main)
