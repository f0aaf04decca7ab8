"""voice_confounders: survey columns + fused predictions -> what these alone tell, and the voice beside them."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong import schemas
from evensong.intake.tables import read_own_table
from evensong.params import load_section, load_value
from evensong.run.publish import publishing
from evensong.run.text import write_csv, write_json
from evensong.voice import confounding, confounding_answer
from evensong.voice.confounders import choose_confounders, read_confounders
from evensong.voice.table_one import table_one

SURVEY = Path("data/voice/cohort/Demographics_Survey.csv")
PREDICTIONS = Path("artifacts/voice/ensemble/predictions.csv")
TABLE = Path("artifacts/voice/confounders.csv")
METRICS = Path("metrics/voice/confounders.json")


def main() -> None:
    labels = load_section("voice.labels", schemas.VoiceLabels)
    evaluate = load_section("voice.evaluate", schemas.Evaluate)
    predictions = read_own_table(PREDICTIONS, numbers=("fold", "label", "soft_mean"), texts=("subset", "group"))
    tested = predictions[predictions["subset"] == "test"].drop_duplicates("group").set_index("group")["label"]
    named = load_value("voice.confounders", schemas.CONFOUNDERS)
    columns, unread = choose_confounders(SURVEY, named, labels.column, predictions["group"])
    answers = read_confounders(SURVEY, columns, labels.column, predictions["group"])
    cohort = confounding.make_cohort(predictions, answers, evaluate)
    found = confounding.audit(cohort)
    told = confounding_answer.sentences(found, list(unread))
    first = answers.loc[sorted(tested.index)]
    positive = (tested.loc[first.index] == 1).to_numpy()
    tree = {"rules": confounding.RULES, "columns": columns, "unread": list(unread), "answer": told}
    tree["table_one"] = table_one(first, positive)
    unused = [f"{name} is no confounder here: {why}" for name, why in unread.items()]
    for note in [*unused, *confounding_answer.notes(found)]:
        print(f"NOTE: {note}")
    with publishing("voice_confounders", [TABLE, METRICS]) as staged:
        write_csv(staged[TABLE], confounding.patient_table(cohort), "%.9g")
        write_json(staged[METRICS], tree | confounding.as_tree(found))


if __name__ == "__main__":
    run_stage(main)
