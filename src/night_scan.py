"""night_scan: data/night -> usable clips, everything refused with its reason, and the counts."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.intake.names import counted, tally
from evensong.intake.problems import problem_file
from evensong.night.scan import STATS_FORMAT, background_note, scan_folder, tables_beside
from evensong.night.twins import describe_twins
from evensong.params import load_section, load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import PATTERN, SOURCES, NightScan

DATA = Path("data/night")
CUT = Path("artifacts/night/cut")
SCAN = Path("artifacts/night/scan")
METRICS = Path("metrics/night/scan.json")
PROBLEMS = Path("artifacts/night/problems.csv")  # near-equal clips that stop the scan; no output
TWINS = "near_duplicates.csv"


def main() -> None:
    settings = load_section("night.scan", NightScan)
    sources = load_value("night.sources", SOURCES)
    if settings.near_duplicates == "group" and load_value("night.index.fold_pattern", PATTERN) is not None:
        print("NOTE: night.index.fold_pattern gives the folds, so nearly equal clips are listed and no sources joined")
        settings = settings.model_copy(update={"near_duplicates": "note"})
    with publishing("night_scan", [SCAN, METRICS]) as staged:
        tell = problem_file(PROBLEMS)
        scan = scan_folder(DATA, settings, workers=n_workers(), cut=CUT, sources=sources, tell=tell)
        staged[SCAN].mkdir()
        write_csv(staged[SCAN] / "clips.csv", scan.clips, STATS_FORMAT)
        write_csv(staged[SCAN] / "quarantine.csv", scan.quarantine, for_people=True)
        write_csv(staged[SCAN] / TWINS, scan.twins, for_people=True)
        write_json(staged[METRICS], {"scan": scan.counts})
    refused = f" ({tally(reasons)})" if (reasons := scan.counts["quarantined_by_reason"]) else ""
    found = f"{scan.counts['used']} clips of {scan.counts['classes']} classes"
    print(f"{found}, {scan.counts['quarantined']} quarantined{refused}")
    used = scan.clips[scan.clips["status"] == "used"]
    for origin, name in (("clips", DATA), ("field", "data/field")) if sources == "both" else ():
        own = used[used["origin"] == origin]
        print(f"of them {len(own)} clips of {own['class_name'].nunique()} classes from {name}")
    if tables := tables_beside(scan.quarantine):
        print(tables)
    if scan.counts["ignored"]:
        print(f"{scan.counts['ignored']} ignored, with the reasons in {SCAN / 'quarantine.csv'}")
    if scan.counts["sources_in_several_classes"]:
        shared = scan.counts["sources_in_several_classes"]
        print(f"{counted(shared, 'source')} with clips in several classes; each will go to one split as a whole")
    if note := background_note(scan.clips, settings.background):
        print(note)
    for note in describe_twins(scan.twins, settings, SCAN / TWINS):
        print(note)


if __name__ == "__main__":
    run_stage(main)
