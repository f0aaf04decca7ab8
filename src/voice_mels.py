"""voice_mels: used recordings -> one mel image each, and all of their pixels as one packed array."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.intake.tables import read_own_table, used_rows
from evensong.params import load_section
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import VoiceMels
from evensong.voice.mels import describe, image_table, make_images
from evensong.voice.pixels import pixel_digests

RECORDINGS = Path("data/voice/recordings")
SCAN = Path("artifacts/voice/scan/recordings.csv")
IMAGES = "artifacts/voice/melSpec"
ARRAY = "artifacts/voice/mels.npy"
TABLE = "artifacts/voice/mels.csv"
METRICS = "metrics/voice/mels.json"


def main() -> None:
    settings = load_section("voice.mels", VoiceMels)
    used = used_rows(read_own_table(SCAN))
    with publishing("voice_mels", [IMAGES, ARRAY, TABLE, METRICS]) as staged:
        counts = make_images(
            used, settings, root=RECORDINGS, image_folder=staged[IMAGES], array_path=staged[ARRAY], workers=n_workers()
        )
        write_csv(staged[TABLE], image_table(used, settings, IMAGES, pixel_digests(staged[ARRAY])))
        write_json(staged[METRICS], counts)
    print(*describe(counts, settings), sep="\n")


if __name__ == "__main__":
    run_stage(main)
