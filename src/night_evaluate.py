"""night_evaluate: predictions of the night folds -> scores with intervals, and plot tables."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong import schemas
from evensong.score.predictions import fused_arms, read_arms, read_run
from evensong.night import evaluate
from evensong.params import load_section
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json

RUN = Path("artifacts/night/train")
ARMS = Path("artifacts/night/arms")
METRICS = Path("metrics/night/test.json")
DETAILS = Path("metrics/night/details.json")
PLOTS = Path("plots/night")


def main() -> None:
    settings = load_section("night.evaluate", schemas.Evaluate)
    run = read_run(RUN)
    others = read_arms(ARMS, run)
    arms = {evaluate.NETWORK: run.predictions, **others, **fused_arms(run.predictions, others)}
    found = evaluate.evaluate_views({name: one.subset("test") for name, one in arms.items()}, settings)
    with publishing("night_evaluate", [METRICS, DETAILS, PLOTS]) as staged:
        write_json(staged[METRICS], evaluate.headline_tree(run, found))
        write_json(staged[DETAILS], evaluate.details_tree(run, found))
        staged[PLOTS].mkdir()
        for name, table in evaluate.plot_tables(run, found).items():
            write_csv(staged[PLOTS] / f"{name}.csv", table, "%.6g", for_people=True)


if __name__ == "__main__":
    run_stage(main)
