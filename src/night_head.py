"""night_head NAME: index + one model's embeddings -> what a linear classifier predicts on the same folds."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import sys
from pathlib import Path

from evensong.errors import ParamsError
from evensong.learn.baseline import run_head
from evensong.learn.vectors import embedded_items, read_facts, read_vectors, write_card
from evensong.night.index import read_array_names, read_fold_table, read_pool_sha256
from evensong.params import load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import FOLDS

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
    with publishing(f"night_head_{key}", [ARMS / key]) as staged:
        run_head(items, vectors, classes, load_value("night.train.folds", FOLDS), staged[ARMS / key], n_workers())
        write_card(staged[ARMS / key], facts)


if __name__ == "__main__":
    run_stage(main)
