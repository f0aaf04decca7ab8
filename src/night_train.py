"""night_train: index + mels -> models, predictions and curves of every fold."""

import json
from pathlib import Path

from evensong.run.stage import run_stage  # first: it sets the thread counts

from evensong.learn.cv import Training, run_folds
from evensong.night.index import read_array_names, read_fold_table
from evensong.params import load_section
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import TrackTrain, Train

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
        mels=json.loads((MELS / "settings.json").read_text(encoding="utf-8")),
    )
    with publishing("night_train", [OUTPUT]) as staged:
        progress = run_folds(training, staged[OUTPUT], n_workers())
    progress.prune()


if __name__ == "__main__":
    run_stage(main)
