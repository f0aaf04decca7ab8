"""voice_tables: splits + scan + images -> one combined CSV a sub-database, and the list of what is in none."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.intake.tables import read_own_table
from evensong.params import load_section, load_value
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.schemas import SUBDBS, VoiceSplits, VoiceTables
from evensong.score.shortcuts import describe_shortcuts
from evensong.voice.account import count_table, describe, dropped_rows, notes, summarise_tables, used_rows
from evensong.voice.shortcuts import audit_patients
from evensong.voice.splits import read_accounts, read_labels, read_splits
from evensong.voice.tables import Cohort, draw_trainable, join_lists, member_tables

SCAN = Path("artifacts/voice/scan")
SPLITS = Path("artifacts/voice/splits")
IMAGE_TABLE = Path("artifacts/voice/mels.csv")
FOLDER = "artifacts/voice/combined"
METRICS = "metrics/voice/tables.json"
PLOT = "plots/voice_counts.csv"


def main() -> None:
    subdbs = load_value("voice.subdbs", SUBDBS)
    seed = load_section("voice.splits", VoiceSplits).seed
    settings, images = load_section("voice.tables", VoiceTables), read_own_table(IMAGE_TABLE)
    cohort = Cohort(
        labels=read_labels(SPLITS),
        recordings=read_own_table(SCAN / "recordings.csv"),
        quarantine=read_own_table(SCAN / "quarantine.csv"),
        images=images,
        trainable=draw_trainable(images, settings.max_recordings, seed),
    )
    with publishing("voice_tables", [FOLDER, METRICS, PLOT]) as staged:
        joined = join_lists(read_splits(SPLITS, subdbs), cohort)
        members = member_tables(joined)
        dropped = dropped_rows(joined, members, cohort)
        for name, table in members.items():
            (staged[FOLDER] / name).mkdir(parents=True)
            write_csv(staged[FOLDER] / name / f"audio_imbalmed_{name}_combined.csv", table)
        write_csv(staged[FOLDER] / "dropped.csv", dropped)
        counts = summarise_tables(members, dropped, cohort) | read_accounts(SPLITS)
        shortcuts = audit_patients(used_rows(members), cohort.recordings)
        write_json(staged[METRICS], counts | {"shortcut_balanced_accuracy": shortcuts})
        write_csv(staged[PLOT], count_table(members), for_people=True)
    print(*describe(counts), *notes(members, cohort.recordings), *describe_shortcuts(shortcuts), sep="\n")


if __name__ == "__main__":
    run_stage(main)
