import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evensong.errors import DataError
from evensong.voice.demographics import read_demographics

CANARY = "00000000-0000-4000-8000-00000000cafe"
NO = ("False", "FALSE", "false", "0", "0.0", "no", "F", " n ")
YES = ("True", "TRUE", "true", "1", "1.0", "Yes", "t", "Y")


def survey(tmp_path, *rows, header="healthCode,professional-diagnosis"):
    path = tmp_path / "Demographics_Survey.csv"
    path.write_bytes("\n".join([header, *rows, ""]).encode())
    return path


@pytest.mark.fault("E16", "E17", "E18")
@pytest.mark.parametrize(("spellings", "label"), [(NO, 0), (YES, 1), (("", "  "), None)])
def test_read_demographics_maps_every_spelling(tmp_path, spellings, label):
    for spelling in spellings:
        assert read_demographics(survey(tmp_path, f"a,{spelling}")).labels == {"a": label}


@pytest.mark.fault("E13", "E15")
def test_read_demographics_keeps_ids_as_written(tmp_path):
    rows = ["0012,True", "1e5,False", "NA,", "nan,True", '"x,y",False']
    labels = read_demographics(survey(tmp_path, *rows)).labels
    assert labels == {"0012": 1, "1e5": 0, "NA": None, "nan": 1, "x,y": 0}


@pytest.mark.fault("E02")
def test_read_demographics_takes_other_columns_in_any_order(tmp_path):
    path = survey(tmp_path, "True,44,a", "False,51,b", header="professional-diagnosis,age,healthCode")
    found = read_demographics(path)
    assert found.labels == {"a": 1, "b": 0}
    assert found.n_other_columns == 1
    assert "columns that are not read: 1" in found.describe()


@pytest.mark.fault("E19")
def test_read_demographics_collapses_equal_rows_and_blanks_beside_a_diagnosis(tmp_path):
    found = read_demographics(survey(tmp_path, "a,True", "a,True", "b,", "b,False", "c,", "c,"))
    assert found.labels == {"a": 1, "b": 0, "c": None}
    assert found.accounts == {"rows": 6, "repeated_rows": 3, "other_columns": 0}
    assert found.labelled == {"a": 1, "b": 0}
    assert found.located.numbers == {"a": 2, "b": 4, "c": 6}


def test_read_demographics_reads_a_survey_as_people_export_it(tmp_path):
    lines = [
        "age,professional-diagnosis ,healthCode,are-caretaker",
        "44, TRUE,p1,false",
        '51,"no",p2,',
        ",,,",
        "39,,p3,true",
        "44,Yes,p1,false",
        '"60, about",0.0,p4,',
        "",
    ]
    path = tmp_path / "Demographics_Survey.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    found = read_demographics(path)
    assert found.labels == {"p1": 1, "p2": 0, "p3": None, "p4": 0}
    assert found.accounts == {"rows": 5, "repeated_rows": 1, "other_columns": 2}


def test_the_line_about_the_survey_tells_no_small_number(tmp_path):
    labels = [True] * 8 + [False] * 3 + [""] * 3
    found = read_demographics(survey(tmp_path, *(f"p{place},{label}" for place, label in enumerate(labels))))
    assert found.describe().startswith("survey: 14 patients, 11 with a diagnosis, <5 positive;")


@pytest.mark.fault("E12", "E15", "E16", "E17", "E20")
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([f"{CANARY},True", "b,False", f"{CANARY},False"], r"line 2: the patient of lines 2, 4 has both"),  # E20
        ([f"{CANARY},maybe"], "line 2: professional-diagnosis is none of"),  # E16
        ([f"{CANARY},nan"], "line 2: professional-diagnosis is none of"),  # E17
        ([f"{CANARY},NA"], "line 2: .*leave the cell blank where there is no diagnosis"),
        ([f"a,{CANARY}"], "line 2: professional-diagnosis is none of"),
        ([f"a_{CANARY},True"], "line 2: the healthCode holds an underscore"),  # E15
        ([",True"], "line 2: the healthCode is empty"),
        (["a,True", f"{CANARY},Fal"], "line 3: professional-diagnosis"),  # E12, cut in the last row
        (["a,True", f"{CANARY}"], r"line 3: 1 field"),  # E12
    ],
)
def test_read_demographics_refuses_with_lines_and_no_id(tmp_path, rows, message):
    with pytest.raises(DataError, match=message) as caught:
        read_demographics(survey(tmp_path, *rows))
    assert "cafe" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.dictionaries(
        st.text("abcXYZ019-", min_size=1, max_size=6), st.sampled_from([*NO, *YES, ""]), min_size=1, max_size=12
    ),
    st.randoms(use_true_random=False),
)
def test_read_demographics_does_not_depend_on_row_order(tmp_path, diagnoses, random):
    rows = [f"{patient},{text}" for patient, text in diagnoses.items()]
    first = read_demographics(survey(tmp_path, *rows)).labels
    random.shuffle(rows)
    assert read_demographics(survey(tmp_path, *rows)).labels == first
