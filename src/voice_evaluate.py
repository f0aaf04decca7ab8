"""voice_evaluate: predictions of every sub-database -> summaries, metrics and plot tables."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path
from typing import Any

from evensong import schemas
from evensong.score.predictions import TrainingRun, read_model_facts, read_run
from evensong.params import load_section, load_value
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.voice import evaluate
from evensong.voice.decision import judges_of, judges_tree
from evensong.voice.figures import draw_subdbs
from evensong.voice.tables import read_combined

COMBINED = Path("artifacts/voice/combined")
RUNS = Path("artifacts/voice/train")
SUMMARIES = Path("artifacts/voice/summaries")
THRESHOLDS = Path("artifacts/voice/thresholds.json")
METRICS = Path("metrics/voice/subdbs.json")
PLOTS = Path("plots/voice")


def facts_of(name: str, run: TrainingRun) -> dict[str, Any]:
    """What the summary of a sub-database says of its data and model."""
    combined = read_combined(COMBINED / name / f"audio_imbalmed_{name}_combined.csv")
    evaluate.check_predicted(combined, run.predictions, name)
    folds = run.predictions.folds
    return {"data": evaluate.cohort_facts(combined, folds), "model": read_model_facts(RUNS / name, folds[0])}


def main() -> None:
    subdbs = sorted(load_value("voice.subdbs", schemas.SUBDBS))
    train = load_section("train", schemas.Train)
    track = load_section("voice.train", schemas.TrackTrain)
    scoring = load_section("voice.evaluate", schemas.Evaluate)
    settings = {"train": train, "voice.train": track, "voice.evaluate": scoring}
    found = {subdb: evaluate.evaluate_run(read_run(RUNS / f"subdb{subdb}"), scoring) for subdb in subdbs}
    for note in evaluate.notes(found):
        print(f"NOTE: {note}")
    facts = {subdb: facts_of(f"subdb{subdb}", one.run) for subdb, one in found.items()}
    judges = [judge for subdb, one in found.items() for judge in judges_of(RUNS / f"subdb{subdb}", one.run)]
    with publishing("voice_evaluate", [SUMMARIES, THRESHOLDS, METRICS, PLOTS]) as staged:
        for subdb, one in found.items():
            folder = staged[SUMMARIES] / f"subdb{subdb}"
            folder.mkdir(parents=True)
            tree = evaluate.summary_tree(subdb, one, settings, facts[subdb])
            write_json(folder / evaluate.summary_name(track.model), tree)
        write_json(staged[THRESHOLDS], judges_tree(judges))
        write_json(staged[METRICS], evaluate.details_tree(found))
        staged[PLOTS].mkdir()
        for name, table in evaluate.plot_tables(found).items():
            write_csv(staged[PLOTS] / f"{name}.csv", table, "%.6g", for_people=True)
        draw_subdbs(staged[PLOTS] / "subdbs.png", found, scoring.confidence)


if __name__ == "__main__":
    run_stage(main)
