"""night_train: index + mels -> models, predictions and curves of every fold."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.learn.cv import Training, run_folds
from evensong.night.index import read_array_names, read_fold_table, read_pool_sha256
from evensong.night.mel_settings import read_mel_settings
from evensong.params import load_section, load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import LABELS, TrackTrain, Train

INDEX = Path("artifacts/night/balanced_audio_index.db")
MELS = Path("artifacts/night/mels")
OUTPUT = Path("artifacts/night/train")


def main() -> None:
    table, classes = read_fold_table(INDEX)
    training = Training(
        table=table,
        arrays=[MELS / f"{name}.npy" for name in read_array_names(INDEX)],
        classes=classes,
        track=load_section("night.train", TrackTrain),
        train=load_section("train", Train),
        background=load_value("night.scan.background", LABELS),
        mels=read_mel_settings(MELS, read_pool_sha256(INDEX)),
    )
    with publishing("night_train", [OUTPUT]) as staged:
        progress = run_folds(training, staged[OUTPUT], n_workers())
    progress.prune()


if __name__ == "__main__":
    run_stage(main)
