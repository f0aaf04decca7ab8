"""voice_head NAME: training patients at natural prevalence + one model's embeddings -> what these predict."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import sys
from pathlib import Path

from evensong.errors import ParamsError
from evensong.intake.tables import read_own_table
from evensong.keys import file_sha256
from evensong.learn.baseline import run_head
from evensong.learn.vectors import read_facts, read_vectors, write_card
from evensong.params import load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import FOLDS
from evensong.voice.tables import CLASSES, CONTROL, read_fold_table

COMBINED = Path("artifacts/voice/combined")
IMAGE_TABLE = Path("artifacts/voice/mels.csv")
SCAN = Path("artifacts/voice/scan/recordings.csv")
EMBED = Path("artifacts/voice/embed")
ARMS = Path("artifacts/voice/arms")


def main() -> None:
    if len(sys.argv) != 2:
        raise ParamsError("usage: python src/voice_head.py NAME, one of voice.embed.models")
    key = sys.argv[1]
    table = read_fold_table(COMBINED / CONTROL / f"audio_imbalmed_{CONTROL}_combined.csv", IMAGE_TABLE)
    facts = read_facts(EMBED / key, file_sha256(SCAN))
    vectors = read_vectors([EMBED / key / "recordings.npy"], len(read_own_table(IMAGE_TABLE)))
    with publishing(f"voice_head_{key}", [ARMS / key]) as staged:
        run_head(table, vectors, CLASSES, load_value("voice.train.folds", FOLDS), staged[ARMS / key], n_workers())
        write_card(staged[ARMS / key], facts)


if __name__ == "__main__":
    run_stage(main)
