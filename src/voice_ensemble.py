"""voice_ensemble: predictions of all members -> fused patient predictions and what fusing them gained."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import sys
from pathlib import Path

from evensong import schemas
from evensong.score.predictions import read_arms, read_run
from evensong.params import load_section, load_value
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.voice import ensemble
from evensong.voice.answer import answer_text, notes
from evensong.voice.figures import draw_fusion
from evensong.voice.fusion import Members, join_members

RUNS = Path("artifacts/voice/train")
ARMS = Path("artifacts/voice/arms")
ENSEMBLE = Path("artifacts/voice/ensemble")
METRICS = Path("metrics/voice/test.json")
DETAILS = Path("metrics/voice/details.json")
PLOTS = Path("plots/ensemble")


def read_members(names: list[str]) -> Members:
    return join_members({name: read_run(RUNS / name) for name in names})


def main() -> None:
    subdbs = load_value("voice.subdbs", schemas.SUBDBS)
    seeds = load_value("voice.control_seeds", schemas.SEEDS)
    evaluate = load_section("voice.evaluate", schemas.Evaluate)
    members = read_members([f"subdb{subdb}" for subdb in sorted(subdbs)])
    arms = read_arms(ARMS, read_run(RUNS / f"subdb{min(subdbs)}"))
    control = read_members([f"control{seed}" for seed in sorted(seeds)]) if seeds else None
    fusion = ensemble.evaluate_fusion(members, control, arms, evaluate)
    if warning := ensemble.unequal_arms(fusion):
        print(f"WARNING: {warning}", file=sys.stderr)
    for note in notes(fusion):
        print(f"NOTE: {note}")
    with publishing("voice_ensemble", [ENSEMBLE, METRICS, DETAILS, PLOTS]) as staged:
        staged[ENSEMBLE].mkdir()
        write_csv(staged[ENSEMBLE] / "predictions.csv", ensemble.predictions_table(fusion), float_format="%.9g")
        write_json(staged[ENSEMBLE] / "summary.json", ensemble.summary_tree(fusion))
        write_json(staged[METRICS], ensemble.headline_tree(fusion))
        write_json(staged[DETAILS], ensemble.details_tree(fusion))
        staged[PLOTS].mkdir()
        for name, table in ensemble.plot_tables(fusion).items():
            write_csv(staged[PLOTS] / f"{name}.csv", table, "%.6g", for_people=True)
        (staged[PLOTS] / "answer.md").write_text(answer_text(fusion), encoding="utf-8", newline="\n")
        draw_fusion(staged[PLOTS] / "fusion.png", fusion)


if __name__ == "__main__":
    run_stage(main)
