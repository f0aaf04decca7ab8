import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evensong.errors import DataError, InputFault
from evensong.voice.names import Located, id_problem, parse_name, refuse_case_twins

UUID = "00000000-0000-4000-8000-00000000000a"
OTHER = "00000000-0000-4000-8000-00000000000b"

PLAIN = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zs", "Zl", "Zp"), exclude_characters="_/\\()[]")
IDS = st.text(PLAIN, min_size=1, max_size=12)
COLUMNS = st.text(PLAIN | st.just("_"), min_size=1, max_size=20)


@given(IDS, IDS, COLUMNS, st.sampled_from(["jpg", "M4A", "wav", "JPEG"]))
def test_parse_name_returns_the_parts_it_was_built_from(health_code, record_id, column_id, suffix):
    name = parse_name(f"{health_code}_{record_id}_{column_id}.{suffix}")
    assert name == (health_code, record_id, column_id, "." + suffix.lower())
    assert name.item_id == f"{health_code}_{record_id}_{column_id}"


@given(st.text(max_size=60))
@example("a_b_c.jpg\n")
@example("a_b_c")
def test_parse_name_is_anchored_or_refuses(text):
    try:
        name = parse_name(text)
    except InputFault:
        return
    assert text.startswith(f"{name.item_id}.")
    assert text.lower().endswith(name.suffix)
    assert len(name.item_id + text[len(name.item_id) :]) == len(text)
    assert "_" not in name.health_code + name.record_id


@pytest.mark.fault("F01")
def test_parse_name_keeps_the_underscores_of_the_column():
    assert parse_name(f"{UUID}_{OTHER}_audio_audio_m4a.jpg")[:3] == (UUID, OTHER, "audio_audio_m4a")


@pytest.mark.fault("E15", "F01")
@pytest.mark.parametrize("name", ["b0001_0000_audio.wav", "a.b_c-d_e.f.jpg", "0012_1e5_NA.jpg", "é_ü_ß_x.png"])
def test_parse_name_takes_any_id_without_an_underscore(name):
    parse_name(name)


@pytest.mark.fault("F01", "F02")
@pytest.mark.parametrize(
    "name",
    [
        f"{UUID}_{OTHER}_audio_audio_m4a (1).jpg",
        f"{UUID}_{OTHER}_audio copy.jpg",
        f"Copy of {UUID}_{OTHER}_audio.jpg",
        f"Kopie von {UUID}_{OTHER}_audio.jpg",
        f"{UUID}_{OTHER}_audio.jpg x",
        f"{UUID}_{OTHER}.jpg",
        f"{UUID}_{OTHER}_.jpg",
        f"{UUID}__audio.jpg",
        f"_{OTHER}_audio.jpg",
        f"{UUID}_{OTHER}_audio.jpg\n",
        f"{UUID}_{OTHER}_au\x1bdio.jpg",
        f"{UUID}_{OTHER}_..\\audio.jpg",
        f"../{UUID}_{OTHER}_audio.jpg",
        f"{UUID}_{OTHER}_audio\udcff.jpg",
        "README",
    ],
)
def test_parse_name_refuses_without_repeating_the_name(name):
    with pytest.raises(InputFault) as caught:
        parse_name(name)
    assert caught.value.reason == "Q_NAME"
    assert UUID not in str(caught.value)


@pytest.mark.parametrize("value", ["", "  ", "a_b", "a\nb", "a/b", "..\\x", "a\u200bb", "\ufeffa"])
def test_id_problem_names_the_fault_of_an_unusable_id(value):
    assert id_problem(value) is not None


@pytest.mark.fault("E13", "E15")
@pytest.mark.parametrize("value", ["0012", "1e5", "NA", "nan", "a b", UUID, "=HYPERLINK(x)"])
def test_id_problem_accepts_ids_as_written(value):
    assert id_problem(value) is None


@pytest.mark.fault("E14")
@pytest.mark.parametrize("twin", ["AB-c1", " ab-c1", "ab-c1\t"])
def test_refuse_case_twins_names_both_places_and_no_id(twin):
    sources = [Located("a.csv", {"ab-c1": 4}), Located("b.csv", {twin: 9, "zz": 1})]
    with pytest.raises(DataError, match=r"a\.csv line 4 and b\.csv line 9") as caught:
        refuse_case_twins(sources)
    assert "c1" not in str(caught.value)


def test_refuse_case_twins_takes_composed_and_decomposed_accents_for_twins():
    with pytest.raises(DataError, match="1 healthCode"):
        refuse_case_twins([Located("a.csv", {"\u00e9": 1, "e\u0301": 2})])


def test_refuse_case_twins_accepts_one_id_in_many_tables():
    refuse_case_twins([Located("a.csv", {"x": 4}), Located("b.csv", {"x": 9, "y": 1})])
