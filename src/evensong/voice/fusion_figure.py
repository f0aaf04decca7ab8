"""Scores of fused predictions in, one static figure out."""

from pathlib import Path

from matplotlib.axes import Axes

from evensong.voice.comparison import BASELINE, CONTROL, Fusion, comparisons
from evensong.voice.figures import BLACK, BLUE, GREY, ORANGE, draw_rows, two_panels
from evensong.voice.fusion import METHODS

_NAMES = {
    "soft_mean": "soft mean",
    "majority": "majority",
    "prior_corrected": "prior-corrected",
    "validation_weighted": "validation-weighted",
    BASELINE: "best single member",
    CONTROL: "control arm (soft mean)",
}


def draw_fusion(path: Path, fusion: Fusion) -> None:
    """Draw each method's patient AUROC, and its paired difference to the best single member and the control arm."""
    with two_panels(path) as (left, right):
        _draw_scores(left, fusion)
        _draw_differences(right, fusion)
        for axes in (left, right):
            axes.margins(y=0.12)
            axes.locator_params(axis="x", nbins=5)
            axes.invert_yaxis()


def _draw_scores(axes: Axes, fusion: Fusion) -> None:
    shown = [*METHODS, *fusion.baselines]
    draw_rows(axes, range(len(shown)), [fusion.scored[method].estimate("auroc") for method in shown], BLACK)
    members = [value for value in fusion.member_aurocs.values() if value is not None]
    axes.plot(members, [len(shown)] * len(members), "|", color=GREY, markersize=12)
    axes.set_yticks(range(len(shown) + 1), [*(_NAMES[method] for method in shown), "each member alone"])
    axes.set_xlabel("AUROC by patient, pooled test folds")


def _draw_differences(axes: Axes, fusion: Fusion) -> None:
    differences = comparisons(fusion)
    shifts = (-0.12, 0.12) if fusion.control else (0.0,)
    for shift, baseline, colour in zip(shifts, fusion.baselines, (BLUE, ORANGE), strict=False):
        rows = [differences[method, baseline, "auroc"] for method in METHODS]
        heights = [position + shift for position in range(len(METHODS))]
        draw_rows(axes, heights, rows, colour, f"minus {_NAMES[baseline]}")
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(METHODS)), [_NAMES[method] for method in METHODS])
    axes.set_xlabel("paired difference in AUROC")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2)
