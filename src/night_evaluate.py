"""night_evaluate: predictions of the night folds -> scores with intervals, and plot tables."""

from pathlib import Path

from evensong.run.stage import run_stage  # first: it sets the thread counts

from evensong import schemas
from evensong.score.curves import training_table
from evensong.score.predictions import read_run
from evensong.night import evaluate
from evensong.params import load_section
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json

RUN = Path("artifacts/night/train")
METRICS = Path("metrics/night/test.json")
PLOTS = Path("plots/night")


def main() -> None:
    settings = load_section("night.evaluate", schemas.Evaluate)
    run = read_run(RUN)
    found = evaluate.evaluate_views(run.predictions.subset("test"), settings)
    roc, pr, calibration = evaluate.curve_tables(run)
    tables = {
        "training": training_table(run.history),
        "scores": evaluate.scores_table(run, found),
        "predictions": evaluate.confusion_pairs(run),
        "per_class": evaluate.class_table(run),
        "roc": roc,
        "pr": pr,
        "calibration": calibration,
    }
    with publishing("night_evaluate", [METRICS, PLOTS]) as staged:
        write_json(staged[METRICS], evaluate.metrics_tree(run, found))
        staged[PLOTS].mkdir()
        for name, table in tables.items():
            write_csv(staged[PLOTS] / f"{name}.csv", table, float_format="%.6g")


if __name__ == "__main__":
    run_stage(main)
