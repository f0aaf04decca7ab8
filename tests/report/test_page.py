"""The pages: one file each, nothing fetched, names are text, and a cell opens the clips that it counts."""

import base64
import io
import json
import re
import shutil
import tempfile
import wave
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tests.report.chromium import CHROMIUM, Browser
from tests.report.runs import CLASSES, FORMULA, HOSTILE, write_night, write_voice

import night_report
import voice_report
from evensong.errors import IntegrityError
from evensong.intake.tables import read_own_table, read_pool
from evensong.params import load_section
from evensong.report import clips, page
from evensong.report.voice_page import answer_parts
from evensong.schemas import Night, NightMels
from evensong.score.predictions import read_run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
AXE = ROOT / ".state/axe/node_modules/axe-core/axe.min.js"  # put there by .ci/run
NIGHT, VOICE = Path("artifacts/night/report.html"), Path("artifacts/voice/report.html")


class Read(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with both tracks' pages."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_night()
        write_voice()
        night_report.main()
        voice_report.main()
    return folder


@pytest.fixture
def here(finished, monkeypatch):
    monkeypatch.chdir(finished)
    return finished


def digests(folder):
    found = (path for path in folder.glob("artifacts/*/*") if path.suffix in (".html", ".md"))
    return {path.relative_to(folder): path.read_bytes() for path in found}


def shown(tag_name, path):
    return Read(path).all(tag_name)


def test_the_same_bytes_again_and_in_another_folder(here, tmp_path, monkeypatch):
    before = digests(here)
    assert len(before) == 6
    shutil.copytree(here, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    night_report.main()
    voice_report.main()
    assert digests(Path()) == before
    assert str(here) not in NIGHT.read_text() + VOICE.read_text()


@pytest.mark.parametrize("path", [NIGHT, VOICE])
def test_nothing_is_fetched(here, path):
    found = Read(path)
    addresses = [attributes[name] for _, attributes in found.tags for name in ("src", "href") if name in attributes]
    assert addresses
    assert [address for address in addresses if not address.startswith(("data:", "#"))] == []
    assert not re.search(r"https?://|url\(|@import", path.read_text())
    ids = {attributes["id"] for _, attributes in found.tags if "id" in attributes}
    assert {address[1:] for address in addresses if address.startswith("#")} <= ids


def test_names_are_text_in_the_page_and_in_the_cards(here):
    found = Read(NIGHT)
    assert not [tag for tag, attributes in found.tags if "onerror" in attributes or attributes.get("src") == "x"]
    assert all(name in found.text for name in CLASSES)
    assert f"'{FORMULA}" not in found.text  # no apostrophe of the tables for spreadsheets
    for card in ("model_card.md", "data_card.md"):
        text = Path("artifacts/night", card).read_text()
        assert "\\<img" in text
        assert HOSTILE not in text


@pytest.mark.parametrize(
    "card", sorted(f"{track}/{kind}_card.md" for track in ("night", "voice") for kind in ("model", "data"))
)
def test_cards_begin_with_front_matter_that_reads(here, card):
    _, front, body = Path("artifacts", card).read_text().split("---\n", 2)
    tree = YAML(typ="safe", pure=True).load(front)
    assert "audio-classification" in (tree.get("pipeline_tag"), *tree.get("task_categories", []))
    assert body.lstrip().startswith("# ")


def test_a_cell_opens_as_many_clips_as_it_counts(here):
    text = NIGHT.read_text()
    run = read_run(Path("artifacts/night/train"))
    n_mistakes = 0
    for button in shown("button", NIGHT):
        if opens := button.get("data-opens"):
            dialog = text.split(f'<dialog id="{opens}"')[1].split("</dialog>")[0]
            n = int(re.match(r"\d+", button["aria-label"])[0])
            assert dialog.count('class="clip"') == n
            n_mistakes += n * (button["class"] == "wrong")
    test = run.predictions.subset("test")
    originals = test.where(test.table["is_original"])
    assert n_mistakes == (originals.probabilities.argmax(axis=1) != originals.labels).sum() > 0
    worst = text.split('id="worst"')[1].split('id="data"')[0]
    assert worst.count('class="clip"') == n_mistakes


def test_the_players_have_the_samples_of_the_pool(here):
    sounds = json.loads(re.search(r'id="sounds">(.*?)</script>', NIGHT.read_text())[1])
    assert {player["data-clip"] for player in shown("audio", NIGHT)} == set(sounds)
    held = {path.read_bytes() for path in Path("artifacts/night/pool").rglob("*.wav")}
    samples = set()
    for content in held:
        with wave.open(io.BytesIO(content)) as file:
            samples.add(file.readframes(file.getnframes())[: 2 * 4000])  # clip_seconds of 0.5 at 8 kHz
    for sound in sounds.values():
        with wave.open(io.BytesIO(base64.b64decode(sound))) as file:
            assert (file.getframerate(), file.getnframes()) == (8000, 4000)
            assert file.readframes(4000) in samples


@given(most=st.integers(0, 200_000))
def test_pictures_and_sounds_fit_the_room(finished, most):
    home = finished / "artifacts/night"
    run = read_run(home / "train")
    settings = load_section("night.mels", NightMels, finished / "params.yaml")
    chosen = clips.tested_clips(run)
    clips.add_media(chosen, read_pool(home / "pool.csv"), home / "pool", home / "mels", settings, most)
    sizes = [len(clip.picture) + len(clip.sound) for clip in chosen]
    assert sum(sizes) <= most
    assert (finished / NIGHT).stat().st_size < 15_000_000


def test_a_prediction_that_the_pool_has_not_is_refused(here):
    strange = [clips.Clip("owl/none.wav", "none", "owl", "rain", 0.9, 0.1)]
    settings = load_section("night.mels", NightMels)
    with pytest.raises(IntegrityError, match=r"1 predicted clips are not in pool.csv"):
        clips.add_media(strange, read_pool(Path("artifacts/night/pool.csv")), Path(), Path(), settings)


def test_the_worst_come_first_then_each_cell_in_turn():
    made = [clips.Clip(name, "s", actual, guess, 0.5, true) for name, actual, guess, true in (
        ("a", "owl", "rain", 0.1), ("b", "owl", "rain", 0.2), ("c", "owl", "owl", 0.5), ("d", "rain", "rain", 0.6),
        ("e", "rain", "rain", 0.9),
    )]  # fmt: skip
    names = ("owl", "rain")
    cells = [
        [clips.Cell(a, b, 0, 0, [one for one in made if (one.actual, one.predicted) == (a, b)]) for b in names]
        for a in names
    ]
    assert [clip.name for clip in clips.choose(cells, made[1:2])] == ["b", "a", "c", "d", "e"]
    assert [clip.key for clip in made] == [1, 0, 2, 3, 4]


def test_detection_is_told_where_it_was_run(here, tmp_path, monkeypatch):
    assert "Detection" not in Read(NIGHT).text
    shutil.copytree(here, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    one = dict.fromkeys(("precision", "recall", "f1", "average_precision"), 0.25) | {
        "n_events": 7,
        "n_detections_exhaustive": 3,
    }
    macro = {"value": 0.31, "low": None, "high": None}
    tree = {
        "recordings": 4,
        "sources": 2,
        "hours_exhaustive": 1.5,
        "event": {"macro_f1": macro, "classes": {HOSTILE: one}},
    }
    Path("metrics/night/detection_details.json").write_text(json.dumps(tree))
    Path("plots/night_detection").mkdir()
    Path("plots/night_detection/thresholds.csv").write_text(f"class,threshold\n{HOSTILE},0.65\n")
    night_report.main()
    told = Read(NIGHT).text.split("Detection in field recordings")[1]
    assert "Macro-F1 of events 0.310" in told
    assert all(number in told.split("Parameters")[0] for number in ("0.25", "0.65", "7"))
    Path("metrics/night/detection_details.json").write_text(json.dumps({"reason": "no recordings", "recordings": 0}))
    night_report.main()
    assert "Not scored: no recordings." in Read(NIGHT).text


def test_sources_are_counted_once_and_classes_that_were_left_out_are_named(here, tmp_path, monkeypatch):
    shutil.copytree(here, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    for name, change in (("details", {"sources": 77}), ("index", {"classes_left_out": {"rail*": 2}})):
        path = Path(f"metrics/night/{name}.json")
        tree = json.loads(path.read_text())
        (tree["originals"]["source"] if name == "details" else tree["index"]).update(change)
        path.write_text(json.dumps(tree))
    night_report.main()
    assert "from 77 sources that" in Read(NIGHT).text
    assert "sources: rail* (2)." in Read(NIGHT).text
    assert "test clips of 77 sources" in Path("artifacts/night/model_card.md").read_text()
    assert "sources: rail\\* (2)." in Path("artifacts/night/data_card.md").read_text()


def test_the_voice_page_reads_what_git_holds_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_voice()  # no artifacts/ here
    voice_report.main()
    found = Read(VOICE)
    assert not {"audio", "img", "video"} & {tag for tag, _ in found.tags}
    assert "Networks at all: +0.05." in found.text
    assert "40 patients, 2 sub-databases fused by their mean." in found.text
    for told in ("<5", "withheld", "0.750", "Age alone: AUROC 0.900.", "61.5 (7.2)", HOSTILE, "likelihood ratio +"):
        assert told in found.text
    flow = next(one["aria-label"] for one in found.all("svg") if one.get("aria-label", "").startswith("Flow"))
    assert flow.startswith("Flow of patients: patients in the survey 45; left without a diagnosis <5;")
    assert "positive 12; negative 28; … called positive withheld" in flow


def test_the_voice_page_of_a_cohort_without_confounders_or_with_few_patients(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_voice()
    empty = {name: {} for name in ("alone", "matched", "matched_over_folds", "strata", "added", "table_one")}
    tree = {**empty, "columns": [], "answer": ["No confounders are named."], "voice": {"value": 0.7}}
    Path("metrics/voice/confounders.json").write_text(json.dumps(tree))
    few = {"n": "<5", "n_positive": "<5", "prevalence": None, "methods": {"soft_mean": {"reason": "few"}}}
    Path("metrics/voice/clinical.json").write_text(json.dumps(few))
    Path("plots/voice_clinical/decision.csv").write_text("curve,label,colour,threshold,net_benefit\n")
    Path("metrics/voice/details.json").write_text(json.dumps({"n_members": 1}))
    voice_report.main()
    text = Read(VOICE).text
    assert "40 patients, one sub-database." in text
    assert "No confounders are named." in text
    assert "Table 1" not in text
    assert "Not shown: a class has too few patients." in text


def test_a_missing_output_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_voice()
    Path("metrics/voice/tables.json").unlink()
    with pytest.raises(IntegrityError, match=r"metrics/voice/tables.json: cannot be read .*run dvc repro"):
        voice_report.main()


def test_the_answer_without_its_table():
    text = "# Title\n\nOne,\ntwo.\n\n| a |\n| --- |\n\n- x\n- y\n"
    assert answer_parts(text) == [("p", ["One, two."]), ("ul", ["x", "y"])]


def test_every_parameter_is_listed_once(here):
    rows = page.settings_rows({"night": load_section("night", Night)})
    assert ("night.mels.n_mels", "16") in rows
    assert ("night.augment.transforms", '["noise", "volume"]') in rows
    assert len(dict(rows)) == len(rows)
    assert all(key in Read(NIGHT).text for key, _ in rows)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
def test_plain_text_is_one_line_without_markup(name):
    text = page.plain(name)
    assert len(text.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(?:\\\\)*[<|*`\[]", text)


def test_the_citation_is_that_of_the_repository():
    cff = YAML(typ="safe", pure=True).load((ROOT / "CITATION.cff").read_text())
    assert {
        "authors": ", ".join(author["name"] for author in cff["authors"]),
        "title": cff["title"],
        "license": cff["license"],
    } == page.CITATION


def test_class_names_come_back_from_the_tables_for_spreadsheets(here):
    assert f"'{FORMULA}" in set(read_own_table(Path("plots/night/confusion.csv"))["actual"])
    assert FORMULA in {
        button["aria-label"].split(" taken for ")[-1] for button in shown("button", NIGHT) if "data-opens" in button
    }


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_without_a_network(here, width):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Browser(Path(profile)) as browser:
        browser.open(VOICE, width)
        browser.open(NIGHT, width)
        browser.run("document.querySelector('.matrix button.wrong').focus()")
        for kind in ("keyDown", "keyUp"):
            browser.call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
            )
        assert browser.run("document.querySelector('dialog[open] .clip audio') !== null")
        heard = (
            "(async () => { const one = document.querySelector('dialog[open] audio'); one.preload = 'auto'; one.load();"
        )
        heard += (
            " await new Promise((good, bad) => { one.oncanplay = good; one.onerror = bad; }); return one.duration; })()"
        )
        assert browser.run(heard) == pytest.approx(0.5)
        browser.run("document.querySelector('dialog[open] .close').click()")
        assert browser.run("document.querySelector('dialog[open]') === null")
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert browser.errors == []
        assert [address for address in browser.asked if not address.startswith(("file:", "data:"))] == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
@pytest.mark.skipif(not AXE.exists(), reason="no axe here: npm install --prefix .state/axe axe-core")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(here, scheme, width):
    opened = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
    cell = "document.querySelector('.matrix button.wrong').click()"
    found = "axe.run().then(all => all.violations.filter(one => ['serious', 'critical'].includes(one.impact))"
    found += ".map(one => [one.id, one.nodes.map(node => node.html)]))"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Browser(Path(profile)) as browser:
        for path, first in ((VOICE, opened), (NIGHT, opened), (NIGHT, cell)):
            browser.open(path, width, scheme)
            browser.run(AXE.read_text(encoding="utf-8"))
            browser.run(first)
            assert browser.run(found) == []
