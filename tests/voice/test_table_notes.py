import pandas as pd

from evensong.voice.table_notes import notes


def member(counts, labels, n_folds=3):
    """Training rows of every patient in every fold, so many recordings each."""
    rows = [
        (patient, f"r{place}", "audio", labels[patient], fold, "train")
        for fold in range(n_folds)
        for patient, count in counts.items()
        for place in range(count)
    ]
    return pd.DataFrame(rows, columns=["healthCode", "record_id", "column_id", "label", "fold", "subset"])


def recordings_of(table, kind_of):
    used = table.drop_duplicates(["healthCode", "record_id"])[["healthCode", "record_id", "column_id"]]
    return used.assign(kind=[kind_of(patient) for patient in used["healthCode"]])


LABELS = {f"p{number}": int(number < 5) for number in range(10)}


def test_equal_numbers_of_recordings_of_one_kind_say_nothing():
    table = member(dict.fromkeys(LABELS, 2), LABELS)
    assert notes({"subdb5": table, "control": table}, recordings_of(table, lambda _: "audio")) == []
    assert notes({"subdb5": table}, recordings_of(table, lambda _: "image")) == []


def test_a_patient_with_many_recordings_moves_the_share_that_the_network_sees():
    even, uneven = member(dict.fromkeys(LABELS, 2), LABELS), member({**dict.fromkeys(LABELS, 2), "p0": 12}, LABELS)
    found = notes({"subdb3": even, "subdb5": uneven}, recordings_of(uneven, lambda _: "audio"))
    assert len(found) == 1  # 20 of 30 recordings and 5 of 10 patients
    assert "in subdb5 the share of class 1" in found[0]
    assert "p0" not in found[0]


def test_a_small_difference_of_the_shares_says_nothing():
    table = member({**dict.fromkeys(LABELS, 2), "p0": 4}, LABELS)  # 12 of 22: 4.5 points
    assert notes({"subdb5": table}, recordings_of(table, lambda _: "audio")) == []


def test_images_that_give_the_class_away_are_told():
    table = member(dict.fromkeys(LABELS, 2), LABELS)
    found = notes({"subdb5": table}, recordings_of(table, lambda patient: "image" if LABELS[patient] else "audio"))
    assert len(found) == 1
    assert "ready-made images" in found[0]
    mixed = recordings_of(table, lambda patient: "image" if patient in ("p0", "p5") else "audio")  # one of each class
    assert notes({"subdb5": table}, mixed) == []
