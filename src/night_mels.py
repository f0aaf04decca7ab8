"""night_mels: pool files -> one packed log-mel array a class."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.keys import file_sha256
from evensong.night.band import lost_energy
from evensong.night.mels import unused_sound, write_mels
from evensong.intake.tables import read_pool
from evensong.params import load_section
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.schemas import NightMels

POOL = Path("artifacts/night/pool")
TABLE = Path("artifacts/night/pool.csv")
MELS = Path("artifacts/night/mels")


def main() -> None:
    settings = load_section("night.mels", NightMels)
    pool = read_pool(TABLE)
    with publishing("night_mels", [MELS]) as staged:
        write_mels(
            pool,
            pool_sha256=file_sha256(TABLE),
            pool_folder=POOL,
            folder=staged[MELS],
            settings=settings,
            workers=n_workers(),
        )
    print(f"{len(pool)} log-mel spectrograms")
    unheard = lost_energy(pool, "night.mels.fmax_hz", settings.fmax_hz, pool["sample_rate_hz"].max() / 2)
    for note in (unused_sound(pool, settings), unheard):
        if note:
            print(note)


if __name__ == "__main__":
    run_stage(main)
