"""Detections -> a sample to listen to: clips, spectrograms, and a table in which a person fills in what is right."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from evensong.audio.augment import limit_peak
from evensong.audio.decode import open_mono
from evensong.audio.wav import write_wav
from evensong.errors import InputFault, IntegrityError, ParamsError
from evensong.intake.names import unique_slugs
from evensong.keys import keyed_hash
from evensong.listen.found import Found, Results, best_window
from evensong.listen.outputs import write_table
from evensong.run.parallel import map_isolated
from evensong.score.palette import figure
from evensong.score.scores import Floats

Order = Literal["highest", "random", "spread"]
REVIEW = "review.csv"
COLUMNS = {
    **{"clip": str, "file": str, "begin_s": float, "end_s": float, "class": str, "score": float, "weight": float},
    **{"verdict": str, "other_label": str},
}
_STRATA = 10
_SECONDS = 600.0  # for one recording, beyond the sixth of its length that a slow disk takes


@dataclass(frozen=True)
class Sample:
    """Which detections are to be listened to.

    Attributes:
        folder: where they go; it may not hold a review yet.
        per_class: most clips of a class.
        per_file: most clips of a class from one recording.
        order: the likeliest, drawn at random, or drawn evenly over the range of their scores.
        seed: of the draws.
    """

    folder: Path
    per_class: int = 20
    per_file: int = 5
    order: Order = "random"
    seed: int = 42

    def check(self) -> None:
        """Refuse what would fail, or what would overwrite a person's work.

        Raises:
            ParamsError: a number under 1, or a review that is there.
        """
        if min(self.per_class, self.per_file) < 1:
            raise ParamsError("--segments-per-class and --segments-per-file: one at least")
        if (self.folder / REVIEW).exists() or (self.folder.exists() and not self.folder.is_dir()):
            raise ParamsError(f"--segments {self.folder}: holds a review already, or is a file; choose a new folder")


class Candidate(NamedTuple):
    """A detection by the window in which its class is likeliest: that is what is listened to, and its score."""

    found: Found
    class_name: str
    begin_s: float
    end_s: float
    score: float


def candidates_of(results: Results, found: Iterable[Found]) -> Iterator[Candidate]:
    """One candidate a detection."""
    for one in (one for one in found if one.events):
        scores = results.calibrated(results.heard(one.path).scores)
        for event in one.events:
            window = best_window(scores, results.classes.index(event.class_name), event)
            yield Candidate(one, event.class_name, *window)


def choose(candidates: Iterable[Candidate], sample: Sample) -> list[tuple[Candidate, float | None]]:
    """Choose class by class: of each recording at most per_file, and of these at most per_class.

    Returns:
        By class, file and time: the chosen ones, each with the number of detections that it stands for, the inverse of
        its chance to be drawn; None where the likeliest are taken, for they stand for themselves alone.
    """
    by_class: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_class[candidate.class_name].append(candidate)
    chosen = [pair for name in sorted(by_class) for pair in _of_class(by_class[name], sample)]
    return sorted(chosen, key=lambda pair: (pair[0].class_name, str(pair[0].found.path), pair[0].begin_s))


def _of_class(own: list[Candidate], sample: Sample) -> Iterator[tuple[Candidate, float | None]]:
    if sample.order == "highest":
        ranked = sorted(own, key=lambda one: (-one.score, _key(one, sample)))
    else:
        ranked = sorted(own, key=lambda one: _key(one, sample))
    n_of_file = Counter(one.found.path for one in own)
    taken: Counter[Path] = Counter()
    within = []
    for one in ranked:
        taken[one.found.path] += 1
        if taken[one.found.path] <= sample.per_file:
            within.append(one)
    if sample.order == "highest":
        yield from ((one, None) for one in within[: sample.per_class])
        return
    strata = _strata(within, min(_STRATA, sample.per_class) if sample.order == "spread" else 1)
    for members, n_taken in zip(strata, _quotas([len(members) for members in strata], sample.per_class), strict=True):
        stands_for = np.array([max(1.0, n_of_file[one.found.path] / sample.per_file) for one in members])
        chances = _chances(stands_for, n_taken)
        # Pareto sampling (Rosén, 1997), with draws apart from those that chose within the recordings
        drawn = np.array([(_key(one, sample, "again") + 1) / (2**64 + 2) for one in members])
        with np.errstate(divide="ignore"):
            ranks = drawn / (1 - drawn) * (1 / chances - 1)
        yield from (
            (members[place], float(stands_for[place] / chances[place]))
            for place in np.argsort(ranks)[:n_taken].tolist()
        )


def _chances(stands_for: Floats, n_taken: int) -> Floats:
    """Chances to be taken that sum to n_taken, in proportion to what each stands for as far as none is above one.

    Why: all that are taken then stand for about as many, and a recording with many detections does not decide alone.
    """
    is_sure = np.zeros(len(stands_for), dtype=bool)
    while True:
        rest = stands_for[~is_sure].sum()
        chances = np.where(is_sure, 1.0, (n_taken - is_sure.sum()) * stands_for / max(rest, 1e-300))
        more = ~is_sure & (chances >= 1)
        if not more.any():
            return chances
        is_sure |= more


def _key(one: Candidate, sample: Sample, turn: str = "first") -> int:
    return keyed_hash(sample.seed, "segment", turn, one.class_name, str(one.found.name), round(one.begin_s * 1000))


def _strata(ranked: Sequence[Candidate], n_strata: int) -> list[list[Candidate]]:
    """The candidates by equal parts of the range of their scores; parts without any are left out."""
    scores = np.array([one.score for one in ranked])
    edges = np.linspace(scores.min(), scores.max(), n_strata + 1)[1:-1]
    part = np.searchsorted(edges, scores, side="right")
    return [[ranked[place] for place in np.flatnonzero(part == number).tolist()] for number in np.unique(part)]


def _quotas(sizes: Sequence[int], n_wanted: int) -> list[int]:
    """How many to take of each stratum: evenly, and all of it where it has fewer."""
    quotas = [0] * len(sizes)
    for place in [place for turn in range(max(sizes)) for place, size in enumerate(sizes) if turn < size][:n_wanted]:
        quotas[place] += 1
    return quotas


@dataclass(frozen=True)
class _Task:
    path: Path
    sample_rate_hz: int
    band_hz: tuple[float, float]
    spans: tuple[tuple[int, int], ...]
    outs: tuple[Path, ...]


def write_segments(
    sample: Sample, candidates: Iterable[Candidate], band_hz: tuple[float, float], *, workers: int
) -> int:
    """Write clips, spectrograms and review.csv, which comes last.

    Args:
        band_hz: lowest and highest frequency that the spectrograms show.

    Returns:
        How many clips.

    Raises:
        IntegrityError: a recording that was scored cannot be read now.
    """
    chosen = choose(candidates, sample)
    folders = unique_slugs({one.class_name: one.class_name for one, _ in chosen})
    stems = unique_slugs({str(one.found.path): one.found.name.stem for one, _ in chosen})
    names = [
        f"{folders[one.class_name]}/{stems[str(one.found.path)]}_{round(one.begin_s * 1000):09d}ms.wav"
        for one, _ in chosen
    ]
    by_recording: dict[Path, list[int]] = defaultdict(list)
    for place, (one, _) in enumerate(chosen):
        by_recording[one.found.path].append(place)
        (sample.folder / names[place]).parent.mkdir(parents=True, exist_ok=True)
    tasks = [
        _Task(
            path,
            chosen[places[0]][0].found.sample_rate_hz,
            band_hz,
            tuple(_span(chosen[place][0]) for place in places),
            tuple(sample.folder / names[place] for place in places),
        )
        for path, places in by_recording.items()
    ]
    longest_s = max((one.found.seconds for one, _ in chosen), default=0.0)
    for task, fault in zip(
        tasks,
        map_isolated(_cut, tasks, workers=workers, seconds=_SECONDS + longest_s / 6, label="segments"),
        strict=True,
    ):
        if isinstance(fault, InputFault):
            raise IntegrityError(f"{task.path}: scored, and now refused ({fault})")
    rows = [
        [
            *(name, str(one.found.path), round(one.begin_s, 6), round(one.end_s, 6), one.class_name),
            *(_short(one.score), None if weight is None else _short(weight), None, None),
        ]
        for name, (one, weight) in zip(names, chosen, strict=True)
    ]
    write_table(sample.folder / REVIEW, COLUMNS, rows)
    return len(rows)


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _span(one: Candidate) -> tuple[int, int]:
    return round(one.begin_s * one.found.sample_rate_hz), round(one.end_s * one.found.sample_rate_hz)


def _cut(task: _Task) -> InputFault | None:
    """Write the clips of one recording, which is read once and never held whole; runs in a worker."""
    try:
        with open_mono(task.path) as blocks:
            for place, wave in pieces(blocks, task.spans):
                write_wav(task.outs[place], limit_peak(wave)[0], task.sample_rate_hz)
                _draw(task.outs[place].with_suffix(".png"), wave, task)
    except InputFault as fault:
        return fault
    return None


def pieces(blocks: Iterable[np.ndarray], spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, np.ndarray]]:
    """Pieces of a stream, by their place among the spans, as soon as each is whole or the stream ends.

    Args:
        blocks: (n,) float32 pieces of one recording.
        spans: first sample and the one behind the last of each piece; any order, and they may overlap.
    """
    parts: dict[int, list[np.ndarray]] = {place: [] for place in range(len(spans))}
    seen = 0
    for block in blocks:
        for place in list(parts):
            first, end = spans[place]
            parts[place].append(block[max(0, first - seen) : max(0, end - seen)])
            if end <= seen + block.size:
                yield place, np.concatenate(parts.pop(place))
        seen += block.size
    yield from ((place, np.concatenate(left)) for place, left in parts.items() if any(one.size for one in left))


def _draw(path: Path, wave: np.ndarray, task: _Task) -> None:
    # a fortieth of a second shows single pulses and still tells pitches apart
    n_fft = max(16, min(1024, 2 ** round(np.log2(task.sample_rate_hz / 40)), wave.size))
    with figure(path, (6.0, 2.6), dpi=100) as drawing:
        drawing.supxlabel("seconds", fontsize="small")
        axes = drawing.add_subplot()
        power = (wave + np.float32(1e-6)).astype(np.float64)
        spectrum, *_, image = axes.specgram(
            power, NFFT=n_fft, Fs=task.sample_rate_hz, noverlap=n_fft // 2, cmap="magma"
        )
        floor, high = 10 * np.log10(max(float(np.median(spectrum)), 1e-30)), image.get_clim()[1]
        image.set_clim(max(high - 80, min(floor, high - 20)), high)  # what is quieter than most is all of one colour
        axes.set_ylim(task.band_hz[0], min(task.band_hz[1], task.sample_rate_hz / 2))
        axes.set_ylabel("Hz")
