"""What both figures share: points with intervals, and PNG files with the same bytes for the same scores."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evensong.score.estimates import Estimate

BLUE, ORANGE, GREEN, BLACK, GREY = "#1f6f8b", "#d9822b", "#4f8a3c", "#333333", "#8a8a8a"
_NOTE_WIDTH = 150  # characters


@contextmanager
def two_panels(path: Path, title: str, note: str = "") -> Iterator[tuple[Axes, Axes]]:
    """Hand out two axes side by side and write them to a PNG.

    Matplotlib's own defaults are used, whatever the user's are, and its version is kept out of the file.

    Args:
        title: above both.
        note: below both; long ones are broken into lines.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        figure = Figure(figsize=(11, 4.8), layout="constrained")
        figure.suptitle(title, fontsize="large")
        left, right = figure.subplots(1, 2)
        if note:
            figure.supxlabel(textwrap.fill(note, _NOTE_WIDTH), fontsize="small")
        yield left, right
        figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


def draw_points(
    axes: Axes, places: Sequence[float], estimates: Sequence[Estimate], colour: str, label: str | None = None
) -> None:
    """Points with vertical intervals; undefined ones are left out."""
    for place, estimate in zip(places, estimates, strict=True):
        if estimate.low is not None and estimate.high is not None:
            axes.plot([place, place], [estimate.low, estimate.high], color=colour, linewidth=1.5)
    known = [(place, one.value) for place, one in zip(places, estimates, strict=True) if one.value is not None]
    axes.plot([place for place, _ in known], [value for _, value in known], "o", color=colour, label=label)


def draw_rows(
    axes: Axes, places: Sequence[float], estimates: Sequence[Estimate], colour: str, label: str | None = None
) -> None:
    """Points with horizontal intervals; undefined ones are left out."""
    for place, estimate in zip(places, estimates, strict=True):
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=1.5)
    known = [(place, one.value) for place, one in zip(places, estimates, strict=True) if one.value is not None]
    axes.plot([value for _, value in known], [place for place, _ in known], "o", color=colour, label=label)
