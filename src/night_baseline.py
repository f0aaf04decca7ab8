"""night_baseline: index + mels -> what mel statistics and a linear classifier predict, fold by fold."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.learn.baseline import run_baseline
from evensong.night.index import read_array_names, read_fold_table, read_pool_sha256
from evensong.night.mel_settings import read_mel_settings
from evensong.params import load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import FOLDS

INDEX = Path("artifacts/night/balanced_audio_index.db")
MELS = Path("artifacts/night/mels")
OUTPUT = Path("artifacts/night/arms/baseline")


def main() -> None:
    table, classes = read_fold_table(INDEX)
    read_mel_settings(MELS, read_pool_sha256(INDEX))
    arrays = [MELS / f"{name}.npy" for name in read_array_names(INDEX)]
    folds = load_value("night.train.folds", FOLDS)
    with publishing("night_baseline", [OUTPUT]) as staged:
        run_baseline(table, arrays, classes, folds, staged[OUTPUT], n_workers())


if __name__ == "__main__":
    run_stage(main)
