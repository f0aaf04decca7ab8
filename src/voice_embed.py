"""voice_embed NAME: used recordings -> what one pretrained model makes of them, as one array."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import sys
from pathlib import Path

from evensong.errors import ParamsError
from evensong.intake.tables import read_own_table, used_rows
from evensong.keys import file_sha256
from evensong.learn.vectors import warnings_of
from evensong.params import load_section
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import Embedding
from evensong.voice.embed import write_embeddings

RECORDINGS = Path("data/voice/recordings")
SCAN = Path("artifacts/voice/scan/recordings.csv")
EMBED = Path("artifacts/voice/embed")


def main() -> None:
    if len(sys.argv) != 2:
        raise ParamsError("usage: python src/voice_embed.py NAME, one of voice.embed.models")
    key = sys.argv[1]
    settings = load_section(f"voice.embed.models.{key}", Embedding)
    with publishing(f"voice_embed_{key}", [EMBED / key]) as staged:
        write_embeddings(
            used_rows(read_own_table(SCAN, numbers=["sample_rate_hz"])),
            scan_sha256=file_sha256(SCAN),
            root=RECORDINGS,
            folder=staged[EMBED / key],
            where=f"voice.embed.models.{key}",
            settings=settings,
            workers=n_workers(),
        )
    for warning in warnings_of(settings):
        print(f"WARNING: {key}: {warning}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
