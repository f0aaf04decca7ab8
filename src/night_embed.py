"""night_embed NAME: pool files -> what one pretrained model makes of them, an array a class."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import sys
from pathlib import Path

from evensong.errors import ParamsError
from evensong.intake.tables import read_pool
from evensong.keys import file_sha256
from evensong.learn.vectors import warnings_of
from evensong.night.embed import write_embeddings
from evensong.params import load_section
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import Embedding

POOL = Path("artifacts/night/pool")
TABLE = Path("artifacts/night/pool.csv")
EMBED = Path("artifacts/night/embed")


def main() -> None:
    if len(sys.argv) != 2:
        raise ParamsError("usage: python src/night_embed.py NAME, one of night.embed.models")
    key = sys.argv[1]
    settings = load_section(f"night.embed.models.{key}", Embedding)
    with publishing(f"night_embed_{key}", [EMBED / key]) as staged:
        write_embeddings(
            read_pool(TABLE),
            pool_sha256=file_sha256(TABLE),
            pool_folder=POOL,
            folder=staged[EMBED / key],
            where=f"night.embed.models.{key}",
            settings=settings,
            workers=n_workers(),
        )
    for warning in warnings_of(settings):
        print(f"WARNING: {key}: {warning}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
