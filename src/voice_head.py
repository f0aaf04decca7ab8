"""voice_head NAME: training patients at natural prevalence + one model's embeddings -> what these predict."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import sys
from pathlib import Path

from evensong.errors import ParamsError
from evensong.intake.tables import read_own_table
from evensong.keys import file_sha256
from evensong.learn.head_choice import Choice, auroc_in_folds, run_arm
from evensong.learn.vectors import overlap_warnings, read_facts, read_vectors
from evensong.params import load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import FOLDS, HEAD, NAMES
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
    folds = load_value("voice.train.folds", FOLDS)
    choice = Choice(load_value("voice.embed.head", HEAD), "voice.embed.head", auroc_in_folds)
    overlaps = overlap_warnings(facts["training_data"], load_value("voice.embed.data", NAMES))
    facts["warnings"] += overlaps
    with publishing(f"voice_head_{key}", [ARMS / key]) as staged:
        notes = run_arm(table, vectors, CLASSES, folds, staged[ARMS / key], n_workers(), choice, facts)
    for line in [*(f"NOTE: {key}: {note}" for note in notes), *(f"WARNING: {key}: {line}" for line in overlaps)]:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
