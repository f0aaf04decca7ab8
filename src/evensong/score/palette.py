"""What figures share: one colour for one thing, and files of equal bytes for equal content.

Grey says chance, zero or no interval; the colours are those of every table behind a figure, too.
"""

from collections.abc import Iterator
from colorsys import hls_to_rgb
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evensong.keys import keyed_hash

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY = "#8a8a8a"
BLACK = "#222222"

_SERIES = (
    *("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#c9a400", "#ff9da6", "#6b4c9a"),
    *("#9ecae9", "#c05c00", "#88d27a", "#8c2d04", "#d6a5c9", "#1f2d3d", "#439894", "#7a8a1c", "#d67195", "#2a4d9c"),
)
_SUBDBS = (  # a rainbow, because their shares of class 1 have an order
    *("#5e3c99", "#3f6fb5", "#2a9bc4", "#2aa38b", "#5aa02c", "#b0a000", "#e08214", "#d6493a", "#96264f"),
)
_ARMS = {"baseline": "#7a6a4f"}
_METHODS = {
    "soft_mean": BLACK,
    "majority": "#e377c2",
    "prior_corrected": "#8c564b",
    "validation_weighted": "#1f77b4",
    "best_single": "#e07b00",
    **_ARMS,
    "control": "#3c8a3c",
    "control_best_single": "#9467bd",
}


def series(place: int) -> str:
    """The colour of the class, or other item of a list, at a place; from the 21st on they repeat."""
    return _SERIES[place % len(_SERIES)]


def subdb(number: int) -> str:
    """The colour of sub-database 1 to 9."""
    return _SUBDBS[number - 1]


def arm(name: str) -> str:
    """The colour of an arm beside the network; an embedding's hue comes of its name, whatever stands beside it."""
    if name in _ARMS:
        return _ARMS[name]
    red, green, blue = hls_to_rgb(keyed_hash("arm", name) / 2**64, 0.45, 0.6)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def method(name: str) -> str:
    """The colour of a fused method, of the control arm or of any other arm."""
    return _METHODS[name] if name in _METHODS else arm(name)


@contextmanager
def figure(path: Path, inches: tuple[float, float], *, dpi: int = 110) -> Iterator["Figure"]:
    """Hand out a figure and write it to a PNG.

    Matplotlib's own defaults are used, whatever the user's are, and its version is kept out of the file.

    Args:
        inches: width and height.
    """
    import matplotlib as mpl  # a second, for those who draw
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()
        drawing = Figure(figsize=inches, layout="constrained")
        yield drawing
        drawing.savefig(path, format="png", dpi=dpi, metadata={"Software": None})
