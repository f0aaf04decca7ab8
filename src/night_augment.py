"""night_augment: used clips -> the balanced pool, its table and its description."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.night.band import lost_energy
from evensong.night.plan import plan_pool
from evensong.night.pool import build_pool, describe_pool
from evensong.intake.tables import read_clips
from evensong.params import load_section, load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import LABELS, NightAugment

ROOTS = {"clips": Path("data/night"), "field": Path("artifacts/night/cut")}
CLIPS = Path("artifacts/night/scan/clips.csv")
POOL = Path("artifacts/night/pool")
TABLE = Path("artifacts/night/pool.csv")
METADATA = Path("artifacts/night/pool_metadata.json")


def main() -> None:
    settings = load_section("night.augment", NightAugment)
    background = load_value("night.scan.background", LABELS)
    clips = read_clips(CLIPS)
    plan, unused = plan_pool(clips[clips["status"] == "used"], settings, background)
    with publishing("night_augment", [POOL, TABLE, METADATA]) as staged:
        pool = build_pool(plan, clips, roots=ROOTS, folder=staged[POOL], settings=settings, workers=n_workers())
        write_csv(staged[TABLE], pool, "%.6g")
        write_json(staged[METADATA], describe_pool(pool, clips, unused, settings))
    print(f"{len(pool)} pool files of {pool['class_name'].nunique()} classes")
    cures = "night.augment.sample_rate_hz and night.mels.fmax_hz"
    if note := lost_energy(pool, cures, settings.sample_rate_hz / 2):
        print(note)


if __name__ == "__main__":
    run_stage(main)
