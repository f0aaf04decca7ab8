"""Scores of the sub-databases in, one static figure out."""

from collections.abc import Mapping
from pathlib import Path

from evensong.voice.disclosure import told_split
from evensong.voice.figures import BLUE, GREY, ORANGE, draw_points, two_panels
from evensong.voice.patients import counts_of
from evensong.voice.summaries import SubDatabase


def draw_subdbs(path: Path, found: Mapping[int, SubDatabase], confidence: float) -> None:
    """Draw AUROC and balanced accuracy of each sub-database, by patient and by image, with intervals.

    Args:
        confidence: of the intervals, such as 0.95.
    """
    levels = next(iter(found.values())).levels
    n, n_positive = told_split(*counts_of(levels["patient"].test))
    n_images, _ = counts_of(levels["image"].test)
    title = (
        f"Each sub-database alone\n{n} patients, {n_positive} of them class 1, {n_images} images; "
        f"{100 * confidence:g} % intervals"
    )
    with two_panels(path, title) as (left, right):
        for axes, name, title in ((left, "auroc", "AUROC"), (right, "balanced_accuracy", "Balanced accuracy")):
            for shift, level, colour in ((-0.12, "patient", BLUE), (0.12, "image", ORANGE)):
                estimates = [one.pooled[level].estimate(name) for one in found.values()]
                draw_points(axes, [subdb + shift for subdb in found], estimates, colour, level)
            axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle="--")
            axes.set_xticks(list(found), [f"{subdb}\n{10 * subdb} %" for subdb in found])
            axes.set_xlabel("sub-database, share of class 1 among training patients by design")
            axes.set_title(f"{title}, pooled test folds")
        left.legend(frameon=False)
