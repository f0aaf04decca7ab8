import re
import shutil

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evensong.errors import DataError
from evensong.schemas import VoiceLabels
from evensong.voice.cohort import read_demographics, read_given_splits, refuse_stray_lists
from evensong.voice.splits import COMMON_NAME, make_splits, read_accounts, read_labels, read_splits, write_splits

CANARY = "00000000-0000-4000-8000-00000000cafe"
NO = ("False", "FALSE", "false", "0", "0.0", "no", "F", " n ")
YES = ("True", "TRUE", "true", "1", "1.0", "Yes", "t", "Y")
BLANK = (
    *("", "  ", "NA", "n/a", "nan", "NULL", "None", " unknown ", "Prefer not to answer"),
    *("Don't know", "Don\u2019t Know"),
)


def survey(tmp_path, *rows, header="healthCode,professional-diagnosis"):
    path = tmp_path / "Demographics_Survey.csv"
    path.write_bytes("\n".join([header, *rows, ""]).encode())
    return path


def read_labels_of(path, column="professional-diagnosis", values=None):
    return read_demographics(path, VoiceLabels(column=column, values=values))


@pytest.mark.fault("E16", "E17", "E18")
@pytest.mark.parametrize(("spellings", "label"), [(NO, 0), (YES, 1), (BLANK, None)])
def test_read_demographics_maps_every_spelling(tmp_path, spellings, label):
    for spelling in spellings:
        assert read_labels_of(survey(tmp_path, f"a,{spelling}")).labels == {"a": label}


@pytest.mark.fault("E13", "E15")
def test_read_demographics_keeps_ids_as_written(tmp_path):
    rows = ["0012,True", "1e5,False", "NA,", "nan,True", '"x,y",False']
    labels = read_labels_of(survey(tmp_path, *rows)).labels
    assert labels == {"0012": 1, "1e5": 0, "NA": None, "nan": 1, "x,y": 0}


@pytest.mark.fault("E02")
def test_read_demographics_takes_other_columns_in_any_order(tmp_path):
    path = survey(tmp_path, "True,44,a", "False,51,b", header="professional-diagnosis,age,healthCode")
    found = read_labels_of(path)
    assert found.labels == {"a": 1, "b": 0}
    assert found.accounts["other_columns"] == 1
    assert "columns that are not read: 1" in found.describe()


@pytest.mark.fault("E19")
def test_read_demographics_collapses_equal_rows_and_blanks_beside_a_diagnosis(tmp_path):
    found = read_labels_of(survey(tmp_path, "a,True", "a,True", "b,", "b,False", "c,", "c,"))
    assert found.labels == {"a": 1, "b": 0, "c": None}
    assert found.accounts == {"rows": 6, "repeated_rows": 3, "other_columns": 0}
    assert found.labelled == {"a": 1, "b": 0}
    assert found.located.lines == {"a": 2, "b": 4, "c": 6}


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
    found = read_labels_of(path)
    assert found.labels == {"p1": 1, "p2": 0, "p3": None, "p4": 0}
    assert found.accounts == {"rows": 5, "repeated_rows": 1, "other_columns": 2}


def test_the_line_about_the_survey_tells_no_small_number(tmp_path):
    labels = [True] * 8 + [False] * 3 + [""] * 3
    found = read_labels_of(survey(tmp_path, *(f"p{place},{label}" for place, label in enumerate(labels))))
    assert found.describe().startswith("survey: 14 patients, 11 with a diagnosis, <5 positive;")


@pytest.mark.fault("E12", "E15", "E16", "E17", "E20")
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([f"{CANARY},True", "b,False", f"{CANARY},False"], r"line 2: the patient of lines 2, 4 has both"),  # E20
        ([f"{CANARY},maybe"], r"line 2: professional-diagnosis is none of true/false.*voice\.labels\.values"),  # E16
        ([f"{CANARY},perhaps"], "line 2: .*leave the cell blank where there is no diagnosis"),
        ([f"a,{CANARY}"], "line 2: professional-diagnosis is none of"),
        ([f"a_{CANARY},True"], "line 2: the healthCode holds an underscore"),  # E15
        ([",True"], "line 2: the healthCode is empty"),
        (["a,True", f"{CANARY},Fal"], "line 3: professional-diagnosis"),  # E12, cut in the last row
        (["a,True", f"{CANARY}"], r"line 3: 1 field"),  # E12
    ],
)
def test_read_demographics_refuses_with_lines_and_no_id(tmp_path, rows, message):
    with pytest.raises(DataError, match=message) as caught:
        read_labels_of(survey(tmp_path, *rows))
    assert "cafe" not in str(caught.value)


@pytest.mark.fault("E16")
def test_a_survey_s_own_column_and_values_are_read_as_they_are_mapped(tmp_path):
    rows = ["a,PD", "b, hc", "c,unsure", "d,NA", "e,", "f,None"]
    path = survey(tmp_path, *rows, header="healthCode,diagnosis")
    found = read_labels_of(path, "diagnosis", {"PD": 1, "HC": 0, "unsure": None, "None": 0})
    assert found.labels == {"a": 1, "b": 0, "c": None, "d": None, "e": None, "f": 0}
    assert found.words == {"na": 1}
    codes = survey(tmp_path, "a,1", "b,2", "c,2", header="healthCode,group")
    assert read_labels_of(codes, "group", {1: 1, 2: 0}).labels == {"a": 1, "b": 0, "c": 0}


def test_a_survey_without_the_column_names_the_parameter(tmp_path):
    path = survey(tmp_path, "a,PD", header="healthCode,diagnosis")
    with pytest.raises(DataError, match=r"found healthCode, diagnosis.*; voice\.labels\.column names the column"):
        read_labels_of(path)


def test_unknown_answers_are_counted_and_shown_only_where_five_patients_gave_them(tmp_path):
    rows = [*(f"p{place},PD" for place in range(5)), *(f"q{place},{CANARY}" for place in range(4)), "r,true"]
    with pytest.raises(DataError, match=r"line 2-10: .*: 2 distinct value\(s\), among them 'pd'; say") as caught:
        read_labels_of(survey(tmp_path, *rows))
    assert "cafe" not in str(caught.value)
    with pytest.raises(DataError, match=r"is none of PD, HC: 1 distinct value\(s\); say"):
        read_labels_of(survey(tmp_path, "a,PD", "a,PD", "b,true"), values={"PD": 1, "HC": 0})


def test_words_for_no_answer_are_told_with_how_many_gave_them(tmp_path):
    rows = [*(f"p{place},NA" for place in range(6)), "p0,na", "q,Don't know", "r,true", "s,"]
    told = read_labels_of(survey(tmp_path, *rows)).describe()
    assert told.endswith("; read as no diagnosis: 'don't know' of <5, 'na' of 6")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.dictionaries(
        st.text("abcXYZ019-", min_size=1, max_size=6), st.sampled_from([*NO, *YES, ""]), min_size=1, max_size=12
    ),
    st.randoms(use_true_random=False),
)
def test_read_demographics_does_not_depend_on_row_order(tmp_path, diagnoses, random):
    rows = [f"{patient},{text}" for patient, text in diagnoses.items()]
    first = read_labels_of(survey(tmp_path, *rows)).labels
    random.shuffle(rows)
    assert read_labels_of(survey(tmp_path, *rows)).labels == first


HEADER = "fold_iteration,healthCode,subset"
COMMON = [f"{fold},{subset}{fold},{subset}" for fold in range(3) for subset in ("val", "test")]
TRAIN = [f"{fold},{patient},train" for fold in range(3) for patient in ("x", "y", CANARY)]


def write(folder, rows, name, header=HEADER, line_end="\n"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(line_end.join([header, *rows, ""]).encode())


def read(folder, subdbs=(3,), n_folds=3):
    return read_given_splits(folder, subdbs, n_folds=n_folds)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, COMMON, COMMON_NAME)
    write(tmp_path, TRAIN, "subdb3/subdb3_train_70_30.csv")
    return tmp_path


def test_no_csv_file_means_no_given_splits(tmp_path):
    assert read(tmp_path / "absent") is None
    (tmp_path / "README.md").write_text("how they were made")
    (tmp_path / ".hidden.csv").write_text("x")
    assert read(tmp_path) is None


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "splits").write_text("x")
    with pytest.raises(DataError, match="splits: not a folder"):
        read(tmp_path / "splits")


def test_given_splits_are_used_as_they_are(folder):
    splits = read(folder).splits
    assert splits.file_names == {3: "subdb3_train_70_30.csv"}
    assert list(splits.common.itertuples(index=False, name=None)) == sorted(
        (fold, f"{subset}{fold}", subset) for fold in range(3) for subset in ("val", "test")
    )
    assert len(splits.train[3]) == 9


@pytest.mark.fault("E02", "E07", "E08", "E26")
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_given_splits_take_a_byte_order_mark_other_columns_and_repeated_rows(folder, line_end):
    rows = [f"{row},note" for row in [*TRAIN, TRAIN[0]]]
    write(folder, rows, "subdb3/subdb3_train_70_30.csv", header="\ufeff" + HEADER + ",note", line_end=line_end)
    found = read(folder)
    assert len(found.splits.train[3]) == 9
    assert found.accounts == {"files": 2, "repeated_rows": 1}


@pytest.mark.fault("E28")
def test_folds_written_as_floats_are_the_same_folds(folder):
    plain = read(folder).splits.train[3]
    write(folder, [row.replace(",", ".0,", 1) for row in TRAIN[:4]] + TRAIN[4:], "subdb3/subdb3_train_70_30.csv")
    assert read(folder).splits.train[3].equals(plain)


def test_the_control_trains_on_everyone_whom_the_fold_neither_validates_nor_tests(folder):
    splits = read(folder).splits
    everyone = {*splits.common["healthCode"], *splits.train[3]["healthCode"]}
    for fold, rows in splits.control.groupby("fold_iteration"):
        held_out = set(splits.common.loc[splits.common["fold_iteration"] == fold, "healthCode"])
        assert set(rows["healthCode"]) == everyone - held_out
        assert len(held_out) == 2
    assert set(splits.control["subset"]) == {"train"}


def test_sub_databases_nobody_asked_for_are_checked_and_count_for_the_control_only(folder):
    before = read(folder).splits.control
    write(folder, [f"{fold},z,train" for fold in range(3)], "subdb9_train_10_90.csv")
    splits = read(folder).splits
    assert set(splits.train) == {3}
    assert len(splits.control) == len(before) + 3
    write(folder, ["0,z,train"], "subdb9_train_10_90.csv")
    with pytest.raises(DataError, match=r"subdb9_train_10_90\.csv \(train\): no rows of fold 1-2"):
        read(folder)


@pytest.mark.fault("E04", "E25", "E27", "E28")
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*TRAIN, f"1,{CANARY},val"], "line 11: subset is not train"),
        ([*TRAIN, f"1,{CANARY},Train"], "line 11: subset is not train"),  # E27
        ([*TRAIN, f"1.5,{CANARY},train"], "line 11: fold_iteration is not a whole number"),  # E28
        ([*TRAIN, f"nan,{CANARY},train"], "line 11: fold_iteration is not a whole number"),  # E28
        ([*TRAIN, f",{CANARY},train"], "line 11: fold_iteration"),  # E28
        ([*TRAIN, f"-1,{CANARY},train"], "line 11: fold_iteration"),
        ([*TRAIN, f"01,{CANARY},train"], "line 11: fold_iteration"),
        ([*TRAIN, f"1,{CANARY}_x,train"], "line 11: the healthCode holds an underscore"),
        ([*TRAIN, f"3,{CANARY},train"], "rows of fold 3"),  # E28, fold 10 of ten
        (TRAIN[:6], "no rows of fold 2"),  # E28
        (
            [row.replace("2,", "3,", 1).replace("1,", "2,", 1).replace("0,", "1,", 1) for row in TRAIN],
            "no rows of fold 0",
        ),
        ([*TRAIN, "1,test1,train"], r"line 11: the patient is in test of fold 1 too \(common.*line 5\)"),  # E25
        ([*TRAIN, "2,val2,train"], "line 11: the patient is in val of fold 2 too"),  # E25
        ([f"{row},0" for row in TRAIN], r"line 2: 4 field"),  # E04
    ],
)
def test_a_faulty_training_list_is_refused_with_lines_and_no_id(folder, rows, message):
    write(folder, rows, "subdb3/subdb3_train_70_30.csv")
    with pytest.raises(DataError, match=message) as caught:
        read(folder)
    assert "cafe" not in str(caught.value)


@pytest.mark.fault("E25", "E27", "E30")
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*COMMON, f"1,{CANARY},train"], "line 8: subset is not val or test"),
        ([*COMMON, f"1,{CANARY},validation"], "line 8: subset is not val or test"),  # E27
        ([*COMMON, f"1,{CANARY},test", f"1,{CANARY},val"], "line 9: the patient of line 8 again"),  # E25
        ([row for row in COMMON if row != "1,val1,val"], r"\(val\): no rows of fold 1"),  # E30
        ([row for row in COMMON if not row.endswith("test")], r"\(test\): no rows of fold 0-2"),  # E30
    ],
)
def test_a_faulty_common_list_is_refused_with_lines_and_no_id(folder, rows, message):
    write(folder, rows, COMMON_NAME)
    with pytest.raises(DataError, match=message) as caught:
        read(folder)
    assert "cafe" not in str(caught.value)


@pytest.mark.fault("E28")
def test_another_number_of_folds_names_the_key_to_set(folder):
    with pytest.raises(DataError, match=r"have 3 folds and voice.splits.n_folds is 10; set voice.splits.n_folds to 3"):
        read(folder, n_folds=10)
    write(folder, [row for row in COMMON if not row.startswith("2,")], COMMON_NAME)
    write(folder, [row for row in TRAIN if not row.startswith("2,")], "subdb3/subdb3_train_70_30.csv")
    with pytest.raises(DataError, match=r"have 2 folds and voice.splits.n_folds is 3; three is the least"):
        read(folder)


@pytest.mark.fault("E28")
def test_folds_numbered_from_one_are_refused_and_told_so(folder):
    def from_one(rows):
        return [f"{int(fold) + 1},{rest}" for fold, rest in (row.split(",", 1) for row in rows)]

    write(folder, from_one(COMMON), COMMON_NAME)
    write(folder, from_one(TRAIN), "subdb3/subdb3_train_70_30.csv")
    with pytest.raises(DataError, match=r"numbered from 1 to 3: subtract 1 from every fold_iteration"):
        read(folder)


def test_lists_beside_their_folder_are_refused_and_other_tables_are_not(tmp_path):
    folder = tmp_path / "cohort/splits"
    write(folder, COMMON, COMMON_NAME)
    write(tmp_path / "cohort", ["a,True"], "Demographics_Survey.csv", header="healthCode,professional-diagnosis")
    refuse_stray_lists(tmp_path / "cohort", folder)
    write(tmp_path / "cohort/subdb3", TRAIN, "subdb3_train_70_30.csv")
    write(tmp_path / "cohort", COMMON, COMMON_NAME)
    with pytest.raises(DataError, match=r"2 split CSV\(s\) lie outside .*splits; move them into it"):
        refuse_stray_lists(tmp_path / "cohort", folder)


@pytest.mark.fault("E32")
def test_every_missing_or_repeated_or_strange_file_is_told_at_once(folder):
    missing = (
        r"missing: subdb1_train_XX_YY.csv, subdb5_train_XX_YY.csv\. .*voice.subdbs to those .*\(3\), or remove them"
    )
    with pytest.raises(DataError, match=missing):
        read(folder, subdbs=(1, 3, 5))
    write(folder, TRAIN, "subdb3_train_60_40.csv")
    write(folder, TRAIN, "subdb12_train_60_40.csv")
    write(folder, TRAIN, "subdb1_train_XX_YY.csv")
    (folder / COMMON_NAME).unlink()
    with pytest.raises(DataError, match=r"2 CSV file.*missing: common.*more than one: subdb3_train_XX_YY.csv"):
        read(folder)


@settings(max_examples=15)
@given(n_folds=st.integers(3, 6), seed=st.integers(0, 99), labels=st.lists(st.booleans(), min_size=14, max_size=40))
def test_made_splits_survive_being_written_and_given(tmp_path_factory, n_folds, seed, labels):
    cohort = {f"p{number:02d}": int(label) for number, label in enumerate([True] * 6 + [False] * 6 + labels)}
    splits = make_splits(cohort, [1, 9], n_folds=n_folds, seed=seed)
    folder = tmp_path_factory.mktemp("splits") / "published"
    write_splits(folder, splits, cohort | {"blank": None}, {"survey": {"rows": 3}})
    for back in (read_splits(folder, [1, 9]), _as_given(folder, n_folds)):
        assert back.common.equals(splits.common)
        assert back.file_names == splits.file_names
        assert all(back.train[k].equals(splits.train[k]) for k in (1, 9))
    assert read_labels(folder) == cohort | {"blank": None}
    assert read_accounts(folder) == {"survey": {"rows": 3}}


def _as_given(folder, n_folds):
    (folder / "labels.csv").rename(folder / "labels.txt")
    (folder / "control/control_train.csv").rename(folder / "control.txt")
    found = read_given_splits(folder, [1, 9], n_folds=n_folds)
    (folder / "labels.txt").rename(folder / "labels.csv")
    return found.splits


@pytest.fixture(scope="module")
def made_lists(tmp_path_factory):
    """The lists of a made three-fold split of twelve patients, one file a sub-database."""
    cohort = {f"p{number:02d}": int(number < 6) for number in range(12)}
    folder = tmp_path_factory.mktemp("made") / "splits"
    write_splits(folder, make_splits(cohort, [3, 7], n_folds=3, seed=1), cohort, {})
    for name in ("labels.csv", "control/control_train.csv"):
        (folder / name).unlink()
    return folder


@pytest.mark.fault("E25")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_planted_leak_is_refused(made_lists, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("leak") / "splits"
    shutil.copytree(made_lists, folder)
    common = (folder / COMMON_NAME).read_text().splitlines()[1:]
    fold, patient, subset = data.draw(st.sampled_from(common)).split(",")
    path = data.draw(st.sampled_from(sorted(folder.glob("subdb*/*.csv"))))
    rows = path.read_text().splitlines()
    place = data.draw(st.integers(1, len(rows)))
    path.write_text("\n".join([*rows[:place], f"{fold},{patient},train", *rows[place:], ""]))
    with pytest.raises(DataError, match=f"line {place + 1}: the patient is in {subset} of fold {fold} too"):
        read(folder, subdbs=(3, 7))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_lists_are_refused_or_still_keep_patients_apart(made_lists, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage") / "splits"
    shutil.copytree(made_lists, folder)
    path = data.draw(st.sampled_from(sorted(folder.rglob("*.csv"))))
    raw = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(raw) - 1))
    raw[start : start + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=8) | st.just(b"0,p01,train\n"))
    path.write_bytes(raw)
    found, said = None, ""
    try:
        found = read(folder, subdbs=(3, 7))
    except DataError as error:
        said = str(error).removeprefix(str(folder))
    assert not re.search(r"\bp\d\d\b", said)
    for table in found.splits.train.values() if found else ():
        together = pd.concat([table, found.splits.common])
        assert together.groupby(["fold_iteration", "healthCode"])["subset"].nunique().max() == 1
        assert set(table["fold_iteration"]) == {0, 1, 2}
