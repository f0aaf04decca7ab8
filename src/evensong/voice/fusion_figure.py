"""Scores of fused predictions in, one static figure out."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from evensong.score.estimates import Estimate
from evensong.voice.answer import NAMES, NO_CONTROL, QUESTION, caption
from evensong.voice.comparison import BASELINE, CONTROL, CONTROL_BASELINE, Fusion, comparisons, unequal_arms
from evensong.voice.figures import BLACK, BLUE, GREEN, GREY, ORANGE, draw_rows, two_panels
from evensong.voice.fusion import METHODS

_COLOURS = {BASELINE: BLUE, CONTROL: ORANGE, CONTROL_BASELINE: GREEN}


def draw_fusion(path: Path, fusion: Fusion) -> None:
    """Draw each method's patient AUROC, and its paired differences to the best single member and the control arm."""
    warning = unequal_arms(fusion)
    note = f"Warning: {warning}." if warning else "" if fusion.control else NO_CONTROL
    with two_panels(path, f"{QUESTION}\n{caption(fusion)}", note) as (left, right):
        _draw_scores(left, fusion)
        _draw_differences(right, fusion)
        for axes in (left, right):
            axes.margins(y=0.1)
            axes.locator_params(axis="x", nbins=6)
            axes.invert_yaxis()
            axes.grid(axis="x", color=GREY, alpha=0.25)


def _draw_scores(axes: Axes, fusion: Fusion) -> None:
    """Rows of methods, then ticks of the members alone."""
    shown = [*METHODS, *_baselines(fusion)]
    draw_rows(axes, range(len(shown)), [fusion.scored[method].estimate("auroc") for method in shown], BLACK)
    names = [NAMES[method] for method in shown]
    for name, members in _arms(fusion).items():
        values = [value for member in members if (value := fusion.member_aurocs[member]) is not None]
        axes.plot(values, [len(names)] * len(values), "|", color=GREY, markersize=12)
        names.append(name)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("AUROC by patient, pooled test folds")


def _draw_differences(axes: Axes, fusion: Fusion) -> None:
    """Rows of methods, one point a baseline."""
    shown = [*METHODS, CONTROL] if fusion.control else list(METHODS)
    differences = comparisons(fusion)
    for baseline in _baselines(fusion):
        rows = {
            place: differences[method, baseline, "auroc"]
            for place, method in enumerate(shown)
            if (method, baseline, "auroc") in differences
        }
        places, label = _shifted(rows, baseline, fusion), f"minus {NAMES[baseline]}"
        draw_rows(axes, places, list(rows.values()), _COLOURS[baseline], label)
    axes.axvline(0, color=BLACK, linewidth=0.9, linestyle="--")
    axes.set_yticks(range(len(shown)), [NAMES[method] for method in shown])
    axes.set_xlabel("← worse      paired difference in AUROC      better →")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderpad=0, labelspacing=0.2)


def _baselines(fusion: Fusion) -> list[str]:
    return [*fusion.baselines, CONTROL_BASELINE] if fusion.control else fusion.baselines


def _shifted(rows: Mapping[int, Estimate], baseline: str, fusion: Fusion) -> list[float]:
    """Two points share a row where there is a control arm: the best single member above, a control below."""
    shift = 0.0 if not fusion.control else -0.13 if baseline == BASELINE else 0.13
    return [place + shift for place in rows]


def _arms(fusion: Fusion) -> dict[str, list[str]]:
    """Members by arm, as their rows are named."""
    arms = {"each sub-database": fusion.members.names}
    return arms | {"each control member": fusion.control.names} if fusion.control else arms
