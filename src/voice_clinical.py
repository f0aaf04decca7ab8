"""voice_clinical: predictions by patient -> the tables of a diagnostic study, and a row a patient for statistics."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong import schemas
from evensong.intake.tables import read_own_table
from evensong.params import load_section, load_value
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.score.predictions import read_run
from evensong.voice import clinical
from evensong.voice.patients import levels_of

RUNS = Path("artifacts/voice/train")
PREDICTIONS = Path("artifacts/voice/ensemble/predictions.csv")
FOLDER = Path("artifacts/voice/clinical")
METRICS = Path("metrics/voice/clinical.json")
PLOTS = Path("plots/voice_clinical")


def main() -> None:
    subdbs = load_value("voice.subdbs", schemas.SUBDBS)
    confidence = load_section("voice.evaluate", schemas.Evaluate).confidence
    table = read_own_table(PREDICTIONS, texts=("subset", "group"), numbers=("fold", "label"))
    table = table.assign(**{name: table[name].astype(float) for name in table if name not in clinical.KEYS})
    fused = clinical.levels_of_table(table)
    levels = fused | {f"subdb{k}": levels_of(read_run(RUNS / f"subdb{k}"))["patient"] for k in sorted(subdbs)}
    with publishing("voice_clinical", [FOLDER, METRICS, PLOTS]) as staged:
        staged[FOLDER].mkdir()
        write_csv(staged[FOLDER] / "patients.csv", clinical.patient_table(levels), "%.9g")
        write_json(staged[FOLDER] / "tables.json", clinical.clinical_tree(levels, confidence, exact=True))
        write_json(staged[METRICS], clinical.clinical_tree(levels, confidence))
        staged[PLOTS].mkdir()
        for name, curves in clinical.curve_tables(fused).items():
            write_csv(staged[PLOTS] / f"{name}.csv", curves, "%.6g", for_people=True)


if __name__ == "__main__":
    run_stage(main)
