"""voice_splits: labels and patient folds -> val/test lists common to all sub-databases, a training list for each."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong.errors import DataError
from evensong.intake.tables import read_own_table, used_rows
from evensong.params import load_section, load_value
from evensong.run.publish import publishing
from evensong.schemas import CONFOUNDERS, NEAR_DUPLICATES, SUBDBS, VoiceLabels, VoiceSplits
from evensong.voice.cohort import NO_LISTS, read_demographics, read_given_splits, refuse_stray_lists
from evensong.voice.confounders import choose_confounders
from evensong.voice.names import locate, refuse_case_twins
from evensong.voice.splits import describe, make_splits, refuse_lone, write_splits
from evensong.voice.twins import leaders_of, parted, read_twins, refuse_opposite

COHORT = Path("data/voice/cohort")
SURVEY = "Demographics_Survey.csv"
SCAN = Path("artifacts/voice/scan/recordings.csv")
FOLDER = "artifacts/voice/splits"


def main() -> None:
    subdbs = load_value("voice.subdbs", SUBDBS)
    confounders = load_value("voice.confounders", CONFOUNDERS)
    near_duplicates = load_value("voice.scan.near_duplicates", NEAR_DUPLICATES)
    labels_form = load_section("voice.labels", VoiceLabels)
    settings = load_section("voice.splits", VoiceSplits)
    if not COHORT.is_dir():
        raise DataError(f"{COHORT}: no such folder; put {SURVEY} there")
    with publishing("voice_splits", [FOLDER]) as staged:
        survey = read_demographics(COHORT / SURVEY, labels_form)
        # refused here, and not after the trainings
        choose_confounders(COHORT / SURVEY, confounders, labels_form.column, survey.labelled)
        recordings = read_own_table(SCAN)
        refuse_stray_lists(COHORT, COHORT / "splits")
        given = read_given_splits(COHORT / "splits", subdbs, n_folds=settings.n_folds)
        located = [survey.located, locate(recordings["healthCode"], SCAN)]
        refuse_case_twins([*located, *(given.located if given else [])])
        recorded = set(used_rows(recordings)["healthCode"])
        labels = {patient: label for patient, label in survey.labelled.items() if patient in recorded}
        twins = read_twins(SCAN.parent)
        refuse_opposite(twins, labels, SCAN.parent)
        if given:
            splits = given.splits
        else:
            leaders = leaders_of(twins if near_duplicates == "group" else [], labels)
            drawn = {"n_folds": settings.n_folds, "seed": settings.seed, "n_diagnosed": len(survey.labelled)}
            splits = make_splits(labels, subdbs, **drawn, leaders=leaders)
        refuse_lone(splits, labels)
        accounts = {"survey": survey.accounts, "given_splits": given.accounts if given else NO_LISTS}
        write_splits(staged[FOLDER], splits, survey.labels, accounts)
    told = [survey.describe(), *describe(splits, labels, is_given=given is not None)]
    print(*told, *parted(twins, splits.common, splits.control), sep="\n")


if __name__ == "__main__":
    run_stage(main)
