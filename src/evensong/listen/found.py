"""Kept scores -> recordings with their detections, runs of windows over a threshold, and rows of tables of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evensong.errors import IntegrityError
from evensong.listen.clock import Clock, Hours, Start
from evensong.listen.kept import Heard, read_heard
from evensong.score.calibration import Calibration
from evensong.score.detection import Scores, runs

Columns = Mapping[str, type]  # str, float or int by name
Table = tuple[Columns, Iterator[list[Any]]]


class Event(NamedTuple):
    """One class, heard without a break.

    Attributes:
        begin_s: where its first window begins.
        end_s: where its last window ends; the sound itself may be shorter than what its windows span.
        score: mean probability of the class over its windows, never the highest: that grows with their number.
        n_windows: how many windows were merged.
    """

    begin_s: float
    end_s: float
    class_name: str
    score: float
    n_windows: int

    def rounded(self) -> tuple[float, float, str, float]:
        """Begin, end, class and score as tables tell them."""
        return round(self.begin_s, 6), round(self.end_s, 6), self.class_name, float(f"{self.score:.6g}")


@dataclass(frozen=True)
class Found:
    """One recording, and what was detected in it.

    Attributes:
        path: as the user reaches it.
        name: below the folder that was named.
        start: when it began, where a clock is asked for and something tells.
        copy_of: an earlier recording with the same bytes; None for none.
    """

    path: Path
    name: Path
    seconds: float
    sample_rate_hz: int
    warnings: tuple[str, ...]
    n_windows: int
    n_silent: int
    start: Start | None = None
    events: Sequence[Event] = ()
    copy_of: Path | None = None


@dataclass(frozen=True)
class Results:
    """Kept scores -> what is reported of them.

    Attributes:
        kept: where the scores of each recording lie, in the order of the outputs.
        names: of the recordings below the folders that were named.
        classes: names in label order.
        thresholds: by class that is reported.
        clock: zones of the moments that are told; None tells none.
        hours: in which detections and windows begin; None for all.
        starts: when recordings began; with hours that of every one.
        calibrations: by class, of the softmax to the scores that are reported; the others' scores are softmax.
    """

    kept: Mapping[Path, Path]
    names: Mapping[Path, Path]
    classes: Sequence[str]
    thresholds: Mapping[str, float]
    clock: Clock | None
    hours: Hours | None
    starts: Mapping[Path, Start]
    calibrations: Mapping[str, Calibration]

    def found(self) -> list[Found]:
        """Every recording that was heard, in the listing's order."""
        return [self._found(path) for path in self.kept]

    def _found(self, path: Path) -> Found:
        heard = self.heard(path)
        events = windows_over(self.calibrated(heard.scores), self.classes, self.thresholds)
        return Found(
            path=path,
            name=self.names[path],
            seconds=float(heard.scores.ends_s[-1]),
            sample_rate_hz=heard.sample_rate_hz,
            warnings=heard.warnings,
            n_windows=len(heard.scores.probs),
            n_silent=int(np.isnan(heard.scores.probs[:, 0]).sum()),
            start=self.starts.get(path),
            events=[event for event in events if self._is_wanted(path, event.begin_s)],
        )

    def heard(self, path: Path) -> Heard:
        """What is kept of a recording."""
        heard = read_heard(self.kept[path])
        if heard is None:
            raise IntegrityError(f"{self.kept[path]}: the kept scores are gone; run the command again")
        return heard

    def calibrated(self, scores: Scores) -> Scores:
        """The scores that thresholds are of."""
        probs = scores.probs.copy()
        for name, calibration in self.calibrations.items():
            label = self.classes.index(name)
            probs[:, label] = calibration(probs[:, label])
        return replace(scores, probs=probs)

    def _is_wanted(self, path: Path, begin_s: float) -> bool:
        if self.clock is None or self.hours is None:
            return True
        return self.hours.hold(self.clock.at(self.starts[path].moment, begin_s))

    def detection_table(self, found: Iterable[Found]) -> Table:
        """One row a detection; with a clock the moment that it begins."""
        columns: Columns = {"file": str, "begin_s": float, "end_s": float, "class": str, "score": float, "windows": int}
        rows = (
            [str(one.path), *event.rounded(), event.n_windows, *self._moment(one.path, event.begin_s)]
            for one in found
            for event in one.events
        )
        return {**columns, **self._moment_column()}, rows

    def window_table(self) -> Table:
        """One row a window: the softmax probability of each class, then the calibrated one of those that have it."""
        # A class may be called "file": the prefix keeps its column apart.
        names = [*(f"p_{name}" for name in self.classes), *(f"calibrated_{name}" for name in self.calibrations)]
        probs = dict.fromkeys(names, float)
        columns = {"file": str, "begin_s": float, "end_s": float, "top_class": str, "top_score": float, **probs}
        return {**columns, **self._moment_column()}, self._window_rows()

    def _window_rows(self) -> Iterator[list[Any]]:
        """One row a window; cells of one without sound stay empty."""
        for path in self.kept:
            scores = self.heard(path).scores
            mapped = self.calibrated(scores).probs[:, [self.classes.index(name) for name in self.calibrations]]
            for begin_s, end_s, probs, own in zip(scores.begins_s, scores.ends_s, scores.probs, mapped, strict=True):
                if not self._is_wanted(path, float(begin_s)):
                    continue
                row: list[Any] = [str(path), round(float(begin_s), 6), round(float(end_s), 6)]
                if np.isnan(probs[0]):
                    row += [None] * (2 + len(probs) + len(own))
                else:
                    shown = [float(f"{value:.6g}") for value in (*probs, *own)]
                    row += [self.classes[int(probs.argmax())], shown[int(probs.argmax())], *shown]
                yield [*row, *self._moment(path, float(begin_s))]

    def _moment_column(self) -> Columns:
        return {"begin_time": str} if self.clock else {}

    def _moment(self, path: Path, seconds: float) -> list[str | None]:
        return [told_moment(self.clock, self.starts.get(path), seconds)] if self.clock else []


def told_moment(clock: Clock, start: Start | None, seconds: float) -> str | None:
    """A moment of a recording as ISO 8601 with its distance from UTC; None where it is not known."""
    return clock.at(start.moment, seconds).isoformat(timespec="milliseconds") if start else None


def windows_over(scores: Scores, classes: Sequence[str], thresholds: Mapping[str, float]) -> list[Event]:
    """Merge consecutive windows in which a class reaches its own threshold, as detection is scored.

    A window may be part of an event of more than one class. One without sound ends every run.

    Args:
        thresholds: by class; a class without one is no event.

    Returns:
        Events by their begin, those that begin together in label order.
    """
    events = []
    for label, name in enumerate(classes):
        probs = np.nan_to_num(scores.probs[:, label], nan=-1.0)
        for first, last in runs(probs >= thresholds[name]) if name in thresholds else ():
            span = float(scores.begins_s[first]), float(scores.ends_s[last])
            events.append(Event(*span, name, float(probs[first : last + 1].mean()), last - first + 1))
    return sorted(events, key=lambda event: (event.begin_s, classes.index(event.class_name)))


def best_window(scores: Scores, label: int, event: Event) -> tuple[float, float, float]:
    """Begin and end of the window in which an event's class is likeliest, and its probability there."""
    first = int(np.searchsorted(scores.begins_s, event.begin_s))
    best = first + int(scores.probs[first : first + event.n_windows, label].argmax())
    return float(scores.begins_s[best]), float(scores.ends_s[best]), float(scores.probs[best, label])
