"""night_cut: data/field -> clips around the annotations, the recordings, and an account of every row of every table."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.night.cut import describe, plan_field, write_clips
from evensong.night.field import read_field
from evensong.intake.names import counted
from evensong.params import load_section, load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import LABELS, PATTERN, SECONDS, SOURCES, NightCut

DATA = Path("data/field")
CUT = Path("artifacts/night/cut")
FIELD = Path("artifacts/night/field")
METRICS = Path("metrics/night/cut.json")


def main() -> None:
    settings = load_section("night.cut", NightCut)
    group_pattern = load_value("night.scan.group_pattern", PATTERN)
    background = load_value("night.scan.background", LABELS)
    clip_s = load_value("night.mels.clip_seconds", SECONDS)
    is_used = load_value("night.sources", SOURCES) != "clips"
    with publishing("night_cut", [CUT, FIELD, METRICS]) as staged:
        staged[CUT].mkdir()
        staged[FIELD].mkdir()
        found = read_field(DATA, settings, group_pattern=group_pattern, workers=n_workers())
        plan = plan_field(found, settings=settings, clip_s=clip_s, background=background)
        clips = write_clips(plan if is_used else plan.without_clips(), DATA, staged[CUT], clip_s, workers=n_workers())
        rows = plan.rows
        counts = describe(found, clips, rows)
        write_csv(staged[CUT] / "cut.csv", clips, "%.6f")
        write_csv(staged[FIELD] / "annotations.csv", rows, "%.6f")
        write_csv(staged[FIELD] / "recordings.csv", found.recordings, "%.6f")
        write_csv(staged[FIELD] / "quarantine.csv", found.quarantine, for_people=True)
        write_json(staged[METRICS], {"cut": counts})
    if not counts["recordings"] and not counts["rows"]:
        print(f"no field recordings in {DATA}")
        return
    print(*found.notes, sep="\n", end="\n" if found.notes else "")
    print(f"{counted(counts['recordings'], 'recording')}, {counts['recordings_exhaustive']} of them exhaustive")
    outcomes = ", ".join(f"{name} {n}" for name, n in counts["rows_by_outcome"].items())
    print(f"{counted(counts['rows'], 'annotation')}: {outcomes or 'none'}; one by one in {FIELD / 'annotations.csv'}")
    if not is_used:
        print("no clips are written: night.sources is clips")
        return
    print(f"{counted(counts['clips'], 'clip')} of {len(counts['clips_by_class'])} classes")


if __name__ == "__main__":
    run_stage(main)
