"""night_report: what the night stages wrote -> one page to open offline, and a model card and a data card beside it."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong import schemas
from evensong.params import load_section
from evensong.report import night_page
from evensong.report.page import write_card, write_page
from evensong.run.publish import publishing

PAGE = Path("artifacts/night/report.html")
MODEL_CARD = Path("artifacts/night/model_card.md")
DATA_CARD = Path("artifacts/night/data_card.md")


def main() -> None:
    night, train = load_section("night", schemas.Night), load_section("train", schemas.Train)
    facts = night_page.night_facts(night, train)
    with publishing("night_report", [PAGE, MODEL_CARD, DATA_CARD]) as staged:
        write_page(staged[PAGE], "night.html", facts)
        write_card(staged[MODEL_CARD], "night_model.md", night_page.model_front(facts), facts)
        write_card(staged[DATA_CARD], "night_data.md", night_page.data_front(facts), facts)
    print(f"open {PAGE} in a browser")


if __name__ == "__main__":
    run_stage(main)
