"""night_index: pool.csv -> the SQLite index with its splits, and the audit of balance, leakage and shortcuts."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path
from typing import Any

import pandas as pd

from evensong.keys import file_sha256
from evensong.night.audit import audit_leakage, count_classes, describe_balance, few_tested, nearness, refuse_leakage
from evensong.night.folds import assign_parts, fold_table
from evensong.night.index import build_index, index_tables
from evensong.intake.names import counted
from evensong.intake.tables import read_clips, read_pool
from evensong.params import load_section
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import NightIndex
from evensong.score.shortcuts import audit_shortcuts, describe_shortcuts, draw_clips

TABLE = Path("artifacts/night/pool.csv")
CLIPS = Path("artifacts/night/scan/clips.csv")
INDEX = Path("artifacts/night/balanced_audio_index.db")
METRICS = Path("metrics/night/index.json")
PLOT = Path("plots/night_counts.csv")


def main() -> None:
    settings = load_section("night.index", NightIndex)
    pool, clips = read_pool(TABLE), read_clips(CLIPS)
    split, part_names, shares = assign_parts(pool, settings)
    folds = fold_table(split, part_names, validation=settings.validation)
    splits = pd.Series({source: part_names[part] for source, part in split.parts.items()})
    leakage = audit_leakage(pool, folds)
    refuse_leakage(leakage)
    tables = index_tables(pool, folds, splits, file_sha256(TABLE))
    samples = tables["audio_samples"]
    counts = count_classes(samples, part_names, shares)
    looked_at = draw_clips(clips[clips["path"].isin(pool["original_file"])])
    report: dict[str, Any] = {
        "balance": describe_balance(counts, split, samples, shares, part_names),
        "leakage": leakage,
        "shortcut_balanced_accuracy": audit_shortcuts(looked_at),
        "shortcut_classes": looked_at["class_name"].nunique(),
        "shortcut_clips": len(looked_at),
        "folds": int(folds["fold"].nunique()),
    }
    with publishing("night_index", [INDEX, METRICS, PLOT]) as staged:
        report["rows_sha256"] = build_index(staged[INDEX], tables)
        write_json(staged[METRICS], {"index": report})
        write_csv(staged[PLOT], counts, "%.6g", for_people=True)
    print(f"{len(samples)} files indexed, {report['folds']} fold(s), {counted(len(split.parts), 'source')}")
    print(nearness(split.quality), *describe_shortcuts(report["shortcut_balanced_accuracy"]), sep="\n")
    if note := few_tested(counts, split.quality):
        print(note)


if __name__ == "__main__":
    run_stage(main)
