"""night_cut: data/field -> clips around the annotations, the recordings, and an account of every row of every table."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.night.cut import cut_field, describe
from evensong.night.field import read_field
from evensong.intake.names import counted
from evensong.params import load_section, load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import LABELS, PATTERN, SECONDS, NightCut

DATA = Path("data/field")
CUT = Path("artifacts/night/cut")
METRICS = Path("metrics/night/cut.json")


def main() -> None:
    settings = load_section("night.cut", NightCut)
    group_pattern = load_value("night.scan.group_pattern", PATTERN)
    background = load_value("night.scan.background", LABELS)
    clip_s = load_value("night.mels.clip_seconds", SECONDS)
    with publishing("night_cut", [CUT, METRICS]) as staged:
        folder = staged[CUT]
        folder.mkdir()
        found = read_field(DATA, settings, group_pattern=group_pattern, workers=n_workers())
        clips, rows = cut_field(
            found, DATA, folder, settings=settings, clip_s=clip_s, background=background, workers=n_workers()
        )
        counts = describe(found, clips, rows)
        write_csv(folder / "cut.csv", clips, "%.6f")
        write_csv(folder / "annotations.csv", rows, "%.6f")
        write_csv(folder / "recordings.csv", found.recordings, "%.6f")
        write_csv(folder / "quarantine.csv", found.quarantine, for_people=True)
        write_json(staged[METRICS], {"cut": counts})
    if not counts["recordings"] and not counts["rows"]:
        print(f"no field recordings in {DATA}")
        return
    print(*found.notes, sep="\n", end="\n" if found.notes else "")
    print(f"{counted(counts['recordings'], 'recording')}, {counts['recordings_exhaustive']} of them exhaustive")
    outcomes = ", ".join(f"{name} {n}" for name, n in counts["rows_by_outcome"].items())
    print(f"{counted(counts['rows'], 'annotation')}: {outcomes or 'none'}; one by one in {CUT / 'annotations.csv'}")
    print(f"{counted(counts['clips'], 'clip')} of {len(counts['clips_by_class'])} classes")


if __name__ == "__main__":
    run_stage(main)
