"""voice_report: what the voice stages wrote -> one page to open offline, and a model card and a data card beside it."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

from pathlib import Path

from evensong import schemas
from evensong.params import load_section
from evensong.report import voice_page
from evensong.report.page import write_card, write_page
from evensong.run.publish import publishing

PAGE = Path("artifacts/voice/report.html")
MODEL_CARD = Path("artifacts/voice/model_card.md")
DATA_CARD = Path("artifacts/voice/data_card.md")


def main() -> None:
    voice, train = load_section("voice", schemas.Voice), load_section("train", schemas.Train)
    facts = voice_page.voice_facts(voice, train)
    with publishing("voice_report", [PAGE, MODEL_CARD, DATA_CARD]) as staged:
        write_page(staged[PAGE], "voice.html", facts)
        write_card(staged[MODEL_CARD], "voice_model.md", voice_page.model_front(facts), facts)
        write_card(staged[DATA_CARD], "voice_data.md", voice_page.data_front(facts), facts)
    print(f"open {PAGE} in a browser")


if __name__ == "__main__":
    run_stage(main)
