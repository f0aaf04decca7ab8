"""voice_scan: data/voice/recordings -> which recordings are usable, and why the others are not."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.intake.problems import problem_file
from evensong.params import load_section
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import VoiceScan
from evensong.voice.scan import describe, notes, scan_recordings
from evensong.voice.twins import TWINS_NAME, twin_notes

RECORDINGS = Path("data/voice/recordings")
FOLDER = "artifacts/voice/scan"
PROBLEMS = Path("artifacts/voice/problems.csv")  # by name, for this machine alone; no output
METRICS = "metrics/voice/scan.json"


def main() -> None:
    settings = load_section("voice.scan", VoiceScan)
    with publishing("voice_scan", [FOLDER, METRICS]) as staged:
        scan = scan_recordings(RECORDINGS, settings, workers=n_workers(), tell=problem_file(PROBLEMS))
        staged[FOLDER].mkdir()
        write_csv(staged[FOLDER] / "recordings.csv", scan.recordings)
        write_csv(staged[FOLDER] / "quarantine.csv", scan.quarantine)
        write_csv(staged[FOLDER] / TWINS_NAME, scan.twins)
        write_json(staged[METRICS], scan.counts)
    print(*describe(scan.counts), *notes(scan.recordings), *twin_notes(scan.twins, settings), sep="\n")


if __name__ == "__main__":
    run_stage(main)
