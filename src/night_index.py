"""night_index: pool.csv -> the SQLite index with its splits, and the audit of balance, leakage and shortcuts."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path
from typing import Any

from evensong.keys import file_sha256
from evensong.night.audit import audit_leakage, count_classes, describe_balance, few_tested, nearness, refuse_leakage
from evensong.night.folds import divide, enough_sources
from evensong.night.index import build_index, index_tables
from evensong.intake.names import counted
from evensong.intake.tables import read_clips, read_pool, read_recordings, read_reviewed
from evensong.params import load_section
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import NightIndex
from evensong.score.shortcuts import describe_shortcuts, report_shortcuts

TABLE = Path("artifacts/night/pool.csv")
CLIPS = Path("artifacts/night/scan/clips.csv")
CUT = Path("artifacts/night/cut/cut.csv")
RECORDINGS = Path("artifacts/night/field/recordings.csv")
INDEX = Path("artifacts/night/balanced_audio_index.db")
METRICS = Path("metrics/night/index.json")
PLOT = Path("plots/night_counts.csv")


def main() -> None:
    settings = load_section("night.index", NightIndex)
    pool, clips = read_pool(TABLE), read_clips(CLIPS)
    reviewed = read_reviewed(CUT, clips)
    pool, left_out = enough_sources(pool, settings.min_sources, reviewed)
    split, part_names, shares, splits, folds = divide(pool, read_recordings(RECORDINGS), settings, reviewed)
    leakage = audit_leakage(pool, folds)
    refuse_leakage(leakage)
    tables = index_tables(pool, folds, splits, file_sha256(TABLE), reviewed)
    samples = tables["audio_samples"]
    counts = count_classes(samples, part_names, shares)
    report: dict[str, Any] = {
        "balance": describe_balance(counts, split, samples, shares, part_names),
        "leakage": leakage,
        **report_shortcuts(clips[clips["path"].isin(pool["original_file"])]),
        "folds": int(folds["fold"].nunique()),
        "classes_left_out": left_out,
        "originals_reviewed": len(reviewed),
    }
    with publishing("night_index", [INDEX, METRICS, PLOT]) as staged:
        report["rows_sha256"] = build_index(staged[INDEX], tables)
        write_json(staged[METRICS], {"index": report})
        write_csv(staged[PLOT], counts, "%.6g", for_people=True)
    print(f"{len(samples)} files indexed, {report['folds']} fold(s), {counted(len(split.parts), 'source')}")
    if left_out:
        print(f"left out, with fewer than night.index.min_sources: {', '.join(left_out)}")
    notes = [few_tested(counts, split.quality), *describe_shortcuts(report["shortcut_balanced_accuracy"])]
    print(nearness(split.quality), *filter(None, notes), sep="\n")


if __name__ == "__main__":
    run_stage(main)
