"""night_head NAME: index + one model's embeddings -> what a small classifier predicts on the same folds."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import sys
from pathlib import Path

from evensong.errors import ParamsError
from evensong.learn.head_choice import Choice, mean_macro_f1, run_arm
from evensong.learn.vectors import embedded_items, overlap_warnings, read_facts, read_vectors
from evensong.night.index import read_array_names, read_fold_table, read_pool_sha256
from evensong.params import load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import FOLDS, HEAD, LABELS, NAMES, SECONDS

INDEX = Path("artifacts/night/balanced_audio_index.db")
EMBED = Path("artifacts/night/embed")
ARMS = Path("artifacts/night/arms")


def main() -> None:
    if len(sys.argv) != 2:
        raise ParamsError("usage: python src/night_head.py NAME, one of night.embed.models")
    key = sys.argv[1]
    table, classes = read_fold_table(INDEX)
    facts = read_facts(EMBED / key, read_pool_sha256(INDEX))
    items = embedded_items(table, copies=facts["copies"])
    vectors = read_vectors([EMBED / key / f"{name}.npy" for name in read_array_names(INDEX)], items["row"].nunique())
    folds = load_value("night.train.folds", FOLDS)
    choice = Choice(load_value("night.embed.head", HEAD), "night.embed.head", mean_macro_f1)
    overlaps = overlap_warnings(facts["training_data"], load_value("night.embed.data", NAMES))
    facts["warnings"] += overlaps
    facts["clip_seconds"] = load_value("night.mels.clip_seconds", SECONDS)  # how long predict's windows are
    facts["background"] = load_value("night.scan.background", LABELS)
    with publishing(f"night_head_{key}", [ARMS / key]) as staged:
        notes = run_arm(items, vectors, classes, folds, staged[ARMS / key], n_workers(), choice, facts)
    for line in [*(f"NOTE: {key}: {note}" for note in notes), *(f"WARNING: {key}: {line}" for line in overlaps)]:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
