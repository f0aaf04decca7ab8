"""night_detect: field recordings heard by the folds that test them -> detection scores, and thresholds for predict."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.intake.tables import read_own_table, read_recordings
from evensong.listen.survey import hear, read_ears
from evensong.listen.thresholds import FILE, thresholds_tree
from evensong.night import detect
from evensong.night.calibrate import calibrations
from evensong.night.index import read_source_folds
from evensong.params import load_section
from evensong.run.parallel import n_workers
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import Evaluate, NightDetect

DATA = Path("data/field")
FIELD = Path("artifacts/night/field")
INDEX = Path("artifacts/night/balanced_audio_index.db")
NIGHT = Path("artifacts/night")
OUTPUT = Path("artifacts/night/detect")
METRICS = Path("metrics/night/detection.json")
DETAILS = Path("metrics/night/detection_details.json")
PLOTS = Path("plots/night_detection")


def main() -> None:
    settings, evaluate = load_section("night.detect", NightDetect), load_section("night.evaluate", Evaluate)
    ears, folds = read_ears(NIGHT / settings.listener), read_source_folds(INDEX)
    annotations = read_own_table(
        FIELD / "annotations.csv", numbers=("begin_s", "end_s"), texts=("recording", "reviewed", "outcome")
    )
    truth = detect.field_truth(read_recordings(FIELD / "recordings.csv"), annotations, ears.classes, ears.background)
    wanted = {
        fold: [path for subset in ("val", "test") for path in detect.recordings_of(truth, folds, fold, subset)]
        for fold in ears.folds
    }
    heard = hear(DATA, ears, wanted, settings.hop_seconds, workers=n_workers())
    found = detect.detect(truth, folds, heard, settings, ears.window_s)
    chosen = {} if truth.recordings.empty else found.chosen
    maps = calibrations(truth, folds, heard, settings)
    with publishing("night_detect", [OUTPUT, METRICS, DETAILS, PLOTS]) as staged:
        staged[OUTPUT].mkdir()
        staged[PLOTS].mkdir()
        write_json(staged[OUTPUT] / FILE, thresholds_tree(ears.card_sha256s, chosen, maps))
        write_csv(staged[OUTPUT] / "detections.csv", found.detections, "%.6f")
        write_csv(staged[OUTPUT] / "events.csv", found.events, "%.6f")
        write_json(staged[METRICS], detect.headline_tree(truth, found, evaluate))
        write_json(staged[DETAILS], detect.details_tree(truth, found, settings, evaluate))
        write_csv(staged[PLOTS] / "pr.csv", detect.pr_table(truth, found), "%.6g", for_people=True)
        write_csv(staged[PLOTS] / "thresholds.csv", detect.threshold_table(found), "%.6g", for_people=True)
    print(detect.told(truth, found, evaluate))


if __name__ == "__main__":
    run_stage(main)
