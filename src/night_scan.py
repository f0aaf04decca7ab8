"""night_scan: data/night -> usable clips, everything refused with its reason, and the counts."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.intake.names import counted, tally
from evensong.night.scan import STATS_FORMAT, scan_folder, tables_beside
from evensong.params import load_section, load_value
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import SOURCES, NightScan

DATA = Path("data/night")
CUT = Path("artifacts/night/cut")
SCAN = Path("artifacts/night/scan")
METRICS = Path("metrics/night/scan.json")


def main() -> None:
    settings = load_section("night.scan", NightScan)
    sources = load_value("night.sources", SOURCES)
    with publishing("night_scan", [SCAN, METRICS]) as staged:
        scan = scan_folder(DATA, settings, workers=n_workers(), cut=CUT, sources=sources)
        staged[SCAN].mkdir()
        write_csv(staged[SCAN] / "clips.csv", scan.clips, STATS_FORMAT)
        write_csv(staged[SCAN] / "quarantine.csv", scan.quarantine, for_people=True)
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


if __name__ == "__main__":
    run_stage(main)
