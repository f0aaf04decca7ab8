"""What a person reviewed after a detection may train, and is never validated with or tested."""

from pathlib import Path

import pandas as pd
import pytest

import night_augment
import night_cut
import night_index
import night_scan
from evensong.errors import DataError
from evensong.intake.tables import read_own_table, read_pool
from evensong.night.detect import field_truth
from evensong.night.index import read_fold_table, read_source_folds

pytestmark = pytest.mark.slow

HEADER = "file,begin_s,end_s,label,annotator,reviewed\n"


@pytest.fixture
def field(night, params, clip) -> Path:
    """Six recordings with an owl and a frog each, two of them reviewed once more, and three only reviewed."""
    for n in range(9):
        clip(Path(f"data/field/site{n}.wav"), 200 + n, seconds=8)
    own = [f"site{n}.wav,{at},{at + 1},{name},," for n in range(6) for at, name in ((1, "owl"), (3, "frog"))]
    Path("data/field/own.csv").write_text(HEADER + "\n".join(own) + "\n")
    reviewed = [f"site{n}.wav,5.0,5.5,owl,me,true" for n in (0, 1, 6, 7, 8)]
    Path("data/field/annotations.csv").write_text(HEADER + "\n".join(reviewed) + "\n")
    params(night__sources="field", night__scan__group_pattern=None, night__cut__background_clips=0)
    return Path("data/field")


def index() -> tuple[pd.DataFrame, set[str]]:
    """The fold table, and the originals that are reviewed, as pool files are called after them."""
    for stage in (night_cut, night_scan, night_augment, night_index):
        stage.main()
    items, _ = read_fold_table(night_index.INDEX)
    cut = read_own_table(night_index.CUT)
    pool = read_pool(night_index.TABLE)
    reviewed = cut.loc[cut["reviewed"] == "True", "path"]
    assert len(reviewed) == 5
    return items, set(pool.loc[pool["original_file"].isin(reviewed), "file_path"])


@pytest.mark.parametrize("n_folds", [1, 3])
def test_reviewed_clips_and_their_copies_train_and_nothing_else(field, params, n_folds: int) -> None:
    params(
        night__sources="field", night__scan__group_pattern=None, night__cut__background_clips=0,
        night__index__n_folds=n_folds, night__augment__target_samples=24,
    )  # fmt: skip
    items, reviewed = index()
    theirs = items[items["item_id"].isin(reviewed)]
    assert set(theirs["subset"]) == {"train"}
    subsets = read_source_folds(night_index.INDEX).set_index(["fold", "source_id"])["subset"]
    for fold in range(n_folds):
        for n in range(9):
            source = f"site{n}.wav"
            trains = subsets[fold, source] == "train"
            assert trains or n < 6
            found = ((theirs["fold"] == fold) & (theirs["group"] == source)).any()
            assert found == (trains and n in (0, 1, 6, 7, 8))
    others = items[~items["item_id"].isin(reviewed)]
    assert others.groupby("fold").size().nunique() == 1
    assert set(others["subset"]) == {"train", "val", "test"}


def test_a_class_that_is_only_reviewed_is_left_out_or_named(field, params, capsys) -> None:
    with (field / "annotations.csv").open("a") as table:
        table.writelines(f"site{n}.wav,6.5,7.0,newt,me,true\n" for n in range(6, 9))
    for stage in (night_cut, night_scan, night_augment, night_index):
        stage.main()
    assert "left out, with fewer than night.index.min_sources: newt" in capsys.readouterr().out
    _, classes = read_fold_table(night_index.INDEX)
    assert classes == ["frog", "owl"]


def test_reviewed_events_are_no_truth_of_detection(field) -> None:
    night_cut.main()
    cut = Path("artifacts/night/field")
    recordings = read_own_table(cut / "recordings.csv", numbers=("duration_s",)).assign(exhaustive=False)
    annotations = read_own_table(cut / "annotations.csv", numbers=("begin_s", "end_s"))
    truth = field_truth(recordings, annotations, ["frog", "owl"], [])
    assert truth.recordings["path"].tolist() == [f"site{n}.wav" for n in range(6)]
    assert [len(spans) for spans in truth.events["site0.wav"]] == [1, 1]


def test_a_cell_that_is_neither_true_nor_false_makes_a_bad_row(field) -> None:
    (field / "annotations.csv").write_text(HEADER + "site6.wav,5.0,5.5,owl,me,perhaps\n")
    night_cut.main()
    rows = read_own_table(Path("artifacts/night/field/annotations.csv"))
    assert rows.loc[rows["recording"] == "site6.wav", "detail"].tolist() == ["reviewed 'perhaps'; write true or false"]


def test_nothing_but_reviewed_clips_is_refused(field) -> None:
    (field / "own.csv").unlink()
    with (field / "annotations.csv").open("a") as table:
        table.writelines(f"site{n}.wav,6.5,7.0,newt,me,true\n" for n in range(6, 9))
    for stage in (night_cut, night_scan, night_augment):
        stage.main()
    with pytest.raises(DataError, match=r"min_sources 1 leaves 0 of 2 classes"):
        night_index.main()
