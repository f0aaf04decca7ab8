"""Scores of the voice track in, two static figures out: every sub-database alone, and the fusion of them.

Colours tell methods and sub-databases, as in every other figure.
"""

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from evensong.score import palette
from evensong.score.estimates import Estimate
from evensong.score.palette import BLACK, GREY
from evensong.score.predictions import BASELINE, in_part
from evensong.voice.disclosure import told_split
from evensong.voice.answer import NO_CONTROL, QUESTION, caption
from evensong.voice.ensemble import BEST, CONTROL, CONTROL_BEST, Fusion, comparisons, name_of, unequal_arms
from evensong.voice.evaluate import SubDatabase
from evensong.voice.fusion import METHODS
from evensong.voice.patients import CHANCE, HEADLINE, LEVELS, counts_of

_NOTE_WIDTH = 150  # characters
_TITLES = {"auroc": "AUROC", "balanced_accuracy": "Balanced accuracy"}
_STEP = 0.22  # of a row, between the markers of two references
_MARKERS = {BEST: "o", BASELINE: "^", CONTROL: "s", CONTROL_BEST: "D"}


@contextmanager
def two_panels(path: Path, title: str, note: str = "") -> Iterator[tuple[Axes, Axes]]:
    """Hand out two axes side by side and write them to a PNG.

    Args:
        title: above both.
        note: below both; long ones are broken into lines.
    """
    with palette.figure(path, (11, 4.8)) as drawing:
        drawing.suptitle(title, fontsize="large")
        left, right = drawing.subplots(1, 2)
        if note:
            drawing.supxlabel(textwrap.fill(note, _NOTE_WIDTH), fontsize="small")
        yield left, right


def draw_subdbs(path: Path, found: Mapping[int, SubDatabase], confidence: float) -> None:
    """Draw AUROC and balanced accuracy of each sub-database, by patient and by image, with intervals.

    Args:
        confidence: of the intervals, such as 0.95.
    """
    first = next(iter(found.values()))
    levels = first.levels
    n, n_positive = told_split(*counts_of(levels["patient"].test))
    n_images, _ = counts_of(levels["image"].test)
    title = (
        "Each sub-database alone, AUROC within test folds\n"
        f"{in_part(f'{n} patients', first.run.part)}, {n_positive} of them class 1, {n_images} images; "
        f"{100 * confidence:g} % intervals"
    )
    with two_panels(path, title) as panels:
        for axes, name in zip(panels, HEADLINE, strict=True):
            for shift, level in zip((-0.12, 0.12), LEVELS, strict=True):
                for subdb, one in found.items():
                    _draw_column(
                        axes, subdb + shift, one.pooled[level].estimate(name), subdb, is_hollow=level == "image"
                    )
            axes.axhline(CHANCE[name], color=GREY, linewidth=0.8, linestyle="--")
            axes.set_xticks(list(found), [f"{subdb}\n{10 * subdb} %" for subdb in found])
            axes.set_xlim(min(found) - 0.5, max(found) + 0.5)
            axes.set_xlabel("sub-database, share of class 1 among training patients by design")
            axes.set_ylabel(_TITLES[name])
            _legend(axes, {"patient": ("o", BLACK), "image": ("o", "white"), "chance": ("--", GREY)}, n_columns=3)


def draw_fusion(path: Path, fusion: Fusion) -> None:
    """Draw each method's patient AUROC, and its paired differences to every reference."""
    warning = unequal_arms(fusion)
    note = f"Warning: {warning}." if warning else "" if fusion.control else NO_CONTROL
    with two_panels(path, f"{QUESTION}\n{caption(fusion)}", note) as (left, right):
        _draw_scores(left, fusion)
        _draw_differences(right, fusion)
        for axes in (left, right):
            axes.set_ylim(len(axes.get_yticks()) - 0.5, -0.5)
            axes.locator_params(axis="x", nbins=6)
            axes.grid(axis="x", color=GREY, alpha=0.25)


def _draw_scores(axes: Axes, fusion: Fusion) -> None:
    """Rows of methods, then ticks of the members alone."""
    shown = [*METHODS, *fusion.all_references]
    for place, method in enumerate(shown):
        _draw_row(axes, place, fusion.scored[method].estimate("auroc"), palette.method(method))
    names = [name_of(method) for method in shown]
    arms = {"each sub-database": fusion.members.names, "each control member": getattr(fusion.control, "names", [])}
    for name, members in arms.items():
        for member in members:
            colour = palette.subdb(int(member[-1])) if member.startswith("subdb") else palette.method(CONTROL)
            if (value := fusion.member_aurocs[member]) is not None:
                axes.plot([value], [len(names)], "|", color=colour, markersize=14, markeredgewidth=2)
        if members:
            names.append(name)
    axes.set_yticks(range(len(names)), names)
    axes.axvline(CHANCE["auroc"], color=GREY, linewidth=0.9, linestyle="--")
    axes.set_xlabel("AUROC by patient, within test folds")
    _legend(axes, {"chance": ("--", GREY)})


def _draw_differences(axes: Axes, fusion: Fusion) -> None:
    """Rows of methods, in each a marker a reference, around the row's middle and in the order of the legend."""
    shown = [*METHODS, CONTROL] if fusion.control else list(METHODS)
    differences = comparisons(fusion)
    for place, method in enumerate(shown):
        pairs = [(method, reference, "auroc") for reference in fusion.all_references]
        for shift, pair in enumerate(drawn := [pair for pair in pairs if pair in differences]):
            middle = place + _STEP * (shift - (len(drawn) - 1) / 2)
            _draw_row(axes, middle, differences[pair], palette.method(method), marker=_marker(fusion, pair[1]))
    axes.axvline(0, color=GREY, linewidth=0.9, linestyle="--")
    axes.set_yticks(range(len(shown)), [name_of(method) for method in shown])
    axes.set_xlabel("← worse      paired difference in AUROC      better →")
    markers = {f"minus {name_of(one)}": (_marker(fusion, one), BLACK) for one in fusion.all_references}
    _legend(axes, markers)


def _marker(fusion: Fusion, reference: str) -> str:
    """One for each of up to seven embeddings."""
    return _MARKERS[reference] if reference in _MARKERS else "vPX*<>d"[fusion.arms.index(reference) % 7]


def _draw_row(axes: Axes, place: float, estimate: Estimate, colour: str, marker: str = "o") -> None:
    """A point with a horizontal interval; text says why one of them is missing."""
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=1.5)
    if estimate.value is not None:
        axes.plot([estimate.value], [place], marker, color=colour)
    if missing := _missing(estimate):
        at = "center" if estimate.value is None else "bottom"
        axes.text(0.5, place, missing, transform=axes.get_yaxis_transform(), color=GREY, ha="center", va=at)


def _draw_column(axes: Axes, place: float, estimate: Estimate, subdb: int, *, is_hollow: bool) -> None:
    """A point of a sub-database with a vertical interval; text says why one of them is missing."""
    colour = palette.subdb(subdb)
    if estimate.low is not None and estimate.high is not None:
        axes.plot([place, place], [estimate.low, estimate.high], color=colour, linewidth=1.5)
    if estimate.value is not None:
        axes.plot([place], [estimate.value], "o", color=colour, markerfacecolor="white" if is_hollow else colour)
    if missing := _missing(estimate):
        where = axes.get_xaxis_transform()
        axes.text(
            place, 0.02, missing, transform=where, color=GREY, rotation=90, ha="center", va="bottom", size="x-small"
        )


def _missing(estimate: Estimate) -> str:
    """What cannot be drawn, and why; empty where all can."""
    if estimate.value is None:
        return f"undefined: {estimate.reason}"
    return f"no interval: {estimate.reason}" if estimate.low is None else ""


def _legend(axes: Axes, entries: Mapping[str, tuple[str, str]], n_columns: int = 1) -> None:
    """A legend above the axes, where there is no data; a marker or line style and a colour by label."""
    handles = [
        Line2D([], [], linestyle="--", color=colour, linewidth=0.9, label=label)
        if style == "--"
        else Line2D([], [], linestyle="", marker=style, color=BLACK, markerfacecolor=colour, label=label)
        for label, (style, colour) in entries.items()
    ]
    axes.legend(handles=handles, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, ncols=n_columns)
