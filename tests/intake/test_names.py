import hashlib
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evensong.intake.names import counted, name_fault, nfc, printable, slug, some_of, tally, unique_slugs


@pytest.mark.fault("B18")
@given(st.text(max_size=300))
def test_slug_is_a_safe_ascii_path_part_for_any_text(name):
    part = slug(name)
    assert re.fullmatch(r"[0-9A-Za-z_][0-9A-Za-z._-]*", part) or part.startswith("-")
    assert len(part) <= 81
    assert part not in {".", ".."}
    assert not part.startswith(".")


@pytest.mark.fault("B03", "B17", "B18", "H10", "H11")
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("asio_flammeus", "asio_flammeus"),
        ("Hulotte é", "Hulotte_e"),
        ("l'hirondelle", "l_hirondelle"),
        ("../../etc", "etc"),
        ("CON", "CON_"),
        ("train", "train"),
        ("-rf", "-rf"),
        ('=HYPERLINK("x")', "HYPERLINK_x"),
        ("<img src=x onerror=alert(1)>", "img_src_x_onerror_alert_1"),
        ("...", "x"),
        ("x'); DROP TABLE s;--", "x_DROP_TABLE_s_--"),
    ],
)
def test_slug_of_known_names(name, part):
    assert slug(name) == part


def test_slug_of_other_scripts_stays_distinct():
    names = ["ночь", "день", "夜", "昼", "לילה"]
    assert len({slug(name) for name in names}) == len(names)


def test_slug_of_composed_and_decomposed_form_is_equal():
    assert slug("é") == slug(unicodedata.normalize("NFD", "é"))


@pytest.mark.fault("B02")
@given(st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=12))
def test_unique_slugs_differ_without_case_and_in_any_order(names):
    keyed = {hashlib.sha256(name.encode()).hexdigest(): name for name in names}
    slugs = unique_slugs(keyed)
    assert len({part.casefold() for part in slugs.values()}) == len(names)
    assert unique_slugs(dict(reversed(keyed.items()))) == slugs


@pytest.mark.fault("B01")
def test_unique_slugs_adds_a_digest_only_where_names_collide():
    slugs = unique_slugs({name: name for name in ["Owl", "owl", "crow"]})
    assert slugs["crow"] == "crow"
    assert re.fullmatch("Owl_[0-9a-f]{8}", slugs["Owl"])
    assert re.fullmatch("owl_[0-9a-f]{8}", slugs["owl"])


@pytest.mark.fault("B04", "B05", "H14")
@pytest.mark.parametrize(
    "name",
    [
        "a\nb.wav",
        "a\x1b[31m.wav",
        "a\u2028b",
        "a\x7f",
        "a\u202eb",
        "a\u200bb",
        "\ufeffa",
        "e\u200dx",
        b"\xff.wav".decode("utf-8", "surrogateescape"),
    ],
)
def test_name_fault_of_control_characters_and_bad_bytes(name):
    assert name_fault(name)
    assert printable(name).isprintable()


@pytest.mark.fault("B03")
@pytest.mark.parametrize(
    "name", ["плохо ли", 'it\'s "quoted"', "-x.wav", "=cmd()", "é", "می\u200cروم", "क्\u200dष", "👩\u200d🔬"]
)
def test_name_fault_accepts_what_people_type(name):
    assert name_fault(name) is None
    assert printable(name) == name


def test_nfc_composes():
    assert nfc("e\u0301") == "é"


def test_counted_one_and_several():
    assert (counted(1, "source"), counted(2, "source"), counted(0, "source")) == ("1 source", "2 sources", "0 sources")


def test_some_of_shows_three_names_and_that_there_are_more():
    assert [some_of("abcd"[:n]) for n in range(5)] == ["", "a", "a, b", "a, b, c", "a, b, c, ..."]


def test_tally_sorts_by_name():
    assert tally({"b": 2, "a": 10}) == "a 10, b 2"
