"""What is chosen to listen to, what it stands for, and what a filled-in review says of precision."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.listen.synthetic import CLASSES, RATE_HZ, Trained, tone

from evensong.audio.wav import read_wav, write_wav
from evensong.errors import DataError, ParamsError
from evensong.intake.annotations import read_annotations
from evensong.listen.found import Found
from evensong.listen.predict import Request, predict
from evensong.listen.review import Verdict, precision_table, read_review, review
from evensong.listen.segments import Candidate, Sample, choose, pieces

FILES = [Found(Path(f"{n}.wav"), Path(f"{n}.wav"), 60.0, 48_000, (), 1, 0) for n in range(8)]
candidates = st.builds(
    lambda file, name, n: Candidate(FILES[file], name, n * 1.5, n * 1.5 + 3, ((n * 37 + file) % 101) / 100),
    st.integers(0, 7),
    st.sampled_from(["frog", "owl"]),
    st.integers(0, 50),
)


@given(
    listed=st.lists(candidates, unique=True, max_size=60),
    order=st.sampled_from(["highest", "random", "spread"]),
    per_class=st.integers(1, 12),
    per_file=st.integers(1, 4),
)
def test_a_choice_keeps_its_limits_and_blind_to_order(listed, order, per_class: int, per_file: int) -> None:
    sample = Sample(Path("x"), per_class, per_file, order)
    chosen = choose(listed, sample)
    assert chosen == choose(listed[::-1], sample)
    picked = [one for one, _ in chosen]
    assert len(set(picked)) == len(picked)
    assert set(picked) <= set(listed)
    by_file = Counter((one.class_name, one.found.path) for one in picked)
    assert max(by_file.values(), default=0) <= per_file
    for name in {one.class_name for one in listed}:
        within = sum(
            min(per_file, n) for n in Counter(one.found.path for one in listed if one.class_name == name).values()
        )
        assert sum(one.class_name == name for one in picked) == min(per_class, within)
    assert all((weight is None) == (order == "highest") for _, weight in chosen)
    assert all(weight >= 1 for _, weight in chosen if weight is not None)


def test_the_likeliest_are_chosen() -> None:
    listed = [Candidate(FILES[n % 2], "owl", n, n + 3, n / 10) for n in range(10)]
    chosen = choose(listed, Sample(Path("x"), 4, 3, "highest"))
    assert sorted(one.score for one, _ in chosen) == [0.6, 0.7, 0.8, 0.9]


def test_a_spread_choice_reaches_all_scores() -> None:
    scores = [*np.linspace(0.9, 1, 95), 0.5, 0.55, 0.6, 0.7, 0.8]
    listed = [Candidate(FILES[n % 8], "owl", n, n + 3, score) for n, score in enumerate(scores)]
    chosen = choose(listed, Sample(Path("x"), 10, 100, "spread"))
    assert min(one.score for one, _ in chosen) < 0.55
    assert np.isclose(sum(weight for _, weight in chosen), 100)


@pytest.mark.parametrize("order", ["random", "spread"])
def test_weighted_precision_is_the_truth_on_average_and_its_interval_covers_it(order) -> None:
    """Likelier detections are righter, and one recording has half of all: neither may bias the estimate."""
    rng = np.random.default_rng(1)
    files = [FILES[0] if n % 2 else FILES[1 + n % 7] for n in range(600)]
    listed = [Candidate(file, "owl", n, n + 3, 0.5 + rng.random() / 2) for n, file in enumerate(files)]
    is_right = {one: rng.random() < (one.score - 0.3) * (0.6 if one.found is FILES[0] else 1.3) for one in listed}
    for least in (0.5, 0.8):
        truth = np.mean([right for one, right in is_right.items() if one.score >= least])
        estimates, covered = [], []
        for seed in range(60):
            sample = Sample(Path("x"), 60, 20, order, seed)
            verdicts = [
                Verdict("x", one.begin_s, one.end_s, "owl", one.score, weight, is_right[one], "")
                for one, weight in choose(listed, sample)
            ]
            lowest, *others = precision_table(verdicts, 0.95)
            row = lowest if least == 0.5 else next(row for row in others if row.threshold == least)
            estimates.append(row.precision)
            covered.append(row.low <= truth <= row.high)
        assert abs(np.mean(estimates) - truth) < 3 * np.std(estimates) / np.sqrt(60) + 0.005
        assert np.mean(covered) >= 0.88  # of 60 draws of a 95 % interval


def test_precision_worked_by_hand() -> None:
    verdicts = [
        Verdict("x", 0, 3, "owl", 0.55, 3.0, False, ""),
        Verdict("x", 3, 6, "owl", 0.65, 1.0, True, "owl"),
        Verdict("x", 6, 9, "owl", 0.72, 1.0, True, "owl"),
        Verdict("x", 6, 9, "frog", 0.9, None, True, "frog"),
    ]
    table = precision_table(verdicts, 0.95)
    assert [tuple(row[:5]) for row in table] == [
        ("frog", 0.9, 1, 1, None),
        ("owl", 0.55, 3, 2, 0.4),
        ("owl", 0.6, 2, 2, 1.0),
        ("owl", 0.7, 1, 1, 1.0),
    ]
    assert 0 < table[1].low < 0.4 < table[1].high < 1


@given(
    cuts=st.lists(st.integers(0, 200)),
    spans=st.lists(st.tuples(st.integers(0, 180), st.integers(1, 60)), max_size=6),
)
def test_pieces_of_a_stream_are_those_of_the_whole(cuts: list[int], spans: list[tuple[int, int]]) -> None:
    wave = np.arange(200, dtype=np.float32)
    wanted = [(first, first + length) for first, length in spans]
    found = dict(pieces(np.split(wave, sorted(cuts)), wanted))
    assert sorted(found) == list(range(len(spans)))
    for place, (first, end) in enumerate(wanted):
        np.testing.assert_array_equal(found[place], wave[first:end])


@pytest.fixture
def reviewed(trained: Trained, tmp_path: Path) -> Path:
    """The folder of a review of one long recording, and of a short one."""
    wave = np.concatenate([tone(n % 2, n, 1.0) for n in range(6)])
    (tmp_path / "card").mkdir()
    write_wav(tmp_path / "card/long.wav", wave, RATE_HZ)
    write_wav(tmp_path / "card/=short.wav", tone(1, 9, 0.4), RATE_HZ)
    sample = Sample(tmp_path / "review", 4, 2, "random")
    request = Request([tmp_path / "card"], trained.folder, tmp_path / "o.csv", None, None, 0.35, 1, segments=sample)
    predict(request)
    with pytest.raises(ParamsError, match="holds a review already"):
        predict(request)
    return sample.folder


@pytest.mark.slow
def test_clips_are_what_the_model_heard_best(reviewed: Path, tmp_path: Path) -> None:
    table = pd.read_csv(reviewed / "review.csv")
    assert 2 <= len(table) <= 8
    assert table["verdict"].isna().all()
    whole, _ = read_wav(tmp_path / "card/long.wav")
    for row in table[table["file"].str.endswith("long.wav")].itertuples():
        clip, rate_hz = read_wav(reviewed / row.clip)
        assert rate_hz == RATE_HZ
        np.testing.assert_array_equal(clip, whole[round(row.begin_s * RATE_HZ) : round(row.end_s * RATE_HZ)])
    images = sorted(path.relative_to(reviewed).as_posix() for path in reviewed.rglob("*.png"))
    assert images == sorted(clip.replace(".wav", ".png") for clip in table["clip"])


def fill(folder: Path, *filled: tuple[str, str]) -> pd.DataFrame:
    """Fill in the first rows, as a spreadsheet saves them."""
    table = pd.read_csv(folder / "review.csv", dtype={"verdict": str, "other_label": str})
    for n, (verdict, other) in enumerate(filled):
        table.loc[n, ["verdict", "other_label"]] = [verdict, other]
    table.to_csv(folder / "review.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return table


@pytest.mark.slow
def test_a_review_comes_back_as_annotations(reviewed: Path) -> None:
    table = fill(reviewed, ("Right", ""), ("wrong", ""), ("", "frog"))
    told = list(review(reviewed / "review.csv", annotator="me"))
    assert told[0] == f"3 of {len(table)} rows reviewed, 1 right"
    rows = read_annotations(reviewed / "annotations.csv").rows
    assert [(row.label, row.begin_s, row.annotator, row.status) for row in rows] == [
        (table["class"][0].strip(), table["begin_s"][0], "me", ""),
        ("frog", table["begin_s"][2], "me", ""),
    ]
    precision = pd.read_csv(reviewed / "precision.csv")
    assert set(precision["class"]) <= set(CLASSES)
    assert precision["reviewed"].max() >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("filled", "message"),
    [
        (("maybe", ""), "line 2: verdict 'maybe'; write right or wrong"),
        (("right", "frog"), "line 2: right, and another label"),
        (("wrong", "fr\tog"), "line 2: control character"),
    ],
)
def test_rows_that_are_filled_in_wrongly_are_named(reviewed: Path, filled, message: str) -> None:
    fill(reviewed, filled)
    with pytest.raises(DataError, match=message):
        read_review(reviewed / "review.csv")


@pytest.mark.parametrize("changes", [{"per_class": 0}, {"per_file": 0}])
def test_samples_of_nothing_are_refused(changes) -> None:
    with pytest.raises(ParamsError, match="one at least"):
        replace(Sample(Path("x")), **changes).check()
